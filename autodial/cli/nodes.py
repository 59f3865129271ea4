"""The commands ``nodes`` and ``move-store``: several diallers on one store."""

from pathlib import Path

import click
import sqlalchemy as sa
from rich.progress import Progress

from autodial.cli.language import tr
from autodial.cli.options import as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, when, words
from autodial.store import move
from autodial.store import nodes as store
from autodial.store.database import write


@click.command("nodes")
@click.option(
    "--forget", metavar="NAME", help="Do not list this one any more; it is gone for good."
)
@as_json
@click.pass_obj
def nodes_(path: Path, forget: str | None, as_json: bool) -> None:
    """List the diallers that share the store: which live, which of them leads, what keeps one."""
    config = load(path)
    if forget is not None:
        write(config.place, lambda db: _forget(db, forget))
    lines = read(config, store.lines)
    if as_json:
        return print_json(lines)
    if not lines:
        say(tr("the store is of one dialler alone; see [node] and [store] url"))
        return
    table = PlainTable(
        "node", "state", "calls", "Asterisk", "since", "seen", "version", "waits",
        whole=("node", "state", "calls", "seen"), optional=("since", "version"),
    )  # fmt: skip
    for line in lines:
        state = tr("leads") if line.leads else tr("runs")
        table.add_row(
            line.name, state if line.lives else tr("does not run"), str(line.calls),
            tr("connected") if line.pbx and line.lives else "-",
            when(config, line.since), when(config, line.seen), line.version,
            words(line.reason) if line.lives else "",
        )  # fmt: skip
    show_table(table)


def _forget(db: sa.Connection, name: str) -> None:
    line = next((line for line in store.lines(db) if line.name == name), None)
    if line is None:
        raise click.ClickException(tr("there is no node '{name}'", name=name))
    if line.lives:
        raise click.ClickException(tr("node '{name}' runs: stop it first", name=name))
    if line.calls:
        raise click.ClickException(
            tr(
                "calls of node '{name}' are under way, or seem so: {count}; wait until they end,"
                " at the latest with their lease",
                name=name, count=line.calls,
            )
        )  # fmt: skip
    store.forget(db, name)


@click.command("move-store")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def move_store(path: Path, file: Path | None) -> None:
    """
    Copy the store's FILE ([store] path) into the empty database of [store] url. No dialler may run;
    the file stays as it is.
    """
    config = load(path)
    if isinstance(config.place, Path):
        raise click.ClickException(
            tr("set [store] url and [node] name first: the database to move into")
        )
    source = file or config.store.path
    with Progress(transient=True) as progress:
        bar = progress.add_task(tr("rows"), total=None)
        rows = move.move(source, config.place, lambda n: progress.update(bar, advance=n))
    say(tr("{count} rows are in {store}", count=rows, store=str(config.place)))
