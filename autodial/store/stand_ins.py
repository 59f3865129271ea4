"""Who takes whose tasks for a time: a hand-over, which ends by itself or is taken back."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.store.schema import operators, stand_ins, tasks

# Built once: building a statement costs more than running it.
_NOW = sa.bindparam("now", type_=stand_ins.c.until.type)
CURRENT = sa.select(stand_ins.c.operator, stand_ins.c.stand_in).where(
    stand_ins.c.until.is_(None) | (stand_ins.c.until > _NOW)
)


@frozen(kw_only=True)
class StandInLine:
    """One hand-over."""

    operator: OperatorId
    name: str
    stand_in: OperatorId
    stand_in_name: str
    at: datetime
    until: datetime | None  #: None: until it is taken back


def current(db: sa.Connection, now: datetime) -> Mapping[OperatorId, OperatorId]:
    """Who stands in for whom now."""
    rows = db.execute(CURRENT, {"now": now})
    return {OperatorId(row.operator): OperatorId(row.stand_in) for row in rows}


def hand_over(
    db: sa.Connection,
    operator: OperatorId,
    stand_in: OperatorId,
    now: datetime,
    until: datetime | None = None,
) -> None:
    """
    An operator's tasks are another's from now on, or until a moment; an earlier one is replaced.

    Raises:
        ValueError: to himself.
    """
    if operator == stand_in:
        raise ValueError("nobody stands in for himself")
    take_back(db, operator, now)
    values = {"operator": operator, "stand_in": stand_in, "at": now, "until": until}
    db.execute(sa.insert(stand_ins).values(values))
    _look_again(db, operator, now)


def take_back(db: sa.Connection, operator: OperatorId, now: datetime) -> bool:
    """His tasks are his own again. False: they were."""
    done = bool(db.execute(sa.delete(stand_ins).where(stand_ins.c.operator == operator)).rowcount)
    if done:
        _look_again(db, operator, now)
    return done


def _look_again(db: sa.Connection, operator: OperatorId, now: datetime) -> None:
    """His due tasks are decided on now."""
    waiting = (tasks.c.responsible == operator) & (tasks.c.next_check > now) & (tasks.c.due <= now)
    db.execute(sa.update(tasks).where(waiting).values(next_check=now))


def lines(db: sa.Connection, now: datetime) -> list[StandInLine]:
    """All of now, by operator."""
    whose, whom = operators.alias("whose"), operators.alias("whom")
    query = (
        sa.select(stand_ins, whose.c.name.label("name"), whom.c.name.label("stand_in_name"))
        .outerjoin(whose, whose.c.id == stand_ins.c.operator)
        .outerjoin(whom, whom.c.id == stand_ins.c.stand_in)
        .where(stand_ins.c.until.is_(None) | (stand_ins.c.until > now))
        .order_by(stand_ins.c.operator)
    )
    return [
        StandInLine(
            operator=OperatorId(row.operator),
            name=row.name or str(row.operator),
            stand_in=OperatorId(row.stand_in),
            stand_in_name=row.stand_in_name or str(row.stand_in),
            at=row.at,
            until=row.until,
        )
        for row in db.execute(query)
    ]
