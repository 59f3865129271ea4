"""
Opening the store, and running its functions off the reactor's thread.

SQLite keeps one writer: one thread, whose order of work is the order of asking. Every
transaction is durable when it returns (WAL with synchronous=FULL).
"""

import glob
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from attrs import define, field
from sqlalchemy import event
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from autodial.errors import StoreError
from autodial.store.schema import metadata

_log = Logger()

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds to wait for another process (the command line) that is reading or writing.
BUSY = 5.0


def open_engine(path: Path, *, writing: bool = True) -> sa.Engine:
    """The SQLite file as an engine; it need not exist yet. Readers do not hold up the writer."""
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: object, _: object) -> None:
        # The driver must not begin transactions by itself; we say BEGIN IMMEDIATE below.
        connection.isolation_level = None  # type: ignore[attr-defined]
        with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Take the write lock at once: a reader that becomes a writer can fail half-way.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def open_memory() -> sa.Engine:
    """A store in memory, with the present schema; for what need not outlive the process."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)

    @event.listens_for(engine, "connect")
    def _by_hand(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    metadata.create_all(engine)
    return engine


def migrate(path: Path, release: str = "head") -> None:
    """
    Bring the store to the present schema, making it if need be; its file is the owner's alone.

    Raises:
        StoreError: the place cannot be written, or the file is not ours.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(path)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; set [store] path to a writable place, and no link"
        ) from error
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine = open_engine(path)
    try:
        command.upgrade(config, release)
    except sa.exc.DatabaseError as error:
        raise StoreError(f"{path}: {error.orig}") from error
    finally:
        engine.dispose()


def _close_to_others(path: Path) -> None:
    """
    The store is made for its owner alone; an old one that others may read, and what lies beside it
    under its name (SQLite's own files, copies), is closed to them.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, flags | os.O_CREAT, 0o600))
    for beside in path.parent.glob(f"{glob.escape(path.name)}*"):
        try:
            found = beside.lstat()
            if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o077:
                continue
            file = os.open(beside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(file, 0o600)
            finally:
                os.close(file)
        except FileNotFoundError:
            continue  # SQLite's own come and go
        except PermissionError as error:
            raise StoreError(
                f"{beside} holds clients' names and numbers and others may read it: chmod 600"
                f" {beside}"
            ) from error
        _log.warn("{path} was open to others, and is not any more", path=beside)


def read(path: Path, question: Callable[[sa.Connection], T]) -> T:
    """Ask the store from another process or thread, beside the dialler."""
    with _beside(path, writing=False) as connection:
        return question(connection)


def write(path: Path, change: Callable[[sa.Connection], T]) -> T:
    """Change the store from another process, in one transaction, beside the dialler."""
    with _beside(path, writing=True) as connection:
        return change(connection)


@contextmanager
def _beside(path: Path, *, writing: bool) -> Iterator[sa.Connection]:
    engine = open_engine(path, writing=writing)
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        raise StoreError(
            f"{path}: {error.orig}; run this as the dialler's user, or as root"
        ) from error
    finally:
        engine.dispose()


@define(eq=False)
class Store:
    """The store, asked through coroutines."""

    path: Path
    reactor: IReactorFromThreads
    _engine: sa.Engine = field(init=False)
    _pool: ThreadPool = field(init=False)

    def start(self) -> None:
        """Migrate and open; raises StoreError."""
        migrate(self.path)
        self._engine = open_engine(self.path)
        self._pool = ThreadPool(1, 1, name="store")
        self._pool.start()

    def stop(self) -> None:
        """Finish what was asked, then close."""
        self._pool.stop()
        self._engine.dispose()

    async def run(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run one function in one transaction; committed when this returns."""
        return await deferToThreadPool(
            self.reactor, self._pool, self._transaction, function, args, kwargs
        )

    def _transaction(
        self, function: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> T:
        with self._engine.begin() as connection:
            return function(connection, *args, **kwargs)
