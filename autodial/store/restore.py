"""Restore the store from a copy, while no dialler runs."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from autodial.errors import StoreError
from autodial.store.backup import (
    BESIDE,
    backup,
    copy_file,
    draft,
    exists,
    is_file,
    remove_beside,
    sync_directory,
)
from autodial.store.ownership import as_owner, only_one
from autodial.store.releases import check_copy


def restore(path: Path, source: Path) -> Path | None:
    """
    Replace the store by a copy. The present store is kept beside it, as
    ``<store>.before-restore-<when>``; returns its path, or None if there was no store.

    Raises:
        StoreError: a dialler runs, or the copy is damaged, or this program cannot use it.
    """
    if not is_file(source):
        raise StoreError(f"{source} is not there, or no file")
    if is_file(path) and path.samefile(source):
        raise StoreError(f"{source} is the store itself: name a copy of it")
    if not _is_directory(path.parent):
        raise StoreError(f"{path.parent} is not there: make it, the dialler's user's own")
    with only_one(path, "a copy is being put back"), _checked(source) as whole:
        # A name of its own each time: restoring twice must not overwrite the first store.
        before = path.with_name(f"{path.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        # Root would follow any link that the dialler's user has placed there.
        with whole.open("rb") as copied, as_owner(path):
            kept = any(exists(path.with_name(path.name + ending)) for ending in ("", "-wal"))
            if kept:
                _keep(path, before)
            with draft(path) as new:
                with new.open("r+b") as target:
                    shutil.copyfileobj(copied, target)
                    os.fsync(target.fileno())
                remove_beside(path)
                new.replace(path)
                sync_directory(path.parent)
    return before if kept else None


@contextmanager
def _checked(source: Path) -> Iterator[Path]:
    """A copy of ``source``, checked to be an undamaged store that this program can use."""
    place = source.parent if os.access(source.parent, os.W_OK) else None
    try:
        with TemporaryDirectory(dir=place, prefix=".autodial-restore-") as name:
            whole = Path(name) / "store"
            copy_file(source, whole)
            with closing(sqlite3.connect(whole)) as db:
                result = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if result != "ok":
                raise StoreError(f"{source} is damaged ({result}): nothing was changed")
            check_copy(whole, source)
            yield whole
    except OSError as error:
        raise StoreError(f"{source}: {error.strerror}; nothing was changed") from error


def _keep(path: Path, before: Path) -> None:
    """Keep the present store: as a backup if it is readable, else its files as they are."""
    try:
        backup(path, before, replace=True)
    except StoreError:
        for ending in ("", *BESIDE):  # damaged: kept as it is
            part = path.with_name(path.name + ending)
            with suppress(FileNotFoundError):
                shutil.copyfile(part, before.with_name(before.name + ending))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; run this as its user, or as root") from error
