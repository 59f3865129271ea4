"""Copies a dialler's file into a database that several diallers will share."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from autodial.config.place import Server
from autodial.errors import StoreError
from autodial.store.connections import open_engine
from autodial.store.engines import engine_of
from autodial.store.ownership import only_one
from autodial.store.releases import check_release, migrate, release_of
from autodial.store.schema import attempts, metadata
from autodial.store.trouble import store_error

#: Rows in one statement.
PORTION = 1000


def move(path: Path, server: Server, progress: Callable[[int], object] = lambda rows: None) -> int:
    """
    Everything or nothing; returns how many rows. Calls in flight become this node's.

    Raises:
        StoreError: a dialler works on the file, it is older than this program, or the database has
            rows already.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not there, or no file")
    with only_one(path, "it is being moved"):
        check_release(path, release_of(path))
        migrate(server)
        source, target = open_engine(path, writing=False, create=False), engine_of(server)
        try:
            with source.begin() as old, target.begin() as new:
                return _copy(old, new, server, progress)
        except sa.exc.DatabaseError as error:
            raise store_error(server, error) from error
        finally:
            source.dispose()
            target.dispose()


def _copy(
    old: sa.Connection, new: sa.Connection, server: Server, progress: Callable[[int], object]
) -> int:
    copied = 0
    for table in metadata.sorted_tables:
        if new.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise StoreError(f"{server} has rows in {table.name} already: name an empty database")
        rows = old.execution_options(yield_per=PORTION).execute(sa.select(table))
        for portion in rows.mappings().partitions():
            values = [dict(row) for row in portion]
            if table is attempts:
                values = [{**row, "node": server.node} for row in values]
            new.execute(sa.insert(table), values)
            copied += len(values)
            progress(len(values))
        _count_on(new, table)
    return copied


def _count_on(new: sa.Connection, table: sa.Table) -> None:
    """Numbers given from now on come after those that were copied."""
    column = table.autoincrement_column
    if column is None or table.primary_key.columns.keys() != [column.name]:
        return
    last = new.scalar(sa.select(sa.func.max(column)))
    if last is not None:
        name = sa.func.pg_get_serial_sequence(table.name, column.name)
        new.execute(sa.select(sa.func.setval(name, last)))
