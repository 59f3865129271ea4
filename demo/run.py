"""
``autodial demo``: a live view of a complete run, then its results, then a verdict.

Only the people and the portal are simulated: a real Asterisk dials over real SIP, the portal is
reached over HTTP, and the dialler is the product, run as a process of its own.
"""

import os
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from autodial import texts
from autodial.cli.history import tell
from autodial.config.load import load
from autodial.model.outcome import NO_CONTACT, Outcome
from autodial.store import views
from autodial.store.database import read
from autodial.store.events import ended_counts, story
from demo.pbx import ExchangeError
from demo.rig import Rig, RigError, rig

T = TypeVar("T")

#: Extension -> what its phone does.
OPERATORS = {"101": "talks", "102": "talks", "103": "slow", "104": "misses"}
#: What the clients' phones do, in the order of the tasks (demo/far/extensions.conf).
FATES = (
    ("00", "talks"), ("40", "busy"), ("44", "rings out"), ("60", "trunk 1 down"),
    ("46", "never rings"), ("48", "rejected"), ("49", "declined"), ("50", "off"),
    ("52", "wrong number"), ("72", "hangs up while the operator rings"),
    ("70", "hangs up at once"), ("55", "congestion"), ("74", "talks, hangs up first"),
    ("53", "number changed"), ("01", "talks"), ("62", "trunk 1 down, busy"),
    ("56", "network failure"), ("02", "talks"), ("54", "number incomplete"), ("03", "talks"),
    ("41", "busy"), ("51", "off"), ("57", "not acceptable"), ("04", "talks"), ("45", "rings out"),
    ("05", "talks"),
)  # fmt: skip
#: Longest run, in seconds.
LONGEST = 170.0

_NAMES = (
    "Пётр Селезнёв", "ООО «Ромашка»", "Ольга Ким", "Айгуль Сафина", "Jean-Luc Müller",
    "Семён Дробышев", "ИП Чижов", "Мария-Антуанетта Константинопольская",
)  # fmt: skip


def run_demo(tasks: int, keep_logs: Path | None) -> int:
    """Run it; 0 if every attempt has exactly one outcome and every report was delivered."""
    console = Console(markup=False, emoji=False)
    # Ctrl-C and SIGTERM both stop everything that was started, even if SIGINT is ignored because a
    # script started us in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix=f"autodial24-demo-{os.getpid()}-") as directory:
            return _run(console, tasks, Path(directory), keep_logs)
    except (ExchangeError, RigError) as error:
        console.print(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; everything was stopped and removed")
        return 130


def _run(console: Console, tasks: int, directory: Path, keep_logs: Path | None) -> int:
    if not console.is_terminal:
        console.width = 150
    console.print("Booting two Asterisks: the PBX, and a far end with trunks and phones …")
    with rig(
        extensions=tuple(OPERATORS),
        directory=directory,
        keep_logs=keep_logs,
        operator_rings=1,
        operator_talks=3,
        overrides={"pace": {"calls_per_second": 2}},
    ) as running:
        for number, (extension, fate) in enumerate(OPERATORS.items(), 500):
            running.operator(number, extension, fate)
        fates = {}
        for number in range(tasks):
            fate, description = FATES[number % len(FATES)]
            task = running.task(
                fate,
                responsible=500 + number % len(OPERATORS),
                name=_NAMES[number % len(_NAMES)],
            )
            fates[task] = description
        console.print(
            f"PBX {running.exchange.pbx.cli('core show version').split(' built')[0]}, "
            f"{tasks} call tasks in the portal, {len(OPERATORS)} operators at their phones.\n"
            f"The portal's side, in a browser on this machine: {running.portal_page}\n"
        )
        running.start_dialler()
        password = secrets.token_urlsafe(9)
        running.start_board(manager=password)
        console.print(
            f"The board: {running.board_page}/ (manager, {password})\n"
            f"The same inside the portal, as its administrator: {running.application_page}\n"
        )
        started = time.monotonic()
        _watch(console, running, fates, tasks)
        return _tell(console, running, fates, time.monotonic() - started)


def _watch(console: Console, running: Rig, fates: dict[int, str], tasks: int) -> None:
    """The live view, until every attempt has ended and was reported."""
    printed: set[str] = set()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            attempts = _attempts(running)
            if console.is_terminal:
                live.update(_picture(running, attempts, fates))
            else:
                _print_new(console, attempts, fates, printed)
            if len({a.task for a in attempts}) == tasks and all(
                a.state == "reported" or a.outcome == "withdrawn" for a in attempts
            ):
                return
            if running.dialler is None or running.dialler.poll() is not None:
                raise RigError(f"the dialler stopped:\n{running.said()[-3000:]}")
            time.sleep(0.25)


class PlainCells(Table):
    """A table of plain text cells: no markup, no emoji codes, no links."""

    def add_row(self, *cells: object, **options: Any) -> None:
        """Converts cells that are not ``Text``."""
        converted = (
            cell if isinstance(cell, Text) else Text(texts.one_line(str(cell))) for cell in cells
        )
        super().add_row(*converted, **options)


def _print_new(
    console: Console,
    attempts: Sequence[views.AttemptLine],
    fates: dict[int, str],
    printed: set[str],
) -> None:
    """Without a terminal: a line for each attempt at its end."""
    for attempt in attempts:
        if attempt.outcome and attempt.id not in printed:
            printed.add(attempt.id)
            console.print(
                f"{attempt.id:<9} {attempt.number:<14} client {fates[attempt.task]:<34}"
                f" -> {attempt.outcome}"
            )


def _picture(running: Rig, attempts: Sequence[views.AttemptLine], fates: dict[int, str]) -> Group:
    people = PlainCells("operator", "phone does", "now", title="Call centre")
    for line in _read(running, views.operator_lines):
        people.add_row(
            f"{line.extension} {line.name}",
            OPERATORS.get(line.extension, ""),
            f"reserved for {line.reserved_for}" if line.reserved_for else "free",
        )
    calls = PlainCells(
        "attempt", "client", "client's phone", "number", "now", title="Last attempts"
    )
    for attempt in attempts[-14:]:
        colour = _colour(attempt.outcome)
        state = Text(attempt.outcome or attempt.state, style=colour)
        calls.add_row(attempt.id, attempt.client, fates[attempt.task], attempt.number, state)
    return Group(people, calls)


def _colour(outcome: str | None) -> str:
    if outcome is None:
        return "yellow"
    return "green" if outcome == Outcome.TALKED.value else "cyan"


def _tell(console: Console, running: Rig, fates: dict[int, str], seconds: float) -> int:
    """The history of one task, the totals, the portal's data, and the verdict."""
    config = load(running.config)
    attempts = _attempts(running)
    shown = next((a for a in attempts if a.outcome == "talked"), attempts[0] if attempts else None)
    if shown is not None:
        console.print(f"The story of task {shown.task}", style="bold")
        console.print(
            tell(
                config,
                _read(running, lambda db: story(db, shown.task)),
                {attempt.id: attempt for attempt in attempts},
            ),
            highlight=False,
        )
        console.print()
    _totals(console, attempts, seconds)
    _portal_table(console, running, fates, config.hours.zone)
    running.stop_dialler()
    faults = _faults(running, attempts, fates)
    for fault in faults:
        console.print(f"FAULT: {fault}", style="red")
    if not faults:
        console.print(
            f"{len(attempts)} attempts, {len(attempts)} outcomes, every report delivered.",
            style="bold green",
        )
    return 1 if faults else 0


def _totals(console: Console, attempts: Sequence[views.AttemptLine], seconds: float) -> None:
    counts = Counter(attempt.outcome or "no outcome" for attempt in attempts)
    table = PlainCells("outcome", "attempts", title=f"Totals after {seconds:.0f} s")
    for outcome, count in counts.most_common():
        table.add_row(outcome, str(count))
    console.print(table)


def _portal_table(console: Console, running: Rig, fates: dict[int, str], zone: str) -> None:
    portal = running.portal
    table = PlainCells(
        "task", "client's phone", "deadline now", "responsible", "calls", "last comment",
        title="What the portal holds now",
    )  # fmt: skip
    for number, fate in fates.items():
        task = portal.tasks[number]
        user = portal.users[task["RESPONSIBLE_ID"]]
        calls = [row for row in portal.statistics if _task_of(row["EXTERNAL_CALL_ID"]) == number]
        comments = portal.comments.get(number, [])
        deadline: datetime = task["DEADLINE"].astimezone(ZoneInfo(zone))
        table.add_row(
            str(number),
            fate,
            f"{deadline:%d.%m. %H:%M}",
            user["UF_PHONE_INNER"],
            ", ".join(f"{row['CALL_DURATION']} s ({row['CALL_FAILED_CODE']})" for row in calls),
            comments[-1]["POST_MESSAGE"] if comments else "-",
        )
    console.print(table)


def _faults(
    running: Rig, attempts: Sequence[views.AttemptLine], fates: dict[int, str]
) -> list[str]:
    """Errors of the run: missing outcomes and reports, and things left over."""
    faults = []
    portal = running.portal
    for task in sorted(set(fates) - {attempt.task for attempt in attempts}):
        faults.append(f"task {task} was never dialled")
    ends = _read(running, ended_counts)
    before: dict[int, Outcome] = {}
    for attempt in attempts:
        outcomes = ends[attempt.id]
        if attempt.outcome is None or outcomes != 1:
            faults.append(f"{attempt.id} has {outcomes} outcomes")
            continue
        outcome = Outcome(attempt.outcome)
        comments = [
            row for row in portal.comments.get(attempt.task, [])
            if f"[{attempt.id}]" in row["POST_MESSAGE"]
        ]  # fmt: skip
        calls = [row for row in portal.statistics if row["EXTERNAL_CALL_ID"] == attempt.id]
        # No comment is written if a call ends as the one before it.
        wanted = {0, 1} if before.get(attempt.task) is outcome else {1}
        before[attempt.task] = outcome
        if outcome is not Outcome.WITHDRAWN and len(comments) not in wanted:
            faults.append(f"{attempt.id} has {len(comments)} comments in the portal")
        if len(calls) != int(outcome not in NO_CONTACT):
            faults.append(f"{attempt.id} ({outcome.value}) has {len(calls)} calls in the portal")
    if portal.calls:
        faults.append(f"{len(portal.calls)} calls were never finished in the portal")
    if left := list(running.exchange.spool.glob("*.call")):
        faults.append(f"{len(left)} call files were left in the spool")
    if up := running.exchange.channels():
        faults.append(f"{up} channels are still up")
    return faults


def _task_of(attempt: str) -> int:
    return int(attempt.removeprefix("t").partition("-")[0])


def _attempts(running: Rig) -> list[views.AttemptLine]:
    return _read(running, views.attempt_lines)


def _read(running: Rig, question: Callable[[sa.Connection], T]) -> T:
    return read(running.store, question)
