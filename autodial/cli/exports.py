"""
Tables as files, for a spreadsheet: CSV that a Russian Excel opens, or XLSX.

Foreign text stays text: in CSV a cell that a spreadsheet would take for a formula gets an
apostrophe; XLSX says of each text that it is one.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import xlsxwriter

from autodial import texts
from autodial.cli.language import tr
from autodial.cli.output import say

F = TypeVar("F", bound=Callable[..., Any])
Cell = str | int | float | None

#: What begins a formula in one of the spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: The widest column, in characters.
WIDEST = 60

to_file = click.option(
    "--file", "to_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table here, for a spreadsheet: NAME.csv or NAME.xlsx.",
)  # fmt: skip


def export(file: Path, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """
    Write a table, and say so. ``headers`` are translated.

    Raises:
        click.ClickException: an unknown kind of file, or it cannot be written.
    """
    titles = [tr(header) for header in headers]
    kinds: dict[str, Callable[[Path, Sequence[str], Sequence[Sequence[Cell]]], None]] = {
        ".csv": _csv, ".xlsx": _xlsx,
    }  # fmt: skip
    write = kinds.get(file.suffix.lower())
    if write is None:
        raise click.UsageError(tr("--file {file}: name it .csv or .xlsx", file=file.name))
    try:
        write(file, titles, rows)
    except (OSError, xlsxwriter.exceptions.XlsxWriterException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"{file}: {reason}") from error
    say(tr("{file}: {count} rows", file=file, count=len(rows)))


def safe(cell: Cell) -> Cell:
    """Text that no spreadsheet takes for a formula."""
    if not isinstance(cell, str):
        return cell
    line = texts.one_line(cell)
    return f"'{line}" if cell.startswith(_FORMULA) and not _is_phone(line) else line


def _is_phone(text: str) -> bool:
    """A number in international form is no formula, and people search for it as it is."""
    return text.startswith("+") and text[1:].isdigit()


def _csv(file: Path, titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    # The mark and the semicolons are what Excel needs under a Russian locale.
    with file.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(titles)
        for row in rows:
            writer.writerow(["" if cell is None else _decimal(safe(cell)) for cell in row])


def _decimal(cell: Cell) -> Cell:
    return str(cell).replace(".", ",") if isinstance(cell, float) else cell


def _xlsx(file: Path, titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        bold = book.add_format({"bold": True})
        for column, title in enumerate(titles):
            sheet.write_string(0, column, title, bold)
            widest = max([len(title), *(len(str(row[column] or "")) for row in rows)])
            sheet.set_column(column, column, min(widest + 2, WIDEST))
        for line, row in enumerate(rows, 1):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(line, column, texts.one_line(cell))
                elif cell is not None:
                    sheet.write_number(line, column, cell)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(1, len(rows)), len(titles) - 1)
