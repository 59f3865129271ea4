"""External calls: talks with our clients besides the dialler's; they count in the limits."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.store.same_person import same_person
from autodial.store.schema import LISTED, external_calls, holds, phones, tasks

#: A call counts for its number's owner: the same number, or the same entity.
SAME = same_person(external_calls.c, phones.c)


@frozen
class ExternalCall:
    """One talk, with its number in E.164."""

    id: int
    number: str  #: E.164
    at: datetime
    operator: int
    entity: tuple[str, int] = ("", 0)  #: its owner in the CRM; an id of 0: unknown


def mark(db: sa.Connection) -> int | None:
    """The last row of the portal's list that was stored; None: none yet."""
    last: int | None = db.scalar(sa.select(sa.func.max(external_calls.c.id)))
    return last


def save_external_calls(db: sa.Connection, talks: Sequence[ExternalCall], now: datetime) -> int:
    """Store them; their clients' tasks are decided on again. Returns how many tasks these are."""
    for talk in talks:
        kind, entity = talk.entity
        values = {"number": talk.number, "at": talk.at, "operator": talk.operator}
        values |= {"entity_type": kind, "entity_id": entity}
        db.execute(sa.delete(external_calls).where(external_calls.c.id == talk.id))
        db.execute(sa.insert(external_calls).values(id=talk.id, **values))
    new = external_calls.c.id.in_([talk.id for talk in talks])
    affected = sa.union(
        *(
            sa.select(phones.c.task).join_from(phones, external_calls, same).where(new)
            for same in SAME
        )
    )
    changed = db.execute(
        sa.update(tasks)
        .where(tasks.c.id.in_(affected), holds("tasks", LISTED), tasks.c.closed_reason == "")
        .where(tasks.c.next_check.is_not(None))
        .values(next_check=now)
    )
    return int(changed.rowcount)
