"""The command ``status``."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD

from autodial.cli import status_queries
from autodial.cli.options import as_json
from autodial.cli.output import PlainTable, print_json, read, say, show_table, when, words
from autodial.config.load import load
from autodial.config.settings import Config
from autodial.rules.pacing import Answers


@click.command()
@as_json
@click.pass_obj
def status(path: Path, as_json: bool) -> None:
    """Show the state: does it run, who is there, and why tasks wait."""
    config, now = load(path), datetime.now(UTC)
    state = read(config, lambda db: status_queries.status(db, config, now))
    if as_json:
        return print_json([state])
    if state.running:
        say("the dialler runs" + ("" if state.pbx else ", without Asterisk's manager"))
    else:
        say(f"the dialler does not run; last seen {when(config, state.seen)}")
    if state.stalled is not None:
        say(f"STALLED: tasks due, operators free, nothing dialled ({when(config, state.stalled)})")
    say(
        f"{state.calls} calls in flight, operators: {state.at_work} at work, {state.free} free, "
        f"{state.paused} paused"
    )
    for purpose in state.paused_purposes:
        say(f"purpose {purpose}: paused")
    if state.changed is not None and state.running:
        say(
            f"{path} has changed and was not reloaded: 'autodial reload'"
            f" ({when(config, state.changed)})"
        )
    say(f"since {when(config, now - config.pace.abandoned_over)}: {_rates(config, state.answers)}")
    for purpose, answers in sorted(state.by_purpose.items()):
        say(f"  {purpose or 'no purpose'}: {_rates(config, answers)}")
    table = PlainTable("tasks", "reason", "", box=SIMPLE_HEAD, pad_edge=False)
    for reason, count in state.funnel:
        table.add_row(str(count), reason, words(config, reason))
    show_table(table)


def _rates(config: Config, answers: Answers) -> str:
    """Both rates, and the cap at the rate it applies to."""
    cap = f", cap {config.pace.abandoned_cap:.1%}"
    soon = config.pace.pacing.in_two_seconds
    return (
        f"of {answers.answered} answered calls {answers.abandoned} found nobody"
        f" ({answers.rate:.1%}{'' if soon else cap}), {answers.late} had no operator within two"
        f" seconds ({answers.late_rate:.1%}{cap if soon else ''})"
    )
