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
from autodial.model.ids import AttemptId
from autodial.model.outcome import Outcome
from autodial.store.schema import attempts, events, hooks, tasks
from autodial.store.tasks import SKIPPED

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


def next_of(db: sa.Connection, after: int) -> tuple[list[HookEvent], int]:
    """
    What there is to tell after an event, in order: some events (an end may give up its task, too),
    and the last row that was looked at.
    """
    query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(PAGE)
    last = after
    for row in db.execute(query):
        last = row.id
        told = _told(db, row)
        if told:
            return told, last
    return [], last


def _told(db: sa.Connection, row: Any) -> list[HookEvent]:
    common = {"id": row.id, "at": row.at.isoformat()}
    if row.kind == "ended":
        ended = db.execute(
            sa.select(attempts, tasks.c.closed_reason, tasks.c.responsible)
            .join(tasks, tasks.c.id == attempts.c.task)
            .where(attempts.c.id == row.attempt)
        ).first()
        return [] if ended is None else _ended(row, ended, common)
    if row.kind == "disposition" and row.detail == Disposition.DO_NOT_CALL.value:
        number = db.scalar(sa.select(attempts.c.number).where(attempts.c.id == row.attempt))
        body = {**common, "number": number, "task": row.task, "attempt": row.attempt}
        return [HookEvent(id=row.id, kind=NEVER, body=body)]
    if row.kind == "never call":
        body = {**common, "number": row.detail, "task": None, "attempt": None}
        return [HookEvent(id=row.id, kind=NEVER, body=body)]
    return []


def _ended(row: Any, ended: Any, common: Mapping[str, Any]) -> list[HookEvent]:
    body = {
        **common, "attempt": AttemptId(row.attempt), "task": row.task, "outcome": row.detail,
        "number": ended.number, "client": ended.client, "entity_type": ended.entity_type,
        "entity_id": ended.entity_id, "operator": ended.taken_by,
        "talk_seconds": ended.talk_seconds, "purpose": ended.purpose,
        "abandoned": bool(ended.abandoned),
    }  # fmt: skip
    told = [HookEvent(id=row.id, kind=CALL_ENDED, body=body)]
    if ended.closed_reason not in ("", SKIPPED, Outcome.TALKED.value):
        given_up = {
            **common, "task": row.task, "reason": ended.closed_reason,
            "responsible": ended.responsible,
        }  # fmt: skip
        told.append(HookEvent(id=row.id, kind=GIVEN_UP, body=given_up))
    return told


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
