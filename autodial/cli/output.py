"""
Output of the commands: times, reasons, tables for people and JSON for programs.

All of it may contain foreign text. A table cell shows it on one line, never as markup; a line shows
control characters escaped.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa
from attrs import asdict
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autodial import texts
from autodial.cli.language import spoken, tr
from autodial.config.settings import Config
from autodial.store import database

T = TypeVar("T")

#: Columns between two columns of a table, and how narrow one may become.
GAP, NARROW = 2, 8


def say(line: str) -> None:
    """Print one line."""
    click.echo(texts.escaped(line))


def titles(*english: str) -> tuple[str, ...]:
    """Texts that are translated where they are shown."""
    return english


class PlainTable:
    """
    A table of plain text cells: no markup, no emoji codes, no links, one line a row.

    ``headers`` are translated. Where it is wider than the terminal, cells are cut; those of the
    columns ``whole`` are not, and those of ``optional`` disappear, the last first.
    """

    def __init__(
        self, *headers: str, whole: Sequence[str] = (), optional: Sequence[str] = ()
    ) -> None:
        self.headers, self.whole, self.optional = headers, whole, optional
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: object) -> None:
        self._rows.append(tuple(texts.one_line(str(cell)) for cell in cells))

    def fitting(self, width: int | None) -> Table:
        """As wide as its cells, or as ``width`` allows."""
        widths = self._widths(width)
        table = Table(
            box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0),
            width=_total(widths),
        )  # fmt: skip
        for at, wide in widths.items():
            title = tr(self.headers[at]) if self.headers[at] else ""
            table.add_column(Text(title), width=wide, no_wrap=True, overflow="ellipsis")
        for row in self._rows:
            table.add_row(*(Text(row[at]) for at in widths))
        return table

    def _widths(self, limit: int | None) -> dict[int, int]:
        """The columns shown, by their place, with their widths."""
        widths = {
            at: max([cell_len(tr(title) if title else ""), *(cell_len(r[at]) for r in self._rows)])
            for at, title in enumerate(self.headers)
        }
        leaving = [self.headers.index(title) for title in self.optional]
        while limit is not None and (excess := _total(widths) - limit) > 0:
            elastic = [
                at for at in widths if self.headers[at] not in self.whole and widths[at] > NARROW
            ]
            if sum(widths[at] - NARROW for at in elastic) >= excess:
                widest = max(elastic, key=widths.__getitem__)
                widths[widest] -= 1
            elif leaving:
                del widths[leaving.pop()]
            elif elastic:
                widths |= dict.fromkeys(elastic, NARROW)
            else:
                break  # not even so: the terminal breaks the lines
        return widths


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def read(config: Config, question: Callable[[sa.Connection], T]) -> T:
    if isinstance(config.place, Path) and not config.place.exists():
        raise click.ClickException(
            tr("there is no store yet: 'autodial init' makes it, and the first start")
        )
    return database.read(config.place, question)


def when(config: Config, moment: datetime | None) -> str:
    if moment is None:
        return "-"
    return f"{moment.astimezone(ZoneInfo(config.hours.zone)):%d.%m. %H:%M}"


def words(key: str | None, kind: str = "") -> str:
    """
    A reason, a state or an outcome in the language spoken; anything else unchanged. ``kind``: of
    the key, as its beginning in the catalogue.
    """
    whole = f"{kind}.{key}" if kind else key
    if not whole or whole not in texts.CATALOGUE:
        return key or ""
    return texts.text(whole, spoken())


def show_table(table: PlainTable) -> None:
    """As wide as the terminal (or ``COLUMNS``); in a pipe or a file nothing is cut."""
    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    shown = table.fitting(shutil.get_terminal_size().columns if limited else None)
    Console(width=shown.width, markup=False, emoji=False, highlight=False).print(shown)


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
