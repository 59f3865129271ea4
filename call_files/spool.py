"""
Asterisk's spool directory, as its writer sees it.

Asterisk may read a file the moment it appears, half-written or not, so a file is written in a
staging directory *inside* ``outgoing`` (sub-directories are ignored there), given to Asterisk's
user, and renamed in: atomic, and on one file system by construction unless somebody mounted
something there, which is checked at start.
"""

import os
from pathlib import Path

from attrs import field, frozen

from call_files.call_file import CallFile

#: The staging directory. pbx_spool ignores directories, and the rename stays on one file system.
STAGING = ".autodial-staging"
SUFFIX = ".call"


class SpoolError(Exception):
    """The spool directory cannot be used as it is; the text says what to change."""


@frozen
class Spool:
    """
    The ``outgoing`` directory of one Asterisk.

    Files must belong to Asterisk's user: an unreadable file is deleted without a call, and one
    that Asterisk cannot write is dialled again and again. We either are that user, or we are
    root and give the file away.
    """

    outgoing: Path = field(converter=Path)

    @property
    def staging(self) -> Path:
        return self.outgoing / STAGING

    def prepare(self) -> None:
        """
        Check the directory and make the staging place; call it once, at start.

        Raises:
            SpoolError: missing, not ours to write, or two file systems.
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
        try:
            self.staging.mkdir(mode=0o750, exist_ok=True)
            self._give_away(self.staging)
        except OSError as error:
            raise SpoolError(f"{self.staging} cannot be made: {error.strerror}") from error
        if self.staging.stat().st_dev != self.outgoing.stat().st_dev:
            raise SpoolError(
                f"{self.staging} is on another file system than {self.outgoing}: a file moved"
                " between two can be dialled before it is complete; unmount it"
            )
        for draft in self.staging.iterdir():
            draft.unlink()  # a crash between writing and renaming: it was never handed over

    def submit(self, call: CallFile) -> Path:
        """
        Hand one call to Asterisk. When this returns, it may already be ringing.

        Raises:
            CallFileError: the format cannot carry it. SpoolError: the name was used before, or
            the directory refused the file.
        """
        text = call.render()
        draft = self.staging / f"{call.name}{SUFFIX}"
        final = self.outgoing / draft.name
        if final.exists():
            raise SpoolError(f"{final.name} is already in the spool; a name is used once")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            self._give_away(draft)
            draft.rename(final)
        except OSError as error:
            raise SpoolError(f"{final.name} could not be written: {error.strerror}") from error
        return final

    def waiting(self) -> frozenset[str]:
        """The names of our files that are still there: to be dialled, or being dialled."""
        return frozenset(path.stem for path in self.outgoing.glob(f"*{SUFFIX}"))

    def withdraw(self, name: str) -> bool:
        """
        Remove a file. True if it was there.

        Harmless for a call that is already up: without retries Asterisk has no use for the file.
        """
        try:
            (self.outgoing / f"{name}{SUFFIX}").unlink()
        except FileNotFoundError:
            return False
        return True

    def _give_away(self, path: Path) -> None:
        if os.geteuid() == 0:
            owner = self.outgoing.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
