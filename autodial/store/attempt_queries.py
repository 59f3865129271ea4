"""Queries for attempts: those in flight, those past their lease, the last calls."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outcome import ANSWERED
from autodial.model.trunk import Route
from autodial.rules.contact_limits import DAY
from autodial.rules.rolling_statistics import Answered, PastCalls
from autodial.rules.trunk_choice import routes_tried
from autodial.store.locks import reads
from autodial.store.planning import deputies_in
from autodial.store.schema import IN_FLIGHT as FLYING
from autodial.store.schema import attempts, holds, operators, reservations, tasks

UNDER_WAY = holds("attempts", FLYING)


# Built once: building a statement costs more than running it.
WHOLE = sa.select(attempts, tasks.c.title, tasks.c.responsible, tasks.c.deputies).join(tasks)
_ONE = WHOLE.where(attempts.c.id == sa.bindparam("this"))
_IN_FLIGHT = WHOLE.where(UNDER_WAY)


_RESPONSIBLE = sa.select(tasks.c.id, tasks.c.responsible).where(
    tasks.c.id.in_(sa.select(attempts.c.task).where(UNDER_WAY))
)


@reads
def responsible_in_flight(db: sa.Connection) -> dict[TaskId, OperatorId]:
    """The responsible operators of the tasks that are being called for."""
    return {TaskId(row.id): OperatorId(row.responsible) for row in db.execute(_RESPONSIBLE)}


@reads
def load_attempt(db: sa.Connection, attempt: AttemptId) -> Attempt | None:
    """One attempt with its task, or None."""
    loaded = _load(db, _ONE, {"this": attempt})
    return loaded[0] if loaded else None


@reads
def in_flight(db: sa.Connection) -> list[Attempt]:
    """All attempts that have no outcome yet."""
    return _load(db, _IN_FLIGHT, {})


@reads
def past(db: sa.Connection, now: datetime, over: timedelta, *, numbers: bool = True) -> PastCalls:
    """
    What the limits over all clients count: answered calls since ``over``, and the numbers shown in
    a day, unless these are of no use (``numbers``): they are one for each call of the day.
    """
    columns = (attempts.c.ended_at, attempts.c.abandoned, attempts.c.late, attempts.c.purpose)
    ended = sa.select(*columns).where(
        attempts.c.spooled_at > now - over - timedelta(hours=2),
        attempts.c.ended_at > now - over,
        attempts.c.outcome.in_([outcome.value for outcome in ANSWERED]),
    )
    # (Extracted by the database: reading five thousand reports whole takes a tenth of a second.)
    trunk = attempts.c.report["trunk"].as_string().label("trunk")
    shown = sa.select(attempts.c.spooled_at, attempts.c.trunks, attempts.c.caller_ids, trunk).where(
        attempts.c.spooled_at > now - DAY, attempts.c.caller_ids != ""
    )
    rows = db.execute(shown.order_by(attempts.c.spooled_at)) if numbers else ()
    tried = (
        (row.spooled_at, route.caller_id)
        for row in rows
        for route in routes_tried(_routes(row.trunks, row.caller_ids), row.trunk or "")
    )
    return PastCalls(
        answers=tuple(
            Answered(
                at=row.ended_at,
                abandoned=bool(row.abandoned),
                late=bool(row.late),
                purpose=row.purpose,
            )
            for row in db.execute(ended.order_by(attempts.c.ended_at))
        ),
        shown=tuple((at, number) for at, number in tried if number),
    )


@reads
def expired(
    db: sa.Connection, now: datetime, node: str = "", others: Collection[str] = ()
) -> list[tuple[AttemptId, State]]:
    """Attempts in flight past their lease, but those of ``others`` than this node."""
    query = sa.select(attempts.c.id, attempts.c.state).where(
        UNDER_WAY, attempts.c.expires_at < now, attempts.c.node.not_in(set(others) - {node})
    )
    return [(AttemptId(row.id), State(row.state)) for row in db.execute(query)]


@reads
def older_than(
    db: sa.Connection, moment: datetime, node: str = ""
) -> list[tuple[AttemptId, State]]:
    """A node's attempts in flight whose last step was before ``moment``."""
    step = sa.func.coalesce(attempts.c.answered_at, attempts.c.claimed_at, attempts.c.spooled_at)
    query = sa.select(attempts.c.id, attempts.c.state).where(
        UNDER_WAY, step < moment, attempts.c.node == node
    )
    return [(AttemptId(row.id), State(row.state)) for row in db.execute(query)]


@reads
def reserved(db: sa.Connection) -> dict[OperatorId, AttemptId]:
    """The operators reserved, and for which attempts."""
    return {
        OperatorId(row.operator): AttemptId(row.attempt)
        for row in db.execute(sa.select(reservations))
    }


@reads
def last_talks(db: sa.Connection, since: datetime) -> dict[OperatorId, datetime]:
    """When each operator of the staff who has talked since then ended the last talk."""
    # (One look in the index for each of them, not at all calls of a day.)
    last = (
        sa.select(sa.func.max(attempts.c.ended_at))
        .where(attempts.c.taken_by == operators.c.id, attempts.c.ended_at > since)
        .scalar_subquery()
    )
    query = sa.select(operators.c.id, last.label("at"))
    return {OperatorId(row.id): row.at for row in db.execute(query) if row.at is not None}


def _routes(trunks: str, caller_ids: str) -> tuple[Route, ...]:
    numbers = caller_ids.split(":")
    return tuple(
        Route(trunk, numbers[n] if n < len(numbers) else "")
        for n, trunk in enumerate(trunks.split(":"))
    )


def _load(db: sa.Connection, query: sa.Select[Any], values: Mapping[str, object]) -> list[Attempt]:
    # Sorted here: with ORDER BY, SQLite would read all attempts.
    rows = sorted(db.execute(query, values), key=lambda row: row.spooled_at)
    return [as_attempt(row) for row in rows]


def as_attempt(row: "sa.Row[Any]") -> Attempt:
    """A row of ``WHOLE``."""
    return Attempt(
        id=AttemptId(row.id),
        task=TaskId(row.task),
        number=row.number,
        dtmf=row.dtmf,
        operator=OperatorId(row.operator),
        extension=row.extension,
        client=row.client,
        title=row.title,
        responsible=OperatorId(row.responsible),
        routes=_routes(row.trunks, row.caller_ids),
        state=State(row.state),
        generation=row.generation,
        purpose=row.purpose,
        own_deputies=deputies_in(row.deputies),
        node=row.node,
    )
