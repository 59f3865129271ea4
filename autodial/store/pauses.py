"""Who is not to get calls for now: one operator, or everybody."""

from datetime import datetime

import sqlalchemy as sa

from autodial.model import OperatorId
from autodial.store.schema import pauses

#: In the place of an operator: nobody is dialled at all.
EVERYBODY = OperatorId(0)


def pause(
    db: sa.Connection,
    operator: OperatorId,
    now: datetime,
    why: str = "",
    until: datetime | None = None,
) -> None:
    """No calls for him from now on, or until a moment; again is no harm."""
    resume(db, operator)
    db.execute(sa.insert(pauses).values(operator=operator, at=now, why=why, until=until))


def resume(db: sa.Connection, operator: OperatorId) -> bool:
    """He gets calls again; False: he was not paused."""
    return bool(db.execute(sa.delete(pauses).where(pauses.c.operator == operator)).rowcount)


def paused(db: sa.Connection, now: datetime) -> frozenset[OperatorId]:
    """All who are."""
    going_on = pauses.c.until.is_(None) | (pauses.c.until > now)
    query = sa.select(pauses.c.operator).where(going_on)
    return frozenset(OperatorId(row.operator) for row in db.execute(query))
