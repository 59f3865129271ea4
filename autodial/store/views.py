"""Lists and totals for the command line. Read only."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ended_call import Call
from autodial.model.ids import OperatorId
from autodial.model.outcome import Outcome
from autodial.store.flags import forwards
from autodial.store.locks import reads
from autodial.store.schema import (
    DEAD,
    IN_FLIGHT,
    LISTED,
    UNDELIVERED,
    attempts,
    flags,
    holds,
    operators,
    outbox,
    phones,
    refused,
    reservations,
    tasks,
)


@frozen(kw_only=True)
class TaskLine:
    """One row of ``autodial tasks``."""

    id: int
    title: str
    client: str
    due: datetime | None
    open: bool
    reason: str
    attempts: int
    last: str | None  #: outcome of the last attempt, or its state while it is in flight
    responsible: str


@frozen(kw_only=True)
class AttemptLine:
    """One attempt, as ``autodial show`` prints it."""

    id: str
    task: int
    number: str
    client: str
    operator: str
    state: str
    outcome: str | None
    spooled_at: datetime
    ended_at: datetime | None
    report: dict[str, str]
    talk_seconds: int | None
    taken_by: str | None


@frozen(kw_only=True)
class OperatorLine:
    """One row of ``autodial operators``."""

    id: int
    name: str
    extension: str
    online: bool
    last_login: datetime | None
    last_activity: datetime | None
    last_logout: datetime | None  #: in the portal's event log
    last_left: datetime | None  #: when a poll found the operator inactive
    watched: datetime | None  #: since when logouts are read; None: they are not read
    since: datetime | None  #: since when the staff is polled at all
    working_day: str | None
    phone: str | None  #: Asterisk's device state; None: Asterisk is not connected
    seen: datetime
    reserved_for: str | None
    talked: int  #: talks since the requested moment
    forwards: datetime | None = None  #: when the phone last forwarded a call; None: it rings


@frozen(kw_only=True)
class MessageLine:
    """One message to the portal."""

    id: int
    attempt: str
    kind: str
    state: str
    done_at: datetime | None
    error: str


#: From a call file's writing to the claim it takes seconds; at most so long.
LEASE = timedelta(days=1)


def calls(db: sa.Connection) -> list[Call]:
    """All calls that have ended, for a simulation."""
    return [call for _, call in _calls(db, sa.true())]


def calls_between(
    db: sa.Connection, start: datetime, end: datetime, most: int | None = None
) -> list[tuple[int, Call]]:
    """
    The calls claimed in ``[start, end)``, each with the number of its task; ``most``: only so many,
    the latest.
    """
    claimed = (attempts.c.claimed_at >= start) & (attempts.c.claimed_at < end)
    # (The index is of the moment just before it.)
    spooled = (attempts.c.spooled_at >= start - LEASE) & (attempts.c.spooled_at < end)
    return _calls(db, claimed & spooled, most)


def _calls(
    db: sa.Connection, which: sa.ColumnElement[bool], most: int | None = None
) -> list[tuple[int, Call]]:
    query = sa.select(
        attempts.c.task, attempts.c.outcome, attempts.c.claimed_at, attempts.c.answered_at,
        attempts.c.ended_at, attempts.c.report, attempts.c.talk_seconds,
    ).where(
        attempts.c.outcome.is_not(None), attempts.c.claimed_at.is_not(None), which
    )  # fmt: skip
    return [
        (
            row.task,
            Call(
                outcome=Outcome(row.outcome),
                claimed=row.claimed_at,
                answered=row.answered_at,
                talked=_moment(row.report, "talked"),
                ended=_moment(row.report, "ended") or row.ended_at,
                talk_seconds=row.talk_seconds,
            ),
        )
        for row in reversed(
            db.execute(query.order_by(attempts.c.spooled_at.desc()).limit(most)).all()
        )
    ]


def _moment(report: Mapping[str, str] | None, key: str) -> datetime | None:
    """A moment of a report, where it is stored as text."""
    text = (report or {}).get(key)
    return datetime.fromisoformat(text) if text else None


def tasks_of(db: sa.Connection, operator: int) -> list[TaskLine]:
    """The open tasks of one responsible operator, earliest due first."""
    query = _TASK_LINES.where(_LISTED, tasks.c.responsible == operator)
    return _task_lines(db, query.order_by(tasks.c.due, tasks.c.id))


@frozen(kw_only=True)
class LiveCall:
    """One call in flight."""

    attempt: str
    task: int
    client: str
    number: str
    operator: str  #: reserved for it, or who was rung
    state: str  #: spooled, claimed or answered
    since: datetime  #: of this state


def live_calls(db: sa.Connection) -> list[LiveCall]:
    """The calls in flight, the oldest first."""
    query = (
        sa.select(attempts, operators.c.name)
        .outerjoin(operators, operators.c.id == attempts.c.operator)
        .where(holds("attempts", IN_FLIGHT))
    )
    # (Sorted here: for a statement SQLite would go through all calls by the index of their times.)
    rows = sorted(db.execute(query), key=lambda row: (row.spooled_at, row.id))
    return [
        LiveCall(
            attempt=row.id,
            task=row.task,
            client=row.client,
            number=row.number,
            operator=row.name or "",
            state=row.state,
            since=row.answered_at or row.claimed_at or row.spooled_at,
        )
        for row in rows
    ]


def funnel(db: sa.Connection) -> list[tuple[str, int]]:
    """Open tasks counted by the reason for which they wait, largest count first."""
    reason = sa.case(
        (tasks.c.closed_reason != "", tasks.c.closed_reason),
        (tasks.c.reason == "", "new"),
        else_=tasks.c.reason,
    )
    count = sa.func.count()
    query = sa.select(reason, count).where(_LISTED).group_by(reason)
    return [(str(row[0]), int(row[1])) for row in db.execute(query.order_by(count.desc()))]


_LISTED = holds("tasks", LISTED)
_last = attempts.alias("last")
#: Counted for each task that is shown, not for all tasks.
_made = (
    sa.select(sa.func.count())
    .select_from(attempts)
    .where(attempts.c.task == tasks.c.id)
    .scalar_subquery()
)
_top = sa.select(sa.func.max(attempts.c.n)).where(attempts.c.task == tasks.c.id).scalar_subquery()
_TASK_LINES = (
    sa.select(
        tasks, _made.label("n"), _last.c.outcome, _last.c.state, phones.c.client, operators.c.name
    )
    .select_from(tasks)
    .outerjoin(_last, (_last.c.task == tasks.c.id) & (_last.c.n == _top))
    .outerjoin(phones, (phones.c.task == tasks.c.id) & (phones.c.position == 0))
    .outerjoin(operators, operators.c.id == tasks.c.responsible)
)


_having = phones.alias("having")


def task_lines(
    db: sa.Connection,
    *,
    late_at: datetime | None = None,
    responsible: int | None = None,
    number: str | None = None,
) -> list[TaskLine]:
    """
    The open tasks, earliest due first, those that need no more calls last. ``late_at``: only those
    that were due by then and still need a call; ``responsible``: of one operator; ``number``: whose
    client has this number, E.164.
    """
    query = _TASK_LINES.where(_LISTED)
    if late_at is not None:
        query = query.where(tasks.c.due <= late_at, tasks.c.closed_reason == "")
    if responsible is not None:
        query = query.where(tasks.c.responsible == responsible)
    if number is not None:
        query = query.where(
            tasks.c.id.in_(sa.select(_having.c.task).where(_having.c.number == number))
        )
    finished = sa.case((tasks.c.closed_reason == "", 0), else_=1)
    return _task_lines(db, query.order_by(finished, tasks.c.due, tasks.c.id))


def all_tasks(db: sa.Connection, limit: int, offset: int = 0) -> list[TaskLine]:
    """A page of all tasks, including closed ones, newest first."""
    return _task_lines(db, _TASK_LINES.order_by(tasks.c.id.desc()).limit(limit).offset(offset))


def _task_lines(db: sa.Connection, query: "sa.Select[Any]") -> list[TaskLine]:
    return [
        TaskLine(
            id=row.id,
            title=row.title,
            client=row.client or "",
            due=row.due,
            open=bool(row.open),
            reason=row.closed_reason or row.reason,
            attempts=row.n or 0,
            last=row.outcome or row.state,
            responsible=row.name or str(row.responsible),
        )
        for row in db.execute(query)
    ]


@frozen(kw_only=True)
class NumberLine:
    """One number of a task's clients, as ``autodial why`` prints it."""

    number: str
    client: str
    dtmf: str = ""
    refused: str = ""  #: why it is not dialled; a key of the catalogue


def number_lines(db: sa.Connection, task: int) -> list[NumberLine]:
    """The numbers of a task: those to try, in order, then those refused."""
    fit = sa.select(phones).where(phones.c.task == task).order_by(phones.c.position)
    unfit = sa.select(refused).where(refused.c.task == task).order_by(refused.c.position)
    return [
        NumberLine(number=row.number, client=row.client, dtmf=row.dtmf) for row in db.execute(fit)
    ] + [
        NumberLine(number=row.value, client=row.client, refused=row.reason)
        for row in db.execute(unfit)
    ]


def attempt_lines(
    db: sa.Connection, *, attempt: str | None = None, task: int | None = None
) -> list[AttemptLine]:
    """Attempts in the order they were made: all, one, or those of a task."""
    taker = operators.alias("taker")
    query = (
        sa.select(attempts, operators.c.name, taker.c.name.label("taker_name"))
        .outerjoin(operators, operators.c.id == attempts.c.operator)
        .outerjoin(taker, taker.c.id == attempts.c.taken_by)
        .order_by(attempts.c.spooled_at, attempts.c.id)
    )
    if attempt is not None:
        query = query.where(attempts.c.id == attempt)
    if task is not None:
        query = query.where(attempts.c.task == task)
    return [
        AttemptLine(
            id=row.id,
            task=row.task,
            number=row.number,
            client=row.client,
            operator=row.name or str(row.operator),
            state=row.state,
            outcome=row.outcome,
            spooled_at=row.spooled_at,
            ended_at=row.ended_at,
            report=row.report or {},
            talk_seconds=row.talk_seconds,
            taken_by=row.taker_name,
        )
        for row in db.execute(query)
    ]


@reads
def operator_lines(db: sa.Connection, since: datetime | None = None) -> list[OperatorLine]:
    """The staff, by extension; their talks counted from ``since`` on, if it is given."""
    talked: sa.ColumnElement[int] = sa.literal(0)
    if since is not None:
        talked = (
            sa.select(sa.func.count())
            .select_from(attempts)
            .where(attempts.c.taken_by == operators.c.id, attempts.c.ended_at >= since)
            .scalar_subquery()
        )
    marks = {row.name: row.at for row in db.execute(sa.select(flags))}
    query = (
        sa.select(operators, reservations.c.attempt, talked.label("talked"))
        .outerjoin(reservations, reservations.c.operator == operators.c.id)
        .order_by(operators.c.extension)
    )
    return [
        OperatorLine(
            id=row.id,
            name=row.name,
            extension=row.extension,
            online=bool(row.online),
            last_login=row.last_login,
            last_activity=row.last_activity,
            last_logout=row.last_logout,
            last_left=row.last_left,
            watched=marks.get("logins_read"),
            since=marks.get("staff_seen"),
            working_day=row.working_day,
            phone=row.phone,
            seen=row.seen,
            reserved_for=row.attempt,
            talked=row.talked,
            forwards=marks.get(forwards(OperatorId(row.id))),
        )
        for row in db.execute(query)
    ]


def undelivered(db: sa.Connection) -> list[MessageLine]:
    """Undelivered messages and dead letters, in order."""
    lines = [
        message
        for condition in (UNDELIVERED, DEAD)  # each by its own small index
        for message in _messages(db, holds("outbox", condition))
    ]
    return sorted(lines, key=lambda message: message.id)


def messages(db: sa.Connection, task: int | None = None) -> list[MessageLine]:
    """The messages in order, all or of one task."""
    return _messages(db, sa.true() if task is None else outbox.c.task == task)


def _messages(db: sa.Connection, which: sa.ColumnElement[bool]) -> list[MessageLine]:
    return [
        MessageLine(
            id=row.id,
            attempt=row.attempt,
            kind=row.kind,
            state=row.state,
            done_at=row.done_at,
            error=row.error,
        )
        for row in db.execute(sa.select(outbox).where(which).order_by(outbox.c.id))
    ]
