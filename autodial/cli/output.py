"""
What the commands print: times, reasons, tables for people and JSON for programs.

All of it may hold what a stranger typed. In a cell it is text on one line, never markup; on a line
of its own its control characters are shown, not obeyed.
"""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa
from attrs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autodial import texts
from autodial.config.settings import Config
from autodial.store import database
from autodial.store.events import Told

T = TypeVar("T")


def tell(config: Config, told: Sequence[Told]) -> str:
    """A story in lines, one for each thing that happened."""
    zone = ZoneInfo(config.hours.zone)
    rows = [
        f"{t.at.astimezone(zone):%d.%m. %H:%M:%S}  {t.attempt or '-':<12} {t.kind:<15} {t.detail}"
        for t in told
    ]
    return "\n".join(texts.escaped(row.rstrip()) for row in rows)


def say(line: str) -> None:
    """Print one line."""
    click.echo(texts.escaped(line))


class PlainTable(Table):
    """A table whose cells are what they say: no markup, no emoji codes, no links, one line each."""

    def add_row(self, *cells: object, **wishes: Any) -> None:
        """Cells that are no ``Text`` yet become one."""
        texts_of = (cell if isinstance(cell, Text) else _cell(str(cell)) for cell in cells)
        super().add_row(*texts_of, **wishes)


def _cell(text: str) -> Text:
    return Text(texts.one_line(text))


def read(config: Config, question: Callable[[sa.Connection], T]) -> T:
    return database.read(config.store.path, question)


def when(config: Config, moment: datetime | None) -> str:
    if moment is None:
        return "-"
    return f"{moment.astimezone(ZoneInfo(config.hours.zone)):%d.%m. %H:%M}"


def words(config: Config, key: str | None) -> str:
    """A reason or an outcome in the configured language; a state as it is."""
    if not key or key not in texts.CATALOGUE:
        return key or ""
    return texts.text(key, config.language)


def show_table(table: PlainTable) -> None:
    """As wide as the terminal; where there is none, wide enough for a line to stay a line."""
    width = None if sys.stdout.isatty() else 160
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def _visible(line: str) -> str:
    """JSON's own escapes for what a terminal would obey or not show; they stand in texts only."""
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        char if texts.escaped(char) == char else json.dumps(char).strip('"') for char in line
    )


def print_json(rows: Sequence[Any]) -> None:
    def plain(value: object) -> object:
        match value:
            case datetime():
                return value.astimezone(UTC).isoformat()
            case Enum():
                return value.value
            case _:
                return str(value)

    said = json.dumps([asdict(row) for row in rows], default=plain, ensure_ascii=False, indent=1)
    click.echo("\n".join(map(_visible, said.split("\n"))))
