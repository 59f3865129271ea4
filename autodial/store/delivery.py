"""What became of a message: sent, not sent, delivered, put off, or a dead letter."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt_states import Event, State, advance
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.store import flags
from autodial.store.events import note
from autodial.store.outbox import Message, Search, next_message, put_off_rest
from autodial.store.schema import DEAD, UNDELIVERED, attempts, holds, in_state, outbox, tasks
from bitrix24 import Deadline

# Built once: building a statement costs more than running it.
_CHANGE = sa.update(outbox).where(outbox.c.id == sa.bindparam("this"))
_CALL = sa.update(attempts).where(attempts.c.id == sa.bindparam("its"))
_TASK = sa.update(tasks).where(tasks.c.id == sa.bindparam("its"))
_COMMENT = _TASK.values(
    comment=sa.bindparam("comment"),
    comment_generation=sa.select(attempts.c.generation)
    .where(attempts.c.id == sa.bindparam("of"))
    .scalar_subquery(),
)
_REPORTED = sa.update(attempts).where(
    attempts.c.id == sa.bindparam("its"),
    attempts.c.state == State.ENDED.value,
    ~sa.select(outbox.c.id)
    .where(
        outbox.c.attempt == sa.bindparam("its"),
        holds("outbox", UNDELIVERED),
    )
    .exists(),
)


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
    sending = (outbox.c.id == message.id) & in_state(MessageState.SENDING)
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
                in_state(MessageState.DELIVERED)
            )
            same = outbox.c.attempt == row.attempt
            db.execute(sa.update(outbox).where(same, follows).values(state=MessageState.PENDING))
        state = _state_of(db, row.attempt)
        if state is State.REPORTED:
            moved = advance(state, Event.REOPEN).value
            db.execute(sa.update(attempts).where(attempts.c.id == row.attempt).values(state=moved))
    return len(rows)


@frozen(kw_only=True)
class Done:
    """What the portal has accepted, and told."""

    call_id: str | None = None
    #: The deadline that it now holds, so that we recognise our own change.
    until: Deadline | None = None
    comment: int | None = None  #: the number of the comment we have written
    recording: Path | None = None  #: the file that it has now


def delivered(
    db: sa.Connection,
    message: Message,
    now: datetime,
    done: Done | None = None,
) -> None:
    """The portal has accepted the message."""
    _delivered(db, message, now, done or Done())
    _settle(db, message)


def _delivered(db: sa.Connection, message: Message, now: datetime, done: Done) -> None:
    taken = {"this": message.id, "state": MessageState.DELIVERED, "done_at": now}
    db.execute(_CHANGE, taken)
    if done.call_id is not None:
        db.execute(_CALL, {"its": message.attempt, "call_id": done.call_id})
    its = {"its": message.task}
    until = done.until
    if until is not None:
        db.execute(_TASK, its | {"portal_deadline": until.at, "portal_wall": until.wall})
        sent = message.payload.get("deadline")
        if until.midnight and sent and not until.is_of(datetime.fromisoformat(sent)):
            flags.mark(db, now, flags.CUTS_DAYS)
    if done.comment is not None:
        ours = {"its": message.task, "of": message.attempt, "comment": done.comment}
        db.execute(_COMMENT, ours)
    if "responsible" in message.payload:
        db.execute(_TASK, its | {"responsible": message.payload["responsible"]})
    note(db, now, message.task, "told portal", message.kind, message.attempt)


def delivered_and_next(
    db: sa.Connection, message: Message, done: Done, now: datetime, search: Search
) -> Message | None:
    """The portal has accepted this message; the next one, marked as being sent."""
    _delivered(db, message, now, done)
    following = next_message(db, now, search)
    if following is None or following.attempt != message.attempt:
        _settle(db, message)
    return following


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
    moved = advance(State.ENDED, Event.REPORT).value
    db.execute(_REPORTED, {"its": message.attempt, "state": moved})


def _state_of(db: sa.Connection, attempt: str) -> State:
    query = sa.select(attempts.c.state).where(attempts.c.id == attempt)
    return State(db.execute(query).scalar_one())
