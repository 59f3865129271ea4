"""The database's errors about a store that it cannot use, each with its remedy."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from autodial.config.place import Place
from autodial.errors import StoreBusy, StoreError
from autodial.store.engines import postgresql

#: By SQLite's primary result code.
ADVICE: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on the file system of {directory}",
    sqlite3.SQLITE_BUSY: "another process holds it for too long: is a copy, or another program,"
    " at work on it?",
    sqlite3.SQLITE_LOCKED: "another process holds it for too long: is a copy, or another program,"
    " at work on it?",
    sqlite3.SQLITE_READONLY: "run this as the dialler's user, or as root; the file system of"
    " {directory} must be writable, too",
    sqlite3.SQLITE_CANTOPEN: "run this as the dialler's user, or as root; {directory} must be there"
    " and writable",
    sqlite3.SQLITE_PERM: "run this as the dialler's user, or as root",
    sqlite3.SQLITE_AUTH: "run this as the dialler's user, or as root",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop the dialler and put a copy back with"
    " 'autodial restore FILE'",
    sqlite3.SQLITE_NOTADB: "the file is no database: set [store] path right, or put a copy"
    " back with 'autodial restore FILE'",
    sqlite3.SQLITE_IOERR: "the disk refuses, or the file went away: look at the system's log,"
    " and at {path}",
}
#: Errors that may pass by themselves.
PASSING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
#: For all other codes: mostly a store that does not fit this program.
OTHERWISE = "the store does not fit this program: was it upgraded, or replaced, while this ran?"


def store_error(path: Place, error: sa.exc.DatabaseError | sqlite3.Error) -> StoreError:
    """The store's error, with its remedy, for an error of the database."""
    if not isinstance(path, Path):
        of_server: StoreError = postgresql(path).server_error(path, error)
        return of_server
    cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    # The lowest byte of an extended code is the primary one.
    code = getattr(cause, "sqlite_errorcode", -1) & 0xFF
    advice = ADVICE.get(code, OTHERWISE).format(path=path, directory=path.parent)
    kind = StoreBusy if code in PASSING else StoreError
    return kind(f"{path}: {cause}; {advice}")
