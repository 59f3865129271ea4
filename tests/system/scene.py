"""Queries and actions of the system tests on a running rig."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import TypeVar

import sqlalchemy as sa

from autodial.model.ids import OperatorId
from autodial.model.outcome import ANSWERED, NO_CONTACT, Outcome
from autodial.store import database, in_force, views
from autodial.store.events import ended_counts
from bitrix24.simulator.state import Row
from demo.pbx import Asterisk
from demo.rig import Rig

T = TypeVar("T")


def read(rig: Rig, question: Callable[[sa.Connection], T]) -> T:
    return database.read(rig.place, question)


def attempts(rig: Rig, task: int | None = None) -> list[views.AttemptLine]:
    return read(rig, lambda db: views.attempt_lines(db, task=task))


def state(rig: Rig, task: int) -> str:
    """State of the task's last attempt; empty if there is none."""
    lines = attempts(rig, task)
    return lines[-1].state if lines else ""


def outcome(rig: Rig, task: int) -> Outcome | None:
    """Outcome of the task's last attempt."""
    lines = attempts(rig, task)
    return Outcome(lines[-1].outcome) if lines and lines[-1].outcome else None


def wait_for_state(rig: Rig, task: int, *states: str) -> None:
    rig.wait(lambda: state(rig, task) in states, f"task {task} to be {' or '.join(states)}")


def wait_for_reports(rig: Rig, tasks: Collection[int], seconds: float = 120) -> None:
    """Wait until each task has been dialled and each attempt reported to the portal."""

    def reported() -> bool:
        lines = attempts(rig)
        done = {a.task for a in lines if a.state == "reported" or a.outcome == "withdrawn"}
        return set(tasks) <= done and all(a.outcome for a in lines) and not undelivered(rig)

    rig.wait(reported, "all reports", seconds)


def reasons(rig: Rig) -> Counter[str]:
    """How many open tasks wait, by reason."""
    return Counter(dict(read(rig, views.funnel)))


def paused(db: sa.Connection) -> frozenset[OperatorId]:
    """Who is paused now."""
    return in_force.paused(db, datetime.now(UTC))


def undelivered(rig: Rig) -> int:
    return sum(message.state in ("pending", "sending") for message in read(rig, views.messages))


def calls_of(rig: Rig, attempt: str) -> list[Row]:
    """The portal's finished calls of one attempt."""
    return [row for row in rig.portal.statistics if row["EXTERNAL_CALL_ID"] == attempt]


def comments_of(rig: Rig, attempt: views.AttemptLine) -> list[str]:
    texts = [row["POST_MESSAGE"] for row in rig.portal.comments.get(attempt.task, [])]
    return [text for text in texts if f"[{attempt.id}]" in text]


def dialled(rig: Rig) -> list[str]:
    """Numbers whose phones were rung, one entry for each INVITE that got to a carrier."""
    return [entry.number for entry in rig.exchange.journal() if entry.kind == "client"]


def assert_house_in_order(rig: Rig) -> None:
    """What must hold after any run."""
    ends = read(rig, ended_counts)
    owed = read(rig, views.messages)
    for attempt in attempts(rig):
        assert ends[attempt.id] == 1, f"{attempt.id} ended {ends[attempt.id]} times"
        assert attempt.outcome is not None
        commented = any(d.attempt == attempt.id and d.kind == "comment" for d in owed)
        assert commented or Outcome(attempt.outcome) not in ANSWERED
        assert int(commented) == len(comments_of(rig, attempt)), f"comments of {attempt.id}"
        registered = any(d.attempt == attempt.id and d.kind == "register" for d in owed)
        assert registered or Outcome(attempt.outcome) in NO_CONTACT
        assert int(registered) == len(calls_of(rig, attempt.id)), f"calls of {attempt.id}"
    assert rig.portal.calls == {}
    assert list(rig.exchange.spool.glob("*.call")) == []
    assert rig.exchange.channels() == 0
    assert [o for o in read(rig, views.operator_lines) if o.reserved_for] == []


def staff(rig: Rig, **fates: str) -> None:
    """Put exactly these operators to work: ``e101="busy"`` is extension 101, user 501."""
    with rig.portal.lock:
        for number in set(rig.portal.users) - {rig.portal.user_id}:
            del rig.portal.users[number]
    for name, fate in fates.items():
        rig.operator(400 + int(name[1:]), name[1:], fate)
    wanted = sorted(name[1:] for name in fates)
    rig.wait(
        lambda: wanted == [o.extension for o in read(rig, views.operator_lines) if o.online],
        f"{wanted} to be at work",
    )


def autodial(rig: Rig, *words: str) -> str:
    """Run a command of the product beside the running dialler."""
    done = subprocess.run(
        [sys.executable, "-m", "autodial", "--config", str(rig.config), *words],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def wait_for_ringing(rig: Rig, number: int) -> None:
    """Wait until the phone of this task's client rings."""
    wait_for_state(rig, number, "claimed")
    dialled_number = attempts(rig, number)[-1].number[1:]
    rig.wait(lambda: dialled_number in dialled(rig), "the client's phone to ring")


def wait_for_talk(rig: Rig, extension: str) -> None:
    """Wait until this operator's phone is in a call."""
    rig.wait(
        lambda: (
            f"PJSIP/{extension}-" in rig.exchange.pbx.cli("core show channels concise")
            and "!Up!" in _line(rig, extension)
        ),
        f"{extension} to talk",
    )


def _line(rig: Rig, extension: str) -> str:
    rows = rig.exchange.pbx.cli("core show channels concise").splitlines()
    return next((row for row in rows if row.startswith(f"PJSIP/{extension}-")), "")


def add_dialplan(pbx: Asterisk, name: str, text: str) -> None:
    """A site's own piece of dialplan, included as ``autodial-<name>.conf``."""
    place = pbx.outside / "etc/autodial.d"
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    (place / f"autodial-{name}.conf").write_text(text)
    pbx.cli("dialplan reload")
