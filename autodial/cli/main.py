"""The command ``autodial``: tables for people, ``--json`` for programs."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column

from autodial import texts
from autodial.cli import status_queries as outlook
from autodial.cli.output import PlainTable, print_json, read, say, show_table, tell, when, words
from autodial.cli.rules import day_off, reload
from autodial.cli.secret import secret
from autodial.cli.simulate import simulate
from autodial.config import legal_notes as law
from autodial.config.load import load
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.errors import AutodialError, PbxError, StoreBusy
from autodial.model.ids import OperatorId, TaskId
from autodial.model.outcome import Outcome
from autodial.pbx import dialplan_check
from autodial.portal.self_check import findings, names
from autodial.rules import time_zones as zones
from autodial.rules.dial_facts import Dial, Wait
from autodial.rules.extension_conflicts import conflicts
from autodial.rules.pacing import Answers
from autodial.rules.phone_numbers import numbers_in
from autodial.service.app import access, portal_of, send_now
from autodial.service.run import answer, run_dialler
from autodial.store import backup, outbox, pauses, views
from autodial.store import words as spoken
from autodial.store.database import write
from autodial.store.events import story
from autodial.store.presence import presence_lines
from autodial.store.tasks import confirm
from bitrix24 import AnswerLost, Application, Portal, PortalError, PortalRefused
from call_files import SpoolError
from fastagi_server import NotWell, check

T = TypeVar("T")
#: What the portal and the store number with.
NUMBER = click.IntRange(0, 2**53)
#: Whom a card shows while it is tried: no number at all.
NO_NUMBER = "0000000000"
#: Rows of a list that has no end.
PAGE = 100
DEFAULT = Path("/etc/autodial24/autodial.toml")


class _Main(click.Group):
    """Errors raised on purpose are shown as a sentence, not as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AutodialError, SpoolError) as error:
            raise click.ClickException(_lines(str(error))) from error
        except (click.UsageError, _Misconfigured):
            raise  # the one quotes what its reader has typed, the other is ours already
        except click.ClickException as error:
            raise click.ClickException(_lines(error.message)) from error


class _Misconfigured(click.ClickException):
    """A start that a person must put right; the unit does not try again (sysexits.h)."""

    exit_code = 78


class _NotNow(_Misconfigured):
    """A start that may succeed in a while: the unit tries again."""

    exit_code = 75


def _lines(text: str) -> str:
    """An error's sentences: they may quote the portal, a file, or what was typed."""
    return "\n".join(texts.escaped(line) for line in text.split("\n"))


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
@click.option("--as-root", is_flag=True, help="Run although this is root.")
@click.pass_obj
def run(path: Path, as_root: bool) -> None:
    """Run the dialler until it is told to stop (SIGTERM, Ctrl-C)."""
    if os.geteuid() == 0 and not as_root:
        raise click.ClickException(
            "run this as Asterisk's user, for example 'runuser -u asterisk -- autodial run':"
            " otherwise a fault in the dialler is root's. If it must be so: --as-root"
        )
    try:
        sys.exit(run_dialler(path))
    except StoreBusy as error:
        raise _NotNow(_lines(str(error))) from error
    except (AutodialError, SpoolError) as error:
        raise _Misconfigured(_lines(str(error))) from error


@main.command()
@click.option("--tasks", default=26, show_default=True, help="Call tasks, over all fates.")
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Save all logs here.")
def demo(tasks: int, keep_logs: Path | None) -> None:
    """Watch the whole job: real Asterisk, real SIP, a simulated portal. Needs root."""
    from demo.run import run_demo

    sys.exit(run_demo(tasks, keep_logs))


_as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@main.command("tasks")
@click.option("--all", "every", is_flag=True, help="Closed ones, too, the newest in front.")
@click.option(
    "--page", default=1, show_default=True, type=click.IntRange(1, 10**6),
    help=f"Of --all: {PAGE} at once.",
)  # fmt: skip
@_as_json
@click.pass_obj
def tasks_(path: Path, every: bool, page: int, as_json: bool) -> None:
    """List the open call tasks: when each is due, and what became of it."""
    config = load(path)
    if page > 1 and not every:
        raise click.UsageError("--page is of --all: the open tasks come as one list")
    if every:
        lines = read(config, lambda db: views.all_tasks(db, PAGE, PAGE * (page - 1)))
    else:
        lines = read(config, views.task_lines)
    if as_json:
        return print_json(lines)
    table = PlainTable("task", "client", "due", "attempts", "last", "now", "responsible")
    for line in lines:
        table.add_row(
            str(line.id), line.client, when(config, line.due), str(line.attempts),
            words(config, line.last), words(config, line.reason), line.responsible,
        )  # fmt: skip
    show_table(table)
    if every and len(lines) == PAGE:
        say(f"more with --page {page + 1}")


@main.command()
@click.argument("task", type=NUMBER, required=False)
@click.option("--operator", help="Instead of a task: an operator's extension.")
@_as_json
@click.pass_obj
def why(path: Path, task: int | None, operator: str | None, as_json: bool) -> None:
    """Say why a task is, or is not, being dialled; or why an operator gets no calls."""
    config, now = load(path), datetime.now(UTC)
    if (task is None) == (operator is None):
        raise click.UsageError("name a task, or --operator EXTENSION")
    if operator is not None:
        return _why_operator(config, operator, now, as_json)
    assert task is not None
    found = read(config, lambda db: outlook.why(db, config, TaskId(task), now))
    if found is None:
        raise click.ClickException(f"{task} is not a call task we know")
    if as_json:
        return print_json([found])
    tell_why(config, found, now)
    for number in read(config, lambda db: views.number_lines(db, task)):
        extension = f" ext. {number.extension}" if number.extension else ""
        refused = f": not dialled, {words(config, number.refused)}" if number.refused else ""
        say(f"  {number.number}{extension}  {number.client}{refused}")


def tell_why(config: Config, found: outlook.Why, now: datetime) -> None:
    """The rules passed, the one that holds, when it is looked at again, what would change it."""
    task, held = found.task, found.decision if not isinstance(found.decision, Dial) else None
    said = words(config, held.reason.value if held else "dial")
    say(f"{task.id} {task.title}: {said}")
    if task.halted:
        say(f"  {words(config, task.halted)}")
    say(f"  due {when(config, task.due)}, {task.attempts} attempts so far")
    if isinstance(held, Wait):
        say(f"  looked at again {when(config, held.until)}")
    if held is not None:
        bad = task.halted == Outcome.BAD_NUMBER.value
        key = f"change.{task.halted if bad else held.reason.value}"
        say(f"  {words(config, 'change')}: {words(config, key)}")
    if not found.running:
        say(f"  the dialler does not run; last seen {when(config, found.seen)}")
    table = PlainTable("", "rule", "number", "until", box=SIMPLE_HEAD, pad_edge=False)
    for look in found.looks:
        mark = "+" if look.refusal is None else "-"
        until = look.refusal.until if isinstance(look.refusal, Wait) else None
        table.add_row(mark, look.reason.value, look.detail, when(config, until) if until else "")
    show_table(table)


def _why_operator(config: Config, extension: str, now: datetime, as_json: bool) -> None:
    staff = read(config, lambda db: outlook.operators(db, config, now))
    him = next((one for one in staff if one.extension == extension), None)
    if him is None:
        raise click.ClickException(f"nobody of the staff has the extension {extension}")
    if as_json:
        return print_json([him])
    say(f"{him.name} ({him.extension}): {words(config, f'operator.{him.state(now)}')}")
    if him.reserved_for:
        say(f"  for {him.reserved_for}")
    if him.wraps_until and him.wraps_until > now:
        say(f"  until {when(config, him.wraps_until)}")
    waiting = read(config, lambda db: outlook.due_tasks_of(db, config, him.id, now))
    table = PlainTable("task", "client", "due", "why it waits", box=SIMPLE_HEAD, pad_edge=False)
    for line in waiting:
        said = words(config, line.reason)
        table.add_row(str(line.id), line.client, when(config, line.due), said)
    show_table(table)


@main.command()
@_as_json
@click.pass_obj
def status(path: Path, as_json: bool) -> None:
    """Tell how it goes: does it run, who is there, and where the tasks are held up."""
    config, now = load(path), datetime.now(UTC)
    found = read(config, lambda db: outlook.status(db, config, now))
    if as_json:
        return print_json([found])
    if found.running:
        say("the dialler runs" + ("" if found.pbx else ", without Asterisk's manager"))
    else:
        say(f"the dialler does not run; last seen {when(config, found.seen)}")
    if found.stalled is not None:
        say(f"STALLED: tasks due, operators free, nothing dialled ({when(config, found.stalled)})")
    say(
        f"{found.calls} calls under way, operators: {found.at_work} at work, {found.free} free, "
        f"{found.paused} paused"
    )
    for purpose in found.paused_purposes:
        say(f"purpose {purpose}: paused")
    if found.changed is not None and found.running:
        say(
            f"{path} has changed and was not read again: 'autodial reload'"
            f" ({when(config, found.changed)})"
        )
    say(f"since {when(config, now - config.pace.abandoned_over)}: {_rates(config, found.answers)}")
    for purpose, answers in sorted(found.by_purpose.items()):
        say(f"  {purpose or 'no purpose'}: {_rates(config, answers)}")
    table = PlainTable("tasks", "reason", "", box=SIMPLE_HEAD, pad_edge=False)
    for reason, count in found.funnel:
        table.add_row(str(count), reason, words(config, reason))
    show_table(table)


def _rates(config: Config, answers: Answers) -> str:
    """Both figures, and which of them has the cap."""
    cap = f", cap {config.pace.abandoned_cap:.1%}"
    soon = config.pace.as_power.in_two_seconds
    return (
        f"of {answers.answered} answered calls {answers.abandoned} found nobody"
        f" ({answers.rate:.1%}{'' if soon else cap}), {answers.late} had no operator within two"
        f" seconds ({answers.late_rate:.1%}{cap if soon else ''})"
    )


@main.command()
@click.argument("extension", required=False)
@click.option("--purpose", help="No calls for this, a name of [[purposes]].")
@click.option("--why", "reason", default="", help="For those who ask later.")
@click.option("--until", "end", help="Ends by itself: 14:00, or 2026-11-27T09:00.")
@click.pass_obj
def pause(
    path: Path, extension: str | None, purpose: str | None, reason: str, end: str | None
) -> None:
    """Place no further calls: for one operator, for one purpose, or for nobody at all."""
    config, now = load(path), datetime.now(UTC)
    until = _moment(end, config, now) if end else None
    lasts = f"until {when(config, until)}" if until else "'autodial resume' ends it"
    if purpose is not None:
        _only_one(extension)
        if purpose not in {said.name for said in config.purposes}:
            raise click.UsageError(f"[[purposes]] has none of the name {purpose}")
        write(config.store.path, lambda db: pauses.pause_purpose(db, purpose, now, reason, until))
        say(f"purpose {purpose}: paused; talks go on, {lasts}")
        return
    who = _operator(config, extension)
    write(config.store.path, lambda db: pauses.pause(db, who, now, reason, until))
    say(f"{extension or 'everybody'}: paused; talks go on, {lasts}")


def _only_one(extension: str | None) -> None:
    if extension is not None:
        raise click.UsageError("name an extension, or --purpose")


def _moment(text: str, config: Config, now: datetime) -> datetime:
    """A time of today, or of a day, by the clock of [hours] zone; it must be ahead."""
    here = now.astimezone(ZoneInfo(config.hours.zone))
    try:
        if re.fullmatch("[0-9]{1,2}:[0-9]{2}", text):
            text = f"{here:%Y-%m-%d}T{text:0>5}"
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--until {text}: write 14:00, or 2026-11-27T09:00") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=here.tzinfo)
    if moment <= now:
        raise click.UsageError(f"--until {text} has passed ({config.hours.zone})")
    return moment


@main.command()
@click.argument("extension", required=False)
@click.option("--purpose", help="Of this purpose.")
@click.pass_obj
def resume(path: Path, extension: str | None, purpose: str | None) -> None:
    """End a pause."""
    config = load(path)
    if purpose is not None:
        _only_one(extension)
        if not write(config.store.path, lambda db: pauses.resume_purpose(db, purpose)):
            raise click.ClickException(f"purpose {purpose}: was not paused")
        say(f"purpose {purpose}: calls again")
        return
    who = _operator(config, extension)
    if not write(config.store.path, lambda db: pauses.resume(db, who)):
        raise click.ClickException(f"{extension or 'everybody'}: was not paused")
    say(f"{extension or 'everybody'}: calls again")


def _operator(config: Config, extension: str | None) -> OperatorId:
    if extension is None:
        return pauses.EVERYBODY
    staff = read(config, views.operator_lines)
    found = next((line for line in staff if line.extension == extension), None)
    if found is None:
        raise click.ClickException(f"nobody of the staff has the extension {extension}")
    return OperatorId(found.id)


@main.command("never")
@click.option("--remove", metavar="NUMBER", help="Call this number, and whose it is, again.")
@_as_json
@click.pass_obj
def never(path: Path, remove: str | None, as_json: bool) -> None:
    """List the clients who told an operator not to be called again."""
    config = load(path)
    lines = read(config, spoken.never_lines)
    if remove is not None:
        number = next(iter(numbers_in(remove, config.phones.region) or ()), remove)
        now = datetime.now(UTC)
        if not write(config.store.path, lambda db: spoken.call_again(db, number, now)):
            raise click.ClickException(f"{remove} is not among them; see 'autodial never'")
        say(f"{number}: may be called again, as far as the other rules allow")
        return None
    if as_json:
        return print_json(lines)
    table = PlainTable("number", "client", "said to", "when", "in", box=SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        row = (line.number, line.client, line.operator, when(config, line.at), line.attempt)
        table.add_row(*row)
    show_table(table)
    return None


main.add_command(day_off)
main.add_command(reload)
main.add_command(simulate)
main.add_command(secret)


@main.command("call-now")
@click.argument("task", type=NUMBER)
@click.pass_obj
def call_now(path: Path, task: int) -> None:
    """Give a person's word for a task that waits for one, and make it due now."""
    config = load(path)
    read(config, lambda db: None)
    if not write(config.store.path, lambda db: confirm(db, TaskId(task), datetime.now(UTC))):
        raise click.ClickException(f"{task} is not an open call task; see 'autodial why {task}'")
    say(f"{task}: due now; the other rules still hold ('autodial why {task}')")


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
    told = read(config, lambda db: story(db, int(number)))
    if "-" in what:
        told = [t for t in told if t.attempt == what]
    if not told:
        raise click.ClickException(f"nothing is known of {what}")
    if as_json:
        return print_json(told)
    click.echo(tell(config, told))


@main.command()
@_as_json
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
        Column("name", overflow="fold"), "ext.", "portal", "last login", "last logout", "phone",
        "reserved for", "talks today",
        box=SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    for line in lines:
        portal = "online" if line.online else "offline"
        table.add_row(
            f"{line.name} ({line.id})", line.extension or "-",
            f"{portal}, {line.working_day}" if line.working_day else portal,
            when(config, line.last_login), _logout(config, line),
            _DEVICE.get(line.phone or "", "?"), line.reserved_for or "", str(line.talked),
        )  # fmt: skip
    show_table(table)
    for line in lines:
        for trouble in wrong.get(line.id, ()):
            say(f"{line.name} ({line.extension or line.id}): {words(config, trouble)}")


#: Asterisk's device states, in words.
_DEVICE = {
    "NOT_INUSE": "free", "INUSE": "in use", "BUSY": "busy", "RINGING": "rings",
    "RINGINUSE": "in use, rings", "ONHOLD": "on hold", "UNAVAILABLE": "off",
    "INVALID": "unknown to Asterisk", "UNKNOWN": "unknown to Asterisk",
}  # fmt: skip


def _logout(config: Config, line: views.OperatorLine) -> str:
    """When he last logged out; what is not known is said to be unknown."""
    if line.last_logout is not None:
        return when(config, line.last_logout)
    if line.last_left is not None:  # a closed browser leaves no logout anywhere
        return f"about {when(config, line.last_left)}"
    if line.watched is not None:
        return f"none since {when(config, line.watched)}"
    return f"unknown since {when(config, line.since)}"


@main.command("presence")
@click.argument("operator", type=NUMBER, required=False)
@click.option(
    "--days", default=1, show_default=True, type=click.IntRange(1, 3660),
    help="How far to look back.",
)  # fmt: skip
@_as_json
@click.pass_obj
def presence_(path: Path, operator: int | None, days: int, as_json: bool) -> None:
    """Tell who came and left when: logins and logouts of the portal, and what polls saw."""
    config = load(path)
    since = datetime.now(UTC) - timedelta(days=days)
    lines = read(config, lambda db: presence_lines(db, since, operator))
    if as_json:
        return print_json(lines)
    table = PlainTable("when", "operator", "what", "known by")
    for line in lines:
        said = f"{line.name or '-'} ({line.operator})"
        what, source = words(config, f"presence.{line.kind}"), words(config, line.source)
        table.add_row(when(config, line.at), said, what, source)
    show_table(table)


@main.command("outbox")
@click.option("--again", type=NUMBER, help="Send this one again, which was put aside.")
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
        say(f"{count} will be sent again")
        return
    lines = read(config, views.unpaid)
    if as_json:
        return print_json(lines)
    table = PlainTable("number", "attempt", "what", "state", "why it was put aside")
    for line in lines:
        table.add_row(str(line.id), line.attempt, line.kind, line.state, line.error)
    show_table(table)


@main.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup_(path: Path, file: Path) -> None:
    """Copy the store into FILE, whole and consistent; the dialler may run."""
    store = load(path).store.path
    backup.backup(store, file)
    say(f"{file}: a copy of {store}")


@main.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def restore(path: Path, file: Path) -> None:
    """Put a copy of the store in its place; the dialler must not run."""
    store = load(path).store.path
    before = backup.restore(store, file)
    kept = f"; what was there is {before}" if before is not None else ""
    say(f"{store} is {file} now{kept}")


@main.command()
@click.pass_obj
def doctor(path: Path) -> None:
    """Try what the dialler needs, and say for each failure what to do."""
    config = load(path)
    for note in law.notes(config, zones.DATA, datetime.now(UTC).date()):
        say(f"rules: {note.sentence(config.language)}")
    serious = _look_at_portal(config)
    address = f"agi://{config.fastagi.host}:{config.fastagi.port}/ping"
    try:
        took = f"{1000 * check(address):.1f} ms"
        say(f"fastagi: {texts.text('check.fastagi', config.language, detail=took)}")
    except NotWell as error:
        # It may not have been started yet: no failure of what is configured.
        say(f"fastagi: {error}")
    serious |= _look_at_dialplan(config)
    if serious:
        sys.exit(1)


def _look_at_portal(config: Config) -> bool:
    """Say what the portal lacks; True: the dialler cannot do its whole work."""
    portal = portal_of(config)
    try:
        said = run_now(portal.health(group=config.groups))
    except PortalError as error:
        say(f"portal: {error}")
        return True
    found = [*findings(said), *run_now(names(config, portal))]
    for finding in found:
        say(f"portal: {finding.sentence(config.language)}")
    if not found:
        say(f"portal: {texts.text('check.well', config.language, detail=said.user)}")
    return any(finding.serious for finding in found)


def _look_at_dialplan(config: Config) -> bool:
    """Say what the dialplan lacks; True: it cannot carry calls."""
    if config.asterisk.ami_port is None:
        say(f"asterisk: {texts.text('dialplan.unasked', config.language)}")
        return False
    try:
        found = answer(lambda reactor: dialplan_check.ask_once(reactor, config))
    except PbxError as error:
        say(f"asterisk: {error}")
        return True
    for finding in found:
        say(f"asterisk: {finding.sentence(config.language)}")
    if not found:
        say(f"asterisk: {texts.text('dialplan.well', config.language)}")
    return any(finding.serious for finding in found)


@main.command("test-card")
@click.argument("extension")
@click.option(
    "--seconds", default=15, show_default=True, type=click.IntRange(1, 600),
    help="How long the card stays.",
)  # fmt: skip
@click.option("--purpose", default="", help="On the line of this purpose.")
@click.pass_obj
def test_card(path: Path, extension: str, seconds: int, purpose: str) -> None:
    """
    Raise a call card for an operator and take it away again. Nobody is called; a call that comes
    meanwhile gets no card, as the portal raises one at a time.
    """
    config = load(path)
    if purpose and purpose not in {said.name for said in config.purposes}:
        raise click.UsageError(f"[[purposes]] has none of the name {purpose}")
    portal = portal_of(config)
    try:
        user = run_now(portal.user_by_extension(extension))
        if user is None:
            raise click.ClickException(f"nobody in the portal has the internal number {extension}")
        number, name = config.line(purpose)
        run_now(portal.ensure_line(number, name))
        with _stopped_by_signals():
            call = _raised(portal, config, user, number)
            try:
                say(f"the card is up for user {user}, for {seconds} s (Ctrl-C takes it away)")
                sleep(seconds)
            except KeyboardInterrupt:
                say("")
            finally:
                run_now(portal.finish_call(call, user=user, seconds=0, code="603-S"))
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    say(
        "the card is down. If none came up: is the push server on, the extension the right one, and"
        " no other card open? The portal's statistics have one more cancelled call."
    )


def _raised(portal: Portal, config: Config, user: int, line: str) -> str:
    now = datetime.now(UTC)

    def register() -> str:
        return run_now(
            portal.register_call(
                external_id=f"test-{now.timestamp():.0f}", user=user, phone=NO_NUMBER, started=now,
                line=line, incoming=config.portal.call_type == "incoming", show=True, client=None,
            )
        )  # fmt: skip

    try:
        return register()
    except (AnswerLost, KeyboardInterrupt):
        return register()  # the portal knows it again; or it would stay up for good


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A closed terminal, and a polite kill, end what Ctrl-C ends."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    wanted = (signal.SIGHUP, signal.SIGTERM)
    before = {one: signal.signal(one, stop) for one in wanted}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@main.command()
@_as_json
@click.pass_obj
def groups(path: Path, as_json: bool) -> None:
    """List the portal's departments and work groups, for [staff] and [tasks]."""
    portal = portal_of(load(path))
    try:
        departments = run_now(portal.departments())
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    hidden = ""
    try:
        work_groups = run_now(portal.groups())
    except PortalRefused as error:  # a scope that is needed only by who uses groups
        work_groups, hidden = [], str(error)
    if as_json:
        return print_json([*departments, *work_groups])
    names_of = {one.id: one.name for one in departments}
    table = PlainTable("number", "department", "below")
    for one in departments:
        table.add_row(str(one.id), one.name, names_of.get(one.parent or 0, ""))
    show_table(table)
    table = PlainTable("number", "work group")
    for one in work_groups:
        table.add_row(str(one.id), one.name)
    if hidden:
        say(f"no work groups: {hidden} (they need the scope sonet_group)")
    else:
        show_table(table)


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
    say(f"tokens are in {ours.tokens}")


if __name__ == "__main__":
    main()
