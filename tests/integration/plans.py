"""
Every statement of a running dialler uses an index: each statement is explained as it is
executed, in every test that goes through the store's coroutines.

No statement may read a growing table from end to end: the store has one
thread, and a claim waits for the statements before it. And none may be prepared anew each time it
is executed, which takes longer than to execute it.
"""

import re
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import define, field

from autodial.store import retention

SOURCES = Path(__file__).parents[2] / "autodial"

#: Tables that grow with the number of calls or tasks.
GROWING = frozenset(
    {
        "tasks",
        "phones",
        "refused",
        "attempts",
        "external_calls",
        "do_not_call",
        "outbox",
        "events",
        "presence",
    }
)
#: Indexes of current rows only (open, due, pending, under way): they may be read whole.
SMALL = frozenset(
    {
        "tasks_open_idx", "tasks_next_check_idx", "attempts_open_idx", "outbox_pending_idx",
        "outbox_dead_idx", "tasks_refetch_idx",
    }
)  # fmt: skip
_SCAN = re.compile(
    r"SCAN (?P<what>\w+)(?: AS (?P<as>\w+))?(?: USING (?:COVERING )?INDEX (?P<by>\w+))?"
)


def asked_of_the_store() -> set[str]:
    """Names of the functions that a running dialler has its store run."""
    names = {
        name.rpartition(".")[2]
        for path in SOURCES.rglob("*.py")
        for name in re.findall(
            r"(?:store|for_all)\.run\(\s*([\w.]+)", path.read_text(encoding="utf-8")
        )
    }
    steps = {step.__name__ for kind in retention.STEPS.values() for step in kind}
    return (names - {"step"}) | steps


class Scan(AssertionError):
    """A statement reads a growing table from end to end."""


def scans(database: Any, statement: str, parameters: Any) -> list[str]:
    """Steps of SQLite's plan that do so; ``database`` is a connection of the driver."""
    names = {
        alias: table
        for table, alias in re.findall(r"\b(\w+) AS (\w+)\b", statement)
        if table in GROWING
    }
    steps = []
    for *_, step in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
        match = _SCAN.match(step)
        if match is None or match["by"] in SMALL:
            continue
        if names.get(match["what"], match["what"]) in GROWING:
            steps.append(step)
    return steps


class PreparedAnew(AssertionError):
    """SQLite prepares a statement each time it is executed."""


def prepared_anew(database: Any, statement: str, parameters: Any) -> bool:
    """
    Is its plan made for one value of a parameter? SQLite compares a parameter with the value in a
    partial index's condition on the same column, and prepares the statement again when another is
    bound. The condition has to be written out: see ``schema.holds``.
    """
    asked: list[object] = []  # the authorizer is asked whenever a statement is prepared

    def allow(*what: object) -> int:
        asked.append(what)
        return sqlite3.SQLITE_OK

    database.set_authorizer(allow)
    try:
        for _ in range(2):
            asked.clear()
            database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    finally:
        database.set_authorizer(None)
    return bool(asked)


@define
class Plans:
    """Explains what an engine executes while ``watching``."""

    engine: sa.Engine
    watching: bool = False
    explained: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        sa.event.listen(self.engine, "before_cursor_execute", self._explain)

    def _explain(
        self, connection: sa.Connection, cursor: Any, statement: str, parameters: Any, *rest: Any
    ) -> None:
        verb = statement.split(None, 1)[0].upper()
        if not self.watching or statement in self.explained or connection.dialect.name != "sqlite":
            return
        self.explained.add(statement)
        if verb not in ("SELECT", "UPDATE", "DELETE", "WITH"):
            return
        one = parameters[0] if isinstance(parameters, list) else parameters
        driver = connection.connection.dbapi_connection
        steps = scans(driver, statement, one)
        if steps:
            raise Scan(f"{'; '.join(steps)}\n{statement}")
        if prepared_anew(driver, statement, one):
            raise PreparedAnew(statement)
