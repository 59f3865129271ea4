"""The store of a dialler, by where it is."""

from pathlib import Path
from typing import Any

from autodial.config.place import Place
from autodial.store.database import Store
from autodial.store.engines import postgresql
from autodial.store.file_store import FileStore


def open_store(place: Place, reactor: Any) -> Store:
    """Not started yet; raises StoreError without PostgreSQL's driver, if that is needed."""
    if isinstance(place, Path):
        return FileStore(place, reactor)
    postgresql(place)
    from autodial.store.shared_store import SharedStore  # (which needs the driver)

    return SharedStore(place, reactor)
