"""Tells a deadline that a person moved from one that the dialler set itself."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from autodial.model.ids import TaskId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.store import flags
from autodial.store.outbox import LATE, Message
from autodial.store.schema import outbox
from bitrix24 import Deadline

_UNDECIDED = (MessageState.PENDING, MessageState.SENDING, MessageState.DEAD)


def outdated(db: sa.Connection, message: Message) -> bool:
    """Has a later attempt of the task set a deadline of its own, or a message that will?"""
    query = sa.select(outbox.c.payload).where(
        outbox.c.task == message.task,
        outbox.c.kind == MessageKind.TASK,
        outbox.c.id > message.id,
        outbox.c.state != MessageState.VOID,
    )
    return any("deadline" in row.payload for row in db.execute(query))


def our_own_hand(
    db: sa.Connection, task: TaskId, asked: datetime, until: Deadline, late: timedelta = LATE
) -> bool:
    """
    Was the task read from the portal (at ``asked``) while our own change was being sent, or while
    the portal could still execute it (``late``)? Or is its deadline one of an undelivered message?

    Then it must not be taken for a person's change: the task would be dialled again at once. What
    was sent, or is to be sent, may have arrived already.
    """
    query = sa.select(outbox.c.state, outbox.c.done_at, outbox.c.payload, outbox.c.sent_at).where(
        outbox.c.task == task, outbox.c.kind == MessageKind.TASK
    )
    by_day = flags.last(db, flags.CUTS_DAYS) is not None
    for row in db.execute(query.order_by(outbox.c.id.desc()).limit(2)):
        # A delayed message may wait for hours; people may move the deadline meanwhile.
        sent = row.sent_at if row.state == MessageState.SENDING else None
        uncertain = sent is not None and asked <= sent + late
        if uncertain or (row.done_at is not None and row.done_at >= asked):
            return True
        ours = row.payload.get("deadline") if row.state in _UNDECIDED else None
        if ours and until.may_be_of(datetime.fromisoformat(ours), by_day=by_day):
            return True
    return False


def to_the_minute(moment: datetime) -> datetime:
    """The portal drops the seconds of a deadline."""
    return moment.replace(second=0, microsecond=0)
