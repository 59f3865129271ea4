"""Talks that others had with our clients meanwhile: they count in what a client bears."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.store.same_person import same_person
from autodial.store.schema import external_calls, phones, tasks

#: A number that is talked to is its person's, and so is every number of the same entity.
SAME = same_person(external_calls.c, phones.c)


@frozen
class ExternalCall:
    """One talk, its number made ours."""

    id: int
    number: str  #: E.164
    at: datetime
    operator: int
    entity: tuple[str, int] = ("", 0)  #: whose it was by the CRM; nobody's that it knows


def mark(db: sa.Connection) -> int | None:
    """The last row of the portal's list that was taken over; None: none yet."""
    last: int | None = db.scalar(sa.select(sa.func.max(external_calls.c.id)))
    return last


def save_external_calls(db: sa.Connection, found: Sequence[ExternalCall], now: datetime) -> int:
    """Keep them; the tasks of these clients are looked at anew. How many tasks that were."""
    for talk in found:
        kind, entity = talk.entity
        values = {"number": talk.number, "at": talk.at, "operator": talk.operator}
        values |= {"entity_type": kind, "entity_id": entity}
        db.execute(sa.delete(external_calls).where(external_calls.c.id == talk.id))
        db.execute(sa.insert(external_calls).values(id=talk.id, **values))
    new = external_calls.c.id.in_([talk.id for talk in found])
    theirs = sa.union(
        *(
            sa.select(phones.c.task).join_from(phones, external_calls, same).where(new)
            for same in SAME
        )
    )
    changed = db.execute(
        sa.update(tasks)
        .where(tasks.c.id.in_(theirs), tasks.c.open == 1, tasks.c.closed_reason == "")
        .where(tasks.c.next_check.is_not(None))
        .values(next_check=now)
    )
    return int(changed.rowcount)
