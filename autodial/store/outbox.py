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
from autodial.model.ids import AttemptId, TaskId
from autodial.store import flags
from autodial.store.events import note
from autodial.store.schema import IN_FLIGHT, PARKED, UNPAID, attempts, holds, outbox, tasks
from bitrix24 import Deadline

#: How long a portal may take to execute what its client has given up, unless a site says otherwise.
LATE = timedelta(seconds=90)
#: Debts that the portal knows again, or that mean nothing later: repeated without waiting.
_AT_ONCE = ("register", "move", "notify")


@frozen(kw_only=True)
class Debt:
    """One thing the portal must be told, with what is needed to say it."""

    id: int
    attempt: AttemptId
    task: TaskId
    kind: str
    target: int
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
    comment: int | None  #: our comment of the attempt's series, if there is one
    #: A card of this call may have been raised, or may yet be, without our knowing.
    unsure: bool = False


def owe(  # noqa: PLR0913  # the columns of a message
    db: sa.Connection,
    attempt: Attempt,
    kind: str,
    target: int,
    payload: Mapping[str, Any],
    now: datetime,
    *,
    task: TaskId | None = None,
) -> None:
    """Add a debt; the same one twice is one. ``task``: if it is not the attempt's own."""
    exists = sa.select(outbox.c.id).where(
        outbox.c.attempt == attempt.id, outbox.c.kind == kind, outbox.c.target == target
    )
    if db.scalar(exists) is None:
        db.execute(
            sa.insert(outbox).values(
                attempt=attempt.id,
                task=attempt.task if task is None else task,
                kind=kind,
                target=target,
                payload=dict(payload),
                state="owed",
                created=now,
                error="",
            )
        )


def put_back(db: sa.Connection, attempt: AttemptId, kind: str, until: datetime) -> None:
    """A debt that is not to be paid before a moment."""
    which = (outbox.c.attempt == attempt) & (outbox.c.kind == kind)
    db.execute(sa.update(outbox).where(which).values(not_before=until))


def registered(db: sa.Connection, attempt: AttemptId) -> bool:
    """Is the call's registration on its way, or done?"""
    query = sa.select(outbox.c.id).where(outbox.c.attempt == attempt, outbox.c.kind == "register")
    return db.scalar(query) is not None


_UNPAID = holds("outbox", UNPAID)
_UNDER_WAY = holds("attempts", IN_FLIGHT)
_DEBT = (
    sa.select(
        outbox,
        attempts.c.number,
        attempts.c.entity_type,
        attempts.c.entity_id,
        attempts.c.call_id,
        attempts.c.outcome,
        attempts.c.client,
        attempts.c.ended_at,
        attempts.c.series,
        tasks.c.portal_deadline,
        tasks.c.portal_wall,
        tasks.c.title,
        tasks.c.purpose,
        tasks.c.comment,
        tasks.c.comment_series,
    )
    .join(attempts, attempts.c.id == outbox.c.attempt)
    .join(tasks, tasks.c.id == outbox.c.task)
    .where(_UNPAID)
    .where(outbox.c.not_before.is_(None) | (outbox.c.not_before <= sa.bindparam("now")))
    .order_by(outbox.c.id)
    .limit(1)
)
#: The cards of calls under way: found from the few calls, not among all that is owed.
_CARD = _DEBT.where(
    outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
    outbox.c.kind.in_(_AT_ONCE),
)


def next_debt(db: sa.Connection, now: datetime, late: timedelta = LATE) -> Debt | None:
    """
    The oldest debt, marked as being sent. Debts are paid in the order they arose, save that the
    cards of calls under way do not wait behind what is over.

    ``late``: how long after its sending the portal may execute a request whose answer was lost. A
    doubtful debt, and what follows it for its attempt, waits so long, and then shows what became of
    it. What the portal knows again (``_AT_ONCE``) is repeated at once, and the call's end waits.
    """
    while True:
        row = db.execute(_CARD, {"now": now}).first() or db.execute(_DEBT, {"now": now}).first()
        if row is None:
            return None
        doubtful = row.state == "sending"
        unsure = _last_lost_card(db, row.attempt) if row.kind == "finish" else None
        waits = [unsure] if unsure else []
        if row.kind == "comment" and (before := _doubtful_comment(db, row.task, row.id)):
            waits.append(before)
        if doubtful and row.sent_at is not None and row.kind not in _AT_ONCE:
            waits.append(row.sent_at)
        until = max(waits) + late if waits else now
        if until <= now:
            break
        _put_off(db, row.attempt, row.id, until)
    lost = row.sent_at if doubtful else row.lost_at
    sent = {"state": "sending", "sent_at": now, "lost_at": lost}
    db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(**sent))
    return Debt(
        id=row.id,
        attempt=AttemptId(row.attempt),
        task=TaskId(row.task),
        kind=row.kind,
        target=row.target,
        payload=row.payload,
        doubtful=row.state == "sending",
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
        comment=row.comment if row.comment_series == row.series else None,
        unsure=unsure is not None,
    )


def _last_lost_card(db: sa.Connection, attempt: str) -> datetime | None:
    """When a registration or a showing of this call was last sent without an answer."""
    query = sa.select(outbox.c.lost_at).where(
        outbox.c.attempt == attempt,
        outbox.c.kind.in_(("register", "move")),
        outbox.c.lost_at.is_not(None),
    )
    return max((row.lost_at for row in db.execute(query)), default=None)


def _doubtful_comment(db: sa.Connection, task: int, debt: int) -> datetime | None:
    """When an earlier comment of the task was last sent, if nobody knows what became of it."""
    query = sa.select(outbox.c.sent_at).where(
        outbox.c.task == task,
        outbox.c.kind == "comment",
        outbox.c.state == "sending",
        outbox.c.id < debt,
        outbox.c.sent_at.is_not(None),
    )
    return max((row.sent_at for row in db.execute(query)), default=None)


def said_since(db: sa.Connection, debt: Debt) -> bool:
    """Was a later attempt told in the one comment of its series, which this must not undo?"""
    series = sa.select(attempts.c.series).where(attempts.c.id == debt.attempt).scalar_subquery()
    query = (
        sa.select(outbox.c.id)
        .join(attempts, attempts.c.id == outbox.c.attempt)
        .where(
            outbox.c.task == debt.task,
            outbox.c.kind == "comment",
            outbox.c.target == 0,
            outbox.c.state == "done",
            outbox.c.id > debt.id,
            attempts.c.series == series,
        )
    )
    return db.scalar(query.limit(1)) is not None


def lines_in_use(db: sa.Connection) -> dict[str, str]:
    """Lines of the portal on which calls under way were registered, and by which attempts."""
    query = sa.select(outbox.c.attempt, outbox.c.payload).where(
        outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
        outbox.c.kind == "register",
    )
    return {row.payload["line"]: row.attempt for row in db.execute(query) if "line" in row.payload}


def remember(db: sa.Connection, debt: Debt, said: Mapping[str, str]) -> None:
    """What a repetition must say in the same words; before it is said for the first time."""
    payload = {**debt.payload, **said}
    db.execute(sa.update(outbox).where(outbox.c.id == debt.id).values(payload=payload))


def being_sent(db: sa.Connection, debt: Debt, now: datetime) -> None:
    """Only now, after questions that took their time; or so late it was still under way."""
    db.execute(sa.update(outbox).where(outbox.c.id == debt.id).values(sent_at=now))


def shown_to(db: sa.Connection, debt: Debt) -> list[int]:
    """Whose cards of this call may be up, besides the debt's own."""
    query = sa.select(outbox.c.target).where(
        outbox.c.attempt == debt.attempt,
        outbox.c.kind.in_(("register", "move")),
        outbox.c.id < debt.id,
    )
    return [row.target for row in db.execute(query)]


def not_sent(db: sa.Connection, debt: Debt) -> None:
    """It certainly did not reach the portal: back to what it was."""
    before = {
        "state": "sending" if debt.doubtful else "owed",
        "sent_at": debt.sent_before,
        "lost_at": debt.lost_before,
    }
    # (Unless a person's decision has voided it meanwhile.)
    mine = (outbox.c.id == debt.id) & (outbox.c.state == "sending")
    db.execute(sa.update(outbox).where(mine).values(before))


def wait(db: sa.Connection, debt: Debt, until: datetime) -> None:
    """Not yet; the others go on."""
    values = {"state": "owed", "not_before": until}
    db.execute(sa.update(outbox).where(outbox.c.id == debt.id).values(**values))


def put_off(db: sa.Connection, debt: Debt, until: datetime) -> None:
    """It fails while others would not: it and what follows it for its attempt wait."""
    _put_off(db, debt.attempt, debt.id, until)


def _put_off(db: sa.Connection, attempt: str, debt: int, until: datetime) -> None:
    rest = (outbox.c.attempt == attempt) & (outbox.c.id >= debt)
    unpaid = outbox.c.state.in_(("owed", "sending"))
    # What waits for longer, as a status does for an operator's word, goes on waiting.
    sooner = outbox.c.not_before.is_(None) | (outbox.c.not_before < until)
    db.execute(sa.update(outbox).where(rest, unpaid, sooner).values(not_before=until))


def again(db: sa.Connection, debt: int | None, now: datetime) -> int:
    """A person has looked: what was put aside is owed again, one or all. How many."""
    parked = holds("outbox", PARKED)
    if debt is not None:
        parked &= outbox.c.id == debt
    rows = db.execute(sa.select(outbox).where(parked)).all()
    for row in rows:
        # Whether its last sending arrived is as unknown as before.
        values = {"state": "sending", "error": "", "not_before": None}
        db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(**values))
        note(db, now, row.task, "again", row.kind, row.attempt)
        if row.kind == "register":
            # The portal would not know it again, if it has it; a person says: now, anew.
            anew = {key: value for key, value in row.payload.items() if key != "since"}
            fresh: dict[str, Any] = {"state": "owed", "payload": anew, "lost_at": None}
            db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(fresh))
            # What follows it was passed over, for want of a registered call.
            follows = outbox.c.kind.in_(("finish", "record")) & (outbox.c.state == "done")
            mine = outbox.c.attempt == row.attempt
            db.execute(sa.update(outbox).where(mine, follows).values(state="owed"))
        state = State(db.scalar(sa.select(attempts.c.state).where(attempts.c.id == row.attempt)))
        if state is State.REPORTED:
            moved = advance(state, Event.REOPEN).value
            db.execute(sa.update(attempts).where(attempts.c.id == row.attempt).values(state=moved))
    return len(rows)


def paid(
    db: sa.Connection,
    debt: Debt,
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
    db.execute(sa.update(outbox).where(outbox.c.id == debt.id).values(state="done", done_at=now))
    if call_id is not None:
        db.execute(sa.update(attempts).where(attempts.c.id == debt.attempt).values(call_id=call_id))
    if until is not None:
        told = {"portal_deadline": until.at, "portal_wall": until.wall}
        db.execute(sa.update(tasks).where(tasks.c.id == debt.task).values(told))
        mine = debt.payload.get("deadline")
        if until.midnight and mine and not until.is_of(datetime.fromisoformat(mine)):
            flags.mark(db, now, flags.CUTS_DAYS)
    if comment is not None:
        series = sa.select(attempts.c.series).where(attempts.c.id == debt.attempt)
        ours = {"comment": comment, "comment_series": series.scalar_subquery()}
        db.execute(sa.update(tasks).where(tasks.c.id == debt.task).values(ours))
    if "responsible" in debt.payload:
        values = {"responsible": debt.payload["responsible"]}
        db.execute(sa.update(tasks).where(tasks.c.id == debt.task).values(values))
    note(db, now, debt.task, "told portal", debt.kind, debt.attempt)
    _settle(db, debt)


def park(db: sa.Connection, debt: Debt, why: str, now: datetime) -> None:
    """The portal refuses it for good: a person must look. The others go on."""
    db.execute(sa.update(outbox).where(outbox.c.id == debt.id).values(state="parked", error=why))
    note(db, now, debt.task, "portal refused", f"{debt.kind}: {why}", debt.attempt)
    _settle(db, debt)


def _settle(db: sa.Connection, debt: Debt) -> None:
    """An ended attempt that owes nothing more is reported."""
    left = db.scalar(
        sa.select(sa.func.count())
        .select_from(outbox)
        .where(outbox.c.attempt == debt.attempt, outbox.c.state.in_(("owed", "sending")))
    )
    state = State(db.scalar(sa.select(attempts.c.state).where(attempts.c.id == debt.attempt)))
    if not left and state is State.ENDED:
        moved = advance(state, Event.REPORT).value
        db.execute(sa.update(attempts).where(attempts.c.id == debt.attempt).values(state=moved))


_UNDECIDED = ("owed", "sending", "parked")


def outdated(db: sa.Connection, debt: Debt) -> bool:
    """Does a later attempt of the task owe, or has it set, a deadline of its own?"""
    query = sa.select(outbox.c.payload).where(
        outbox.c.task == debt.task,
        outbox.c.kind == "task",
        outbox.c.id > debt.id,
        outbox.c.state != "void",
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
        outbox.c.task == task, outbox.c.kind == "task"
    )
    by_day = flags.last(db, flags.CUTS_DAYS) is not None
    for row in db.execute(query.order_by(outbox.c.id.desc()).limit(2)):
        # What was put off may wait for hours, in which people do decide.
        sent = row.sent_at if row.state == "sending" else None
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
