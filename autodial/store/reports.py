"""The calls that a report or the history of a client is made of. Read only."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.model.outcome import Outcome
from autodial.rules.report import EndedCall, Tally
from autodial.rules.work_times import Change, WorkTime, work_times
from autodial.store.schema import attempts, do_not_call, external_calls, operators, presence, tasks
from autodial.store.tasks import SKIPPED
from autodial.store.views import LEASE

#: Whose call it is: who took it, or was chosen for it. (No index knows it: calls are found by their
#: time. By the one of ``taken_by`` SQLite would go through all calls that nobody took.)
_HIS = sa.func.coalesce(attempts.c.taken_by, attempts.c.operator)
#: Reasons why a task is finished that are no failure.
_OVER_BY_PEOPLE = frozenset({SKIPPED, Outcome.TALKED.value})


def ended_between(
    db: sa.Connection, start: datetime, end: datetime, operator: OperatorId | None = None
) -> Iterator[EndedCall]:
    """
    The calls that began in ``[start, end)`` and have ended, in no order. ``operator``: only those
    that he took, or was chosen for.
    """
    query = (
        sa.select(attempts, operators.c.name)
        .outerjoin(operators, operators.c.id == attempts.c.taken_by)
        .where(
            attempts.c.spooled_at >= start - LEASE, attempts.c.spooled_at < end,
            attempts.c.claimed_at >= start, attempts.c.claimed_at < end,
            attempts.c.outcome.is_not(None),
        )
    )  # fmt: skip
    if operator is not None:
        query = query.where(_HIS == operator)
    for row in db.execute(query):
        report = row.report or {}
        answered, talked = report.get("answered"), report.get("talked")
        wait = None
        if answered and talked:
            passed = datetime.fromisoformat(talked) - datetime.fromisoformat(answered)
            wait = passed.total_seconds()
        cause = str(report.get("cause") or "")
        yield EndedCall(
            begun=row.claimed_at,
            outcome=Outcome(row.outcome),
            purpose=row.purpose,
            n=row.n,
            operator_id=row.taken_by or (row.operator if row.reserved else 0),
            trunk=report.get("trunk") or "",
            cause=int(cause) if cause.isdigit() else 0,
            operator=row.name or report.get("operator") or "",
            talk_seconds=row.talk_seconds or 0,
            wait_seconds=wait,
            abandoned=bool(row.abandoned),
        )


def work_times_between(
    db: sa.Connection,
    tallies: Mapping[str, Tally],
    start: datetime,
    end: datetime,
    operator: OperatorId | None = None,
) -> list[WorkTime]:
    """
    How the staff of now spent a time; ``tallies``: of each person's calls then (``By.PERSON``);
    ``end``: not after now; ``operator``: of him alone.
    """
    staff = sa.select(operators.c.id, operators.c.name, operators.c.extension)
    if operator is not None:
        staff = staff.where(operators.c.id == operator)
    people = {OperatorId(row.id): (row.name, row.extension) for row in db.execute(staff)}
    kinds = presence.c.kind.in_(("came", "left"))
    last = (
        sa.select(presence.c.kind)
        .where(kinds, presence.c.operator == operators.c.id, presence.c.at < start)
        .order_by(presence.c.at.desc(), presence.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    just_before = start - timedelta(microseconds=1)
    changes = [
        Change(operator=OperatorId(row.id), at=just_before, came=True)
        for row in db.execute(sa.select(operators.c.id, last.label("kind")))
        if row.kind == "came"
    ]
    query = sa.select(presence).where(kinds, presence.c.at >= start, presence.c.at < end)
    if operator is not None:
        query = query.where(presence.c.operator == operator)
    changes += [
        Change(operator=OperatorId(row.operator), at=row.at, came=row.kind == "came")
        for row in db.execute(query.order_by(presence.c.at, presence.c.id))
    ]
    return work_times(people, changes, tallies, start, end)


@frozen(kw_only=True)
class TaskCounts:
    """What became of the tasks that were dialled in a time."""

    dialled: int
    finished: int  #: a talk, or the operator's or a person's word
    given_up: int  #: no number is left to try
    put_off: int  #: open, to be called again
    attempts_to_talk: float | None  #: the mean number of the call that was the talk


def task_counts(db: sa.Connection, start: datetime, end: datetime) -> TaskCounts:
    """By the tasks' state of now."""
    within = (attempts.c.claimed_at >= start) & (attempts.c.claimed_at < end)
    recent = (attempts.c.spooled_at >= start - LEASE) & (attempts.c.spooled_at < end)
    dialled = sa.select(attempts.c.task).where(within, recent).distinct().subquery()
    states = sa.select(tasks.c.closed_reason, tasks.c.open, sa.func.count()).where(
        tasks.c.id.in_(sa.select(dialled.c.task))
    )
    counts = {"finished": 0, "given_up": 0, "put_off": 0}
    for reason, listed, count in db.execute(states.group_by(tasks.c.closed_reason, tasks.c.open)):
        if not reason and listed:
            counts["put_off"] += count
        elif reason in _OVER_BY_PEOPLE or not reason:
            counts["finished"] += count
        else:
            counts["given_up"] += count
    talked = attempts.c.outcome == Outcome.TALKED.value
    mean = db.scalar(sa.select(sa.func.avg(attempts.c.n)).where(within, recent, talked))
    return TaskCounts(
        dialled=sum(counts.values()),
        attempts_to_talk=None if mean is None else float(mean),
        **counts,
    )


@frozen(kw_only=True)
class ClientCall:
    """One call to a client, ours or another of the portal's statistics."""

    at: datetime
    number: str
    client: str
    task: int | None  #: None: not the dialler's call
    attempt: str
    operator: str
    outcome: str  #: or the state of a call in flight; empty: not the dialler's
    talk_seconds: int | None
    abandoned: bool = False


_ENTITIES = sa.select(attempts.c.entity_type, attempts.c.entity_id).distinct()


def calls_of_number(db: sa.Connection, number: str) -> list[ClientCall]:
    """
    All calls to whoever has this number, over all tasks, numbers of the same client included; the
    latest first.
    """
    owners = db.execute(_ENTITIES.where(attempts.c.number == number)).all()
    ours = attempts.c.number == number
    others = external_calls.c.number == number
    for owner in owners:
        if owner.entity_id:
            ours |= (attempts.c.entity_id == owner.entity_id) & (
                attempts.c.entity_type == owner.entity_type
            )
            others |= (external_calls.c.entity_id == owner.entity_id) & (
                external_calls.c.entity_type == owner.entity_type
            )
    return _calls(db, ours, others)


def calls_between(
    db: sa.Connection,
    start: datetime,
    end: datetime,
    *,
    abandoned: bool = False,
    most: int | None = None,
) -> list[ClientCall]:
    """
    The dialler's calls that were begun in ``[start, end)``, the latest first. ``abandoned``: only
    those; ``most``: only so many.
    """
    which = (attempts.c.spooled_at >= start) & (attempts.c.spooled_at < end)
    if abandoned:
        which &= attempts.c.abandoned == 1
    return _calls(db, which, None, most)


def calls_of_operator(
    db: sa.Connection, operator: OperatorId, start: datetime, end: datetime
) -> list[ClientCall]:
    """The calls of a time that he took, or was reserved for and nobody took; the latest first."""
    nobody_s = (attempts.c.reserved == 1) & (
        attempts.c.outcome.is_(None) | (attempts.c.outcome == Outcome.OPERATOR_MISSED.value)
    )
    his = (_HIS == operator) & (attempts.c.taken_by.is_not(None) | nobody_s)
    return _calls(db, his & (attempts.c.spooled_at >= start) & (attempts.c.spooled_at < end), None)


def calls_of_client(db: sa.Connection, part: str, since: datetime) -> list[ClientCall]:
    """The dialler's calls since a moment to clients whose name has this part, latest first."""
    found = _calls(db, attempts.c.spooled_at >= since, None)
    return [call for call in found if part.casefold() in call.client.casefold()]


def _calls(
    db: sa.Connection,
    ours: sa.ColumnElement[bool],
    others: sa.ColumnElement[bool] | None,
    most: int | None = None,
) -> list[ClientCall]:
    query = (
        sa.select(attempts, operators.c.name)
        .outerjoin(
            operators, operators.c.id == sa.func.coalesce(attempts.c.taken_by, attempts.c.operator)
        )
        .where(ours)
        .order_by(attempts.c.spooled_at.desc())
        .limit(most)
    )
    calls = [
        ClientCall(
            at=row.spooled_at,
            number=row.number,
            client=row.client,
            task=row.task,
            attempt=row.id,
            operator=row.name or "",
            outcome=row.outcome or row.state,
            talk_seconds=row.talk_seconds,
            abandoned=bool(row.abandoned),
        )
        for row in db.execute(query)
    ]
    if others is not None:
        outside = (
            sa.select(external_calls, operators.c.name)
            .outerjoin(operators, operators.c.id == external_calls.c.operator)
            .where(others)
        )
        calls += [
            ClientCall(
                at=row.at,
                number=row.number,
                client="",
                task=None,
                attempt="",
                operator=row.name or str(row.operator),
                outcome="",
                talk_seconds=None,
            )
            for row in db.execute(outside)
        ]
    return sorted(calls, key=lambda call: call.at, reverse=True)


def refused_since(db: sa.Connection, numbers: Sequence[str]) -> datetime | None:
    """When one of these numbers was put on the do-not-call list; None: it is not on it."""
    query = sa.select(sa.func.min(do_not_call.c.at)).where(do_not_call.c.number.in_(numbers))
    moment: datetime | None = db.scalar(query)
    return moment
