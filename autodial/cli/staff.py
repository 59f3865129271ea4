"""Commands about people: ``operators``, ``presence``, ``pause``, ``hand-over``, ``do-not-call``."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from autodial.cli.language import tr
from autodial.cli.options import NUMBER, actor, as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, when, words
from autodial.config.settings import Config
from autodial.model.ids import OperatorId
from autodial.moments import moment_of
from autodial.portal.told_clients import tell_never
from autodial.rules.extension_conflicts import conflicts
from autodial.rules.phone_numbers import numbers_in
from autodial.store import acts, in_force, pauses, stand_ins, views
from autodial.store import dispositions as spoken
from autodial.store.database import write
from autodial.store.presence import presence_lines


@click.command()
@click.argument("extension", required=False)
@click.option("--purpose", help="No calls for this, a name of [[purposes]].")
@click.option("--why", "reason", default="", help="The reason, for later readers.")
@click.option("--until", "end", help="Ends by itself: 14:00, or 2026-11-27T09:00.")
@click.pass_obj
def pause(
    path: Path, extension: str | None, purpose: str | None, reason: str, end: str | None
) -> None:
    """Place no further calls: for one operator, for one purpose, or for everybody."""
    config, now = load(path), datetime.now(UTC)
    until = moment(end, config, now) if end else None
    if purpose is not None:
        _only_one(extension)
        if purpose not in {known.name for known in config.purposes}:
            raise click.UsageError(tr("[[purposes]] has none of the name {name}", name=purpose))
        write(
            config.place,
            lambda db: acts.pause_purpose(db, purpose, actor(), now, reason, until),
        )
        ends = _end(config, until, f"--purpose {purpose}")
        say(tr("purpose {purpose}: paused; talks go on, {ends}", purpose=purpose, ends=ends))
        return
    who = _operator(config, extension)
    write(config.place, lambda db: acts.pause(db, who, actor(), now, reason, until))
    ends = _end(config, until, extension or "")
    say(tr("{who}: paused; talks go on, {ends}", who=extension or tr("everybody"), ends=ends))


def _end(config: Config, until: datetime | None, whose: str) -> str:
    """When a pause ends, or the command that ends it."""
    if until is not None:
        return tr("until {when}", when=when(config, until))
    return tr("'{command}' ends it", command=f"autodial resume {whose}".rstrip())


def _only_one(extension: str | None) -> None:
    if extension is not None:
        raise click.UsageError(tr("name an extension, or --purpose"))


def moment(text: str, config: Config, now: datetime) -> datetime:
    """A time of today, of a day of the week or of a date, in [hours] zone; in the future."""
    try:
        found = moment_of(text, ZoneInfo(config.hours.zone), now)
    except ValueError:
        raise click.UsageError(
            tr("{text}: write 14:00, fri 15:00, or 2026-11-27T09:00", text=text)
        ) from None
    if found <= now:
        raise click.UsageError(tr("{text} has passed ({zone})", text=text, zone=config.hours.zone))
    return found


@click.command("hand-over")
@click.argument("whose", metavar="[EXTENSION", required=False)
@click.argument("whom", metavar="STAND-IN]", required=False)
@click.option("--until", "end", help="Ends by itself: 18:00, fri 18:00, or 2026-11-27T18:00.")
@click.option("--back", is_flag=True, help="EXTENSION takes his own tasks again.")
@as_json
@click.pass_obj
def hand_over(
    path: Path, whose: str | None, whom: str | None, end: str | None, back: bool, as_json: bool
) -> None:
    """
    Give an operator's tasks to another for a time: he is called for them as if they were his. The
    portal's responsible stays. Without names: list who stands in for whom.
    """
    config, now = load(path), datetime.now(UTC)
    if whose is None:
        return _stand_ins(config, now, as_json)
    operator = operator_of(config, whose)
    if back:
        if not write(config.place, lambda db: acts.take_back(db, operator, actor(), now)):
            raise click.ClickException(tr("nobody stands in for {who}", who=whose))
        say(tr("{who}: has his own tasks again", who=whose))
        return None
    if whom is None:
        raise click.UsageError(tr("name two extensions: whose tasks, and who takes them"))
    stand_in = operator_of(config, whom)
    if stand_in == operator:
        raise click.UsageError(tr("nobody stands in for himself"))
    until = moment(end, config, now) if end else None
    write(config.place, lambda db: acts.hand_over(db, operator, stand_in, actor(), now, until))
    ends = tr("'{command}' ends it", command=f"autodial hand-over {whose} --back")
    if until is not None:
        ends = tr("until {when}", when=when(config, until))
    say(tr("{whom} takes the tasks of {who}, {ends}", whom=whom, who=whose, ends=ends))
    return None


def _stand_ins(config: Config, now: datetime, as_json: bool) -> None:
    lines = read(config, lambda db: stand_ins.lines(db, now))
    if as_json:
        return print_json(lines)
    table = PlainTable("operator", "stand-in", "since", "until")
    for line in lines:
        table.add_row(
            line.name, line.stand_in_name, when(config, line.at), when(config, line.until)
        )
    show_table(table)
    return None


@click.command()
@click.argument("extension", required=False)
@click.option("--purpose", help="Of this purpose.")
@click.pass_obj
def resume(path: Path, extension: str | None, purpose: str | None) -> None:
    """End a pause."""
    config, now = load(path), datetime.now(UTC)
    if purpose is not None:
        _only_one(extension)
        if not write(config.place, lambda db: acts.resume_purpose(db, purpose, actor(), now)):
            raise click.ClickException(tr("purpose {purpose}: was not paused", purpose=purpose))
        say(tr("purpose {purpose}: calls again", purpose=purpose))
        return
    who = _operator(config, extension)
    name = extension or tr("everybody")
    if not write(config.place, lambda db: acts.resume(db, who, actor(), now)):
        raise click.ClickException(tr("{who}: was not paused", who=name) + _others(config))
    say(tr("{who}: calls again", who=name))


def _others(config: Config) -> str:
    """Who is paused instead."""
    paused = read(config, lambda db: in_force.paused(db, datetime.now(UTC)))
    if not paused:
        return ""
    staff = {line.id: line.extension or str(line.id) for line in read(config, views.operator_lines)}
    names = [
        tr("everybody") if who == pauses.EVERYBODY else staff.get(who, str(who))
        for who in sorted(paused)
    ]
    return "; " + tr("paused: {names}", names=", ".join(names))


def _operator(config: Config, extension: str | None) -> OperatorId:
    return pauses.EVERYBODY if extension is None else operator_of(config, extension)


def operator_of(config: Config, extension: str) -> OperatorId:
    """
    Whose internal number this is.

    Raises:
        click.ClickException: nobody's of the staff.
    """
    staff = read(config, views.operator_lines)
    operator = next((line for line in staff if line.extension == extension), None)
    if operator is None:
        raise click.ClickException(
            tr("nobody of the staff has the extension {extension}", extension=extension)
        )
    return OperatorId(operator.id)


@click.command("do-not-call")
@click.option("--add", metavar="NUMBER", help="Never call this number and its client again.")
@click.option("--why", "reason", default="", help="With --add: the reason, for later readers.")
@click.option("--remove", metavar="NUMBER", help="Allow calls to this number and its client again.")
@as_json
@click.pass_obj
def do_not_call(
    path: Path, add: str | None, reason: str, remove: str | None, as_json: bool
) -> None:
    """List the clients who asked for no further calls; add one, or take one off the list."""
    config, now = load(path), datetime.now(UTC)
    lines = read(config, spoken.do_not_call_lines)
    if add is not None and remove is not None:
        raise click.UsageError(tr("--add or --remove, not both"))
    if add is not None:
        return _never_call(config, add, reason, now)
    if remove is not None:
        number = next(iter(numbers_in(remove, config.phones.region) or ()), remove)
        if not write(config.place, lambda db: acts.call_again(db, number, actor(), now)):
            raise click.ClickException(
                tr("{number} is not among them; see 'autodial do-not-call'", number=remove)
            )
        say(tr("{number}: may be called again, as far as the other rules allow", number=number))
        return None
    if as_json:
        return print_json(lines)
    table = PlainTable(
        "number", "client", "operator", "when", "why", "attempt", whole=("number", "when"),
        optional=("why", "attempt"),
    )  # fmt: skip
    for line in lines:
        moment = when(config, line.at)
        table.add_row(line.number, line.client, line.operator, moment, line.why, line.attempt)
    show_table(table)
    return None


def _never_call(config: Config, text: str, why: str, now: datetime) -> None:
    number = next(iter(numbers_in(text, config.phones.region) or ()), None)
    if number is None:
        raise click.UsageError(tr("{number} is no whole telephone number", number=text))
    if not write(config.place, lambda db: acts.never_call(db, number, actor(), now, why)):
        raise click.ClickException(tr("{number} is on the list already", number=number))
    clients = {
        line.client
        for line in read(config, spoken.do_not_call_lines)
        if line.number == number and line.client
    }
    untold = tell_never(config, read(config, lambda db: spoken.owners_of(db, number)), why)
    if untold:
        say(tr("the CRM was not told: {why}", why=untold))
    whose = f" ({', '.join(sorted(clients))})" if clients else ""
    say(tr("{number}: never called again, with all numbers of its client", number=number) + whose)


@click.command()
@as_json
@click.pass_obj
def operators(path: Path, as_json: bool) -> None:
    """List the call centre's staff: who is at work, who is reserved for what."""
    config = load(path)
    midnight = datetime.now(ZoneInfo(config.hours.zone)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    lines = read(config, lambda db: views.operator_lines(db, midnight))
    if as_json:
        return print_json(lines)
    wrong = conflicts(lines)
    table = PlainTable(
        "name", "ext.", "id", "portal", "phone", "reserved for", "talks", "login", "logout",
        whole=("name", "ext.", "talks", "login"), optional=("logout", "reserved for", "id"),
    )  # fmt: skip
    for line in lines:
        portal = tr("online") if line.online else tr("offline")
        day = words(line.working_day, "day") if line.working_day else ""
        phone = words(line.phone, "device") if line.phone else "?"
        table.add_row(
            line.name, line.extension or "-", str(line.id), f"{portal}, {day}" if day else portal,
            phone, line.reserved_for or "", str(line.talked),
            when(config, line.last_login), _logout(config, line),
        )  # fmt: skip
    show_table(table)
    for line in lines:
        for trouble in wrong.get(line.id, ()):
            say(f"{line.name} ({line.extension or line.id}): {words(trouble)}")


def _logout(config: Config, line: views.OperatorLine) -> str:
    """The operator's last logout; an unknown one is shown as unknown."""
    if line.last_logout is not None:
        return when(config, line.last_logout)
    if line.last_left is not None:  # a closed browser leaves no logout anywhere
        return tr("about {when}", when=when(config, line.last_left))
    if line.watched is not None:
        return tr("none since {when}", when=when(config, line.watched))
    return tr("unknown since {when}", when=when(config, line.since))


@click.command("presence")
@click.argument("operator", type=NUMBER, required=False)
@click.option(
    "--days", default=1, show_default=True, type=click.IntRange(1, 3660),
    help="How far to look back.",
)  # fmt: skip
@as_json
@click.pass_obj
def presence_(path: Path, operator: int | None, days: int, as_json: bool) -> None:
    """Show who came and left when: logins and logouts of the portal, and results of polls."""
    config = load(path)
    since = datetime.now(UTC) - timedelta(days=days)
    lines = read(config, lambda db: presence_lines(db, since, operator))
    if as_json:
        return print_json(lines)
    table = PlainTable("when", "operator", "what", "known by", whole=("when",))
    for line in lines:
        who = f"{line.name or '-'} ({line.operator})"
        what, source = words(line.kind, "presence"), words(line.source)
        table.add_row(when(config, line.at), who, what, source)
    show_table(table)
