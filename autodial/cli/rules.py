"""Commands that change the rules while the dialler runs: ``day-off`` and ``reload``."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from zoneinfo import ZoneInfo

import click

from autodial.cli.language import tr
from autodial.cli.options import actor, load
from autodial.cli.output import PlainTable, read, say, show_table
from autodial.config.reload import NOTHING
from autodial.config.settings import Config
from autodial.store import acts, days_off, flags
from autodial.store.database import write

#: Seconds to wait until the running dialler has read its settings again.
PATIENCE = 20.0


@click.command("day-off")
@click.argument("day", required=False, metavar="[DATE]")
@click.option("--why", "reason", default="", help="The reason, for later readers.")
@click.option("--remove", is_flag=True, help="It is a day like others again.")
@click.pass_obj
def day_off(path: Path, day: str | None, reason: str, remove: bool) -> None:
    """
    Call nobody on DATE (2026-12-31, today, tomorrow), without a restart; without a DATE: list the
    coming days off. Next calls on that day are postponed.
    """
    config, now = load(path), datetime.now(UTC)
    today = now.astimezone(ZoneInfo(config.hours.zone)).date()
    if day is None:
        if remove:
            raise click.UsageError(tr("--remove needs a DATE"))
        return _list(config, today)
    which = _day(day, today)
    if remove:
        if not write(config.place, lambda db: acts.remove_day_off(db, which, actor(), now)):
            inside = which in config.calendar.days_off
            error = tr("{day}: was not named as a day off", day=which)
            error += "; " + tr("it is one of [calendar] days_off") if inside else ""
            raise click.ClickException(error)
        say(tr("{day}: a day like others; calls that were put off stay where they are", day=which))
        return None
    if which < today:
        raise click.UsageError(tr("{day} has passed ({zone})", day=which, zone=config.hours.zone))
    write(config.place, lambda db: acts.add_day_off(db, which, actor(), now, reason))
    say(_effect(config, which))
    return None


def _effect(config: Config, day: date) -> str:
    """The effect of a day off, which the settings may give special hours."""
    if config.hours.holiday in ("usual", None):
        return tr("{day}: a day off; nobody is called", day=day)
    return tr("{day}: a day off, with the hours of [hours] holiday", day=day)


def _list(config: Config, today: date) -> None:
    named = dict(read(config, lambda db: days_off.lines(db, today)))
    table = PlainTable("day", "source", "why", whole=("day", "source"))
    for day in sorted({*named, *(day for day in config.calendar.days_off if day >= today)}):
        source = "autodial day-off" if day in named else "[calendar] days_off"
        table.add_row(str(day), source, named.get(day, ""))
    show_table(table)


def _day(text: str, today: date) -> date:
    near = {"today": today, "tomorrow": today + timedelta(days=1)}
    try:
        return near.get(text) or date.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            tr("{text}: write 2026-12-31, today or tomorrow", text=text)
        ) from None


@click.command("reload")
@click.pass_obj
def reload(path: Path) -> None:
    """Make the running dialler read its settings again, and print what it took over."""
    config, asked = load(path), datetime.now(UTC)
    if not read(config, lambda db: flags.running(db, asked)):
        say(tr("the settings are in order; the dialler does not run; it reads them at its start"))
        return
    file, node = str(path.resolve()), config.node.name
    write(config.place, lambda db: acts.reload(db, actor(), asked, file, node))
    until, reloaded = monotonic() + PATIENCE, flags.of_node(flags.RELOADED, node)
    while monotonic() < until:
        report = read(config, lambda db: flags.told(db, reloaded))
        if report is not None and report[0] >= asked:
            say(report[1])
            if report[1].startswith(NOTHING):
                raise click.ClickException(tr("what was read before still holds"))
            return
        sleep(0.2)
    raise click.ClickException(
        tr("the dialler has not answered: does it use the same configuration? See its log")
    )
