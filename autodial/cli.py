"""The command ``autodial``: tables for people, ``--json`` for programs."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
import sqlalchemy as sa
from attrs import asdict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from autodial import texts
from autodial.checkup import findings
from autodial.config import Config, load
from autodial.conflicts import conflicts
from autodial.errors import AutodialError, StoreError
from autodial.run import run_dialler
from autodial.service import access, portal_of, run_now, send_now
from autodial.store import outbox, views
from autodial.store.database import read, write
from autodial.store.events import Told, story
from autodial.store.presence import presence_lines
from bitrix24 import Application, PortalError
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
    _print(table)


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
    for number in _read(config, lambda db: views.number_lines(db, task)):
        extension = f" ext. {number.extension}" if number.extension else ""
        refused = f": not dialled, {_said(config, number.refused)}" if number.refused else ""
        click.echo(f"  {number.number}{extension}  {number.client}{refused}")


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
    wrong = conflicts(lines)
    table = Table(
        Column("name", overflow="fold"), "ext.", "portal", "last login", "last logout", "phone",
        "reserved for", "talks",
        box=SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    for line in lines:
        portal = "online" if line.online else "offline"
        table.add_row(
            f"{line.name} ({line.id})", line.extension or "-",
            f"{portal}, {line.working_day}" if line.working_day else portal,
            _when(config, line.last_login), _logout(config, line),
            _DEVICE.get(line.phone or "", "?"), line.reserved_for or "", str(line.talked),
        )  # fmt: skip
    _print(table)
    for line in lines:
        for trouble in wrong.get(line.id, ()):
            click.echo(f"{line.name} ({line.extension or line.id}): {_said(config, trouble)}")


#: Asterisk's device states, in words.
_DEVICE = {
    "NOT_INUSE": "free", "INUSE": "in use", "BUSY": "busy", "RINGING": "rings",
    "RINGINUSE": "in use, rings", "ONHOLD": "on hold", "UNAVAILABLE": "off",
    "INVALID": "unknown to Asterisk", "UNKNOWN": "unknown to Asterisk",
}  # fmt: skip


def _logout(config: Config, line: views.OperatorLine) -> str:
    """When he last logged out; what is not known is said to be unknown."""
    if line.last_logout is not None:
        return _when(config, line.last_logout)
    if line.last_left is not None:  # a closed browser leaves no logout anywhere
        return f"about {_when(config, line.last_left)}"
    if line.watched is not None:
        return f"none since {_when(config, line.watched)}"
    return f"unknown since {_when(config, line.since)}"


@main.command("presence")
@click.argument("operator", type=int, required=False)
@click.option("--days", default=1, show_default=True, help="How far to look back.")
@_as_json
@click.pass_obj
def presence_(path: Path, operator: int | None, days: int, as_json: bool) -> None:
    """Tell who came and left when: logins and logouts of the portal, and what polls saw."""
    config = load(path)
    since = datetime.now(UTC) - timedelta(days=days)
    lines = _read(config, lambda db: presence_lines(db, since, operator))
    if as_json:
        return _print_json(lines)
    table = Table("when", "operator", "what")
    for line in lines:
        said = f"{line.name or '-'} ({line.operator})"
        table.add_row(_when(config, line.at), said, _said(config, f"presence.{line.kind}"))
    _print(table)


@main.command("outbox")
@click.option("--again", type=int, help="Send this one again, which was put aside.")
@click.option("--all-again", is_flag=True, help="Send again everything that was put aside.")
@_as_json
@click.pass_obj
def outbox_(path: Path, again: int | None, all_again: bool, as_json: bool) -> None:
    """List what the portal has yet to be told, and what it refused."""
    config = load(path)
    if again is not None or all_again:
        count = write(config.store.path, lambda db: outbox.again(db, again, datetime.now(UTC)))
        if not count:
            raise click.ClickException("nothing that was put aside has this number")
        click.echo(f"{count} will be sent again")
        return
    lines = [debt for debt in _read(config, views.debts) if debt.state not in ("done", "void")]
    if as_json:
        return _print_json(lines)
    table = Table("number", "attempt", "what", "state", "why it was put aside")
    for line in lines:
        table.add_row(str(line.id), line.attempt, line.kind, line.state, line.error)
    _print(table)


@main.command()
@click.pass_obj
def doctor(path: Path) -> None:
    """Try what the dialler needs, and say for each failure what to do."""
    config = load(path)
    serious = False
    try:
        said = run_now(portal_of(config).health(group=config.staff.group is not None))
    except PortalError as error:
        raise click.ClickException(f"portal: {error}") from error
    found = findings(said)
    for finding in found:
        serious |= finding.serious
        click.echo(f"portal: {finding.sentence(config.language)}")
    if not found:
        click.echo(f"portal: {texts.text('check.well', config.language, detail=said.user)}")
    if serious:
        sys.exit(1)


@main.command()
@click.argument("code")
@click.pass_obj
def authorize(path: Path, code: str) -> None:
    """Exchange the portal's authorisation code for tokens of [portal.application]."""
    config = load(path)
    ours = access(config.portal)
    if not isinstance(ours, Application):
        raise click.ClickException("[portal.application] is not set; a webhook needs no tokens")
    try:
        run_now(ours.exchange(send_now(config), code))
    except PortalError as error:
        raise click.ClickException(f"{error}; a code lives 30 seconds") from error
    except OSError as error:
        raise click.ClickException(f"{ours.tokens}: {error.strerror}") from error
    click.echo(f"tokens are in {ours.tokens}")


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


def _print(table: Table) -> None:
    """As wide as the terminal; where there is none, wide enough for a line to stay a line."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)


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
