"""SQLite as an engine: one writer, and readers that do not block it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from autodial.store.schema import metadata

#: Seconds to wait for another process (the command line) that is reading or writing.
BUSY = 5.0


def open_engine(path: Path, *, writing: bool = True, create: bool = True) -> sa.Engine:
    """
    The SQLite file as an engine; it need not exist yet. Readers do not block the writer.

    ``create``: False refuses a missing file.
    """
    mode = "rwc" if create else "rw"
    name = sa.URL.create(
        "sqlite", database=path.absolute().as_uri(), query={"mode": mode, "uri": "true"}
    )
    engine = sa.create_engine(name, connect_args={"timeout": BUSY})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: object, _: object) -> None:
        # The driver must not begin transactions by itself; we send BEGIN IMMEDIATE below.
        connection.isolation_level = None  # type: ignore[attr-defined]
        with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")

    # Take the write lock at once: a reader that becomes a writer can fail half-way.
    begin_with(engine, lambda: "BEGIN IMMEDIATE" if writing else "BEGIN")
    return engine


def begin_with(engine: sa.Engine, statement: Callable[[], str]) -> None:
    """
    Begin each transaction with this statement. (Not by an event of the engine: with one, each
    statement looks for listeners.)
    """

    def begin(connection: Any) -> None:
        connection.execute(statement())

    engine.dialect.do_begin = begin  # type: ignore[method-assign, assignment]


def open_memory() -> sa.Engine:
    """A store in memory, with the present schema; gone with the process."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)

    @event.listens_for(engine, "connect")
    def _by_hand(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    begin_with(engine, lambda: "BEGIN")
    metadata.create_all(engine)
    return engine
