"""
The choice of the time zone database: the newer of the system's and the ``tzdata`` package's.

Python prefers the system's, which on an old system may be years behind the law. An updated system
may be ahead of the package that was released with the dialler.
"""

import zoneinfo
from collections.abc import Iterable
from pathlib import Path

import tzdata
from attrs import frozen


@frozen(kw_only=True)
class ZoneData:
    """The database in use."""

    version: str  #: the IANA version: "2026c"
    package: bool  #: True: the package's; False: the system's
    system: str  #: the system's version; empty: none or unknown

    @property
    def year(self) -> int:
        return int(self.version[:4])


def choose(folders: Iterable[str] = zoneinfo.TZPATH) -> ZoneData:
    """Select the newer database for this process."""
    folders = tuple(folders)
    system = next((version for folder in folders if (version := _version(Path(folder)))), "")
    package = system <= tzdata.IANA_VERSION
    zoneinfo.reset_tzpath(() if package else folders)
    zoneinfo.ZoneInfo.clear_cache()
    return ZoneData(
        version=tzdata.IANA_VERSION if package else system, package=package, system=system
    )


def _version(folder: Path) -> str:
    """The version of a folder's database, from its first line: ``# version 2025b``."""
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8") as stream:
            words = stream.readline(100).split()
    except (OSError, UnicodeDecodeError):
        return ""
    version = words[2] if words[:2] == ["#", "version"] and len(words) > 2 else ""
    return version if version[:4].isdigit() else ""
