"""
What the portal has yet to be told. A row is written in the transaction of what happened, marked
``sending`` before the request, and ``done`` after it: a crash in between is recognised.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import Event, State, advance
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.store import flags
from autodial.store.events import note
from autodial.store.schema import DEAD, IN_FLIGHT, UNDELIVERED, attempts, holds, outbox, tasks
from bitrix24 import Deadline

#: How long a portal may take to execute what its client has given up, unless a site says otherwise.
LATE = timedelta(seconds=90)
#: MessageLine that the portal knows again, or that mean nothing later: repeated without waiting.
_AT_ONCE = (MessageKind.REGISTER, MessageKind.MOVE, MessageKind.NOTIFY)


@frozen(kw_only=True)
class Message:
    """One thing the portal must be told, with what is needed to say it."""

    id: int
    attempt: AttemptId
    task: TaskId
    kind: MessageKind
    operator: OperatorId  #: whose card or notice it is; 0: of no operator in particular
    revision: int  #: see ``enqueue``
    of_task: TaskId  #: the task of its attempt; ``task``, if the message is not for another one
    payload: Mapping[str, Any]
    doubtful: bool  #: it was being sent before: verify before repeating
    number: str
    entity: tuple[str, int]
    call_id: str | None
    client: str
    title: str
    ended: datetime | None  #: when the attempt was over; None: it is under way
    until: Deadline  #: of the task, as the portal last had it
    created: datetime  #: when it happened
    sent_before: datetime | None  #: what not to lose if it is not sent after all
    lost_before: datetime | None
    purpose: str  #: of the task
    comment: int | None  #: our comment of the attempt's generation, if there is one
    #: A card of this call may have been raised, or may yet be, without our knowing.
    unsure: bool = False

    @property
    def ordinal(self) -> int:
        """Tells it from the other messages of its attempt and kind, in what the portal is told."""
        other = 0 if self.task == self.of_task else -self.task
        return self.operator or self.revision or other


def enqueue(  # noqa: PLR0913  # the columns of a message
    db: sa.Connection,
    attempt: Attempt,
    kind: MessageKind,
    payload: Mapping[str, Any],
    now: datetime,
    *,
    operator: int = 0,
    revision: int = 0,
    task: TaskId | None = None,
) -> None:
    """
    Add a message; the same one twice is one. ``operator``: whose card or notice it is.
    ``revision`` tells messages of one kind about one attempt apart: 0 is of its end, the next ones
    of an operator's dispositions, from ``replan.BY_RULES`` on of changed rules. ``task``: another
    task of the same client, which hears of the talk.
    """
    exists = sa.select(outbox.c.id).where(
        outbox.c.attempt == attempt.id,
        outbox.c.kind == kind,
        outbox.c.task == (attempt.task if task is None else task),
        outbox.c.operator == operator,
        outbox.c.revision == revision,
    )
    if db.scalar(exists) is None:
        db.execute(
            sa.insert(outbox).values(
                attempt=attempt.id,
                task=attempt.task if task is None else task,
                kind=kind,
                operator=operator,
                revision=revision,
                payload=dict(payload),
                state=MessageState.PENDING,
                created=now,
                error="",
            )
        )


def put_back(db: sa.Connection, attempt: AttemptId, kind: MessageKind, until: datetime) -> None:
    """A message that is not to be paid before a moment."""
    which = (outbox.c.attempt == attempt) & (outbox.c.kind == kind)
    db.execute(sa.update(outbox).where(which).values(not_before=until))


def registered(db: sa.Connection, attempt: AttemptId) -> bool:
    """Is the call's registration on its way, or done?"""
    query = sa.select(outbox.c.id).where(
        outbox.c.attempt == attempt, outbox.c.kind == MessageKind.REGISTER
    )
    return db.scalar(query) is not None


_UNDELIVERED = holds("outbox", UNDELIVERED)
_UNDER_WAY = holds("attempts", IN_FLIGHT)
_DEBT = (
    sa.select(
        outbox,
        attempts.c.task.label("of_task"),
        attempts.c.number,
        attempts.c.entity_type,
        attempts.c.entity_id,
        attempts.c.call_id,
        attempts.c.outcome,
        attempts.c.client,
        attempts.c.ended_at,
        attempts.c.generation,
        tasks.c.portal_deadline,
        tasks.c.portal_wall,
        tasks.c.title,
        tasks.c.purpose,
        tasks.c.comment,
        tasks.c.comment_generation,
    )
    .join(attempts, attempts.c.id == outbox.c.attempt)
    .join(tasks, tasks.c.id == outbox.c.task)
    .where(_UNDELIVERED)
    .where(outbox.c.not_before.is_(None) | (outbox.c.not_before <= sa.bindparam("now")))
    .order_by(outbox.c.id)
    .limit(1)
)
#: The cards of calls under way: found from the few calls, not among all that is owed.
_CARD = _DEBT.where(
    outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
    outbox.c.kind.in_(_AT_ONCE),
)


def next_message(db: sa.Connection, now: datetime, late: timedelta = LATE) -> Message | None:
    """
    The oldest message, marked as being sent. MessageLine are paid in the order they arose, save
    that the cards of calls under way do not wait behind what is over.

    ``late``: how long after its sending the portal may execute a request whose answer was lost. A
    doubtful message, and what follows it for its attempt, waits so long, and then shows what became
    of it. What the portal knows again (``_AT_ONCE``) is repeated at once, and the call's end waits.
    """
    while True:
        row = db.execute(_CARD, {"now": now}).first() or db.execute(_DEBT, {"now": now}).first()
        if row is None:
            return None
        doubtful = row.state == MessageState.SENDING
        unsure = _last_lost_card(db, row.attempt) if row.kind == MessageKind.FINISH else None
        waits = [unsure] if unsure else []
        if row.kind == MessageKind.COMMENT and (before := _doubtful_comment(db, row.task, row.id)):
            waits.append(before)
        if doubtful and row.sent_at is not None and row.kind not in _AT_ONCE:
            waits.append(row.sent_at)
        until = max(waits) + late if waits else now
        if until <= now:
            break
        _put_off(db, row.attempt, row.id, until)
    lost = row.sent_at if doubtful else row.lost_at
    sent = {"state": MessageState.SENDING, "sent_at": now, "lost_at": lost}
    db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(**sent))
    return Message(
        id=row.id,
        attempt=AttemptId(row.attempt),
        task=TaskId(row.task),
        kind=MessageKind(row.kind),
        operator=OperatorId(row.operator),
        revision=row.revision,
        of_task=TaskId(row.of_task),
        payload=row.payload,
        doubtful=row.state == MessageState.SENDING,
        number=row.number,
        entity=(row.entity_type, row.entity_id),
        call_id=row.call_id,
        client=row.client,
        title=row.title,
        ended=row.ended_at,
        until=Deadline(row.portal_deadline, row.portal_wall),
        created=row.created,
        sent_before=row.sent_at,
        lost_before=row.lost_at,
        purpose=row.purpose,
        comment=row.comment if row.comment_generation == row.generation else None,
        unsure=unsure is not None,
    )


def _last_lost_card(db: sa.Connection, attempt: str) -> datetime | None:
    """When a registration or a showing of this call was last sent without an answer."""
    query = sa.select(outbox.c.lost_at).where(
        outbox.c.attempt == attempt,
        outbox.c.kind.in_((MessageKind.REGISTER, MessageKind.MOVE)),
        outbox.c.lost_at.is_not(None),
    )
    return max((row.lost_at for row in db.execute(query)), default=None)


def _doubtful_comment(db: sa.Connection, task: int, message: int) -> datetime | None:
    """When an earlier comment of the task was last sent, if nobody knows what became of it."""
    query = sa.select(outbox.c.sent_at).where(
        outbox.c.task == task,
        outbox.c.kind == MessageKind.COMMENT,
        outbox.c.state == MessageState.SENDING,
        outbox.c.id < message,
        outbox.c.sent_at.is_not(None),
    )
    return max((row.sent_at for row in db.execute(query)), default=None)


def said_since(db: sa.Connection, message: Message) -> bool:
    """Was a later attempt told in the one comment of its generation, which this must not undo?"""
    generation = (
        sa.select(attempts.c.generation).where(attempts.c.id == message.attempt).scalar_subquery()
    )
    query = (
        sa.select(outbox.c.id)
        .join(attempts, attempts.c.id == outbox.c.attempt)
        .where(
            outbox.c.task == message.task,
            outbox.c.kind == MessageKind.COMMENT,
            outbox.c.revision == 0,
            outbox.c.task == attempts.c.task,
            outbox.c.state == MessageState.DELIVERED,
            outbox.c.id > message.id,
            attempts.c.generation == generation,
        )
    )
    return db.scalar(query.limit(1)) is not None


def lines_in_use(db: sa.Connection) -> dict[str, str]:
    """Lines of the portal on which calls under way were registered, and by which attempts."""
    query = sa.select(outbox.c.attempt, outbox.c.payload).where(
        outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
        outbox.c.kind == MessageKind.REGISTER,
    )
    return {row.payload["line"]: row.attempt for row in db.execute(query) if "line" in row.payload}


def remember(db: sa.Connection, message: Message, said: Mapping[str, str]) -> None:
    """What a repetition must say in the same words; before it is said for the first time."""
    payload = {**message.payload, **said}
    db.execute(sa.update(outbox).where(outbox.c.id == message.id).values(payload=payload))


def being_sent(db: sa.Connection, message: Message, now: datetime) -> None:
    """Only now, after questions that took their time; or so late it was still under way."""
    db.execute(sa.update(outbox).where(outbox.c.id == message.id).values(sent_at=now))


def shown_to(db: sa.Connection, message: Message) -> list[int]:
    """Whose cards of this call may be up, besides the message's own."""
    query = sa.select(outbox.c.operator).where(
        outbox.c.attempt == message.attempt,
        outbox.c.kind.in_((MessageKind.REGISTER, MessageKind.MOVE)),
        outbox.c.id < message.id,
    )
    return [row.operator for row in db.execute(query)]


def not_sent(db: sa.Connection, message: Message) -> None:
    """It certainly did not reach the portal: back to what it was."""
    before = {
        "state": MessageState.SENDING if message.doubtful else "pending",
        "sent_at": message.sent_before,
        "lost_at": message.lost_before,
    }
    # (Unless a person's decision has voided it meanwhile.)
    mine = (outbox.c.id == message.id) & (outbox.c.state == MessageState.SENDING)
    db.execute(sa.update(outbox).where(mine).values(before))


def wait(db: sa.Connection, message: Message, until: datetime) -> None:
    """Not yet; the others go on."""
    values = {"state": MessageState.PENDING, "not_before": until}
    db.execute(sa.update(outbox).where(outbox.c.id == message.id).values(**values))


def put_off(db: sa.Connection, message: Message, until: datetime) -> None:
    """It fails while others would not: it and what follows it for its attempt wait."""
    _put_off(db, message.attempt, message.id, until)


def _put_off(db: sa.Connection, attempt: str, message: int, until: datetime) -> None:
    rest = (outbox.c.attempt == attempt) & (outbox.c.id >= message)
    undelivered = outbox.c.state.in_((MessageState.PENDING, MessageState.SENDING))
    # What waits for longer, as a status does for an operator's word, goes on waiting.
    sooner = outbox.c.not_before.is_(None) | (outbox.c.not_before < until)
    db.execute(sa.update(outbox).where(rest, undelivered, sooner).values(not_before=until))


def again(db: sa.Connection, message: int | None, now: datetime) -> int:
    """A person has looked: what was put aside is owed again, one or all. How many."""
    dead = holds("outbox", DEAD)
    if message is not None:
        dead &= outbox.c.id == message
    rows = db.execute(sa.select(outbox).where(dead)).all()
    for row in rows:
        # Whether its last sending arrived is as unknown as before.
        values = {"state": MessageState.SENDING, "error": "", "not_before": None}
        db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(**values))
        note(db, now, row.task, "again", row.kind, row.attempt)
        if row.kind == MessageKind.REGISTER:
            # The portal would not know it again, if it has it; a person says: now, anew.
            anew = {key: value for key, value in row.payload.items() if key != "since"}
            fresh: dict[str, Any] = {
                "state": MessageState.PENDING,
                "payload": anew,
                "lost_at": None,
            }
            db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(fresh))
            # What follows it was passed over, for want of a registered call.
            follows = outbox.c.kind.in_((MessageKind.FINISH, MessageKind.RECORD)) & (
                outbox.c.state == MessageState.DELIVERED
            )
            mine = outbox.c.attempt == row.attempt
            db.execute(sa.update(outbox).where(mine, follows).values(state=MessageState.PENDING))
        state = State(db.scalar(sa.select(attempts.c.state).where(attempts.c.id == row.attempt)))
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
    The portal has taken it. ``until`` is the deadline that it now holds, so that we know our own
    hand; ``comment`` the number of what we have written.
    """
    db.execute(
        sa.update(outbox)
        .where(outbox.c.id == message.id)
        .values(state=MessageState.DELIVERED, done_at=now)
    )
    if call_id is not None:
        db.execute(
            sa.update(attempts).where(attempts.c.id == message.attempt).values(call_id=call_id)
        )
    if until is not None:
        told = {"portal_deadline": until.at, "portal_wall": until.wall}
        db.execute(sa.update(tasks).where(tasks.c.id == message.task).values(told))
        mine = message.payload.get("deadline")
        if until.midnight and mine and not until.is_of(datetime.fromisoformat(mine)):
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
    """The portal refuses it for good: a person must look. The others go on."""
    db.execute(
        sa.update(outbox)
        .where(outbox.c.id == message.id)
        .values(state=MessageState.DEAD, error=why)
    )
    note(db, now, message.task, "portal refused", f"{message.kind}: {why}", message.attempt)
    _settle(db, message)


def _settle(db: sa.Connection, message: Message) -> None:
    """An ended attempt that owes nothing more is reported."""
    left = db.scalar(
        sa.select(sa.func.count())
        .select_from(outbox)
        .where(
            outbox.c.attempt == message.attempt,
            outbox.c.state.in_((MessageState.PENDING, MessageState.SENDING)),
        )
    )
    state = State(db.scalar(sa.select(attempts.c.state).where(attempts.c.id == message.attempt)))
    if not left and state is State.ENDED:
        moved = advance(state, Event.REPORT).value
        db.execute(sa.update(attempts).where(attempts.c.id == message.attempt).values(state=moved))


_UNDECIDED = (MessageState.PENDING, MessageState.SENDING, MessageState.DEAD)


def outdated(db: sa.Connection, message: Message) -> bool:
    """Does a later attempt of the task owe, or has it set, a deadline of its own?"""
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
    Was the portal asked about a task (at ``asked``) while we were changing it ourselves, or while
    it may have executed ``late`` what we had given up; or is the deadline it has one that we still
    owe?

    Then its answer must not be taken for a person's change: the task would be dialled again at
    once. What was sent, or is to be sent, may have arrived already.
    """
    query = sa.select(outbox.c.state, outbox.c.done_at, outbox.c.payload, outbox.c.sent_at).where(
        outbox.c.task == task, outbox.c.kind == MessageKind.TASK
    )
    by_day = flags.last(db, flags.CUTS_DAYS) is not None
    for row in db.execute(query.order_by(outbox.c.id.desc()).limit(2)):
        # What was put off may wait for hours, in which people do decide.
        sent = row.sent_at if row.state == MessageState.SENDING else None
        under_way = sent is not None and asked <= sent + late
        if under_way or (row.done_at is not None and row.done_at >= asked):
            return True
        ours = row.payload.get("deadline") if row.state in _UNDECIDED else None
        if ours and until.may_be_of(datetime.fromisoformat(ours), by_day=by_day):
            return True
    return False


def to_the_minute(moment: datetime) -> datetime:
    """The portal cuts the seconds of a deadline."""
    return moment.replace(second=0, microsecond=0)
