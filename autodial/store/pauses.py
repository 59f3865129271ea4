"""Pauses: of one operator, of everybody, and of purposes for which nobody is called."""

from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.store.schema import pauses, purpose_pauses

#: In place of an operator: nobody is dialled at all.
EVERYBODY = OperatorId(0)


@frozen(kw_only=True)
class Pause:
    """One pause."""

    at: datetime
    until: datetime | None  #: None: until it is ended
    why: str


def of(db: sa.Connection, operator: OperatorId) -> Pause | None:
    """The pause of an operator, or of everybody; None: there is none."""
    row = db.execute(sa.select(pauses).where(pauses.c.operator == operator)).first()
    return Pause(at=row.at, until=row.until, why=row.why) if row is not None else None


def of_each(db: sa.Connection) -> dict[OperatorId, Pause]:
    """All pauses of operators."""
    return {
        OperatorId(row.operator): Pause(at=row.at, until=row.until, why=row.why)
        for row in db.execute(sa.select(pauses))
    }


def pause(
    db: sa.Connection,
    operator: OperatorId,
    now: datetime,
    why: str = "",
    until: datetime | None = None,
) -> None:
    """No calls for an operator from now on, or until a moment; repeating it does no harm."""
    resume(db, operator)
    db.execute(sa.insert(pauses).values(operator=operator, at=now, why=why, until=until))


def resume(db: sa.Connection, operator: OperatorId) -> bool:
    """The operator gets calls again; False: there was no pause."""
    return bool(db.execute(sa.delete(pauses).where(pauses.c.operator == operator)).rowcount)


def pause_purpose(
    db: sa.Connection, purpose: str, now: datetime, why: str = "", until: datetime | None = None
) -> None:
    """Nobody is called for this from now on, or until a moment; repeating it does no harm."""
    resume_purpose(db, purpose)
    values = {"purpose": purpose, "at": now, "why": why, "until": until}
    db.execute(sa.insert(purpose_pauses).values(**values))


def resume_purpose(db: sa.Connection, purpose: str) -> bool:
    """People are called for it again; False: it was not paused."""
    which = purpose_pauses.c.purpose == purpose
    return bool(db.execute(sa.delete(purpose_pauses).where(which)).rowcount)
