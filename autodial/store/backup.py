"""
Copies of the store: made while the dialler runs, put back while it does not.

A copy is one file, complete in itself. Putting one back by hand beside the write-ahead log of the
store before (``-wal``) undoes it, or damages it: SQLite replays that log into whatever file it
finds.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from autodial.errors import StoreError
from autodial.store import database
from autodial.store.trouble import store_error

#: What SQLite keeps beside a file.
BESIDE = ("-wal", "-shm", "-journal")


def backup(path: Path, target: Path, *, replace: bool = False) -> None:
    """
    Copy the store to ``target``, consistent as of one moment, readable for its owner alone. It
    appears when it is complete.

    Raises:
        StoreError: there is no store; the target exists (without ``replace``), or cannot be
            written.
    """
    if not _is_file(path):
        raise StoreError(f"{path} is not there: nothing to copy")
    if not replace and _exists(target):
        raise StoreError(f"{target} exists: name a new file")
    with draft(target) as new:
        _copy(path, new)
        _remove_beside(target)
        new.replace(target)
        _sync(target.parent)


def restore(path: Path, source: Path) -> Path | None:
    """
    Put a copy in the place of the store. What was there is kept beside it, as
    ``<store>.before-restore-<when>``; returns its path, None: nothing was there.

    Raises:
        StoreError: a dialler runs, or the copy is no whole store that this program can use.
    """
    if not _is_file(source):
        raise StoreError(f"{source} is not there, or no file")
    if _is_file(path) and path.samefile(source):
        raise StoreError(f"{source} is the store itself: name a copy of it")
    if not _is_directory(path.parent):
        raise StoreError(f"{path.parent} is not there: make it, the dialler's user's own")
    with database.only_one(path, "a copy is being put back"), _looked_at(source) as whole:
        # A name of its own: after a wrong copy comes the right one, and the store is still there.
        before = path.with_name(f"{path.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        # As root we would follow whatever the dialler's user lays in our way.
        with whole.open("rb") as copied, database.as_owner(path):
            kept = any(_exists(path.with_name(path.name + ending)) for ending in ("", "-wal"))
            if kept:
                _keep(path, before)
            with draft(path) as new:
                with new.open("r+b") as target:
                    shutil.copyfileobj(copied, target)
                    os.fsync(target.fileno())
                _remove_beside(path)
                new.replace(path)
                _sync(path.parent)
    return before if kept else None


@contextmanager
def _looked_at(source: Path) -> Iterator[Path]:
    """A copy of the copy, of which we know that it is whole, and a store of ours."""
    place = source.parent if os.access(source.parent, os.W_OK) else None
    try:
        with TemporaryDirectory(dir=place, prefix=".autodial-restore-") as name:
            whole = Path(name) / "store"
            _copy(source, whole)
            with closing(sqlite3.connect(whole)) as db:
                found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreError(f"{source} is damaged ({found}): nothing was changed")
            database.check_copy(whole, source)
            yield whole
    except OSError as error:
        raise StoreError(f"{source}: {error.strerror}; nothing was changed") from error


def _keep(path: Path, before: Path) -> None:
    """Copy the present store aside, whole if it can be read, else what is there as it is."""
    try:
        backup(path, before, replace=True)
    except StoreError:
        for ending in ("", *BESIDE):  # damaged: kept as it is
            part = path.with_name(path.name + ending)
            with suppress(FileNotFoundError):
                shutil.copyfile(part, before.with_name(before.name + ending))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user, or as root") from error


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user, or as root") from error


def _exists(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; name a place that you can write") from error


def _remove_beside(path: Path) -> None:
    """What belonged to the file before: it would be replayed into the new one."""
    for ending in BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """A new file beside ``target``; gone afterwards, unless it was moved there."""
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            new = Path(file.name)  # readable for its owner alone
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}; name a place that can be written") from error
    try:
        yield new
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}") from error
    finally:
        for ending in ("", *BESIDE):
            new.with_name(new.name + ending).unlink(missing_ok=True)


def remove_drafts(path: Path) -> None:
    """Half copies beside the store, of processes that were killed; under its lock."""
    for half in path.parent.glob(f".{path.name}.*"):
        half.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.isolation_level = None
            old.execute("PRAGMA busy_timeout = 5000")
            # A moment is held: without it the copy begins again whenever the dialler has written.
            old.execute("BEGIN")
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()
            old.backup(new)
            old.execute("COMMIT")
            # One file, without a log beside it: what is copied on must be whole.
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        # Of the two files only the new one grows.
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        raise store_error(target if full else source, error) from error
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _sync(directory: Path) -> None:
    """A rename is durable once its directory is."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
