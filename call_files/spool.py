"""
Writes call files to Asterisk's spool directory.

Asterisk may read a file as soon as it appears, even half-written. So a file is written in a
staging directory *inside* ``outgoing`` (Asterisk ignores sub-directories there), given to
Asterisk's user, and renamed. The rename is atomic, and stays on one file system unless something
is mounted there, which is checked at start.

If we run as root, a user who may write to the spool could plant a link. So no file is opened by
path: files are created (O_EXCL) below directories that were opened and checked.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import field, frozen

from call_files.call_file import FILE_NAME, CallFile

#: The staging directory. pbx_spool ignores directories, and the rename stays on one file system.
STAGING = ".autodial-staging"
SUFFIX = ".call"
#: The test file that shows whether the spool is writable, and its size: no call file is larger.
PROBE, PROBE_SIZE = ".autodial-probe", 4096


class SpoolError(Exception):
    """The spool directory cannot be used as it is; the text says what to change."""


@frozen
class Spool:
    """
    The ``outgoing`` directory of one Asterisk.

    Files must belong to Asterisk's user: an unreadable file is deleted without a call, and one
    that Asterisk cannot write is dialled again and again. We run as that user, or as root and
    change the file's owner.
    """

    outgoing: Path = field(converter=Path)

    @property
    def staging(self) -> Path:
        return self.outgoing / STAGING

    def check(self) -> None:
        """
        Look at the directory without changing it; a dialler may be at work in it.

        Raises:
            SpoolError: it is missing, not Asterisk's, or not writable for us.
        """
        if not self.outgoing.is_dir():
            raise SpoolError(
                f"{self.outgoing} is not a directory: set [asterisk] spool to the directory that"
                " 'asterisk -rx \"core show settings\"' names as spool directory, plus /outgoing"
            )
        if self.outgoing.name != "outgoing":
            raise SpoolError(
                f"{self.outgoing} is not a spool that Asterisk looks into: name its directory"
                " 'outgoing', usually /var/spool/asterisk/outgoing"
            )
        owner = self.outgoing.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise SpoolError(
                f"{self.outgoing} belongs to user {owner} and we run as {os.geteuid()}: run the"
                " dialler as Asterisk's user (files of another user are re-dialled for ever)"
            )
        if not os.access(self.outgoing, os.W_OK | os.X_OK):
            raise SpoolError(f"{self.outgoing} is not writable for user {os.geteuid()}")

    def prepare(self) -> None:
        """
        Check the directory and make the staging directory; call it once, at start.

        Raises:
            SpoolError: missing, not writable for us, or on two file systems.
        """
        self.check()
        try:
            self.staging.mkdir(mode=0o700)
        except FileExistsError:
            pass  # checked below
        except OSError as error:
            raise SpoolError(f"{self.staging} cannot be made: {error.strerror}") from error
        with self._opened() as (outgoing, staging):
            os.fchmod(staging, 0o700)
            self._give_away(staging)
            if os.fstat(staging).st_dev != os.fstat(outgoing).st_dev:
                raise SpoolError(
                    f"{self.staging} is on another file system than {self.outgoing}: a file moved"
                    " between two can be dialled before it is complete; unmount it"
                )
            for draft in os.listdir(staging):  # noqa: PTH208  # a path may lead elsewhere by now
                # Left by a crash between writing and renaming: Asterisk never saw it.
                os.unlink(draft, dir_fd=staging)
            with suppress(OSError):
                os.rmdir(PROBE, dir_fd=outgoing)

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        """
        The descriptors of the spool and of the staging directory.

        Raises:
            SpoolError: staging is not a directory of ours, or an operation in it failed.
        """
        try:
            outgoing = os.open(self.outgoing, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SpoolError(f"{self.outgoing}: {error.strerror}") from error
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                staging = os.open(STAGING, flags, dir_fd=outgoing)
            except NotADirectoryError:  # also raised for a link, with O_NOFOLLOW
                raise SpoolError(
                    f"{self.staging} is not a directory but a link or a file that somebody put"
                    " there: remove it"
                ) from None
            try:
                owner = os.fstat(staging).st_uid
                if owner not in (os.geteuid(), os.fstat(outgoing).st_uid):
                    raise SpoolError(f"{self.staging} belongs to user {owner}: remove it")
                yield outgoing, staging
            finally:
                os.close(staging)
        except OSError as error:
            raise SpoolError(f"{self.staging}: {error.strerror}") from error
        finally:
            os.close(outgoing)

    def submit(self, call: CallFile) -> Path:
        """
        Submit one call to Asterisk. When this returns, it may already ring.

        Raises:
            CallFileError: the format cannot carry it. SpoolError: the name was used before, or
            the file cannot be written.
        """
        text = call.render()
        draft = f"{call.name}{SUFFIX}"
        final = self.outgoing / draft
        if final.exists():
            raise SpoolError(f"{final.name} is already in the spool; a name is used once")
        with self._opened() as (outgoing, staging):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(draft, flags, 0o600, dir_fd=staging)
            try:
                with os.fdopen(file, "w", encoding="utf-8") as stream:
                    os.fchmod(file, 0o600)  # whatever the umask
                    stream.write(text)
                    self._give_away(file)
                os.rename(draft, draft, src_dir_fd=staging, dst_dir_fd=outgoing)
            except OSError:
                os.unlink(draft, dir_fd=staging)  # a full disk: the name can be used again
                raise
        return final

    def probe(self) -> None:
        """
        Check that a call can be submitted now. Writes a draft, and makes a directory in the spool,
        where Asterisk ignores directories; both are removed again.

        Raises:
            SpoolError: it cannot; with the operating system's reason.
        """
        with self._opened() as (outgoing, staging):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(PROBE, flags, 0o600, dir_fd=staging)
            try:
                os.write(file, b"\n" * PROBE_SIZE)
                self._give_away(file)
            finally:
                os.close(file)
                os.unlink(PROBE, dir_fd=staging)
            try:
                with suppress(FileExistsError):  # left by a process that was killed here
                    os.mkdir(PROBE, 0o700, dir_fd=outgoing)
                os.rmdir(PROBE, dir_fd=outgoing)
            except OSError as error:
                raise SpoolError(f"{self.outgoing}: {error.strerror}") from error

    def waiting(self) -> frozenset[str]:
        """The names of our files still in the spool: to be dialled, or being dialled."""
        return frozenset(path.stem for path in self.outgoing.glob(f"*{SUFFIX}"))

    def withdraw(self, name: str) -> bool:
        """
        Remove a file. True if it was there. Raises OSError if it cannot be removed.

        Harmless for a call that is already up: without retries Asterisk has no use for the file.
        """
        if not FILE_NAME.fullmatch(name):
            return False  # not a name of ours
        try:
            (self.outgoing / f"{name}{SUFFIX}").unlink()
        except FileNotFoundError:
            return False
        return True

    def _give_away(self, file: int) -> None:
        if os.geteuid() == 0:
            owner = self.outgoing.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
