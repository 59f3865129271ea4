"""The releases of the schema: bring a store to the present one, refuse what is newer."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory

from autodial.config.place import Place, Server
from autodial.errors import StoreBusy, StoreError
from autodial.store import nodes
from autodial.store.backup import backup
from autodial.store.connections import BUSY, open_engine
from autodial.store.engines import engine_of, postgresql
from autodial.store.ownership import close_to_others
from autodial.store.schema import metadata
from autodial.store.trouble import store_error


def migrate(place: Place, release: str = "head") -> None:
    """
    Bring the store to the present schema; create it if there is none, a file readable for its owner
    alone. An older file is backed up first, beside it, as ``<store>.before-<its release>``; a
    database is not: its administrator has tools of its own for that.

    Raises:
        StoreError: the path is not writable, the file is no store, or a newer program's.
    """
    if isinstance(place, Path):
        _migrate_file(place, release)
    else:
        _migrate_server(place, release)


def _migrate_server(server: Server, release: str) -> None:
    """One transaction under the writers' lock: of several who start together, one does it."""
    config = _alembic()
    config.attributes["engine"] = engine = postgresql(server).open_server(server, patient=True)
    try:
        present = release_of(server)
        if present not in (None, *_releases()):
            raise _newer(server, present)
        if present is not None and not rolling(present):
            _nobody_else(engine, server, present)
        command.upgrade(config, release)
        if present != _head():
            _comment(engine)
    except sa.exc.DatabaseError as error:
        raise store_error(server, error) from error
    finally:
        engine.dispose()


def rolling(present: str, script: ScriptDirectory | None = None) -> bool:
    """
    May programs of that release go on working after the upgrade from it? Only if each of its steps
    says so (``rolling = True``): it adds what they do not miss.
    """
    script = script or ScriptDirectory.from_config(_alembic())
    steps = script.iterate_revisions("head", present)
    return all(getattr(step.module, "rolling", False) for step in steps)


def _nobody_else(engine: sa.Engine, server: Server, present: str) -> None:
    """
    Raises:
        StoreBusy: a dialler works on the store, by the program that wrote it.
    """
    with engine.begin() as db:
        if not sa.inspect(db).has_table("nodes"):
            return
        others = sorted(nodes.live(db) - {server.node})
    if others:
        raise StoreBusy(
            f"{server} is of an older program ({present}), and this one changes what that needs:"
            f" stop the diallers of {', '.join(others)} first, then start this one, then them"
        )


def _comment(engine: sa.Engine) -> None:
    """The tables' and columns' comments as they are now: migrations do not change old ones."""
    with engine.begin() as db:
        for table in metadata.sorted_tables:
            db.execute(sa.schema.SetTableComment(table))
            for column in table.columns:
                db.execute(sa.schema.SetColumnComment(column))


def _migrate_file(path: Path, release: str) -> None:
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


def release_of(place: Place) -> str | None:
    """
    The release of a store's schema; None: it has none. Nothing is written to a file, not even
    SQLite's pending log: the file may be a newer program's.

    Raises:
        StoreError: it cannot be read.
    """
    return _of_file(place) if isinstance(place, Path) else _of_server(place)


def _of_server(server: Server) -> str | None:
    engine = engine_of(server, writing=False)
    try:
        with engine.begin() as db:
            if not sa.inspect(db).has_table("alembic_version"):
                return None
            present: str | None = db.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return present
    except sa.exc.DatabaseError as error:
        raise store_error(server, error) from error
    finally:
        engine.dispose()


def _of_file(path: Path) -> str | None:
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


def check_release(path: Place, present: str | None) -> None:
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


def _newer(path: Place, present: str | None, *, copy: bool = False) -> StoreError:
    text = (
        f"{path} was written by a newer program ({present}, and this one supports up to {_head()}):"
        " install that program again"
    )
    if copy or not isinstance(path, Path):
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
