"""
Forgetting what nobody will ask for: rows older than the configuration keeps, a few at a time.

Each function looks at the next rows of one table, in the order in which they were written, deletes
those that may go, and says how far it came; None: all that is left is younger. What rules or people
still count on stays whatever its age: attempts of tasks that are open, or in which a client said
"never again"; what the portal has not been told; the newest row by which an importer goes on.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from autodial.store.schema import (
    DEAD,
    attempts,
    do_not_call,
    events,
    external_calls,
    forgotten,
    holds,
    outbox,
    phones,
    presence,
    refused,
    tasks,
)

#: Rows looked at in one step: a few milliseconds of the store's only thread.
STEP = 500

#: Where a step goes on; None: at the beginning.
Mark = Any
Step = Callable[[sa.Connection, datetime, Mark], Mark | None]

_TOLD = holds("outbox", "state IN ('delivered', 'void')")


def _after(mark: Mark) -> int:
    """Below all numbers at the beginning: a table without a bound would be read as a whole."""
    return -1 if mark is None else int(mark)


def _old(
    db: sa.Connection,
    key: "sa.Column[Any]",
    at: "sa.Column[Any]",
    before: datetime,
    after: Mark,
) -> list[int]:
    """Keys of the next rows, as far as they are older than ``before``."""
    query = sa.select(key, at).where(key > _after(after)).order_by(key).limit(STEP)
    found = []
    for row in db.execute(query):
        if row[1] is not None and row[1] >= before:
            break
        found.append(row[0])
    return found


def forget_events(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Lines of the tasks' stories; how each attempt ended stays with the attempt."""
    old = _old(db, events.c.id, events.c.at, before, after)
    if not old:
        return None
    db.execute(sa.delete(events).where(events.c.id >= old[0], events.c.id <= old[-1]))
    return old[-1]


def forget_outbox(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """What the portal was told. What it has yet to be told, and what it refused, stays."""
    old = _old(db, outbox.c.id, outbox.c.created, before, after)
    if not old:
        return None
    # A refused one that a person sends again is compared with what came after it.
    refused_once = sa.select(outbox.c.task).where(holds("outbox", DEAD))
    span = (outbox.c.id >= old[0]) & (outbox.c.id <= old[-1])
    db.execute(sa.delete(outbox).where(span, _TOLD, outbox.c.task.not_in(refused_once)))
    return old[-1]


def forget_presence(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Who came and left; the newest row of each kind stays: it says how a person stands."""
    old = _old(db, presence.c.id, presence.c.at, before, after)
    if not old:
        return None
    newer = presence.alias("newer")
    superseded = sa.exists().where(
        newer.c.operator == presence.c.operator,
        newer.c.kind == presence.c.kind,
        newer.c.at > presence.c.at,
    )
    span = (presence.c.id >= old[0]) & (presence.c.id <= old[-1])
    db.execute(sa.delete(presence).where(span, superseded))
    return old[-1]


def forget_external_calls(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Talks of others; the newest stays: reading goes on from there."""
    old = _old(db, external_calls.c.id, external_calls.c.at, before, after)
    if not old:
        return None
    span = (external_calls.c.id >= old[0]) & (external_calls.c.id <= old[-1])
    newest = sa.select(sa.func.max(external_calls.c.id)).scalar_subquery()
    db.execute(sa.delete(external_calls).where(span, external_calls.c.id != newest))
    return old[-1]


def forget_attempts(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """
    Attempts of tasks that have been closed for as long. ``after``: moment and id of the last one
    looked at: two may have been made at once. The number of a task's last attempt stays: a name is
    never used twice.
    """
    query = sa.select(attempts.c.spooled_at, attempts.c.id).where(attempts.c.spooled_at < before)
    if after is not None:
        query = query.where(
            attempts.c.spooled_at >= after[0],
            (attempts.c.spooled_at > after[0]) | (attempts.c.id > after[1]),
        )
    rows = db.execute(query.order_by(attempts.c.spooled_at, attempts.c.id).limit(STEP)).all()
    if not rows:
        return None
    ids = [row.id for row in rows]
    shut = sa.exists().where(
        tasks.c.id == attempts.c.task, tasks.c.open == 0, _closed_before(before)
    )
    spoken = sa.exists().where(do_not_call.c.attempt == attempts.c.id)
    told = outbox.c.attempt == attempts.c.id
    told &= holds("outbox", "state NOT IN ('delivered', 'void')")
    gone = list(
        db.scalars(
            sa.select(attempts.c.id).where(
                attempts.c.id.in_(ids), attempts.c.outcome.is_not(None), shut,
                ~spoken, ~sa.exists().where(told),
            )
        )
    )  # fmt: skip
    _remember_last(db, gone)
    db.execute(sa.delete(outbox).where(outbox.c.attempt.in_(gone)))
    db.execute(sa.delete(attempts).where(attempts.c.id.in_(gone)))
    return rows[-1].spooled_at, rows[-1].id


def _closed_before(moment: datetime) -> sa.ColumnElement[bool]:
    return tasks.c.reason_at.is_(None) | (tasks.c.reason_at < moment)


def _remember_last(db: sa.Connection, gone: list[str]) -> None:
    """The numbers of the last of these attempts, by task."""
    last = (
        sa.select(attempts.c.task, sa.func.max(attempts.c.n).label("n"))
        .where(attempts.c.id.in_(gone))
        .group_by(attempts.c.task)
    )
    for row in db.execute(last).all():
        mine = forgotten.c.task == row.task
        before = db.scalar(sa.select(forgotten.c.n).where(mine)) or 0
        db.execute(sa.delete(forgotten).where(mine))
        db.execute(sa.insert(forgotten).values(task=row.task, n=max(before, row.n)))


def forget_tasks(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Closed tasks without attempts; the portal brings one back if somebody opens it again."""
    query = sa.select(tasks.c.id).where(tasks.c.id > _after(after))
    query = query.order_by(tasks.c.id).limit(STEP)
    ids = list(db.scalars(query))
    if not ids:
        return None
    made = sa.exists().where(attempts.c.task == tasks.c.id)
    owed = sa.exists().where(outbox.c.task == tasks.c.id)
    quiet = _closed_before(before) & (tasks.c.due.is_(None) | (tasks.c.due < before))
    gone = list(
        db.scalars(
            sa.select(tasks.c.id).where(tasks.c.id.in_(ids), tasks.c.open == 0, quiet, ~made, ~owed)
        )
    )
    for table in (phones, refused):
        db.execute(sa.delete(table).where(table.c.task.in_(gone)))
    db.execute(sa.delete(tasks).where(tasks.c.id.in_(gone)))
    return ids[-1]


#: By the key of ``[store] keep``, in the order in which they refer to each other.
STEPS: dict[str, tuple[Step, ...]] = {
    "events": (forget_events,),
    "outbox": (forget_outbox,),
    "presence": (forget_presence,),
    "external_calls": (forget_external_calls,),
    "attempts": (forget_attempts, forget_tasks),
}
