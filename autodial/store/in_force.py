"""What people have ordered by command or by phone, and holds now: read together, every turn."""

from collections.abc import Mapping
from datetime import date, datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.store import stand_ins
from autodial.store.locks import reads
from autodial.store.schema import days_off, pauses, purpose_pauses


@frozen(kw_only=True)
class InForce:
    """Pauses, days off and hand-overs."""

    paused: frozenset[OperatorId]  #: ``pauses.EVERYBODY`` may be among them
    purposes: frozenset[str]  #: paused
    days_off: tuple[date, ...]  #: in order
    stand_ins: Mapping[OperatorId, OperatorId]  #: who takes whose tasks


# Built once: building a statement costs more than running it.
_NOW = sa.bindparam("now", type_=pauses.c.until.type)
_PAUSED = sa.select(pauses.c.operator).where(pauses.c.until.is_(None) | (pauses.c.until > _NOW))
_PURPOSES = sa.select(purpose_pauses.c.purpose).where(
    purpose_pauses.c.until.is_(None) | (purpose_pauses.c.until > _NOW)
)
_DAYS = sa.select(days_off.c.day).where(days_off.c.day >= sa.bindparam("since"))
_DAYS = _DAYS.order_by(days_off.c.day)


@reads
def in_force(db: sa.Connection, now: datetime, from_day: date) -> InForce:
    """All of them; days off before ``from_day`` are left out."""
    return InForce(
        paused=paused(db, now),
        purposes=paused_purposes(db, now),
        days_off=named_days_off(db, from_day),
        stand_ins=stand_ins.current(db, now),
    )


def paused(db: sa.Connection, now: datetime) -> frozenset[OperatorId]:
    """All paused operators; ``EVERYBODY`` may be among them."""
    return frozenset(OperatorId(row.operator) for row in db.execute(_PAUSED, {"now": now}))


def paused_purposes(db: sa.Connection, now: datetime) -> frozenset[str]:
    """All paused purposes."""
    return frozenset(db.scalars(_PURPOSES, {"now": now}))


def named_days_off(db: sa.Connection, since: date) -> tuple[date, ...]:
    """The days off by command from a day on, in order."""
    return tuple(db.scalars(_DAYS, {"since": since}))
