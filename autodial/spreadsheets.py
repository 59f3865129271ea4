"""
Tables for a spreadsheet: CSV that a Russian Excel opens, or XLSX.

Foreign text stays text: in CSV a cell that a spreadsheet would take for a formula gets an
apostrophe; XLSX says of each text that it is one.
"""

import csv
from collections.abc import Sequence
from io import BytesIO, StringIO

import xlsxwriter

from autodial import texts

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]

#: What begins a formula in one of the spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: The widest column, in characters.
WIDEST = 60


def safe(cell: Cell) -> Cell:
    """Text that no spreadsheet takes for a formula."""
    if not isinstance(cell, str):
        return cell
    line = texts.one_line(cell)
    # (Of the line, too: what was removed from its beginning may have hidden a formula.)
    formula = cell.startswith(_FORMULA) or line.startswith(_FORMULA)
    return f"'{line}" if formula and not _is_phone(line) else line


def _is_phone(text: str) -> bool:
    """A number in international form is no formula, and people search for it as it is."""
    return text.startswith("+") and text[1:].isdigit()


def csv_of(titles: Sequence[str], rows: Rows) -> bytes:
    """The table as CSV; the mark and the semicolons are what Excel needs under a Russian locale."""
    stream = StringIO(newline="")
    writer = csv.writer(stream, delimiter=";")
    writer.writerow(titles)
    for row in rows:
        writer.writerow(["" if cell is None else _decimal(safe(cell)) for cell in row])
    return stream.getvalue().encode("utf-8-sig")


def _decimal(cell: Cell) -> Cell:
    return str(cell).replace(".", ",") if isinstance(cell, float) else cell


def xlsx_of(titles: Sequence[str], rows: Rows) -> bytes:
    """The table as a workbook of one sheet, with a filter and its first row in place."""
    stream = BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as book:
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
    return stream.getvalue()


#: By the ending of a file's name.
KINDS = {".csv": csv_of, ".xlsx": xlsx_of}
