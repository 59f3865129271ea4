"""
Opening the store, and running its functions off the reactor's thread.

SQLite keeps one writer: one thread, whose order of work is the order of asking. Every
transaction is durable when it returns (WAL with synchronous=FULL). One dialler works on a store:
a lock beside it says so.
"""

import fcntl
import glob
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from attrs import define, field
from sqlalchemy import event
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from autodial.errors import StoreBusy, StoreError
from autodial.store.schema import metadata
from autodial.store.trouble import store_error

_log = Logger()

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds to wait for another process (the command line) that is reading or writing.
BUSY = 5.0


def open_engine(path: Path, *, writing: bool = True, create: bool = True) -> sa.Engine:
    """
    The SQLite file as an engine; it need not exist yet. Readers do not hold up the writer.

    ``create``: False refuses a file that is not there.
    """
    mode = "rwc" if create else "rw"
    name = sa.URL.create(
        "sqlite", database=path.absolute().as_uri(), query={"mode": mode, "uri": "true"}
    )
    engine = sa.create_engine(name, connect_args={"timeout": BUSY})

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
    Bring the store to the present schema, making it if need be; its file is the owner's alone. An
    older store is backed up first, beside it, as ``<store>.before-<its release>``.

    Raises:
        StoreError: the place cannot be written, the file is not ours, or a newer program's.
    """
    from autodial.store.backup import backup  # (which needs this module)

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _not_half(path)
        _close_to_others(path)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; set [store] path to a writable place, and no link"
        ) from error
    config = _alembic()
    config.attributes["engine"] = engine = open_engine(path)
    try:
        present = _release(path)
        if present not in (None, *_releases()):
            raise _newer(path, present)
        if present is not None and present != _head():
            backup(path, path.with_name(f"{path.name}.before-{present}"), replace=True)
        command.upgrade(config, release)
    except sa.exc.DatabaseError as error:
        raise store_error(path, error) from error
    finally:
        engine.dispose()


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _releases() -> frozenset[str]:
    """The releases of the schema that this program knows."""
    return frozenset(
        one.revision for one in ScriptDirectory.from_config(_alembic()).walk_revisions()
    )


def _head() -> str:
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    assert head is not None
    return head


def _release(path: Path) -> str | None:
    """
    The release of the schema that a file has; None: it has none. Nothing is written to the file,
    not even what SQLite has yet to move there from its log: it may be a newer program's.

    Raises:
        StoreError: it cannot be read.
    """
    name = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(name, uri=True, timeout=BUSY)) as db:
            present = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if db.execute(present).fetchone() is None:
                return None
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise store_error(path, error) from error
    return str(row[0]) if row is not None else None


def check_release(path: Path, present: str | None) -> None:
    """
    Raises:
        StoreError: this program cannot work with a store of that release.
    """
    if present == _head():
        return
    if present is None:
        raise StoreError(
            f"{path} is empty, or no store of ours: start the dialler once, or set [store] path"
        )
    if present in _releases():
        raise StoreError(
            f"{path} is of an older program ({present}): start the dialler once, which upgrades it"
        )
    raise _newer(path, present)


def check_copy(copy: Path, name: Path) -> None:
    """
    Can this program use a copy? An older one is upgraded at the next start.

    Raises:
        StoreError: it is no store, or a newer program's.
    """
    present = _release(copy)
    if present is None:
        raise StoreError(f"{name} is no store of ours: nothing was changed")
    if present not in _releases():
        raise _newer(name, present, copy=True)


def _newer(path: Path, present: str | None, *, copy: bool = False) -> StoreError:
    said = (
        f"{path} was written by a newer program ({present}, and this one knows up to {_head()}):"
        " install that program again"
    )
    if copy:
        return StoreError(f"{said}. Nothing was changed")
    older = f"{path}.before-{_head()}"
    return StoreError(
        f"{said}, or put back the copy that it made before its upgrade (autodial restore {older})"
    )


def _not_half(path: Path) -> None:
    """
    A log without its file is a store that somebody has moved or deleted while a dialler ran. A new
    file in its place would destroy what the log holds, and have all clients called again.
    """
    log = path.with_name(f"{path.name}-wal")
    if not path.exists() and log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path} is gone, and its log {log} is there: move the file back, or put back a copy"
            " with 'autodial restore FILE'; delete the log only to begin anew"
        )


def _close_to_others(path: Path) -> None:
    """
    The store is made for its owner alone; an old one that others may read, and what lies beside it
    under its name (SQLite's own files, copies), is closed to them.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    new = not path.exists()
    file = os.open(path, flags | os.O_CREAT, 0o600)
    try:
        if new:
            give_to_owner(file, path.parent)
            _log.info("a new store is made: {path}", path=path)
    finally:
        os.close(file)
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


@contextmanager
def only_one(path: Path, doing: str = "a dialler works on it") -> Iterator[None]:
    """
    Hold the store's lock while the block lasts.

    Raises:
        StoreError: another process holds it.
    """
    lock = path.with_name(f"{path.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(lock, flags, 0o600)
        give_to_owner(file, path)
    except OSError as error:
        raise StoreError(
            f"{lock}: {error.strerror}; set [store] path to a writable place, and no link"
        ) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode("ascii", "replace").strip()
            raise StoreBusy(
                f"{path}: another process holds it ({holder or 'of another user'}): two on one"
                " store would call clients twice. Stop that one first"
            ) from None
        with suppress(OSError):  # a full disk: only who holds it is not told
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()}: {doing}\n".encode(), 0)
        yield
    finally:
        os.close(file)  # and the lock with it; the file stays, or two could hold two


def _owner(path: Path) -> tuple[int, int]:
    """Whose the store is: what lies beside it must be his, or the dialler could not open it."""
    found = path.stat() if path.exists() else path.parent.stat()
    return found.st_uid, found.st_gid


def give_to_owner(file: int, path: Path) -> None:
    """What root makes beside a store is its owner's."""
    if os.geteuid() == 0:
        os.fchown(file, *_owner(path))


@contextmanager
def as_owner(path: Path) -> Iterator[None]:
    """Root works with no more than the rights of the store's owner, for as long as this lasts."""
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        yield
        return
    owner, owners = _owner(path)
    os.setegid(owners)
    os.seteuid(owner)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


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
    try:
        there = path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user") from error
    if not there:
        raise StoreError(f"{path}: no store yet; 'autodial run' makes it")
    engine = open_engine(path, writing=writing, create=False)
    try:
        check_release(path, _release(path))
        with engine.begin() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        raise store_error(path, error) from error
    finally:
        engine.dispose()


@define(eq=False)
class Store:
    """The store, asked through coroutines."""

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
        from autodial.store.backup import remove_drafts  # (which needs this module)

        remove_drafts(self.path)
        migrate(self.path)
        self._engine = open_engine(self.path, create=False)
        found = self.path.stat()
        self._file = found.st_dev, found.st_ino
        self._pool = ThreadPool(1, 1, name="store")
        self._pool.start()

    def in_place(self) -> bool:
        """Is the file that was opened still where the configuration says?"""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    async def rescue(self) -> Path:
        """
        Copy what was opened to ``<store>.rescued``: a file that was deleted is gone with this
        process.
        """
        return await deferToThreadPool(self.reactor, self._pool, self._rescue)

    def _rescue(self) -> Path:
        """Outside a transaction: SQLite does not copy what is being written."""
        from autodial.store.backup import draft  # (which needs this module)

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
        """Finish what was asked, then close."""
        self._pool.stop()
        if not self.in_place():
            self._rescue()  # once more: there were calls since it was noticed
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
        plain values: nothing that the reactor's thread changes meanwhile.

        Raises:
            StoreError: the file cannot be read or written now; with what to do.
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
            # A constraint, or a statement that is wrong, is a fault of ours and none of the file's.
            if isinstance(error, sa.exc.IntegrityError | sa.exc.ProgrammingError):
                raise
            raise store_error(self.path, error) from error
