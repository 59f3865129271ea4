"""
Copies of the store: made while the dialler runs, put back while it does not.

A copy is one file, complete in itself. Putting one back by hand beside the write-ahead log of the
store before (``-wal``) undoes it, or damages it: SQLite replays that log into whatever file it
finds.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from autodial.errors import StoreError
from autodial.store import database

#: Pages copied at once; between two steps the dialler writes.
PAGES = 1000
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
    if not path.is_file():
        raise StoreError(f"{path} is not there: nothing to copy")
    if target.exists() and not replace:
        raise StoreError(f"{target} exists: name a new file")
    with _draft(target) as draft:
        _copy(path, draft)
        draft.replace(target)
    _sync(target.parent)


def restore(path: Path, source: Path) -> Path | None:
    """
    Put a copy in the place of the store. What was there is kept beside it, as
    ``<store>.before-restore``; returns its path, None: nothing was there.

    Raises:
        StoreError: a dialler runs, or the copy is no whole store that this program can use.
    """
    if not source.is_file():
        raise StoreError(f"{source} is not there")
    with database.only_one(path, "a copy is being put back"), _draft(path) as draft:
        _copy(source, draft)
        with closing(sqlite3.connect(draft)) as copied:
            found = copied.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreError(f"{source} is damaged ({found}): nothing was changed")
        database.check_copy(draft, source)
        before = path.with_name(f"{path.name}.before-restore")
        kept = path.is_file()
        if kept:
            _keep(path, before)
        for ending in BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        draft.replace(path)
        _sync(path.parent)
    return before if kept else None


def _keep(path: Path, before: Path) -> None:
    """Move the present store aside, whole if it can be read, else as it is."""
    try:
        backup(path, before, replace=True)
    except StoreError:
        for ending in ("", *BESIDE):  # damaged: kept as it is
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(before.with_name(before.name + ending))


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A new file beside ``target``; gone afterwards, unless it was moved there."""
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            draft = Path(file.name)  # readable for its owner alone
            database.give_to_owner(file.fileno(), target)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}; name a place that can be written") from error
    try:
        yield draft
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror}") from error
    finally:
        for ending in ("", *BESIDE):
            draft.with_name(draft.name + ending).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.execute("PRAGMA busy_timeout = 5000")
            old.backup(new, pages=PAGES)
            # One file, without a log beside it: what is copied on must be whole.
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"{source}: {error}; nothing was changed") from error
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _sync(directory: Path) -> None:
    """A rename is durable once its directory is."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
