"""
The store of several diallers: a database of PostgreSQL.

A dialler holds a lock with its name as long as its session lasts, and one of them another lock: it
leads, and works for all. The session is also the one that writes, so who has lost the locks writes
nothing before it has the name again; and what it does for all it does only while it leads.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from secrets import token_hex
from time import monotonic, sleep
from typing import Any, Concatenate

import sqlalchemy as sa
from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from autodial.config.place import Server
from autodial.errors import StoreBusy
from autodial.store.database import P, Request, Store, T
from autodial.store.locks import LEADER, NODES, OURS, Access, node_lock, reads
from autodial.store.releases import migrate
from autodial.store.server import open_server

#: Seconds for which a session of our own that is broken may still hold our name.
STALE = 3.0
#: Seconds from one try to reach the server to the next.
APART = 1.0
_TRY = "SELECT pg_try_advisory_lock(%s, %s)"
#: Our own former session: the server may not know yet that it is gone.
_END_FORMER = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = %s AND objid::bigint = %s AND granted
AND application_name = %s AND pid != pg_backend_pid()
"""


class NotLeading(StoreBusy):
    """Another dialler imports and reports now."""


@define(eq=False, slots=False)
class SharedStore(Store):
    """A database, and one session of it."""

    log = Logger()

    place: Server
    reactor: IReactorFromThreads
    #: In the reactor's thread, after each new session: memory must be read from the store again.
    on_session: Callable[[], None] = lambda: None
    _name: str = field(init=False)  #: of our sessions: no other process has it
    _held: bool = field(default=False, init=False)  #: the session has our name
    _leads: bool = field(default=False, init=False)
    _sessions: int = field(default=0, init=False)
    _not_before: float = field(default=0.0, init=False)  #: after a failure: the next try
    _access: Access = field(default=Access.ALONE, init=False)  #: of the next transaction

    def __attrs_post_init__(self) -> None:
        self._name = f"autodial24 {self.place.node[:40]} {token_hex(4)}"

    def start(self) -> None:
        migrate(self.place)
        self._engine = open_server(
            self.place, name=self._name, on_connect=self._connected, access=lambda: self._access
        )
        try:
            self._begin()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def session_name(self) -> str:
        """Of this process's sessions, in the database."""
        return self._name

    def in_place(self) -> bool:
        """Does the session have our name?"""
        return self._held

    async def rescue(self) -> None:
        self.log.error(
            "the session with {store} is lost. Nobody is dialled until it is there again; calls go"
            " on, and Asterisk keeps their results",
            store=str(self.place),
        )

    def stop(self) -> None:
        self._end()
        self._held = self._leads = False
        self._connection.close()
        self._engine.dispose()

    @property
    def leads(self) -> bool:
        return self._leads

    async def lead(self) -> bool:
        """Lead, unless another does. Returns whether this dialler leads now."""
        leads: bool = await self._ask(Request(self._lead, (), {}))
        return leads

    def for_all(self) -> "Store":
        return _ForAll(self.place, self.reactor, self)

    # In the thread.

    @reads
    def _lead(self, db: sa.Connection) -> bool:
        if not self._leads:
            got = sa.select(sa.func.pg_try_advisory_lock(OURS, LEADER))
            self._leads = bool(db.scalar(got))
        return self._leads

    def _connected(self, connection: Any) -> None:
        """A new session: it needs our name before it may do anything."""
        self._held = self._leads = False
        key = node_lock(self.place.node)
        until = monotonic() + STALE
        connection.autocommit = True  # (a lock of the session, not of a transaction)
        try:
            while not connection.execute(_TRY, (NODES, key)).fetchone()[0]:
                if monotonic() > until:
                    raise StoreBusy(
                        f"{self.place}: another process works as node '{self.place.node}': stop"
                        " that one first, or set another [node] name here"
                    )
                connection.execute(_END_FORMER, (NODES, key % 2**32, self._name))
                sleep(0.1)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        self._held = True
        self._sessions += 1
        if self._sessions > 1:
            self.reactor.callFromThread(self.on_session)

    def _lost(self) -> None:
        self._held = self._leads = False

    @contextmanager
    def _transaction(self, access: Access) -> Iterator[sa.Connection]:
        """While the server is out of reach, only one request a second waits for it."""
        if monotonic() < self._not_before:
            raise StoreBusy(f"{self.place}: is out of reach")
        self._access = access
        try:
            with super()._transaction(access) as connection:
                yield connection
        finally:
            self._not_before = monotonic() + APART if self._connection.invalidated else 0.0


@define(eq=False)
class _ForAll(Store):
    """Runs functions only while the dialler leads."""

    whole: SharedStore

    def start(self) -> None:
        raise NotImplementedError("the whole store is started")

    def stop(self) -> None:
        raise NotImplementedError("the whole store is stopped")

    def in_place(self) -> bool:
        return self.whole.in_place()

    async def rescue(self) -> None:
        await self.whole.rescue()

    @property
    def leads(self) -> bool:
        return self.whole.leads

    async def run(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        As the whole store does.

        Raises:
            NotLeading: another dialler leads, or may by now.
        """

        @wraps(function)  # (with the access it needs)
        def leading(db: sa.Connection) -> T:
            # Here, in a transaction of the session that has the lock, or has lost it.
            if not self.whole.leads:
                raise NotLeading
            return function(db, *args, **kwargs)

        return await self.whole.run(leading)
