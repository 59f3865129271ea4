"""
Do the three records agree? The far end has the calls, the portal its messages, the ledger
the outcome of each attempt. The records are independent.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from autodial.model.outcome import ANSWERED, NO_CONTACT, Outcome
from autodial.store import views
from autodial.store.events import ended_counts
from demo.pbx import Entry
from demo.rig import Rig
from tests.chaos.driver import Happened
from tests.chaos.faults import DATABASE
from tests.system import scene

#: The journal has whole seconds, and the clocks are one.
SECOND = timedelta(seconds=1)
#: Outcomes that need a report of Asterisk; without one the attempt is lost.
DEATH = frozenset({"asterisk_killed"})


@define
class Audit:
    """The result: figures, and each broken promise."""

    attempts: int = 0
    outcomes: Counter[str] = field(factory=Counter)
    rung: int = 0  #: INVITEs that reached a client's phone
    comments: int = 0  #: comments in the portal
    broken: list[str] = field(factory=list)

    def check(self, holds: object, what: str) -> None:
        if not holds:
            self.broken.append(what)


def audit(rig: Rig, happened: Sequence[Happened], others: Sequence[Rig] = ()) -> Audit:
    """Compare; to be called once everything has come to its end. ``others``: further nodes."""
    attempts = scene.attempts(rig)
    journal = [entry for one in (rig, *others) for entry in one.exchange.journal()]
    result = Audit(len(attempts), Counter(str(a.outcome) for a in attempts))
    _ledger(result, rig, attempts)
    _clients(result, attempts, [e for e in journal if e.kind == "client"])
    _operators(result, attempts, [e for e in journal if e.kind == "operator"])
    _lost(result, attempts, happened, {e.attempt for e in journal if e.kind == "operator"})
    _portal(result, rig, attempts)
    return result


def _ledger(result: Audit, rig: Rig, attempts: Sequence[views.AttemptLine]) -> None:
    ends = scene.read(rig, ended_counts)
    for attempt in attempts:
        result.check(attempt.outcome, f"{attempt.id} is stuck: {attempt.state}")
        result.check(ends[attempt.id] == 1, f"{attempt.id} ended {ends[attempt.id]} times")
    left = scene.read(rig, views.undelivered)
    result.check(not left, f"the portal is still owed {len(left)} things: {left[:3]}")
    held = [o for o in scene.read(rig, views.operator_lines) if o.reserved_for]
    result.check(not held, f"operators are still reserved: {held}")


def _clients(
    result: Audit, attempts: Sequence[views.AttemptLine], invites: Sequence[Entry]
) -> None:
    """No client's phone rings without an attempt, and for each at most once over each carrier."""
    result.rung = len(invites)
    by_number: defaultdict[str, list[views.AttemptLine]] = defaultdict(list)
    for attempt in attempts:
        by_number[attempt.number[1:]].append(attempt)
    rung: Counter[tuple[str, str]] = Counter()
    for invite in invites:
        at = datetime.fromtimestamp(invite.at, tz=attempts[0].spooled_at.tzinfo)
        candidates = [a for a in by_number[invite.number] if a.spooled_at <= at + SECOND]
        if not candidates:
            result.broken.append(f"{invite.number} was rung at {at}, and no attempt was made")
            continue
        rung[candidates[-1].id, invite.task] += 1
    for (name, carrier), times in rung.items():
        result.check(times == 1, f"{name} was dialled {times} times over carrier {carrier}")
    dialled = {name for name, _ in rung}
    for attempt in attempts:
        if attempt.outcome == Outcome.WITHDRAWN.value:
            result.check(
                attempt.id not in dialled, f"{attempt.id} was withdrawn, and its phone rang"
            )
        if attempt.outcome == Outcome.TALKED.value:
            result.check(attempt.id in dialled, f"{attempt.id} was a talk with nobody")


def _operators(
    result: Audit, attempts: Sequence[views.AttemptLine], invites: Sequence[Entry]
) -> None:
    """A talk rang an operator, and an operator was rung only for an answered call."""
    outcome = {attempt.id: attempt.outcome for attempt in attempts}
    rang = {invite.attempt for invite in invites}
    for attempt in attempts:
        if attempt.outcome == Outcome.TALKED.value:
            result.check(attempt.id in rang, f"{attempt.id} was a talk, and no operator rang")
    answered = {one.value for one in ANSWERED} | {Outcome.LOST.value}
    for number in rang:
        result.check(
            outcome.get(number) in answered,
            f"{number} rang an operator, and the ledger says {outcome.get(number)}",
        )


def _lost(
    result: Audit,
    attempts: Sequence[views.AttemptLine],
    happened: Sequence[Happened],
    rang: Collection[str],
) -> None:
    """
    An attempt is lost only if Asterisk was killed before its report; or if the database's server
    went away at its claim, so that nobody knows whether that is committed: nobody was dialled then.
    """
    deaths = [one for one in happened if one.kind in DEATH]
    unsure = [one for one in happened if one.kind in DATABASE]
    for attempt in attempts:
        if attempt.outcome != Outcome.LOST.value or attempt.ended_at is None:
            continue
        excused = any(
            attempt.spooled_at <= one.ended and one.begun <= attempt.ended_at
            for one in (*deaths, *(() if attempt.id in rang else unsure))
        )
        result.check(excused, f"{attempt.id} is lost, and Asterisk was not killed")


def _portal(result: Audit, rig: Rig, attempts: Sequence[views.AttemptLine]) -> None:
    """Each outcome is reported to the portal once, in the order of the ends."""
    calls = Counter(row["EXTERNAL_CALL_ID"] for row in rig.portal.statistics)
    place: dict[str, int] = {}
    comments: Counter[str] = Counter()
    for task, rows in rig.portal.comments.items():
        for row in rows:
            for attempt in (a for a in attempts if a.task == task):
                if f"[{attempt.id}]" in row["POST_MESSAGE"]:
                    comments[attempt.id] += 1
                    place[attempt.id] = row["ID"]
    result.comments = sum(comments.values())
    for attempt in attempts:
        reported = attempt.outcome != Outcome.WITHDRAWN.value
        result.check(
            comments[attempt.id] == int(reported),
            f"{attempt.id} ({attempt.outcome}) has {comments[attempt.id]} comments",
        )
        contact = attempt.outcome not in {one.value for one in NO_CONTACT}
        wanted = (1,) if contact else (0, 1)  # a card that was shown is closed, too
        result.check(calls[attempt.id] in wanted, f"{attempt.id} has {calls[attempt.id]} calls")
    result.check(not rig.portal.calls, f"calls were never finished: {list(rig.portal.calls)[:3]}")
    by_task: defaultdict[int, list[views.AttemptLine]] = defaultdict(list)
    for attempt in attempts:
        if attempt.id in place:
            by_task[attempt.task].append(attempt)
    for group in by_task.values():
        order = [place[attempt.id] for attempt in group]
        result.check(order == sorted(order), f"told out of order: {[a.id for a in group]}")
