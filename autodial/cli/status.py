"""The command ``status``."""

from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import click

from autodial.cli.language import tr
from autodial.cli.options import as_json, load
from autodial.cli.output import PlainTable, print_json, read, say, show_table, when, words
from autodial.config.settings import Config
from autodial.engine import status_queries
from autodial.rules.pacing import Answers
from autodial.store import pauses

#: Seconds between two looks of --watch.
WATCH = 2.0


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@as_json
@click.pass_obj
def status(path: Path, watch: bool, as_json: bool) -> None:
    """Show the state: does it run, who is there, and why tasks wait."""
    config = load(path)
    while True:
        now = datetime.now(UTC)
        state = _state(config, now)
        if as_json:
            print_json([state])
        else:
            if watch:
                click.clear()
            _show(path, config, state, now)
        if not watch:
            return
        try:
            sleep(WATCH)
        except KeyboardInterrupt:
            return


def _pause(config: Config, pause: pauses.Pause | None) -> str:
    why = f" ({pause.why})" if pause is not None and pause.why else ""
    if pause is not None and pause.until is not None:
        until = when(config, pause.until)
        return tr("PAUSED for everybody until {when}, or 'autodial resume'", when=until) + why
    return tr("PAUSED for everybody: nobody is dialled until 'autodial resume'") + why


def _state(config: Config, now: datetime) -> status_queries.Status:
    return read(config, lambda db: status_queries.status(db, config, now))


def _show(path: Path, config: Config, state: status_queries.Status, now: datetime) -> None:
    if not state.running:
        say(tr("the dialler does not run; last seen {when}", when=when(config, state.seen)))
    elif state.pbx:
        say(tr("the dialler runs"))
    else:
        say(tr("the dialler runs, without Asterisk's manager"))
    if state.everybody_paused:
        say(_pause(config, state.pause))
    if state.stalled is not None:
        at = when(config, state.stalled)
        say(tr("STALLED: tasks due, operators free, nothing dialled ({when})", when=at))
    say(
        tr(
            "{calls} calls in flight, operators: {at_work} at work, {free} free, {paused} paused",
            calls=state.calls, at_work=state.at_work, free=state.free, paused=state.paused,
        )
    )  # fmt: skip
    for purpose in state.paused_purposes:
        say(tr("purpose {purpose}: paused", purpose=purpose))
    if state.changed is not None and state.running:
        say(
            tr(
                "{path} has changed and was not reloaded: 'autodial reload' ({when})",
                path=path, when=when(config, state.changed),
            )
        )  # fmt: skip
    since = when(config, now - config.pace.abandoned_over)
    say(tr("since {when}: {rates}", when=since, rates=_rates(config, state.answers)))
    for purpose, answers in sorted(state.by_purpose.items()):
        say(f"  {purpose or tr('no purpose')}: {_rates(config, answers)}")
    table = PlainTable("tasks", "reason")
    for reason, count in state.funnel:
        table.add_row(str(count), words(reason))
    show_table(table)


def _rates(config: Config, answers: Answers) -> str:
    """Both rates, and the cap at the rate it applies to."""
    cap = ", " + tr("cap {share}", share=f"{config.pace.abandoned_cap:.1%}")
    soon = config.pace.pacing.in_two_seconds
    return tr(
        "of {answered} answered calls {abandoned} found nobody ({rate}), {late} had no operator"
        " within two seconds ({late_rate})",
        answered=answers.answered, abandoned=answers.abandoned, late=answers.late,
        rate=f"{answers.rate:.1%}{'' if soon else cap}",
        late_rate=f"{answers.late_rate:.1%}{cap if soon else ''}",
    )  # fmt: skip
