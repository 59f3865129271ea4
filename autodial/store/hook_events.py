"""
What web hooks are told: from the history of tasks, which is written in the transaction of each
event. How far each hook has been told is stored, so nothing is lost by a restart of either side.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.disposition import Disposition
from autodial.store.schema import attempts, events, hooks, tasks

#: Kinds of events that a hook may be told of.
CALL_ENDED, GIVEN_UP, NEVER = "call ended", "task given up", "never call"
#: Rows looked at in one step.
PAGE = 200


@frozen(kw_only=True)
class HookState:
    """How far a hook has been told."""

    event: int  #: the last one
    tries: int  #: in vain, of the next one
    not_before: datetime | None
    error: str
    dropped: int  #: given up, in all


@frozen(kw_only=True)
class HookEvent:
    """One event, and what is said of it."""

    id: int
    kind: str
    body: Mapping[str, Any]


def begin(db: sa.Connection, name: str) -> HookState:
    """A hook that is new begins with what happens from now on."""
    known = states(db).get(name)
    if known is not None:
        return known
    last = db.scalar(sa.select(sa.func.max(events.c.id))) or 0
    values = {"name": name, "event": last, "tries": 0, "error": "", "dropped": 0}
    db.execute(sa.insert(hooks).values(values))
    return HookState(event=last, tries=0, not_before=None, error="", dropped=0)


def next_of(db: sa.Connection, after: int) -> tuple[HookEvent | None, int]:
    """The first event after one that hooks are told of, and the last row that was looked at."""
    query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(PAGE)
    last = after
    for row in db.execute(query):
        last = row.id
        told = _told(db, row)
        if told is not None:
            return told, last
    return None, last


def _told(db: sa.Connection, row: Any) -> HookEvent | None:
    common = {"id": row.id, "at": row.at.isoformat(), "task": row.task or None}
    if row.kind == "never call":
        return HookEvent(id=row.id, kind=NEVER, body={**common, "number": row.detail})
    never = row.kind == "disposition" and row.detail == Disposition.DO_NOT_CALL.value
    if row.kind not in ("ended", "given up") and not never:
        return None
    query = sa.select(attempts, tasks.c.responsible).join(tasks, tasks.c.id == attempts.c.task)
    call = db.execute(query.where(attempts.c.id == row.attempt)).first()
    if call is None:
        return None  # a test call
    common |= {"attempt": call.id, "number": call.number, "client": call.client}
    if never:
        return HookEvent(id=row.id, kind=NEVER, body=common)
    if row.kind == "given up":
        body = {**common, "reason": row.detail, "responsible": call.responsible}
        return HookEvent(id=row.id, kind=GIVEN_UP, body=body)
    body = {
        **common, "outcome": row.detail, "entity_type": call.entity_type,
        "entity_id": call.entity_id, "operator": call.taken_by,
        "talk_seconds": call.talk_seconds, "purpose": call.purpose,
        "abandoned": bool(call.abandoned),
    }  # fmt: skip
    return HookEvent(id=row.id, kind=CALL_ENDED, body=body)


def was_told(db: sa.Connection, name: str, event: int) -> None:
    """Everything up to this event is told."""
    values = {"event": event, "tries": 0, "not_before": None, "error": ""}
    db.execute(sa.update(hooks).where(hooks.c.name == name).values(values))


def was_refused(
    db: sa.Connection, name: str, error: str, not_before: datetime | None, event: int | None
) -> None:
    """It failed, and is tried again then; or, with ``event``, is given up for good."""
    values: dict[str, Any] = {
        "tries": hooks.c.tries + 1,
        "error": error[:300],
        "not_before": not_before,
    }
    if event is not None:
        values |= {"tries": 0, "event": event, "dropped": hooks.c.dropped + 1}
    db.execute(sa.update(hooks).where(hooks.c.name == name).values(values))


def states(db: sa.Connection) -> dict[str, HookState]:
    """All hooks that were told something, by name."""
    rows = db.execute(sa.select(hooks).order_by(hooks.c.name))
    return {
        row.name: HookState(
            event=row.event,
            tries=row.tries,
            not_before=row.not_before,
            error=row.error,
            dropped=row.dropped,
        )
        for row in rows
    }
