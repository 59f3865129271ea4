"""Commands about tasks: ``tasks``, ``why``, ``show``, ``call-now``."""

import re
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD

from autodial.cli import status_queries
from autodial.cli.options import NUMBER, as_json
from autodial.cli.output import PlainTable, print_json, read, say, show_table, tell, when, words
from autodial.config.load import load
from autodial.config.settings import Config
from autodial.model.ids import TaskId
from autodial.model.outcome import Outcome
from autodial.rules.dial_facts import Dial, Wait
from autodial.store import views
from autodial.store.database import write
from autodial.store.events import story
from autodial.store.tasks import confirm

#: Rows per page of a long list.
PAGE = 100


@click.command("tasks")
@click.option("--all", "every", is_flag=True, help="Include closed tasks, newest first.")
@click.option(
    "--page", default=1, show_default=True, type=click.IntRange(1, 10**6),
    help=f"Of --all: {PAGE} at once.",
)  # fmt: skip
@as_json
@click.pass_obj
def tasks_(path: Path, every: bool, page: int, as_json: bool) -> None:
    """List the open call tasks: when each is due, and its last outcome."""
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


@click.command()
@click.argument("task", type=NUMBER, required=False)
@click.option("--operator", help="Instead of a task: an operator's extension.")
@as_json
@click.pass_obj
def why(path: Path, task: int | None, operator: str | None, as_json: bool) -> None:
    """Show why a task is, or is not, being dialled; or why an operator gets no calls."""
    config, now = load(path), datetime.now(UTC)
    if (task is None) == (operator is None):
        raise click.UsageError("name a task, or --operator EXTENSION")
    if operator is not None:
        return _why_operator(config, operator, now, as_json)
    assert task is not None
    explanation = read(config, lambda db: status_queries.why(db, config, TaskId(task), now))
    if explanation is None:
        raise click.ClickException(f"{task} is not a known call task")
    if as_json:
        return print_json([explanation])
    tell_why(config, explanation, now)
    for number in read(config, lambda db: views.number_lines(db, task)):
        extension = f" ext. {number.dtmf}" if number.dtmf else ""
        refused = f": not dialled, {words(config, number.refused)}" if number.refused else ""
        say(f"  {number.number}{extension}  {number.client}{refused}")


def tell_why(config: Config, explanation: status_queries.Why, now: datetime) -> None:
    """The rules passed, the one that prevents the call, when it is checked again, the remedy."""
    task, decision = explanation.task, explanation.decision
    refusal = None if isinstance(decision, Dial) else decision
    reason = words(config, refusal.reason.value if refusal else "dial")
    say(f"{task.id} {task.title}: {reason}")
    if task.closed_reason:
        say(f"  {words(config, task.closed_reason)}")
    say(f"  due {when(config, task.due)}, {task.attempts} attempts so far")
    if isinstance(refusal, Wait):
        say(f"  looked at again {when(config, refusal.until)}")
    if refusal is not None:
        bad = task.closed_reason == Outcome.BAD_NUMBER.value
        key = f"change.{task.closed_reason if bad else refusal.reason.value}"
        say(f"  {words(config, 'change')}: {words(config, key)}")
    if not explanation.running:
        say(f"  the dialler does not run; last seen {when(config, explanation.seen)}")
    table = PlainTable("", "rule", "number", "until", box=SIMPLE_HEAD, pad_edge=False)
    for rule in explanation.looks:
        mark = "+" if rule.refusal is None else "-"
        until = rule.refusal.until if isinstance(rule.refusal, Wait) else None
        table.add_row(mark, rule.reason.value, rule.detail, when(config, until) if until else "")
    show_table(table)


def _why_operator(config: Config, extension: str, now: datetime, as_json: bool) -> None:
    staff = read(config, lambda db: status_queries.operators(db, config, now))
    operator = next((member for member in staff if member.extension == extension), None)
    if operator is None:
        raise click.ClickException(f"nobody of the staff has the extension {extension}")
    if as_json:
        return print_json([operator])
    state = words(config, f"operator.{operator.state(now)}")
    say(f"{operator.name} ({operator.extension}): {state}")
    if operator.reserved_for:
        say(f"  for {operator.reserved_for}")
    if operator.wraps_until and operator.wraps_until > now:
        say(f"  until {when(config, operator.wraps_until)}")
    waiting = read(config, lambda db: status_queries.due_tasks_of(db, operator.id, now))
    table = PlainTable("task", "client", "due", "why it waits", box=SIMPLE_HEAD, pad_edge=False)
    for line in waiting:
        reason = words(config, line.reason)
        table.add_row(str(line.id), line.client, when(config, line.due), reason)
    show_table(table)


@click.command("call-now")
@click.argument("task", type=NUMBER)
@click.pass_obj
def call_now(path: Path, task: int) -> None:
    """Confirm a task that waits for confirmation, and make it due now."""
    config = load(path)
    read(config, lambda db: None)
    if not write(config.store.path, lambda db: confirm(db, TaskId(task), datetime.now(UTC))):
        raise click.ClickException(f"{task} is not an open call task; see 'autodial why {task}'")
    say(f"{task}: due now; the other rules still hold ('autodial why {task}')")


@click.command()
@click.argument("what")
@as_json
@click.pass_obj
def show(path: Path, what: str, as_json: bool) -> None:
    """Show the whole history of a task (8017) or of an attempt (t8017-3)."""
    config = load(path)
    number = what.removeprefix("t").partition("-")[0]
    if not re.fullmatch("[0-9]{1,12}", number):
        raise click.ClickException(f"{what} is neither a task (8017) nor an attempt (t8017-3)")
    events = read(config, lambda db: story(db, int(number)))
    if "-" in what:
        events = [event for event in events if event.attempt == what]
    if not events:
        raise click.ClickException(f"nothing is known of {what}")
    if as_json:
        return print_json(events)
    click.echo(tell(config, events))
