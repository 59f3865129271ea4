"""The audit log: what people did, who, when and through which door."""

from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model.act import Act, Actor
from autodial.store.schema import audit

#: Characters of a detail that are stored; what people write is longer only by mistake.
LONGEST = 500


@frozen(kw_only=True)
class AuditLine:
    """One act."""

    at: datetime
    who: str
    door: str  #: ``act.Door``
    act: str  #: ``act.Act``
    about: str  #: a task, an extension, a number, a purpose, a day; empty: everybody, everything
    detail: str  #: the reason, the end, the disposition


def record(
    db: sa.Connection, now: datetime, by: Actor, act: Act, about: str = "", detail: str = ""
) -> None:
    """Add a line, in the transaction of the act."""
    values = {
        "at": now, "who": by.name, "door": by.door.value, "act": act.value,
        "about": about, "detail": detail[:LONGEST],
    }  # fmt: skip
    db.execute(sa.insert(audit).values(values))


def lines(
    db: sa.Connection, since: datetime, *, about: str | None = None, limit: int = 1000
) -> list[AuditLine]:
    """The acts since a moment, the latest first; ``about``: of one task, extension, number."""
    query = sa.select(audit).where(audit.c.at >= since)
    if about is not None:
        query = query.where(audit.c.about == about)
    return [
        AuditLine(
            at=row.at, who=row.who, door=row.door, act=row.act, about=row.about, detail=row.detail
        )
        for row in db.execute(query.order_by(audit.c.at.desc(), audit.c.id.desc()).limit(limit))
    ]
