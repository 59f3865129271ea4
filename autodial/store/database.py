"""
Opening the store, and running its functions off the reactor's thread.

SQLite has one writer: one thread, which works in the order of requests. Every transaction is
durable when it returns (WAL with synchronous=FULL). A lock beside the store allows one dialler.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from autodial.errors import StoreError
from autodial.store.backup import draft, remove_drafts
from autodial.store.connections import open_engine
from autodial.store.ownership import only_one
from autodial.store.releases import check_release, migrate, release_of
from autodial.store.trouble import store_error

P = ParamSpec("P")


T = TypeVar("T")


def read(path: Path, question: Callable[[sa.Connection], T]) -> T:
    """Query the store from another process or thread, beside the dialler."""
    with _beside(path, writing=False) as connection:
        return question(connection)


def write(path: Path, change: Callable[[sa.Connection], T]) -> T:
    """Change the store from another process, in one transaction, beside the dialler."""
    with _beside(path, writing=True) as connection:
        return change(connection)


@contextmanager
def _beside(path: Path, *, writing: bool) -> Iterator[sa.Connection]:
    try:
        exists = path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user") from error
    if not exists:
        raise StoreError(f"{path}: no store yet; 'autodial run' makes it")
    engine = open_engine(path, writing=writing, create=False)
    try:
        check_release(path, release_of(path))
        with engine.begin() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        raise store_error(path, error) from error
    finally:
        engine.dispose()


@define(eq=False)
class Store:
    """The store, through coroutines."""

    path: Path
    reactor: IReactorFromThreads
    _engine: sa.Engine = field(init=False)
    _pool: ThreadPool = field(init=False)
    _lock: ExitStack = field(init=False)
    _file: tuple[int, int] = field(default=(0, 0), init=False)  #: device and inode that were opened

    def start(self) -> None:
        """Lock, migrate and open; raises StoreError."""
        with ExitStack() as stack:
            stack.enter_context(only_one(self.path))
            self._open()
            self._lock = stack.pop_all()

    def _open(self) -> None:
        remove_drafts(self.path)
        migrate(self.path)
        self._engine = open_engine(self.path, create=False)
        status = self.path.stat()
        self._file = status.st_dev, status.st_ino
        self._pool = ThreadPool(1, 1, name="store")
        self._pool.start()

    def in_place(self) -> bool:
        """Is the file that was opened still at the configured path?"""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file

    async def rescue(self) -> Path:
        """
        Copy the opened file to ``<store>.rescued``: a deleted file is gone with this process.
        """
        return await deferToThreadPool(self.reactor, self._pool, self._rescue)

    def _rescue(self) -> Path:
        """Outside a transaction: SQLite does not copy uncommitted changes."""
        rescued = self.path.with_name(f"{self.path.name}.rescued")
        opened = self._engine.raw_connection()
        try:
            driver: Any = opened.driver_connection
            with draft(rescued) as new:
                with closing(sqlite3.connect(new)) as copied:
                    driver.backup(copied)
                    copied.execute("PRAGMA journal_mode = DELETE")
                new.replace(rescued)
        finally:
            opened.close()
        return rescued

    def stop(self) -> None:
        """Finish the requests, then close."""
        self._pool.stop()
        if not self.in_place():
            self._rescue()  # again: there were calls since the first copy
        self._engine.dispose()
        self._lock.close()

    async def run(
        self,
        function: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        Run one function in one transaction; committed when this returns. Arguments and results are
        plain values, never changed by the reactor's thread meanwhile.

        Raises:
            StoreError: the file cannot be read or written now; the text has the remedy.
        """
        return await deferToThreadPool(
            self.reactor, self._pool, self._transaction, function, args, kwargs
        )

    def _transaction(
        self, function: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> T:
        try:
            with self._engine.begin() as connection:
                return function(connection, *args, **kwargs)
        except sa.exc.OperationalError as error:
            raise store_error(self.path, error) from error
        except sa.exc.DatabaseError as error:
            # A violated constraint or a wrong statement is our fault, not the file's.
            if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError):
                raise
            raise store_error(self.path, error) from error
