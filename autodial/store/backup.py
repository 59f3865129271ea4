"""
Copies of the store: made while the dialler runs, restored while it does not.

A copy is one complete file. Do not put one back by hand beside the previous store's write-ahead
log (``-wal``): SQLite replays that log into the copy, which undoes or damages it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from autodial.errors import StoreError
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
    if not is_file(path):
        raise StoreError(f"{path} is not there: nothing to copy")
    if not replace and exists(target):
        raise StoreError(f"{target} exists: name a new file")
    with draft(target) as new:
        copy_file(path, new)
        remove_beside(target)
        new.replace(target)
        sync_directory(target.parent)


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user, or as root") from error


def exists(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; name a place that you can write") from error


def remove_beside(path: Path) -> None:
    """Remove the previous file's logs: they would be replayed into the new one."""
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
    """Remove incomplete copies of processes that were killed; under the store's lock."""
    for half in path.parent.glob(f".{path.name}.*"):
        half.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.isolation_level = None
            old.execute("PRAGMA busy_timeout = 5000")
            # Hold a snapshot: otherwise the copy restarts whenever the dialler has written.
            old.execute("BEGIN")
            old.execute("SELECT count(*) FROM sqlite_master").fetchone()
            old.backup(new)
            old.execute("COMMIT")
            # One file, without a log beside it: the copy may be copied on.
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        # Only the new file grows.
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        raise store_error(target if full else source, error) from error
    with target.open("rb") as written:
        os.fsync(written.fileno())


def sync_directory(directory: Path) -> None:
    """A rename is durable once its directory is."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
