"""Commands about tasks: ``tasks``, ``why``, ``show``, ``call-now``, ``skip``, ``postpone``."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from autodial.cli.exports import export, to_file
from autodial.cli.history import tell
from autodial.cli.language import spoken, tr
from autodial.cli.options import NUMBER, actor, as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, titles, when, words
from autodial.cli.staff import moment, operator_of
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.engine import status_queries
from autodial.engine.test_calls import is_test
from autodial.model.ids import TaskId
from autodial.portal.client import portal_of
from autodial.rules.dial_facts import Dial, RuleResult, Wait
from autodial.rules.phone_numbers import numbers_in
from autodial.store import acts, views
from autodial.store.database import write
from autodial.store.events import story
from autodial.store.planning import load_task
from autodial.store.tasks import SKIPPED
from bitrix24 import PortalError

#: Rows per page of a long list.
PAGE = 100


@click.command("tasks")
@click.option("--all", "every", is_flag=True, help="Include closed tasks, newest first.")
@click.option(
    "--page", default=1, show_default=True, type=click.IntRange(1, 10**6),
    help=f"Of --all: {PAGE} at once.",
)  # fmt: skip
@click.option("--late", is_flag=True, help="Only those that are due and still need a call.")
@click.option("--operator", metavar="EXTENSION", help="Only those of this responsible operator.")
@click.option("--client", metavar="PART", help="Only clients with this in their names.")
@click.option("--number", metavar="NUMBER", help="Only those whose client has this number.")
@click.option(
    "--reason", metavar="PART", help="Only those that wait for this, as the list says it."
)
@to_file
@as_json
@click.pass_obj
def tasks_(  # noqa: PLR0913  # its options
    path: Path, every: bool, page: int, late: bool, operator: str | None, client: str | None,
    number: str | None, reason: str | None, to_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """
    List the open call tasks: when each is due, its last outcome, and why it waits; those that need
    no more calls come last.
    """
    config = load(path)
    if page > 1 and not every:
        raise click.UsageError(tr("--page is of --all: the open tasks come as one list"))
    if every and (late or operator is not None or number is not None):
        raise click.UsageError(
            tr("--late, --operator and --number are of the open tasks, without --all")
        )
    if every:
        lines = read(config, lambda db: views.all_tasks(db, PAGE, PAGE * (page - 1)))
    else:
        late_at = datetime.now(UTC) if late else None
        whose = operator_of(config, operator) if operator is not None else None
        whole = None
        if number is not None:
            whole = next(iter(numbers_in(number, config.phones.region) or ()), number)
        lines = read(
            config,
            lambda db: views.task_lines(db, late_at=late_at, responsible=whose, number=whole),
        )
    full = len(lines) == PAGE
    lines = [line for line in lines if _fits(line, client, reason)]
    if as_json:
        return print_json(lines)
    headers = titles("task", "client", "due", "attempts", "last", "now", "responsible")
    rows = [
        (
            str(line.id), line.client, when(config, line.due), str(line.attempts),
            words(line.last), words(line.reason), line.responsible,
        )
        for line in lines
    ]  # fmt: skip
    if to_file is not None:
        return export(to_file, headers, rows)
    table = PlainTable(*headers, whole=("task", "client", "due"), optional=("responsible",))
    for row in rows:
        table.add_row(*row)
    show_table(table)
    if every and full:
        say(tr("more with --page {page}", page=page + 1))
    return None


def _fits(line: views.TaskLine, client: str | None, reason: str | None) -> bool:
    """Has it these parts, in whatever case? A reason also by its words in the language spoken."""
    wanted = (client or "").casefold()
    told = f"{line.reason} {words(line.reason)}".casefold()
    return wanted in line.client.casefold() and (reason or "").casefold() in told


@click.command()
@click.argument("task", type=NUMBER, required=False)
@click.option("--operator", help="Instead of a task: an operator's extension.")
@as_json
@click.pass_obj
def why(path: Path, task: int | None, operator: str | None, as_json: bool) -> None:
    """Show why a task is, or is not, being dialled; or why an operator gets no calls."""
    config, now = load(path), datetime.now(UTC)
    if (task is None) == (operator is None):
        raise click.UsageError(tr("name a task, or --operator EXTENSION"))
    if operator is not None:
        return _why_operator(config, operator, now, as_json)
    assert task is not None
    explanation = read(config, lambda db: status_queries.why(db, config, TaskId(task), now))
    if explanation is None:
        raise click.ClickException(tr("{task} is not a known call task", task=task))
    if as_json:
        return print_json([explanation])
    tell_why(config, explanation, now)
    for number in read(config, lambda db: views.number_lines(db, task)):
        extension = " " + tr("ext. {number}", number=number.dtmf) if number.dtmf else ""
        line = f"  {number.number}{extension}  {number.client}"
        if number.refused:
            line += ": " + tr("not dialled, {reason}", reason=words(number.refused))
        say(line)


def tell_why(config: Config, explanation: status_queries.Why, now: datetime) -> None:
    """The rules passed, the one that prevents the call, when it is checked again, the remedy."""
    task, decision = explanation.task, explanation.decision
    refusal = None if isinstance(decision, Dial) else decision
    reason = words(refusal.reason.value if refusal else "dial")
    say(f"{task.id} {task.title}: {reason}")
    if task.closed_reason:
        say(f"  {words(task.closed_reason)}")
    due = when(config, task.due)
    say("  " + tr("due {when}, attempts so far: {count}", when=due, count=task.attempts))
    if isinstance(refusal, Wait):
        say("  " + tr("looked at again {when}", when=when(config, refusal.until)))
    if refusal is not None:
        say(f"  {words('change')}: {words(explanation.change)}")
    if not explanation.running:
        seen = when(config, explanation.seen)
        say("  " + tr("the dialler does not run; last seen {when}", when=seen))
    table = PlainTable("", "would refuse for", "number", "until", whole=("", "until"))
    for rule in explanation.looks:
        mark = tr("no") if rule.refusal is None else tr("YES")
        until = rule.refusal.until if isinstance(rule.refusal, Wait) else None
        table.add_row(mark, _rule(rule), rule.detail, when(config, until) if until else "")
    show_table(table)


def _rule(rule: RuleResult) -> str:
    """A rule by what it would refuse for; in Russian, by that reason."""
    return words(rule.reason.value) if spoken() == "ru" else rule.reason.value


def _why_operator(config: Config, extension: str, now: datetime, as_json: bool) -> None:
    staff = read(config, lambda db: status_queries.operators(db, config, now))
    operator = next((member for member in staff if member.extension == extension), None)
    if operator is None:
        raise click.ClickException(
            tr("nobody of the staff has the extension {extension}", extension=extension)
        )
    if as_json:
        return print_json([operator])
    state = words(f"operator.{operator.state(now)}")
    say(f"{operator.name} ({operator.extension}): {state}")
    if operator.reserved_for:
        say("  " + tr("for {attempt}", attempt=operator.reserved_for))
    if operator.wraps_until and operator.wraps_until > now:
        say("  " + tr("until {when}", when=when(config, operator.wraps_until)))
    waiting = read(config, lambda db: status_queries.due_tasks_of(db, operator.id, now))
    table = PlainTable("task", "client", "due", "why it waits", whole=("task", "client"))
    for line in waiting:
        reason = words(line.reason)
        table.add_row(str(line.id), line.client, when(config, line.due), reason)
    show_table(table)


@click.command("call-now")
@click.argument("task", type=NUMBER)
@click.pass_obj
def call_now(path: Path, task: int) -> None:
    """Confirm a task that waits for confirmation, and make it due now."""
    config, now = load(path), datetime.now(UTC)
    read(config, lambda db: None)
    if not write(config.place, lambda db: acts.call_now(db, TaskId(task), actor(), now)):
        raise click.ClickException(
            tr("{task} is not an open call task; see 'autodial why {task}'", task=task)
        )
    say(tr("{task}: due now; the other rules still hold ('autodial why {task}')", task=task))


@click.command()
@click.argument("task", type=NUMBER)
@click.option("--why", "reason", default="", help="The reason, for later readers.")
@click.option("--undo", is_flag=True, help="Dial it again.")
@click.pass_obj
def skip(path: Path, task: int, reason: str, undo: bool) -> None:
    """
    Dial a task no more, until its deadline is moved by hand in the portal. Nothing is changed
    there; a call under way goes on.
    """
    config, now = load(path), datetime.now(UTC)
    if undo:
        if not write(config.place, lambda db: acts.unskip(db, TaskId(task), actor(), now)):
            raise click.ClickException(tr("{task} was not skipped", task=task))
        say(tr("{task}: the dialler's again", task=task))
        return
    known = read(config, lambda db: load_task(db, TaskId(task)))
    if known is not None and known.closed_reason == SKIPPED:
        raise click.ClickException(tr("{task} is skipped already", task=task))
    if not write(config.place, lambda db: acts.skip(db, TaskId(task), actor(), now, reason)):
        raise click.ClickException(
            tr("{task} is not an open call task; see 'autodial why {task}'", task=task)
        )
    say(tr("{task}: not dialled any more; 'autodial skip {task} --undo' ends that", task=task))


@click.command()
@click.argument("task", type=NUMBER)
@click.argument("when_", metavar="WHEN")
@click.pass_obj
def postpone(path: Path, task: int, when_: str) -> None:
    """
    Call a task's client later: moves its deadline in the portal, as a person there would. WHEN:
    15:00, "fri 15:00", or 2026-11-27T15:00.
    """
    config, now = load(path), datetime.now(UTC)
    at = moment(when_, config, now)
    portal = portal_of(config)
    try:
        known = run_now(portal.task(task))
        if known is None:
            raise click.ClickException(tr("the portal shows no task {task}", task=task))
        stored = run_now(portal.move_deadline(known, at))
    except PortalError as error:
        raise click.ClickException(str(error)) from error
    write(config.place, lambda db: acts.postponed(db, TaskId(task), at, actor(), now))
    say(
        tr("{task}: due {when}; the next poll brings it", task=task,
           when=when(config, stored.moment or at))
    )  # fmt: skip


@click.command()
@click.argument("what")
@as_json
@click.pass_obj
def show(path: Path, what: str, as_json: bool) -> None:
    """Show the whole history of a task (8017) or of an attempt (t8017-3)."""
    config = load(path)
    number = "0" if is_test(what) else what.removeprefix("t").partition("-")[0]
    if not re.fullmatch("[0-9]{1,12}", number):
        raise click.ClickException(
            tr("{what} is neither a task (8017) nor an attempt (t8017-3)", what=what)
        )
    events = read(config, lambda db: story(db, int(number)))
    if "-" in what:
        events = [event for event in events if event.attempt == what]
    if not events:
        raise click.ClickException(tr("nothing is known of {what}", what=what))
    if as_json:
        return print_json(events)
    lines = read(config, lambda db: views.attempt_lines(db, task=int(number)))
    click.echo(tell(config, events, {line.id: line for line in lines}))
