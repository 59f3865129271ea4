"""What became of a message: sent, not sent, delivered, put off, or a dead letter."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from autodial.model.attempt_states import Event, State, advance
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.store import flags
from autodial.store.events import note
from autodial.store.outbox import Message, put_off_rest
from autodial.store.schema import DEAD, attempts, holds, outbox, tasks
from bitrix24 import Deadline

#: Built once: building a statement costs more than running it.
_CHANGE = sa.update(outbox).where(outbox.c.id == sa.bindparam("this"))


def remember(db: sa.Connection, message: Message, fields: Mapping[str, str]) -> None:
    """Store fields that a repetition must send unchanged; called before the first sending."""
    payload = {**message.payload, **fields}
    db.execute(_CHANGE, {"this": message.id, "payload": payload})


def being_sent(db: sa.Connection, message: Message, now: datetime) -> None:
    """Set the time of sending again: after queries that took time, or at the end of a request."""
    db.execute(_CHANGE, {"this": message.id, "sent_at": now})


def not_sent(db: sa.Connection, message: Message) -> None:
    """The message certainly did not reach the portal: restore its previous state."""
    before = {
        "state": MessageState.SENDING if message.doubtful else "pending",
        "sent_at": message.sent_before,
        "lost_at": message.lost_before,
    }
    # (Unless a person's decision has voided it meanwhile.)
    sending = (outbox.c.id == message.id) & (outbox.c.state == MessageState.SENDING)
    db.execute(sa.update(outbox).where(sending).values(before))


def wait(db: sa.Connection, message: Message, until: datetime) -> None:
    """Delay one message; the others are delivered meanwhile."""
    values = {"state": MessageState.PENDING, "not_before": until}
    db.execute(_CHANGE, {"this": message.id, **values})


def put_off(db: sa.Connection, message: Message, until: datetime) -> None:
    """This message fails, others would not: delay it and what follows it for its attempt."""
    put_off_rest(db, message.attempt, message.id, until)


def again(db: sa.Connection, message: int | None, now: datetime) -> int:
    """Deliver dead letters again after a person has looked: one or all. Returns how many."""
    dead = holds("outbox", DEAD)
    if message is not None:
        dead &= outbox.c.id == message
    rows = db.execute(sa.select(outbox).where(dead)).all()
    for row in rows:
        # Whether its last sending arrived is as unknown as before.
        values = {"state": MessageState.SENDING, "error": "", "not_before": None}
        db.execute(_CHANGE, {"this": row.id, **values})
        note(db, now, row.task, "again", row.kind, row.attempt)
        if row.kind == MessageKind.REGISTER:
            # The portal would not recognise a repetition: it is registered as a new call.
            anew = {key: value for key, value in row.payload.items() if key != "since"}
            fresh: dict[str, Any] = {
                "state": MessageState.PENDING,
                "payload": anew,
                "lost_at": None,
            }
            db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(fresh))
            # What follows it was skipped, as the call was not registered.
            follows = outbox.c.kind.in_((MessageKind.FINISH, MessageKind.RECORD)) & (
                outbox.c.state == MessageState.DELIVERED
            )
            same = outbox.c.attempt == row.attempt
            db.execute(sa.update(outbox).where(same, follows).values(state=MessageState.PENDING))
        state = _state_of(db, row.attempt)
        if state is State.REPORTED:
            moved = advance(state, Event.REOPEN).value
            db.execute(sa.update(attempts).where(attempts.c.id == row.attempt).values(state=moved))
    return len(rows)


def delivered(
    db: sa.Connection,
    message: Message,
    now: datetime,
    *,
    call_id: str | None = None,
    until: Deadline | None = None,
    comment: int | None = None,
) -> None:
    """
    The portal has accepted the message. ``until`` is the deadline that it now holds, so that we
    recognise our own change; ``comment`` is the number of the comment we have written.
    """
    taken = {"this": message.id, "state": MessageState.DELIVERED, "done_at": now}
    db.execute(_CHANGE, taken)
    if call_id is not None:
        db.execute(
            sa.update(attempts).where(attempts.c.id == message.attempt).values(call_id=call_id)
        )
    if until is not None:
        stored = {"portal_deadline": until.at, "portal_wall": until.wall}
        db.execute(sa.update(tasks).where(tasks.c.id == message.task).values(stored))
        sent = message.payload.get("deadline")
        if until.midnight and sent and not until.is_of(datetime.fromisoformat(sent)):
            flags.mark(db, now, flags.CUTS_DAYS)
    if comment is not None:
        generation = sa.select(attempts.c.generation).where(attempts.c.id == message.attempt)
        ours = {"comment": comment, "comment_generation": generation.scalar_subquery()}
        db.execute(sa.update(tasks).where(tasks.c.id == message.task).values(ours))
    if "responsible" in message.payload:
        values = {"responsible": message.payload["responsible"]}
        db.execute(sa.update(tasks).where(tasks.c.id == message.task).values(values))
    note(db, now, message.task, "told portal", message.kind, message.attempt)
    _settle(db, message)


def bury(db: sa.Connection, message: Message, why: str, now: datetime) -> None:
    """The portal refuses it for good: a dead letter, for a person to look at."""
    db.execute(
        sa.update(outbox)
        .where(outbox.c.id == message.id)
        .values(state=MessageState.DEAD, error=why)
    )
    note(db, now, message.task, "portal refused", f"{message.kind}: {why}", message.attempt)
    _settle(db, message)


def _settle(db: sa.Connection, message: Message) -> None:
    """An ended attempt without undelivered messages is reported."""
    left = db.scalar(
        sa.select(sa.func.count())
        .select_from(outbox)
        .where(
            outbox.c.attempt == message.attempt,
            outbox.c.state.in_((MessageState.PENDING, MessageState.SENDING)),
        )
    )
    state = _state_of(db, message.attempt)
    if not left and state is State.ENDED:
        moved = advance(state, Event.REPORT).value
        db.execute(sa.update(attempts).where(attempts.c.id == message.attempt).values(state=moved))


def _state_of(db: sa.Connection, attempt: str) -> State:
    query = sa.select(attempts.c.state).where(attempts.c.id == attempt)
    return State(db.execute(query).scalar_one())
