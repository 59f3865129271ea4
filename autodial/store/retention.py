"""
Retention: rows older than the configured age are deleted, a few at a time.

Each function reads the next rows of one table, in the order in which they were written, deletes
those that may go, and returns how far it came; None: all other rows are younger. Rows that are
still needed stay whatever their age: attempts of open tasks, or with the disposition do-not-call;
undelivered messages; the newest row, from which an importer continues.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from autodial.store.schema import (
    CLOSED,
    DEAD,
    attempts,
    audit,
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

#: Rows read in one step: a few milliseconds of the store's only thread.
STEP = 500

#: Where a step continues; None: at the beginning.
Mark = Any
Step = Callable[[sa.Connection, datetime, Mark], Mark | None]

_FINISHED = holds("outbox", "state IN ('delivered', 'void')")


def _after(mark: Mark) -> int:
    """Below all keys at the beginning: without a bound the whole table would be read."""
    return -1 if mark is None else int(mark)


def _old(
    db: sa.Connection,
    key: "sa.Column[Any]",
    at: "sa.Column[Any]",
    before: datetime,
    after: Mark,
) -> list[int]:
    """Keys of the next rows, up to the first that is not older than ``before``."""
    query = sa.select(key, at).where(key > _after(after)).order_by(key).limit(STEP)
    keys = []
    for row in db.execute(query):
        if row[1] is not None and row[1] >= before:
            break
        keys.append(row[0])
    return keys


def forget_events(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete events of tasks; how each attempt ended stays with the attempt."""
    old = _old(db, events.c.id, events.c.at, before, after)
    if not old:
        return None
    db.execute(sa.delete(events).where(events.c.id >= old[0], events.c.id <= old[-1]))
    return old[-1]


def forget_outbox(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete delivered and void messages. Undelivered messages and dead letters stay."""
    old = _old(db, outbox.c.id, outbox.c.created, before, after)
    if not old:
        return None
    # A dead letter that is sent again is compared with the messages after it.
    refused_once = sa.select(outbox.c.task).where(holds("outbox", DEAD))
    span = (outbox.c.id >= old[0]) & (outbox.c.id <= old[-1])
    db.execute(sa.delete(outbox).where(span, _FINISHED, outbox.c.task.not_in(refused_once)))
    return old[-1]


def forget_presence(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete who came and left; an operator's newest row of each kind stays: rules read it."""
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


def forget_audit(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete lines of the audit log."""
    old = _old(db, audit.c.id, audit.c.at, before, after)
    if not old:
        return None
    db.execute(sa.delete(audit).where(audit.c.id >= old[0], audit.c.id <= old[-1]))
    return old[-1]


def forget_external_calls(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete external calls; the newest stays: reading continues from there."""
    old = _old(db, external_calls.c.id, external_calls.c.at, before, after)
    if not old:
        return None
    span = (external_calls.c.id >= old[0]) & (external_calls.c.id <= old[-1])
    newest = sa.select(sa.func.max(external_calls.c.id)).scalar_subquery()
    db.execute(sa.delete(external_calls).where(span, external_calls.c.id != newest))
    return old[-1]


def forget_attempts(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """
    Delete attempts of tasks that have been closed for as long. ``after``: moment and id of the last
    attempt read; two may have the same moment. The number of a task's last attempt stays: an id is
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
        tasks.c.id == attempts.c.task, holds("tasks", CLOSED), _closed_before(before)
    )
    wanted = sa.exists().where(do_not_call.c.attempt == attempts.c.id)
    undelivered = outbox.c.attempt == attempts.c.id
    undelivered &= holds("outbox", "state NOT IN ('delivered', 'void')")
    gone = list(
        db.scalars(
            sa.select(attempts.c.id).where(
                attempts.c.id.in_(ids), attempts.c.outcome.is_not(None), shut,
                ~wanted, ~sa.exists().where(undelivered),
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
    """Store the highest number of these attempts, by task."""
    last = (
        sa.select(attempts.c.task, sa.func.max(attempts.c.n).label("n"))
        .where(attempts.c.id.in_(gone))
        .group_by(attempts.c.task)
    )
    for row in db.execute(last).all():
        same = forgotten.c.task == row.task
        before = db.scalar(sa.select(forgotten.c.n).where(same)) or 0
        db.execute(sa.delete(forgotten).where(same))
        db.execute(sa.insert(forgotten).values(task=row.task, n=max(before, row.n)))


def forget_tasks(db: sa.Connection, before: datetime, after: Mark) -> Mark | None:
    """Delete closed tasks without attempts; one that is reopened is imported again."""
    query = sa.select(tasks.c.id).where(tasks.c.id > _after(after))
    query = query.order_by(tasks.c.id).limit(STEP)
    ids = list(db.scalars(query))
    if not ids:
        return None
    attempted = sa.exists().where(attempts.c.task == tasks.c.id)
    messaged = sa.exists().where(outbox.c.task == tasks.c.id)
    quiet = _closed_before(before) & (tasks.c.due.is_(None) | (tasks.c.due < before))
    gone = list(
        db.scalars(
            sa.select(tasks.c.id).where(
                tasks.c.id.in_(ids), holds("tasks", CLOSED), quiet, ~attempted, ~messaged
            )
        )
    )
    for table in (phones, refused):
        db.execute(sa.delete(table).where(table.c.task.in_(gone)))
    db.execute(sa.delete(tasks).where(tasks.c.id.in_(gone)))
    return ids[-1]


#: By the key of ``[store] keep``, referring rows first.
STEPS: dict[str, tuple[Step, ...]] = {
    "events": (forget_events,),
    "outbox": (forget_outbox,),
    "presence": (forget_presence,),
    "audit": (forget_audit,),
    "external_calls": (forget_external_calls,),
    "attempts": (forget_attempts, forget_tasks),
}
