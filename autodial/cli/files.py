"""Files of a site that a command changes: each is replaced as a whole."""

import os
import tempfile
from errno import ELOOP
from pathlib import Path

from attrs import frozen

from autodial.errors import ConfigError


@frozen
class SiteFile:
    """A file that is replaced as a whole and keeps its owner."""

    path: Path
    text: str
    owner: tuple[int, int]
    mode: int

    def write(self, text: str, mode: int, group: int) -> None:
        """Through a new file in the same directory: a crash leaves the old or the new one."""
        handle, draft = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                os.fchmod(handle, mode)
                if os.geteuid() == 0:
                    os.fchown(handle, self.owner[0], group)
            Path(draft).replace(self.path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def read_file(path: Path) -> SiteFile:
    """
    The file, not through a link.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, encoding="utf-8-sig") as stream:
            status = os.fstat(file)
            owner = (status.st_uid, status.st_gid)
            return SiteFile(path, stream.read(), owner, status.st_mode & 0o777)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        link = "; name the file itself, not a link to it" if error.errno == ELOOP else ""
        raise ConfigError(f"{path}: {error.strerror}{link}") from error
