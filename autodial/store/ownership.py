"""Whose the store is: one dialler works on it, and its file is its owner's alone."""

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
