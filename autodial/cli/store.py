"""Commands about the store: ``backup``, ``restore``."""

from pathlib import Path

import click

from autodial.cli.language import tr
from autodial.cli.options import load
from autodial.cli.output import say
from autodial.store import backup
from autodial.store import restore as restoring


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup_(path: Path, file: Path) -> None:
    """Copy the store into FILE, whole and consistent; the dialler may run."""
    store = load(path).store.path
    backup.backup(store, file)
    say(tr("{file}: a copy of {store}", file=file, store=store))


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def restore(path: Path, file: Path) -> None:
    """Put a copy of the store in its place; the dialler must not run."""
    store = load(path).store.path
    before = restoring.restore(store, file)
    say(tr("{store} is {file} now", store=store, file=file))
    if before is not None:
        say(tr("the old store is {file}", file=before))
