"""After a change of the rules: next calls that are no longer allowed are postponed."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt_states import Event, State, advance
from autodial.model.ids import AttemptId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.model.outcome import Outcome
from autodial.rules.calling_hours import HORIZON
from autodial.rules.contact_limits import Limits
from autodial.rules.next_call import NextCall, first_allowed
from autodial.store.attempt_queries import load_attempt
from autodial.store.events import note
from autodial.store.outbox import enqueue
from autodial.store.schema import (
    LISTED,
    attempts,
    holds,
    in_state,
    outbox,
    phones,
    tasks,
)

#: The first revision of messages that come from changed rules; those of dispositions are lower.
BY_RULES = 1_000_000
_LAST = (
    sa.select(sa.func.max(attempts.c.n))
    .where(attempts.c.task == tasks.c.id)
    .correlate(tasks)
    .scalar_subquery()
)
#: Tasks due later, each with its last attempt, which must be of the same generation: a later
#: generation has a person's deadline.
_TO_COME = (
    sa.select(
        tasks.c.id, tasks.c.due, attempts.c.id.label("attempt"), attempts.c.outcome,
        attempts.c.number, attempts.c.generation, attempts.c.state, phones.c.zone,
    )
    .join(attempts, (attempts.c.task == tasks.c.id) & (attempts.c.n == _LAST))
    .outerjoin(phones, (phones.c.task == tasks.c.id) & (phones.c.number == attempts.c.number))
    .where(holds("tasks", LISTED), tasks.c.closed_reason == "")
    .where(attempts.c.generation == tasks.c.generation)
    .where(tasks.c.id > sa.bindparam("after"), tasks.c.due > sa.bindparam("now"))
    .order_by(tasks.c.id)
    .limit(sa.bindparam("limit"))
)  # fmt: skip


@frozen
class Replanned:
    """One step."""

    moved: int
    after: int | None  #: where to go on; None: that was all


def replan(db: sa.Connection, rules: NextCall, now: datetime, after: int, limit: int) -> Replanned:
    """
    Postpone next calls that the dialler has set and the rules no longer allow, of up to ``limit``
    tasks after the task ``after``, to the first allowed moment. The portal's deadline follows if it
    is ours, too. A deadline that a person has set stays; so does every one without any allowed
    moment.
    """
    rows = db.execute(_TO_COME, {"after": after, "now": now, "limit": limit}).all()
    moved = sum(_put_off(db, row, rules, now) for row in rows if row.outcome is not None)
    return Replanned(moved, rows[-1].id if len(rows) == limit else None)


def _put_off(db: sa.Connection, row: Any, rules: NextCall, now: datetime) -> bool:
    phone, due = (row.number, row.zone or ""), row.due
    if first_allowed(rules.limits, rules.hours, phone, due) == due:
        return False
    later = rules(phone, due, Outcome(row.outcome))
    if later - due > HORIZON + timedelta(days=7) or not _open(rules.limits, phone, later):
        return False  # no moment is allowed: the task waits, with the reason
    db.execute(sa.update(tasks).where(tasks.c.id == row.id).values(due=later, next_check=later))
    note(db, now, row.id, "put off", f"{later:%F %R} UTC: the rules have changed")
    if _deadline_is_ours(db, row.id, row.generation):
        _enqueue(db, row.attempt, row.state, later, now)
    return True


def _open(limits: Limits, phone: tuple[str, str], moment: datetime) -> bool:
    return limits.opens(*phone, moment) is None


def _deadline_is_ours(db: sa.Connection, task: int, generation: int) -> bool:
    """Is the deadline in the portal, or in an undelivered message, one that we have set?"""
    payloads = (
        sa.select(outbox.c.payload)
        .join(attempts, attempts.c.id == outbox.c.attempt)
        .where(
            outbox.c.task == task,
            outbox.c.kind == MessageKind.TASK,
            outbox.c.state != MessageState.VOID,
        )
        .where(attempts.c.generation == generation)
    )
    return any("deadline" in payload for payload in db.scalars(payloads))


def _enqueue(db: sa.Connection, number: str, state: str, later: datetime, now: datetime) -> None:
    """Replace an unsent message of this kind, or add one."""
    by_rules = (outbox.c.attempt == number) & (outbox.c.kind == MessageKind.TASK)
    by_rules &= outbox.c.revision >= BY_RULES
    payload = {"deadline": later.isoformat()}
    unsent = by_rules & in_state(MessageState.PENDING) & outbox.c.sent_at.is_(None)
    if db.execute(sa.update(outbox).where(unsent).values(payload=payload)).rowcount:
        return
    last = db.scalar(sa.select(sa.func.max(outbox.c.revision)).where(by_rules))
    attempt = load_attempt(db, AttemptId(number))
    assert attempt is not None
    revision = BY_RULES if last is None else last + 1
    enqueue(db, attempt, MessageKind.TASK, payload, now, revision=revision)
    if State(state) is State.REPORTED:
        again = advance(State.REPORTED, Event.REOPEN).value
        db.execute(sa.update(attempts).where(attempts.c.id == number).values(state=again))
