"""
The dial decision: for a task at a moment, dial, wait or drop, and why.

Pure: facts come in, a decision goes out, ``now`` is an argument. The order of the rules is the
order in which people want to hear the reason: what is wrong with the task first, then the clock,
then who is at work, then our own limits.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from attrs import frozen

from autodial.hours import Hours
from autodial.model import CallTask, Operator, OperatorId, Phone

#: Look again after this long when nothing says when it will change.
SOON = timedelta(seconds=5)
LATER = timedelta(minutes=1)


class Reason(Enum):
    """Why a task is not dialled now. Values are keys of the catalogue."""

    CLOSED = "closed"
    NO_PHONE = "no phone"
    DO_NOT_CALL = "do not call"
    NO_DEADLINE = "no deadline"
    FINISHED = "finished"
    IN_PROGRESS = "in progress"
    NOT_DUE = "not due"
    PAUSED = "paused"
    HOURS = "hours"
    RULES_UNREADABLE = "rules unreadable"
    PORTAL_SILENT = "portal silent"
    PBX_SILENT = "pbx silent"
    NOBODY_AT_WORK = "nobody at work"
    OPERATORS_BUSY = "operators busy"
    TRUNKS_FULL = "trunks full"
    PACE = "pace"


@frozen
class Dial:
    """Dial this phone for this operator now, over these carriers in order."""

    phone: Phone
    operator: Operator
    trunks: tuple[str, ...]


@frozen
class Wait:
    """Not now; look again at ``until``."""

    reason: Reason
    until: datetime


@frozen
class Drop:
    """Not until somebody changes the task."""

    reason: Reason


Decision = Dial | Wait | Drop


@frozen(kw_only=True)
class Facts:
    """What the decision may know, besides the task."""

    operators: tuple[Operator, ...]
    deputies: Mapping[OperatorId, Sequence[OperatorId]]
    do_not_call: frozenset[str] | None  #: None: the list cannot be read
    hours: Hours
    portal_ok: bool
    pbx_ok: bool
    paused: bool
    calls: int  #: under way now
    max_calls: int
    trunks: tuple[str, ...]  #: with a free line, in order of preference
    next_start: datetime | None  #: when the pace allows the next call; None: now


def decide(task: CallTask, facts: Facts, now: datetime) -> Decision:
    """Dial, wait or drop."""
    return about_task(task) or about_time(task, facts, now) or about_means(task, facts, now)


def about_task(task: CallTask) -> Drop | None:
    """What is wrong with the task itself; None: nothing."""
    if not task.open:
        return Drop(Reason.CLOSED)
    if task.halted:
        return Drop(Reason.FINISHED)
    if not task.phones:
        return Drop(Reason.NO_PHONE)
    if task.due is None:
        return Drop(Reason.NO_DEADLINE)
    return None


def about_time(task: CallTask, facts: Facts, now: datetime) -> Wait | None:
    """What speaks against calling now, whoever is at work; None: nothing."""
    assert task.due is not None
    if task.in_progress:
        return Wait(Reason.IN_PROGRESS, now + LATER)
    if task.due > now:
        return Wait(Reason.NOT_DUE, task.due)
    if facts.paused:
        return Wait(Reason.PAUSED, now + LATER)
    if facts.do_not_call is None:
        return Wait(Reason.RULES_UNREADABLE, now + LATER)
    if not _allowed(task, facts.do_not_call):
        return Wait(Reason.DO_NOT_CALL, now + LATER)  # until he is taken off the list
    opens = facts.hours.opens(now)
    if opens is not None:
        return Wait(Reason.HOURS, opens)
    return None


def about_means(task: CallTask, facts: Facts, now: datetime) -> Decision:
    """Who and what is there to make the call with."""
    if not facts.portal_ok:
        return Wait(Reason.PORTAL_SILENT, now + LATER)
    if not facts.pbx_ok:
        return Wait(Reason.PBX_SILENT, now + SOON)
    if not any(operator.at_work for operator in facts.operators):
        return Wait(Reason.NOBODY_AT_WORK, now + SOON)
    operator = next(
        (o for o in in_order(task.responsible, facts.operators, facts.deputies) if o.free), None
    )
    if operator is None:
        return Wait(Reason.OPERATORS_BUSY, now + SOON)
    if facts.calls >= facts.max_calls or not facts.trunks:
        return Wait(Reason.TRUNKS_FULL, now + SOON)
    if facts.next_start is not None and facts.next_start > now:
        return Wait(Reason.PACE, facts.next_start)
    phones = _allowed(task, facts.do_not_call or frozenset())
    return Dial(phones[task.attempts % len(phones)], operator, facts.trunks)


def in_order(
    responsible: OperatorId,
    operators: Sequence[Operator],
    deputies: Mapping[OperatorId, Sequence[OperatorId]],
) -> tuple[Operator, ...]:
    """Whom to ring, first to last: the responsible, his deputies, anybody at work."""
    known = {operator.id: operator for operator in operators}
    first = [responsible, *deputies.get(responsible, ())]
    others = [operator.id for operator in operators if operator.id not in first]
    found = [known[number] for number in [*first, *others] if number in known]
    return tuple(operator for operator in found if operator.at_work)


def _allowed(task: CallTask, do_not_call: frozenset[str]) -> tuple[Phone, ...]:
    return tuple(phone for phone in task.phones if phone.number not in do_not_call)
