"""After the rules have changed: next calls that they no longer allow are put off."""

from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.hours import Hours
from autodial.limits import Limits
from autodial.model import AttemptId
from autodial.next_call import first_allowed
from autodial.store.events import note
from autodial.store.ledger import load_attempt
from autodial.store.outbox import owe
from autodial.store.schema import LISTED, attempts, holds, outbox, phones, tasks

#: Of the debts about one attempt's task, those that came of changed rules are numbered from here:
#: an operator's word has fewer.
BY_RULES = 1_000_000


@frozen
class Replanned:
    """One step."""

    moved: int
    after: int | None  #: where to go on; None: that was all


def replan(
    db: sa.Connection, limits: Limits, hours: Hours, now: datetime, after: int, limit: int
) -> Replanned:
    """
    The next calls that we have set ourselves, of up to ``limit`` tasks behind the number ``after``:
    what the rules do not allow at its moment is put off to where they do, and the portal is told.
    A deadline that a person has set stays.
    """
    waiting = (
        sa.select(tasks.c.id, tasks.c.due, tasks.c.series)
        .where(holds("tasks", LISTED), tasks.c.halted == "", tasks.c.id > after)
        .order_by(tasks.c.id)
        .limit(limit)
    )
    found = db.execute(waiting).all()
    moved = 0
    for row in found:
        if row.due is not None and row.due > now:
            moved += _put_off(db, row.id, row.due, row.series, limits, hours, now)
    return Replanned(moved, found[-1].id if len(found) == limit else None)


def _put_off(
    db: sa.Connection, task: int, due: datetime, series: int, limits: Limits, hours: Hours,
    now: datetime,
) -> bool:  # fmt: skip
    last = (
        sa.select(
            attempts.c.id, attempts.c.series, attempts.c.outcome, phones.c.number, phones.c.zone
        )
        .outerjoin(
            phones, (phones.c.task == attempts.c.task) & (phones.c.number == attempts.c.number)
        )
        .where(attempts.c.task == task)
        .order_by(attempts.c.n.desc())
        .limit(1)
    )  # fmt: skip
    made = db.execute(last).first()
    if made is None or made.series != series or made.outcome is None or made.number is None:
        return False  # its deadline is a person's, or a call is under way
    later = first_allowed(limits, hours, (made.number, made.zone), due)
    if later == due:
        return False
    values = {"due": later, "next_check": later}
    db.execute(sa.update(tasks).where(tasks.c.id == task).values(**values))
    note(db, now, task, "put off", f"{later:%F %R} UTC: the rules have changed")
    attempt = load_attempt(db, AttemptId(made.id))
    assert attempt is not None
    mine = (outbox.c.attempt == made.id) & (outbox.c.kind == "task")
    before = db.scalar(sa.select(sa.func.count()).where(mine, outbox.c.target >= BY_RULES)) or 0
    owe(db, attempt, "task", BY_RULES + before, {"deadline": later.isoformat()}, now)
    return True
