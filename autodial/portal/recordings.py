"""The recordings that Asterisk writes into a folder, named by attempt."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen

from autodial.config.sections import RecordingConfig

#: A file that has not grown for this long is complete: MixMonitor closes it with the channel.
QUIET = timedelta(seconds=3)
#: How long a recording may take to appear, a conversion to mp3 included.
PATIENCE = timedelta(minutes=10)
#: How often to check meanwhile.
AGAIN = timedelta(seconds=5)


@frozen(kw_only=True)
class Found:
    """The state of an attempt's recording."""

    name: str
    file: Path | None = None
    size: int = 0
    wait: datetime | None = None  #: not complete yet; check again then


@frozen
class Recordings:
    """One folder."""

    config: RecordingConfig

    def find(self, attempt: str, ended: datetime, now: datetime) -> Found:
        """The recording of an attempt that ended then."""
        name = f"{attempt}.{self.config.format}"
        if self.config.folder is None:  # switched off since
            return Found(name=name)
        file = self.config.folder / name
        try:
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode):
                return Found(name=name)  # a link would send another file
        except OSError:
            late = now - ended > PATIENCE
            return Found(name=name, wait=None if late else now + AGAIN)
        if now - datetime.fromtimestamp(status.st_mtime, UTC) < QUIET:
            return Found(name=name, wait=now + AGAIN)
        return Found(name=name, file=file, size=status.st_size)

    def attached(self, file: Path) -> None:
        """The portal has the file: delete it, if the settings ask for that."""
        if self.config.delete:
            file.unlink(missing_ok=True)
