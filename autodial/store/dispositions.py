"""
Dispositions: the codes an operator keys after a talk: done, call later, wrong number, do not call.
The last one counts; undelivered messages of an earlier one are taken back.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import Event, State, advance
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.model.outcome import Outcome
from autodial.model.write_back import WriteBack
from autodial.rules.end_policy import EndPolicy
from autodial.store.attempt_end import NEXT_NUMBER, other_numbers
from autodial.store.attempt_queries import load_attempt
from autodial.store.events import note
from autodial.store.outbox import enqueue
from autodial.store.same_person import same_person
from autodial.store.schema import (
    LISTED,
    attempts,
    do_not_call,
    holds,
    in_state,
    operators,
    outbox,
    phones,
    tasks,
)

#: A later disposition may belong to a talk outside the dialler, so it is refused.
SINCE = timedelta(hours=1)


def save(
    db: sa.Connection,
    operator: OperatorId,
    disposition: Disposition,
    now: datetime,
    policy: EndPolicy,
    at: datetime | None = None,
) -> AttemptId | None:
    """
    Store a disposition and what follows from it. ``at``: when to call later. None: the operator
    has had no talk lately, or its task was closed or moved by a person since. (Do-not-call counts
    all the same.)
    """
    attempt = _last_talk(db, operator, now)
    if attempt is None:
        return None
    task = db.execute(sa.select(tasks).where(tasks.c.id == attempt.task)).one()
    if not task.open or task.generation != attempt.generation:
        if disposition is not Disposition.DO_NOT_CALL:
            return None
        # A person decides on the task now; do-not-call concerns the client, not the task.
        db.execute(sa.delete(do_not_call).where(do_not_call.c.attempt == attempt.id))
        _do_not_call(db, attempt, operator, now)
        note(db, now, attempt.task, "disposition", disposition.value, attempt.id)
        return attempt.id
    _take_back(db, attempt)
    db.execute(
        sa.update(attempts).where(attempts.c.id == attempt.id).values(disposition=disposition.value)
    )
    wait = policy.later if at is None else at - now
    following = _next_call(db, attempt, disposition, now, policy, wait)
    values: dict[str, object] = {"due": following, "next_check": following, "reason": "not due"}
    if following is None:
        closed_reason = (
            Outcome.BAD_NUMBER if disposition is Disposition.WRONG_NUMBER else Outcome.TALKED
        )
        values = {"next_check": None, "reason": "finished", "closed_reason": closed_reason.value}
    else:
        values["closed_reason"] = ""
    db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(reason_at=now, **values))
    if disposition is Disposition.DO_NOT_CALL:
        _do_not_call(db, attempt, operator, now)
    _enqueue(db, attempt, operator, disposition, following, policy.write_back, now)
    note(db, now, attempt.task, "disposition", disposition.value, attempt.id)
    if following is None and disposition is Disposition.WRONG_NUMBER:
        note(db, now, attempt.task, "given up", Outcome.BAD_NUMBER.value, attempt.id)
    state = attempt.state
    if state is State.REPORTED:
        moved = advance(state, Event.REOPEN).value
        db.execute(sa.update(attempts).where(attempts.c.id == attempt.id).values(state=moved))
    return attempt.id


def _last_talk(db: sa.Connection, operator: OperatorId, now: datetime) -> Attempt | None:
    query = (
        sa.select(attempts.c.id)
        .where(attempts.c.taken_by == operator, attempts.c.ended_at > now - SINCE)
        .order_by(attempts.c.ended_at.desc(), attempts.c.id)
        .limit(1)
    )
    attempt = db.scalar(query)
    return load_attempt(db, AttemptId(attempt)) if attempt is not None else None


def _take_back(db: sa.Connection, attempt: Attempt) -> None:
    """Take back the previous disposition, as far as its messages are undelivered."""
    db.execute(sa.delete(do_not_call).where(do_not_call.c.attempt == attempt.id))
    messages = (outbox.c.attempt == attempt.id) & outbox.c.kind.in_(
        (MessageKind.TASK, MessageKind.STATUS, MessageKind.COMMENT)
    )
    unsent = messages & (outbox.c.revision > 0) & in_state(MessageState.PENDING)
    db.execute(sa.delete(outbox).where(unsent, outbox.c.task == attempt.task))
    # The disposition, not the outcome, sets the task's status.
    after = (
        (outbox.c.kind == MessageKind.STATUS)
        & (outbox.c.revision == 0)
        & in_state(MessageState.PENDING)
    )
    db.execute(
        sa.update(outbox)
        .where(outbox.c.attempt == attempt.id, after)
        .values(state=MessageState.VOID)
    )


def _next_call(
    db: sa.Connection,
    attempt: Attempt,
    disposition: Disposition,
    now: datetime,
    policy: EndPolicy,
    later: timedelta,
) -> datetime | None:
    wait = {Disposition.LATER: later, Disposition.WRONG_NUMBER: NEXT_NUMBER}.get(disposition)
    if wait is None or (disposition is Disposition.WRONG_NUMBER and not other_numbers(db, attempt)):
        return None
    zone = sa.select(phones.c.zone).where(
        phones.c.task == attempt.task, phones.c.number == attempt.number
    )
    return policy.fitted((attempt.number, db.scalar(zone) or ""), now + wait, Outcome.TALKED)


def _do_not_call(db: sa.Connection, attempt: Attempt, operator: OperatorId, now: datetime) -> None:
    """Put the client on the do-not-call list: for all tasks, on all of their numbers."""
    row = db.execute(sa.select(attempts).where(attempts.c.id == attempt.id)).one()
    db.execute(
        sa.insert(do_not_call).values(
            number=row.number, entity_type=row.entity_type, entity_id=row.entity_id, at=now,
            operator=operator, attempt=attempt.id,
        )
    )  # fmt: skip
    _look_again(db, row, now)


def _look_again(db: sa.Connection, person: Any, now: datetime) -> None:
    """Waiting tasks of this person are decided on now."""
    for same in same_person(phones.c, person):
        others = sa.select(phones.c.task).where(same)
        waiting = tasks.c.id.in_(others) & (tasks.c.next_check > now)
        db.execute(sa.update(tasks).where(waiting).values(next_check=now))


def never_call(db: sa.Connection, number: str, now: datetime, why: str) -> bool:
    """
    Put a number on the list, by command, with all that its owners have: whoever has it in a task or
    was called on it. False: the number is on it.
    """
    listed = sa.select(do_not_call.c.id).where(do_not_call.c.number == number)
    if db.scalar(listed.limit(1)) is not None:
        return False
    owners = [
        sa.select(
            table.c.number, table.c.entity_type, table.c.entity_id,
            sa.func.max(table.c.client).label("client"),
        )
        .where(table.c.number == number)
        .group_by(table.c.number, table.c.entity_type, table.c.entity_id)
        for table in (phones, attempts)
    ]  # fmt: skip
    people = {
        (row.entity_type, row.entity_id): row for query in owners for row in db.execute(query)
    }
    nobody = sa.select(
        sa.literal(number).label("number"), sa.literal("").label("entity_type"),
        sa.literal(0).label("entity_id"), sa.literal("").label("client"),
    )  # fmt: skip
    for row in people.values() or db.execute(nobody):
        db.execute(
            sa.insert(do_not_call).values(
                number=number, entity_type=row.entity_type, entity_id=row.entity_id, at=now,
                operator=0, client=row.client, why=why,
            )
        )  # fmt: skip
        _look_again(db, row, now)
    return True


def owners_of(db: sa.Connection, number: str) -> list[tuple[str, int]]:
    """The clients with this number on the list: CONTACT, COMPANY or LEAD, and their numbers."""
    query = sa.select(do_not_call.c.entity_type, do_not_call.c.entity_id).distinct()
    rows = db.execute(query.where(do_not_call.c.number == number, do_not_call.c.entity_id != 0))
    return [(row.entity_type, row.entity_id) for row in rows]


def _enqueue(  # noqa: PLR0913  # the columns of a message
    db: sa.Connection, attempt: Attempt, operator: OperatorId, disposition: Disposition,
    following: datetime | None, write_back: WriteBack, now: datetime,
) -> None:  # fmt: skip
    """Each disposition has its own revision, apart from the end and earlier dispositions."""
    before = (
        (outbox.c.attempt == attempt.id)
        & (outbox.c.kind == MessageKind.COMMENT)
        & (outbox.c.revision > 0)
    )
    earlier = db.scalar(sa.select(sa.func.count()).where(before)) or 0
    revision = 10 * earlier + disposition.code
    change: dict[str, object] = {}
    if following is not None:
        change["deadline"] = following.isoformat()
    given_up = following is None and disposition is Disposition.WRONG_NUMBER
    if given_up and write_back.hand_back not in (0, attempt.responsible):
        change["responsible"] = write_back.hand_back
    if change:
        enqueue(db, attempt, MessageKind.TASK, change, now, revision=revision)
    next_call = following.isoformat() if following is not None else None
    comment = {"disposition": disposition.value, "user": operator, "next": next_call}
    enqueue(db, attempt, MessageKind.COMMENT, comment, now, revision=revision)
    status = {Disposition.DONE: "DONE", Disposition.DO_NOT_CALL: write_back.talked}.get(
        disposition, ""
    )
    status = write_back.given_up if given_up else status
    if status:
        enqueue(db, attempt, MessageKind.STATUS, {"status": status}, now, revision=revision)


@frozen(kw_only=True)
class DoNotCallLine:
    """One client who is not to be called again."""

    number: str
    client: str
    at: datetime
    operator: str  #: who was told; empty: entered by command
    attempt: str  #: in which call; empty: by command
    why: str  #: by command


def do_not_call_lines(db: sa.Connection) -> list[DoNotCallLine]:
    """All of them, the latest first."""
    query = (
        sa.select(do_not_call, attempts.c.client.label("called"), operators.c.name)
        .outerjoin(attempts, attempts.c.id == do_not_call.c.attempt)
        .outerjoin(operators, operators.c.id == do_not_call.c.operator)
        .order_by(do_not_call.c.at.desc(), do_not_call.c.id.desc())
    )
    return [
        DoNotCallLine(
            number=row.number,
            client=row.client or row.called or "",
            at=row.at,
            operator=row.name or (str(row.operator) if row.operator else ""),
            attempt=row.attempt or "",
            why=row.why,
        )
        for row in db.execute(query)
    ]


def call_again(db: sa.Connection, number: str, now: datetime) -> int:
    """Take a number and its owner off the list, by command. Returns how many entries."""
    removed = db.execute(sa.delete(do_not_call).where(do_not_call.c.number == number)).rowcount
    if removed:
        waiting = holds("tasks", LISTED) & (tasks.c.reason == "do not call")
        db.execute(sa.update(tasks).where(waiting).values(next_check=now))
    return removed
