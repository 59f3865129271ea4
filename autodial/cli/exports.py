"""The option ``--file``: a table as a file, for a spreadsheet."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import xlsxwriter

from autodial.cli.language import tr
from autodial.cli.output import say
from autodial.spreadsheets import KINDS, Rows

F = TypeVar("F", bound=Callable[..., Any])

to_file = click.option(
    "--file", "to_file", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table here, for a spreadsheet: NAME.csv or NAME.xlsx.",
)  # fmt: skip


def export(file: Path, headers: Sequence[str], rows: Rows) -> None:
    """
    Write a table, and say so. ``headers`` are translated.

    Raises:
        click.ClickException: an unknown kind of file, or it cannot be written.
    """
    titles = [tr(header) for header in headers]
    made_of = KINDS.get(file.suffix.lower())
    if made_of is None:
        raise click.UsageError(tr("--file {file}: name it .csv or .xlsx", file=file.name))
    try:
        file.write_bytes(made_of(titles, rows))
    except (OSError, xlsxwriter.exceptions.XlsxWriterException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"{file}: {reason}") from error
    say(tr("{file}: {count} rows", file=file, count=len(rows)))
