"""The command ``autodial``: tables for people, ``--json`` for programs."""

import json
import re
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
from rich.console import Console
from rich.table import Table

from autodial import texts
from autodial.config import Config, load
from autodial.errors import AutodialError, StoreError
from autodial.run import run_dialler
from autodial.store import views
from autodial.store.database import read
from autodial.store.events import Told, story
from call_files import SpoolError

T = TypeVar("T")
DEFAULT = Path("/etc/autodial24/autodial.toml")


class _Main(click.Group):
    """Errors raised on purpose are shown as a sentence, not as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AutodialError, SpoolError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Main)
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT, show_default=True,
    envvar="AUTODIAL_CONFIG", show_envvar=True, help="The configuration file.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, path: Path) -> None:
    """Work through the call tasks of a Bitrix24 portal with an Asterisk PBX."""
    ctx.obj = path


@main.command()
@click.pass_obj
def run(path: Path) -> None:
    """Run the dialler until it is told to stop (SIGTERM, Ctrl-C)."""
    sys.exit(run_dialler(load(path)))


@main.command()
@click.option("--tasks", default=26, show_default=True, help="Call tasks, over all fates.")
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Save all logs here.")
def demo(tasks: int, keep_logs: Path | None) -> None:
    """Watch the whole job: real Asterisk, real SIP, a simulated portal. Needs root."""
    from autodial.demo import run_demo

    sys.exit(run_demo(tasks, keep_logs))


_as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@main.command("tasks")
@_as_json
@click.pass_obj
def tasks_(path: Path, as_json: bool) -> None:
    """List the call tasks: when each is due, and what became of it."""
    config = load(path)
    lines = _read(config, views.task_lines)
    if as_json:
        return _print_json(lines)
    table = Table("task", "client", "due", "attempts", "last", "now", "responsible")
    for line in lines:
        table.add_row(
            str(line.id), line.client, _when(config, line.due), str(line.attempts),
            _said(config, line.last), _said(config, line.reason), line.responsible,
        )  # fmt: skip
    Console().print(table)


@main.command()
@click.argument("task", type=int)
@_as_json
@click.pass_obj
def why(path: Path, task: int, as_json: bool) -> None:
    """Say why a task is, or is not, being dialled."""
    config = load(path)
    line = next((line for line in _read(config, views.task_lines) if line.id == task), None)
    if line is None:
        raise click.ClickException(f"{task} is not a call task we know")
    if as_json:
        return _print_json([line])
    click.echo(f"{line.id} {line.title}: {_said(config, line.reason)}")
    click.echo(f"  due {_when(config, line.due)}, {line.attempts} attempts so far")


@main.command()
@click.argument("what")
@_as_json
@click.pass_obj
def show(path: Path, what: str, as_json: bool) -> None:
    """Tell the whole story of a task (8017) or of an attempt (t8017-3)."""
    config = load(path)
    number = what.removeprefix("t").partition("-")[0]
    if not re.fullmatch("[0-9]{1,12}", number):
        raise click.ClickException(f"{what} is neither a task (8017) nor an attempt (t8017-3)")
    told = _read(config, lambda db: story(db, int(number)))
    if "-" in what:
        told = [t for t in told if t.attempt == what]
    if not told:
        raise click.ClickException(f"nothing is known of {what}")
    if as_json:
        return _print_json(told)
    click.echo(tell(config, told))


@main.command()
@_as_json
@click.pass_obj
def operators(path: Path, as_json: bool) -> None:
    """List the call centre's staff: who is at work, who is reserved for what."""
    config = load(path)
    lines = _read(config, views.operator_lines)
    if as_json:
        return _print_json(lines)
    table = Table(
        "id", "name", "extension", "at work", "last login", "last activity", "reserved", "talks"
    )
    for line in lines:
        table.add_row(
            str(line.id), line.name, line.extension or "-", "yes" if line.online else "no",
            _when(config, line.last_login), _when(config, line.last_activity),
            line.reserved_for or "", str(line.talked),
        )  # fmt: skip
    Console().print(table)


def tell(config: Config, told: Sequence[Told]) -> str:
    """A story in lines, one for each thing that happened."""
    zone = ZoneInfo(config.hours.zone)
    rows = [
        f"{t.at.astimezone(zone):%d.%m. %H:%M:%S}  {t.attempt or '-':<12} {t.kind:<15} {t.detail}"
        for t in told
    ]
    return "\n".join(row.rstrip() for row in rows)


def _read(config: Config, question: Callable[[sa.Connection], T]) -> T:
    try:
        there = config.store.path.exists()
    except OSError as error:
        raise StoreError(f"{config.store.path}: {error.strerror}; run this as its user") from error
    if not there:
        raise StoreError(f"{config.store.path}: no store yet; 'autodial run' makes it")
    return read(config.store.path, question)


def _when(config: Config, moment: datetime | None) -> str:
    if moment is None:
        return "-"
    return f"{moment.astimezone(ZoneInfo(config.hours.zone)):%d.%m. %H:%M}"


def _said(config: Config, key: str | None) -> str:
    """A reason or an outcome in the configured language; a state as it is."""
    if not key or key not in texts.CATALOGUE:
        return key or ""
    return texts.text(key, config.language)


def _print_json(rows: Sequence[Any]) -> None:
    def plain(value: object) -> object:
        match value:
            case datetime():
                return value.astimezone(UTC).isoformat()
            case Enum():
                return value.value
            case _:
                return str(value)

    click.echo(
        json.dumps([asdict(row) for row in rows], default=plain, ensure_ascii=False, indent=1)
    )


if __name__ == "__main__":
    main()
