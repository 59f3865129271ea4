"""
Opening the store, and running its functions off the reactor's thread.

SQLite has one writer: one thread, which works in the order of requests. What waits together is
committed together, and every function's changes are durable when it returns (WAL with
synchronous=FULL). A lock beside the store allows one dialler.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from autodial.errors import StoreError
from autodial.store.backup import draft, remove_drafts
from autodial.store.connections import open_engine
from autodial.store.ownership import only_one
from autodial.store.releases import check_release, migrate, release_of
from autodial.store.trouble import store_error

P = ParamSpec("P")


T = TypeVar("T")

#: Most functions in one commit: the first of them waits for the last.
TOGETHER = 20


def read(path: Path, question: Callable[[sa.Connection], T]) -> T:
    """Query the store from another process or thread, beside the dialler."""
    with _beside(path, writing=False) as connection:
        return question(connection)


def write(path: Path, change: Callable[[sa.Connection], T]) -> T:
    """Change the store from another process, in one transaction, beside the dialler."""
    with _beside(path, writing=True) as connection:
        return change(connection)


@define(eq=False)
class Beside:
    """
    The store of another process, for one that asks it often: as ``read`` and ``write``, with its
    connections kept. From any thread.
    """

    path: Path
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
            raise store_error(self.path, error) from error

    def _engine(self, writing: bool) -> sa.Engine:
        """Opened anew when another file is in the place, say after a restore."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        with self._lock:
            if (status.st_dev, status.st_ino) != self._file:
                self.close()
                check_release(self.path, release_of(self.path))
                self._file = status.st_dev, status.st_ino
            if writing not in self._engines:
                self._engines[writing] = open_engine(self.path, writing=writing, create=False)
            return self._engines[writing]

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        self._file = (0, 0)


@contextmanager
def _beside(path: Path, *, writing: bool) -> Iterator[sa.Connection]:
    try:
        exists = path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user") from error
    if not exists:
        raise StoreError(f"{path}: no store yet: 'autodial init' makes it, and the first start")
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
class _Request:
    """One function to run, and who waits for it."""

    function: Callable[..., Any]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    in_transaction: bool = True
    done: "Deferred[Any]" = field(factory=Deferred, init=False)
    result: Any = field(default=None, init=False)  #: or the ``Failure``

    def run(self, db: sa.Connection) -> None:
        self.result = self.function(db, *self.args, **self.kwargs)


@define(eq=False)
class Store:
    """The store, through coroutines."""

    path: Path
    reactor: IReactorFromThreads
    _engine: sa.Engine = field(init=False)
    _connection: sa.Connection = field(init=False)  #: of the thread alone
    _thread: threading.Thread = field(init=False)
    _requests: "SimpleQueue[_Request | None]" = field(factory=SimpleQueue, init=False)
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
        try:
            self._connection = self._engine.connect()
        except sa.exc.DatabaseError as error:
            raise store_error(self.path, error) from error
        status = self.path.stat()
        self._file = status.st_dev, status.st_ino
        self._thread = threading.Thread(target=self._work, name="store")
        self._thread.start()

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
        rescued: Path = await self._ask(_Request(self._rescue, (), {}, in_transaction=False))
        return rescued

    def _rescue(self, db: sa.Connection) -> Path:
        """Outside a transaction: SQLite does not copy uncommitted changes."""
        rescued = self.path.with_name(f"{self.path.name}.rescued")
        driver: Any = db.connection.driver_connection
        with draft(rescued) as new:
            with closing(sqlite3.connect(new)) as copied:
                driver.backup(copied)
                copied.execute("PRAGMA journal_mode = DELETE")
            new.replace(rescued)
        return rescued

    def stop(self) -> None:
        """Finish the requests, then close."""
        self._requests.put(None)
        self._thread.join()
        if not self.in_place():
            self._rescue(self._connection)  # again: there were calls since the first copy
        self._connection.close()
        self._engine.dispose()
        self._lock.close()

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
            StoreError: the file cannot be read or written now; the text has the remedy.
        """
        result: T = await self._ask(_Request(function, args, kwargs))
        return result

    async def _ask(self, request: _Request) -> Any:
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

    def _waiting(self) -> "list[_Request | None]":
        """The next requests, in their order; None, at the end: no more will come."""
        group = [self._requests.get()]
        try:
            while group[-1] is not None and len(group) < TOGETHER:
                group.append(self._requests.get_nowait())
        except Empty:
            pass
        return group

    def _run(self, requests: "list[_Request]") -> None:
        together = len(requests) > 1 and all(request.in_transaction for request in requests)
        if not (together and self._together(requests)):
            for request in requests:
                self._alone(request)

    def _together(self, requests: "list[_Request]") -> bool:
        """
        Run them in one transaction, each as if it were alone: an error undoes its own changes.
        False: the transaction failed, and nothing was changed.
        """
        try:
            with self._transaction() as connection:
                for request in requests:
                    connection.exec_driver_sql("SAVEPOINT request")
                    try:
                        request.run(connection)
                    except sa.exc.SQLAlchemyError:
                        raise
                    except Exception:
                        request.result = Failure()
                        connection.exec_driver_sql("ROLLBACK TO request")
                    connection.exec_driver_sql("RELEASE request")
        except Exception:  # of one of them, or of the commit: by itself each has its own error
            return False
        return True

    def _alone(self, request: _Request) -> None:
        try:
            with self._transaction() if request.in_transaction else nullcontext():
                request.run(self._connection)
        except sa.exc.DatabaseError as error:
            # A violated constraint or a wrong statement is our fault, not the file's.
            if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError):
                request.result = Failure()
            else:
                request.result = Failure(store_error(self.path, error))
        except BaseException:
            request.result = Failure()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._connection.begin():
                yield self._connection
        except BaseException:
            # After a COMMIT that failed SQLAlchemy rolls nothing back.
            self._connection.connection.rollback()
            raise


def _answer(requests: "list[_Request]") -> None:
    for request in requests:
        request.done.callback(request.result)
