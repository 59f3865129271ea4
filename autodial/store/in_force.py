"""What people have ordered by command or by phone, and holds now: read together, every turn."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

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


def _among_all(rows: "sa.Select[Any]") -> "sa.Select[Any]":
    """With the same columns as the other kinds: those it lacks are empty."""
    own = rows.selected_columns
    return rows.with_only_columns(
        *(own[name] if name in own else sa.cast(sa.null(), type_).label(name)
          for name, type_ in _COLUMNS.items())
    )  # fmt: skip


_COLUMNS: Mapping[str, "sa.types.TypeEngine[Any]"] = {
    "operator": sa.Integer(),
    "stand_in": sa.Integer(),
    "purpose": sa.String(),
    "day": days_off.c.day.type,
}
#: All in one: it is asked at every turn, and each statement costs more than its rows.
_ALL = sa.union_all(*map(_among_all, (_PAUSED, _PURPOSES, _DAYS.order_by(None), stand_ins.CURRENT)))


@reads
def in_force(db: sa.Connection, now: datetime, from_day: date) -> InForce:
    """All of them; days off before ``from_day`` are left out."""
    paused, purposes, days, instead = set(), set(), set(), {}
    for operator, stand_in, purpose, day in db.execute(_ALL, {"now": now, "since": from_day}):
        if purpose is not None:
            purposes.add(purpose)
        elif day is not None:
            days.add(day)
        elif stand_in is not None:
            instead[OperatorId(operator)] = OperatorId(stand_in)
        else:
            paused.add(OperatorId(operator))
    return InForce(
        paused=frozenset(paused),
        purposes=frozenset(purposes),
        days_off=tuple(sorted(days)),
        stand_ins=instead,
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
