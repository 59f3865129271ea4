"""Files as they were and as they shall be: shown as differences, written whole."""

import difflib
import os
import re
from dataclasses import dataclass
from errno import ELOOP
from pathlib import Path
from tempfile import mkstemp

#: A new file of more lines is only named in a dry run.
LONG = 40
#: Keys whose values a dry run does not show.
_HIDDEN = re.compile(
    r"(?im)^([ \t;#]*\w*(?:secret|token|password|webhook)\w*[ \t]*=>?[ \t]*)(\S.*)$"
)


class InstallError(Exception):
    """The installation cannot go on; the text says what to do."""


@dataclass(frozen=True)
class File:
    """A file as it was found: its text, byte for byte, its mode and owner."""

    text: str
    mode: int
    owner: tuple[int, int]


def read(path: Path) -> File | None:
    """
    The file; None: there is none.

    Raises:
        InstallError: it is a link. Asterisk's user could have root read any file by one.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == ELOOP:
            raise InstallError(f"{path} is a link: put the file itself there") from None
        raise
    with os.fdopen(file, "rb") as stream:
        status = os.fstat(file)
        text = stream.read().decode("utf-8", "surrogateescape")
        return File(text, status.st_mode & 0o7777, (status.st_uid, status.st_gid))


def text_of(path: Path) -> str:
    """The file's text; empty: there is none."""
    file = read(path)
    return file.text if file is not None else ""


@dataclass(frozen=True)
class Change:
    """One file, as it was and as it shall be; None: no file."""

    path: Path
    before: File | None
    after: File | None

    @property
    def needed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """For people; a secret is never shown."""
        old = _shown(self.before.text) if self.before is not None else None
        new = _shown(self.after.text) if self.after is not None else None
        if old is None and new is not None and (length := new.count("\n")) > LONG:
            return f"--- /dev/null\n+++ {self.path}\n@@ a new file of {length} lines @@"
        if new is None and old is not None and (length := old.count("\n")) > LONG:
            return f"--- {self.path}\n+++ /dev/null\n@@ {length} lines removed @@"
        before, after = (str(self.path) if text is not None else "/dev/null" for text in (old, new))
        lines = difflib.unified_diff(
            (old or "").splitlines(), (new or "").splitlines(), before, after, lineterm="", n=2
        )
        shown = "\n".join(lines)
        if self.before is not None and self.after is not None:
            modes = self.before.mode, self.after.mode
            if modes[0] != modes[1]:
                shown = f"{self.path}: mode {modes[0]:04o} to {modes[1]:04o}\n{shown}".rstrip()
        return shown


def _shown(text: str) -> str:
    return _HIDDEN.sub(r"\1(not shown)", text)


def write(path: Path, file: File | None) -> None:
    """Through a new file beside it: a crash leaves the old or the new one."""
    if file is None:
        path.unlink(missing_ok=True)
        return
    handle, draft = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(file.text.encode("utf-8", "surrogateescape"))
            if os.geteuid() == 0:
                os.fchown(handle, *file.owner)
            os.fchmod(handle, file.mode)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
