"""
Output of the commands: times, reasons, tables for people and JSON for programs.

All of it may contain foreign text. A table cell shows it on one line, never as markup; a line shows
control characters escaped.
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


def tell(config: Config, events: Sequence[Told]) -> str:
    """The events as lines, one each."""
    zone = ZoneInfo(config.hours.zone)
    rows = [
        f"{e.at.astimezone(zone):%d.%m. %H:%M:%S}  {e.attempt or '-':<12} {e.kind:<15} {e.detail}"
        for e in events
    ]
    return "\n".join(texts.escaped(row.rstrip()) for row in rows)


def say(line: str) -> None:
    """Print one line."""
    click.echo(texts.escaped(line))


class PlainTable(Table):
    """A table of plain text cells: no markup, no emoji codes, no links, one line each."""

    def add_row(self, *cells: object, **options: Any) -> None:
        """Converts cells that are not ``Text``."""
        converted = (cell if isinstance(cell, Text) else _cell(str(cell)) for cell in cells)
        super().add_row(*converted, **options)


def _cell(text: str) -> Text:
    return Text(texts.one_line(text))


def read(config: Config, question: Callable[[sa.Connection], T]) -> T:
    return database.read(config.store.path, question)


def when(config: Config, moment: datetime | None) -> str:
    if moment is None:
        return "-"
    return f"{moment.astimezone(ZoneInfo(config.hours.zone)):%d.%m. %H:%M}"


def words(config: Config, key: str | None) -> str:
    """A reason or an outcome in the configured language; a state unchanged."""
    if not key or key not in texts.CATALOGUE:
        return key or ""
    return texts.text(key, config.language)


def show_table(table: PlainTable) -> None:
    """As wide as the terminal; without one, wide enough that rows do not wrap."""
    width = None if sys.stdout.isatty() else 160
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)


def _visible(line: str) -> str:
    """JSON escapes for characters that a terminal would interpret or not show (only in strings)."""
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

    text = json.dumps([asdict(row) for row in rows], default=plain, ensure_ascii=False, indent=1)
    click.echo("\n".join(map(_visible, text.split("\n"))))
