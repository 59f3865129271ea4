"""Commands about what was: ``report``, ``work-times``, ``calls``, ``audit``."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from sqlalchemy import Connection

from autodial.cli.exports import export, to_file
from autodial.cli.language import tr
from autodial.cli.options import as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, titles, when, words
from autodial.config.settings import Config
from autodial.rules.phone_numbers import numbers_in
from autodial.rules.report import TOTAL, By, Sum, best_hours, summed, tallied
from autodial.rules.work_times import WorkTime
from autodial.store import audit as log
from autodial.store import reports

#: The longest time of one report, in days.
LONGEST = 366
#: Days that the calls of a client, found by name, go back.
CLIENT_DAYS = 60
HEADERS = titles(
    "calls", "answered", "% answered", "talks", "talk time", "mean talk", "wait", "abandoned",
    "causes",
)  # fmt: skip
KEYS: Mapping[By, str] = dict(
    zip(
        (by for by in By if by is not By.PERSON),
        titles(
            "hour", "day", "weekday", "hour of the week", "operator", "trunk", "outcome",
            "purpose", "attempt",
        ),
        strict=True,
    )
)  # fmt: skip
WEEKDAYS = titles(
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
)  # fmt: skip


@click.command()
@click.option("--day", metavar="DATE", help="2026-11-27, today (the default), yesterday.")
@click.option("--from", "first", metavar="DATE", help="The first day of several.")
@click.option("--to", "last", metavar="DATE", help="The last one; without it: today.")
@click.option("--by", type=click.Choice([by.value for by in KEYS]), default=By.HOUR.value,
              show_default=True, help="What the calls are added up by.")  # fmt: skip
@to_file
@as_json
@click.pass_obj
def report(  # noqa: PLR0913  # its options
    path: Path, day: str | None, first: str | None, last: str | None, by: str,
    to_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """
    Add up the calls of a day or of several: how many were answered, talks, their time, abandoned
    calls, and the causes of those that failed.
    """
    config = load(path)
    start, end = _span(config, day, first, last)
    zone = ZoneInfo(config.hours.zone)
    sums = read(config, lambda db: summed(reports.ended_between(db, start, end), By(by), zone))
    counts = read(config, lambda db: reports.task_counts(db, start, end))
    if as_json:
        return print_json(sums)
    rows = [_row(one, By(by)) for one in sums]
    if to_file is not None:
        return export(
            to_file, (KEYS[By(by)], *HEADERS), [(_key(one.key, By(by)), *one.cells) for one in sums]
        )
    headers = (KEYS[By(by)], *HEADERS)
    table = PlainTable(*headers, whole=headers, optional=("causes", "mean talk", "wait"))
    for row in rows:
        table.add_row(*row)
    show_table(table)
    became = {"finished": counts.finished, "given_up": counts.given_up}
    say(
        tr(
            "tasks: {finished} finished, {given_up} given up, {put_off} to be called again",
            **became,
            put_off=counts.put_off,
        )
    )
    best = best_hours(sums) if By(by) in (By.HOUR, By.WEEK_HOUR) else []
    if best:
        hours = ", ".join(f"{_key(one.key, By(by))} ({one.answer_rate:.0%})" for one in best)
        say(tr("clients answer best at {hours}", hours=hours))
    return None


@click.command("work-times")
@click.option("--day", metavar="DATE", help="2026-11-27, today (the default), yesterday.")
@click.option("--from", "first", metavar="DATE", help="The first day of several.")
@click.option("--to", "last", metavar="DATE", help="The last one; without it: today.")
@to_file
@as_json
@click.pass_obj
def work_times(
    path: Path, day: str | None, first: str | None, last: str | None, to_file: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """
    Show how operators spent their time: at work, talking, being rung, and the rest (waiting, a
    pause, writing up); and who took how many calls, and missed how many.
    """
    config = load(path)
    start, end = _span(config, day, first, last)
    now = datetime.now(UTC)

    def asked(db: Connection) -> list[WorkTime]:
        calls = reports.ended_between(db, start, end)
        tallies = tallied(calls, (By.PERSON,), UTC)[By.PERSON]
        return reports.work_times_between(db, tallies, start, max(start, min(end, now)))

    lines = read(config, asked)
    if as_json:
        return print_json(lines)
    headers = titles("operator", "ext.", "at work", "talks", "talk time", "rung", "rest", "missed")
    if to_file is not None:
        return export(to_file, headers, [line.cells for line in lines])
    table = PlainTable(*headers, whole=headers[1:], optional=("rung", "missed"))
    for line in lines:
        table.add_row(
            line.name, line.extension or "-", _time(line.at_work), str(line.talks),
            _time(line.talked), _time(line.rung), _time(line.rest), str(line.missed),
        )  # fmt: skip
    show_table(table)
    return None


def _span(
    config: Config, day: str | None, first: str | None, last: str | None
) -> tuple[datetime, datetime]:
    """From the first day's midnight to the one after the last, in [hours] zone."""
    zone = ZoneInfo(config.hours.zone)
    today = datetime.now(zone).date()
    if day is not None and (first is not None or last is not None):
        raise click.UsageError(tr("--day, or --from and --to"))
    if last is not None and first is None:
        raise click.UsageError(tr("--to needs --from"))
    begin = _date(day or first or "today", today)
    end = begin if first is None else _date(last or "today", today)
    if end < begin:
        raise click.UsageError(tr("--to {last} is before --from {first}", first=begin, last=end))
    if (end - begin).days >= LONGEST:
        raise click.UsageError(tr("at most {days} days at once", days=LONGEST))
    after = datetime.combine(end + timedelta(days=1), datetime.min.time(), zone)
    return datetime.combine(begin, datetime.min.time(), zone), after


def _date(text: str, today: date) -> date:
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    try:
        return named.get(text) or date.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            tr("{text}: write 2026-11-27, today or yesterday", text=text)
        ) from None


def _key(key: str, by: By) -> str:
    if key == TOTAL:
        return tr("total")
    match by:
        case By.WEEKDAY:
            return tr(WEEKDAYS[int(key) - 1])
        case By.WEEK_HOUR:
            return f"{tr(WEEKDAYS[int(key[0]) - 1])} {key[2:]}"
        case By.OUTCOME:
            return words(key)
        case _:
            return key or "-"


def _row(one: Sum, by: By) -> tuple[str, ...]:
    """For people."""
    return (
        _key(one.key, by), str(one.calls), str(one.answered), f"{100 * one.answer_rate:.0f} %",
        str(one.talked), _time(one.talk_seconds), _time(one.mean_talk),
        "-" if one.mean_wait is None else f"{one.mean_wait:.1f} s", str(one.abandoned),
        one.said_causes,
    )  # fmt: skip


def _time(seconds: float) -> str:
    """Hours, minutes, seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@click.command()
@click.argument("who", metavar="[NUMBER|CLIENT]", required=False)
@click.option("--abandoned", is_flag=True, help="Only clients who answered, and found nobody.")
@click.option("--outcome", metavar="PART", help="Only with this outcome, as the list says it.")
@click.option("--day", metavar="DATE", help="2026-11-27, today, yesterday.")
@click.option("--from", "first", metavar="DATE", help="The first day of several.")
@click.option("--to", "last", metavar="DATE", help="The last one; without it: today.")
@to_file
@as_json
@click.pass_obj
def calls(  # noqa: PLR0913  # its options
    path: Path, who: str | None, abandoned: bool, outcome: str | None, day: str | None,
    first: str | None, last: str | None, to_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """
    List the calls of a day (today, unless named otherwise), or all calls to a client over all
    tasks: by a number (then with all numbers of its owner, and with calls besides the dialler's),
    or by a part of the name (of the last 60 days).
    """
    config = load(path)
    span = None
    if who is None or day is not None or first is not None or last is not None:
        span = _span(config, day, first, last)
    lines = [
        line
        for line in _calls_to(config, who, span)
        if (line.abandoned or not abandoned) and _has(line, outcome)
    ]
    if as_json:
        return print_json(lines)
    headers = titles("when", "number", "client", "task", "operator", "outcome", "talk time")
    rows = [
        (
            when(config, line.at), line.number, line.client, str(line.task or "-"), line.operator,
            _outcome(line), _time(line.talk_seconds) if line.talk_seconds else "",
        )
        for line in lines
    ]  # fmt: skip
    if to_file is not None:
        return export(to_file, headers, rows)
    table = PlainTable(*headers, whole=("when", "number"), optional=("talk time", "task"))
    for row in rows:
        table.add_row(*row)
    show_table(table)
    known = sorted({line.number for line in lines}) if who is not None else []
    refused = read(config, lambda db: reports.refused_since(db, known))
    if refused is not None:
        say(tr("on the do-not-call list since {when}", when=when(config, refused)))
    return None


def _calls_to(
    config: Config, who: str | None, span: tuple[datetime, datetime] | None
) -> list[reports.ClientCall]:
    if who is None:
        assert span is not None
        return read(config, lambda db: reports.calls_between(db, *span))
    number = next(iter(numbers_in(who, config.phones.region) or ()), None)
    if number is not None:
        lines = read(config, lambda db: reports.calls_of_number(db, number))
    else:
        since = span[0] if span else datetime.now(UTC) - timedelta(days=CLIENT_DAYS)
        lines = read(config, lambda db: reports.calls_of_client(db, who, since))
    return [line for line in lines if span is None or span[0] <= line.at < span[1]]


def _outcome(line: reports.ClientCall) -> str:
    said = words(line.outcome) if line.attempt else tr("not the dialler's")
    return f"{said}, {tr('abandoned')}" if line.abandoned else said


def _has(line: reports.ClientCall, outcome: str | None) -> bool:
    """Has its outcome this part, in whatever case, as it is stored or as it is shown?"""
    return (outcome or "").casefold() in f"{line.outcome} {_outcome(line)}".casefold()


@click.command()
@click.argument("about", required=False)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3660))
@to_file
@as_json
@click.pass_obj
def audit(path: Path, about: str | None, days: int, to_file: Path | None, as_json: bool) -> None:
    """Show who did what: pauses, call-now, skip, days off; ABOUT one task, extension or number."""
    config = load(path)
    since = datetime.now(UTC) - timedelta(days=days)
    lines = read(config, lambda db: log.lines(db, since, about=about))
    if as_json:
        return print_json(lines)
    headers = titles("when", "who", "door", "what", "about", "detail")
    rows = [
        (
            when(config, line.at), line.who, words(line.door, "door"), words(line.act, "act"),
            line.about or tr("everybody"), words(line.detail),
        )
        for line in lines
    ]  # fmt: skip
    if to_file is not None:
        return export(to_file, headers, rows)
    table = PlainTable(*headers, whole=("when", "what"), optional=("door",))
    for row in rows:
        table.add_row(*row)
    show_table(table)
    return None
