"""Commands about the store: ``backup``, ``restore``."""

from pathlib import Path

import click

from autodial.cli.language import tr
from autodial.cli.options import load
from autodial.cli.output import say
from autodial.store import backup
from autodial.store import restore as restoring


def _file(path: Path, tool: str) -> Path:
    """The store's file; a database is for its own tools."""
    place = load(path).place
    if not isinstance(place, Path):
        raise click.ClickException(
            tr("the store is a database, {store}: use {tool}", store=str(place), tool=tool)
        )
    return place


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup_(path: Path, file: Path) -> None:
    """Copy the store into FILE, whole and consistent; the dialler may run."""
    store = _file(path, "pg_dump")
    backup.backup(store, file)
    say(tr("{file}: a copy of {store}", file=file, store=store))


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def restore(path: Path, file: Path) -> None:
    """Put a copy of the store in its place; the dialler must not run."""
    store = _file(path, "pg_restore")
    before = restoring.restore(store, file)
    say(tr("{store} is {file} now", store=store, file=file))
    if before is not None:
        say(tr("the old store is {file}", file=before))
