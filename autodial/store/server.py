"""
PostgreSQL as an engine, for several diallers on one store; see ``locks``.

Locks that last as long as a session say which diallers live (``node_lock``) and which of them works
for all (``LEADER``). A dialler takes them on the connection that it writes by: whoever has lost
them cannot write.
"""

from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import event

from autodial.config.place import Server
from autodial.errors import StoreBusy, StoreError
from autodial.store.connections import BUSY, begin_with
from autodial.store.locks import Access

#: Seconds after which a server that does not answer counts as gone.
GONE = 10
_BUSY = f"-c lock_timeout={int(BUSY * 1000)} -c statement_timeout=60000"
_PATIENT = "-c lock_timeout=600000 -c statement_timeout=0"
_SESSION = (
    f"-c idle_in_transaction_session_timeout={GONE * 1000} -c tcp_user_timeout={GONE * 1000}"
    f" -c tcp_keepalives_idle={GONE} -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    # What a claim or a result was acknowledged for is on disk, whatever the server's default.
    " -c timezone=UTC -c synchronous_commit=on"
)

#: A dialler reads few rows, in an index's order. By statistics of an hour ago the planner takes
#: thousands of tasks that are due by now for a handful, and sorts all of them at each look.
_BY_INDEX = "-c enable_bitmapscan=off"


def open_server(
    server: Server,
    *,
    writing: bool = True,
    patient: bool = False,
    name: str = "",
    on_connect: Callable[[Any], None] | None = None,
    access: Callable[[], Access] = lambda: Access.ALONE,
) -> sa.Engine:
    """
    ``patient``: wait long for the writers' lock, and for each statement. ``name``: of this session,
    for the administrator of the database. ``on_connect`` is called with each new connection of the
    driver, outside a transaction; there is one at a time. ``access``: of the transaction that
    begins, if the engine is one for writing.
    """
    engine = sa.create_engine(
        sa.make_url(server.url),
        connect_args={
            "connect_timeout": GONE,
            "application_name": (name or f"autodial24 {server.node}")[:63],
            "options": " ".join(
                (_SESSION, _PATIENT if patient else _BUSY, _BY_INDEX if writing else "")
            ),
            "keepalives_idle": GONE, "keepalives_interval": 2, "keepalives_count": 3,
            "tcp_user_timeout": GONE * 1000,
        },
        poolclass=sa.QueuePool,
        pool_size=1 if on_connect else 5,
        max_overflow=0 if on_connect else 5,
        pool_pre_ping=on_connect is None,
        execution_options={} if writing else _READER,
    )  # fmt: skip

    event.listen(engine, "connect", lambda connection, _: _prepare(connection))
    if on_connect is not None:
        event.listen(engine, "connect", lambda connection, _: on_connect(connection))
    if writing:
        begin_with(engine, lambda: access().value)
    return engine


def _prepare(connection: Any) -> None:
    connection.adapters.register_dumper(str, _Text)


class _Text(StrDumperUnknown):
    """What PostgreSQL takes for no text, and a portal may send, is replaced."""

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")


_READER = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

#: Errors with a remedy of their own.
_ADVICE: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.LockNotAvailable, "another dialler or command holds it for too long"),
    (errors.DiskFull, "the server's disk is full: make room there"),
    (errors.ReadOnlySqlTransaction, "the server is a standby: [store] url must name the primary"),
    (errors.InsufficientPrivilege, "the user of [store] url must own the database's tables"),
)
#: Refusals of a connection, which has no code: by their texts in English.
_REFUSED = {
    "pg_hba": "the server's pg_hba.conf must allow this host",
    "database": "make the database: createdb",
    "authentication": "check user and password of [store] url",
    "role": "check user and password of [store] url",
}
#: Errors that may pass by themselves.
_PASSING = (
    errors.LockNotAvailable, errors.DiskFull, errors.ReadOnlySqlTransaction, errors.AdminShutdown,
    errors.CrashShutdown, errors.CannotConnectNow, errors.TooManyConnections,
    errors.IdleInTransactionSessionTimeout, errors.QueryCanceled,
)  # fmt: skip


def server_error(server: Server, error: sa.exc.DatabaseError | psycopg.Error) -> StoreError:
    """The store's error, with its remedy, for an error of the database."""
    cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    if isinstance(cause, StoreError):
        return cause
    text = " ".join(str(cause).split()) or type(cause).__name__
    told = next((remedy for kind, remedy in _ADVICE if isinstance(cause, kind)), None)
    # Without a code of the server: it is not reached, or the connection has ended.
    lost = isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None
    if told is None and lost and "FATAL" in text:
        told = next((remedy for word, remedy in _REFUSED.items() if word in text), None)
    if told is None:
        told = "is the server up, and reached from here?" if lost else "see the server's log"
    kind = StoreBusy if lost or isinstance(cause, _PASSING) else StoreError
    return kind(f"{server}: {text}; {told}")
