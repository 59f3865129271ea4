"""
Opening the store, and running its functions off the reactor's thread.

The store has one writer: one thread, which works in the order of requests. What waits together is
committed together, and every function's changes are durable when it returns (SQLite: WAL with
synchronous=FULL). See ``file_store`` for the one of a single dialler.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from autodial.config.place import Place
from autodial.errors import StoreError
from autodial.store.engines import engine_of
from autodial.store.locks import Access, access_of, access_of_all
from autodial.store.releases import check_release, release_of
from autodial.store.trouble import store_error

P = ParamSpec("P")


T = TypeVar("T")

#: Most functions in one commit: the first of them waits for the last.
TOGETHER = 20


def read(place: Place, question: Callable[[sa.Connection], T]) -> T:
    """Query the store from another process or thread, beside the dialler."""
    with _beside(place, writing=False) as connection:
        return question(connection)


def write(place: Place, change: Callable[[sa.Connection], T]) -> T:
    """Change the store from another process, in one transaction, beside the dialler."""
    with _beside(place, writing=True) as connection:
        return change(connection)


@define(eq=False)
class Beside:
    """
    The store of another process, for one that asks it often: as ``read`` and ``write``, with its
    connections kept. From any thread.
    """

    place: Place
    _engines: dict[bool, sa.Engine] = field(factory=dict, init=False)
    _file: tuple[int, int] = field(default=(0, 0), init=False)  #: device and inode that are open
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def read(self, question: Callable[[sa.Connection], T]) -> T:
        return self._run(question, writing=False)

    def write(self, change: Callable[[sa.Connection], T]) -> T:
        return self._run(change, writing=True)

    def _run(self, function: Callable[[sa.Connection], T], *, writing: bool) -> T:
        engine = self._engine(writing)
        try:
            with engine.begin() as connection:
                return function(connection)
        except sa.exc.DatabaseError as error:
            raise store_error(self.place, error) from error

    def _engine(self, writing: bool) -> sa.Engine:
        """Opened anew when another file is in the place, say after a restore."""
        file = self._identity()
        with self._lock:
            if file != self._file:
                self.close()
                check_release(self.place, release_of(self.place))
                self._file = file
            if writing not in self._engines:
                self._engines[writing] = engine_of(self.place, writing=writing)
            return self._engines[writing]

    def _identity(self) -> tuple[int, int]:
        """Device and inode of a file; of a database no two are told apart."""
        if not isinstance(self.place, Path):
            return (1, 1)
        try:
            status = self.place.stat()
        except OSError as error:
            raise StoreError(f"{self.place}: {error.strerror}") from error
        return status.st_dev, status.st_ino

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        self._file = (0, 0)


@contextmanager
def _beside(place: Place, *, writing: bool) -> Iterator[sa.Connection]:
    try:
        exists = not isinstance(place, Path) or place.exists()
    except OSError as error:
        raise StoreError(f"{place}: {error.strerror}; run this as its user") from error
    if not exists:
        raise StoreError(f"{place}: no store yet: 'autodial init' makes it, and the first start")
    engine = engine_of(place, writing=writing)
    try:
        check_release(place, release_of(place))
        with engine.begin() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        raise store_error(place, error) from error
    finally:
        engine.dispose()


@define(eq=False)
class Request:
    """One function to run, and who waits for it."""

    function: Callable[..., Any]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    in_transaction: bool = True
    done: "Deferred[Any]" = field(factory=Deferred, init=False)
    result: Any = field(default=None, init=False)  #: or the ``Failure``

    def run(self, db: sa.Connection) -> None:
        self.result = self.function(db, *self.args, **self.kwargs)

    def try_to_run(self, db: sa.Connection) -> bool:
        """
        False: it failed, for a reason of its own.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the transaction has failed.
        """
        try:
            self.run(db)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception:
            self.result = Failure()
            return False
        return True


@define(eq=False)
class Store(ABC):
    """The store, through coroutines: requests to one thread, which has one connection."""

    place: Place
    reactor: IReactorFromThreads
    _engine: sa.Engine = field(init=False)
    _connection: sa.Connection = field(init=False)  #: of the thread alone
    _thread: threading.Thread = field(init=False)
    _requests: "SimpleQueue[Request | None]" = field(factory=SimpleQueue, init=False)

    @abstractmethod
    def start(self) -> None:
        """Migrate and open, so that no other dialler works as this one; raises StoreError."""

    @abstractmethod
    def in_place(self) -> bool:
        """May this dialler write to the store that the next start will open?"""

    @abstractmethod
    async def rescue(self) -> None:
        """It is not in its place: save what would be lost with this process, and tell people."""

    @abstractmethod
    def stop(self) -> None:
        """Finish the requests, then close."""

    @property
    def leads(self) -> bool:
        """Does this dialler work for all that share the store: import, and report?"""
        return True

    def _begin(self) -> None:
        """Open the connection, and start the thread; raises StoreError."""
        try:
            self._connection = self._engine.connect()
        except sa.exc.DatabaseError as error:
            raise store_error(self.place, error) from error
        self._thread = threading.Thread(target=self._work, name="store")
        self._thread.start()

    def _end(self) -> None:
        """Finish the requests, and end the thread; its connection stays open."""
        self._requests.put(None)
        self._thread.join()

    def for_all(self) -> "Store":
        """The same store, for what one dialler does for all: see ``leads``."""
        return self

    async def run(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        Run one function, with whatever else waits, in one transaction; committed when this returns.
        Arguments and results are plain values, never changed by the reactor's thread meanwhile. If
        that transaction fails, each function is run again in one of its own.

        Raises:
            StoreError: the store cannot be read or written now; the text has the remedy.
        """
        result: T = await self._ask(Request(function, args, kwargs))
        return result

    async def _ask(self, request: Request) -> Any:
        self._requests.put(request)
        return await request.done

    # In the thread.

    def _work(self) -> None:
        last = False
        while not last:
            group = self._waiting()
            last = group[-1] is None
            requests = [request for request in group if request is not None]
            self._run(requests)
            self.reactor.callFromThread(_answer, requests)

    def _waiting(self) -> "list[Request | None]":
        """The next requests, in their order; None, at the end: no more will come."""
        group = [self._requests.get()]
        try:
            while group[-1] is not None and len(group) < TOGETHER:
                group.append(self._requests.get_nowait())
        except Empty:
            pass
        return group

    def _run(self, requests: "list[Request]") -> None:
        together = len(requests) > 1 and all(request.in_transaction for request in requests)
        if not (together and self._together(requests)):
            for request in requests:
                self._alone(request)

    def _together(self, requests: "list[Request]") -> bool:
        """
        Run them in one transaction, each as if it were alone: an error undoes its own changes.
        False: the transaction failed, and nothing was changed.
        """
        try:
            with self._transaction(access_of_all([r.function for r in requests])) as connection:
                for request in requests:
                    self._within(connection, request)
        except Exception as error:  # of one of them, or of the commit: alone each has its own error
            if getattr(error, "connection_invalidated", False):
                self._lost()
            return False
        return True

    @staticmethod
    def _within(connection: sa.Connection, request: Request) -> None:
        """In a transaction with others. (By the driver's own cursor: seven times cheaper.)"""
        if access_of(request.function) is Access.READS:
            request.try_to_run(connection)
            return
        cursor = connection.connection.cursor()
        try:
            cursor.execute("SAVEPOINT request")
            if not request.try_to_run(connection):
                cursor.execute("ROLLBACK TO request")
            cursor.execute("RELEASE request")
        finally:
            cursor.close()

    def _alone(self, request: Request) -> None:
        try:
            access = access_of(request.function)
            with self._transaction(access) if request.in_transaction else nullcontext():
                request.run(self._connection)
        except sa.exc.DatabaseError as error:
            if error.connection_invalidated:
                self._lost()
            # A violated constraint or a wrong statement is our fault, not the store's.
            if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError):
                request.result = Failure()
            else:
                request.result = Failure(store_error(self.place, error))
        except BaseException:
            request.result = Failure()

    def _lost(self) -> None:  # noqa: B027  # (nothing to do for a file)
        """The connection has ended; the next request opens another one."""

    @contextmanager
    def _transaction(self, access: Access) -> Iterator[sa.Connection]:  # (SQLite)
        try:
            with self._connection.begin():
                yield self._connection
        except BaseException:
            if not self._connection.invalidated:
                # After a COMMIT that failed SQLAlchemy rolls nothing back.
                self._connection.connection.rollback()
            raise


def _answer(requests: "list[Request]") -> None:
    for request in requests:
        request.done.callback(request.result)
