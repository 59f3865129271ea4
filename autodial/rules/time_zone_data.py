"""
Which time zone database counts: the newer of the system's and of the ``tzdata`` package.

Python by itself prefers the system's, which on an old system may be years behind the law; one that
the system keeps up to date may be ahead of the package that we were released with.
"""

import zoneinfo
from collections.abc import Iterable
from pathlib import Path

import tzdata
from attrs import frozen


@frozen(kw_only=True)
class ZoneData:
    """The database in use."""

    version: str  #: as IANA names it: "2026c"
    package: bool  #: that of the package; otherwise the system's
    system: str  #: the system's version; empty: it has none, or does not say

    @property
    def year(self) -> int:
        return int(self.version[:4])


def choose(folders: Iterable[str] = zoneinfo.TZPATH) -> ZoneData:
    """The newer one, made the one that this process uses from now on."""
    folders = tuple(folders)
    system = next((said for folder in folders if (said := _version(Path(folder)))), "")
    package = system <= tzdata.IANA_VERSION
    zoneinfo.reset_tzpath(() if package else folders)
    zoneinfo.ZoneInfo.clear_cache()
    return ZoneData(
        version=tzdata.IANA_VERSION if package else system, package=package, system=system
    )


def _version(folder: Path) -> str:
    """What a folder's database calls itself, as its first line does: ``# version 2025b``."""
    try:
        with (folder / "tzdata.zi").open(encoding="utf-8") as stream:
            words = stream.readline(100).split()
    except (OSError, UnicodeDecodeError):
        return ""
    said = words[2] if words[:2] == ["#", "version"] and len(words) > 2 else ""
    return said if said[:4].isdigit() else ""
