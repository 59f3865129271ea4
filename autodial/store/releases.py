"""The releases of the schema: bring a store to the present one, refuse what is newer."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory

from autodial.errors import StoreError
from autodial.store.backup import backup
from autodial.store.connections import BUSY, open_engine
from autodial.store.ownership import close_to_others
from autodial.store.trouble import store_error


def migrate(path: Path, release: str = "head") -> None:
    """
    Bring the store to the present schema; create it if there is none, readable for its owner
    alone. An older store is backed up first, beside it, as ``<store>.before-<its release>``.

    Raises:
        StoreError: the path is not writable, the file is no store, or a newer program's.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _not_half(path)
        close_to_others(path)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; set [store] path to a writable place, and no link"
        ) from error
    config = _alembic()
    config.attributes["engine"] = engine = open_engine(path)
    try:
        present = release_of(path)
        if present not in (None, *_releases()):
            raise _newer(path, present)
        if present is not None and present != _head():
            backup(path, path.with_name(f"{path.name}.before-{present}"), replace=True)
        command.upgrade(config, release)
    except sa.exc.DatabaseError as error:
        raise store_error(path, error) from error
    finally:
        engine.dispose()


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _releases() -> frozenset[str]:
    """The releases of the schema that this program knows."""
    return frozenset(
        script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()
    )


def _head() -> str:
    head = ScriptDirectory.from_config(_alembic()).get_current_head()
    assert head is not None
    return head


def release_of(path: Path) -> str | None:
    """
    The release of a file's schema; None: it has none. Nothing is written to the file, not even
    SQLite's pending log: the file may be a newer program's.

    Raises:
        StoreError: it cannot be read.
    """
    name = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(name, uri=True, timeout=BUSY)) as db:
            present = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if db.execute(present).fetchone() is None:
                return None
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise store_error(path, error) from error
    return str(row[0]) if row is not None else None


def check_release(path: Path, present: str | None) -> None:
    """
    Raises:
        StoreError: this program cannot use a store of that release.
    """
    if present == _head():
        return
    if present is None:
        raise StoreError(
            f"{path} is empty, or no store of ours: start the dialler once, or set [store] path"
        )
    if present in _releases():
        raise StoreError(
            f"{path} is of an older program ({present}): start the dialler once, which upgrades it"
        )
    raise _newer(path, present)


def check_copy(copy: Path, name: Path) -> None:
    """
    Can this program use a copy? An older one is upgraded at the next start.

    Raises:
        StoreError: it is no store, or a newer program's.
    """
    present = release_of(copy)
    if present is None:
        raise StoreError(f"{name} is no store of ours: nothing was changed")
    if present not in _releases():
        raise _newer(name, present, copy=True)


def _newer(path: Path, present: str | None, *, copy: bool = False) -> StoreError:
    text = (
        f"{path} was written by a newer program ({present}, and this one supports up to {_head()}):"
        " install that program again"
    )
    if copy:
        return StoreError(f"{text}. Nothing was changed")
    older = f"{path}.before-{_head()}"
    return StoreError(
        f"{text}, or put back the copy that it made before its upgrade (autodial restore {older})"
    )


def _not_half(path: Path) -> None:
    """
    Refuse a log without its file: the store was moved or deleted while a dialler ran. A new file in
    its place would destroy the log's contents, and all clients would be called again.
    """
    log = path.with_name(f"{path.name}-wal")
    if not path.exists() and log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path} is gone, and its log {log} is there: move the file back, or put back a copy"
            " with 'autodial restore FILE'; delete the log only to begin anew"
        )
