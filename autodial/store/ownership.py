"""Ownership of the store: one dialler works on it, and only the file's owner may read it."""

import fcntl
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twisted.logger import Logger

from autodial.errors import StoreBusy, StoreError

_log = Logger()


def close_to_others(path: Path) -> None:
    """
    Make the store readable for its owner alone. An existing one that others may read is closed to
    them, with the files beside it under its name (SQLite's own files, copies).
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
            status = beside.lstat()
            if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o077:
                continue
            file = os.open(beside, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(file, 0o600)
            finally:
                os.close(file)
        except FileNotFoundError:
            continue  # SQLite's own files come and go
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
        with suppress(OSError):  # a full disk: only the holder's name is missing
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()}: {doing}\n".encode(), 0)
        yield
    finally:
        os.close(file)  # releases the lock; the file stays, or two processes could lock two files


def _owner(path: Path) -> tuple[int, int]:
    """The store's owner, who must own the files beside it, or the dialler could not open them."""
    status = path.stat() if path.exists() else path.parent.stat()
    return status.st_uid, status.st_gid


def give_to_owner(file: int, path: Path) -> None:
    """Give a file that root has made beside the store to the store's owner."""
    if os.geteuid() == 0:
        os.fchown(file, *_owner(path))


@contextmanager
def as_owner(path: Path) -> Iterator[None]:
    """While the block lasts, root has only the rights of the store's owner."""
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
