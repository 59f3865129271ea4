"""The history of each task: one row per event."""

from collections import Counter
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.store.schema import attempts, events

#: Built once: building a statement costs more than running it.
_ADD = sa.insert(events)


@frozen
class Told:
    """One line of a history."""

    at: datetime
    task: int
    attempt: str
    kind: str
    detail: str


def note(
    db: sa.Connection, at: datetime, task: int, kind: str, detail: str = "", attempt: str = ""
) -> None:
    """Add a line, in the transaction of the event."""
    values = {"at": at, "task": task, "attempt": attempt, "kind": kind, "detail": detail}
    db.execute(_ADD, values)


def ended_counts(db: sa.Connection) -> Counter[str]:
    """How often each attempt ended; anything but 1 is a fault."""
    query = sa.select(events.c.attempt).where(events.c.kind == "ended")
    return Counter(row.attempt for row in db.execute(query))


def story(db: sa.Connection, task: int) -> list[Told]:
    """
    The events of a task, in order. For attempts older than the lines that are kept, only how each
    one ended.
    """
    query = sa.select(events).where(events.c.task == task).order_by(events.c.id)
    lines = [Told(row.at, row.task, row.attempt, row.kind, row.detail) for row in db.execute(query)]
    kept = {line.attempt for line in lines if line.kind == "ended"}
    ended = sa.select(attempts.c.id, attempts.c.ended_at, attempts.c.outcome).where(
        attempts.c.task == task, attempts.c.outcome.is_not(None)
    )
    lines += [
        Told(row.ended_at, task, row.id, "ended", row.outcome)
        for row in db.execute(ended)
        if row.id not in kept
    ]
    return sorted(lines, key=lambda line: line.at)
