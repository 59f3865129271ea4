"""The engine of a store, by where it is."""

from pathlib import Path
from types import ModuleType

import sqlalchemy as sa

from autodial.config.place import Place, Server
from autodial.errors import StoreError
from autodial.store.connections import open_engine


def engine_of(place: Place, *, writing: bool = True) -> sa.Engine:
    """The engine of a store that is there; raises StoreError without the driver it needs."""
    if isinstance(place, Path):
        return open_engine(place, writing=writing, create=False)
    engine: sa.Engine = postgresql(place).open_server(place, writing=writing)
    return engine


def postgresql(server: Server) -> ModuleType:
    """What needs PostgreSQL's driver, which is not installed everywhere."""
    try:
        from autodial.store import server as module
    except ImportError as error:
        raise StoreError(
            f"{server}: PostgreSQL's driver is not installed ({error}): run './install.sh"
            " production' again, or pip install 'autodial24[postgresql]'"
        ) from error
    return module
