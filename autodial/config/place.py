"""Where the store is: SQLite's file, or a database that several diallers share."""

from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen


@frozen
class Server:
    """A database of PostgreSQL."""

    url: str = field(repr=False)  #: postgresql+psycopg://user:password@host/name
    node: str  #: the name of the dialler that asks

    def __str__(self) -> str:
        """Without user and password, for people."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return f"postgresql://{host}{parts.path}"


Place = Path | Server
