"""The store of one dialler: SQLite's file, with a lock beside it."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import define, field
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from autodial.store.backup import draft, remove_drafts
from autodial.store.connections import open_engine
from autodial.store.database import Request, Store
from autodial.store.ownership import only_one
from autodial.store.releases import migrate


@define(eq=False)
class FileStore(Store):
    """A file, and its lock."""

    log = Logger()

    place: Path
    reactor: IReactorFromThreads
    _lock: ExitStack = field(factory=ExitStack, init=False)
    _file: tuple[int, int] = field(default=(0, 0), init=False)  #: device and inode that were opened

    def start(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(only_one(self.place))
            remove_drafts(self.place)
            migrate(self.place)
            self._engine = open_engine(self.place, create=False)
            self._begin()
            status = self.place.stat()
            self._file = status.st_dev, status.st_ino
            self._lock = stack.pop_all()

    def in_place(self) -> bool:
        """Is the file that was opened still at the configured path?"""
        try:
            status = self.place.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._file

    async def rescue(self) -> None:
        """
        Copy the opened file to ``<store>.rescued``: a deleted file is gone with this process.
        """
        self.log.error(
            "{path} is not the file that was opened: it was moved, deleted or replaced. Nobody is"
            " dialled. Stop the dialler, which saves the store as {path}.rescued; put that back"
            " with 'autodial restore {path}.rescued', and start again",
            path=self.place,
        )
        await self._ask(Request(self._rescue, (), {}, in_transaction=False))

    def _rescue(self, db: sa.Connection) -> None:
        """Outside a transaction: SQLite does not copy uncommitted changes."""
        rescued = self.place.with_name(f"{self.place.name}.rescued")
        driver: Any = db.connection.driver_connection
        with draft(rescued) as new:
            with closing(sqlite3.connect(new)) as copied:
                driver.backup(copied)
                copied.execute("PRAGMA journal_mode = DELETE")
            new.replace(rescued)

    def stop(self) -> None:
        self._end()
        if not self.in_place():
            self._rescue(self._connection)  # again: there were calls since the first copy
        self._connection.close()
        self._engine.dispose()
        self._lock.close()
