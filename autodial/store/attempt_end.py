"""
How an attempt ends, exactly once: what happened, the next call and the messages to the portal are
one transaction.
"""

from datetime import datetime, timedelta
from enum import Enum

import sqlalchemy as sa
from attrs import asdict, frozen

from autodial.model.attempt import Attempt, Report
from autodial.model.attempt_states import IN_FLIGHT, Event, State, advance
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outbox_message import MessageKind
from autodial.model.outcome import ANSWERED, NO_CONTACT, Outcome
from autodial.model.write_back import WriteBack
from autodial.rules.dial_facts import Reason
from autodial.rules.end_policy import EndPolicy
from autodial.rules.hangup import outcome_of
from autodial.rules.pacing import abandoned, late
from autodial.rules.rolling_statistics import Answered
from autodial.store import flags
from autodial.store.attempt_queries import load_attempt
from autodial.store.events import note
from autodial.store.ledger import card_kind, user_of
from autodial.store.outbox import enqueue, put_back, registered
from autodial.store.planning import made_in_generation
from autodial.store.same_person import same_person
from autodial.store.schema import attempts, phones, reservations, tasks

#: After a number that does not exist the next one of the task is tried this soon.
NEXT_NUMBER = timedelta(minutes=1)


class Recorded(Enum):
    """The effect of a report."""

    ENDED = "ended"  #: it ended the attempt
    KNOWN = "known"  #: the attempt had ended before; nothing changed
    UNKNOWN = "unknown"  #: no such attempt


@frozen
class Ended:
    """An attempt's end, for the log and the memory of call control."""

    recorded: Recorded
    outcome: Outcome | None = None
    next_call: datetime | None = None
    taken_by: OperatorId | None = None  #: the operator who talked
    answered: Answered | None = None  #: for the rates; None: the client did not answer


def record(
    db: sa.Connection,
    attempt: AttemptId,
    report: Report,
    now: datetime,
    policy: EndPolicy,
) -> Ended:
    """End an attempt as Asterisk reported. The first report wins; a second changes nothing."""
    started = load_attempt(db, attempt)
    if started is None:
        return Ended(Recorded.UNKNOWN)
    if report.stage == "refused" or (
        report.stage == "claimfail" and started.state is State.ANSWERED
    ):
        # The second run of a call file. It does not concern the first.
        return Ended(Recorded.KNOWN)
    return _end(db, started, outcome_of(report), report, now, policy)


def give_up(
    db: sa.Connection,
    attempt: AttemptId,
    outcome: Outcome,
    why: str,
    now: datetime,
    policy: EndPolicy,
) -> Ended:
    """
    End an attempt without a report of Asterisk: LOST, or WITHDRAWN.

    Only an attempt that was never claimed can be withdrawn: once it is claimed, its client is
    being dialled, and nothing changes here.
    """
    started = load_attempt(db, attempt)
    if started is None:
        return Ended(Recorded.UNKNOWN)
    if outcome is Outcome.WITHDRAWN and started.state is not State.SPOOLED:
        return Ended(Recorded.KNOWN)
    return _end(db, started, outcome, Report(stage=why), now, policy)


def _end(
    db: sa.Connection,
    attempt: Attempt,
    outcome: Outcome,
    report: Report,
    now: datetime,
    policy: EndPolicy,
) -> Ended:
    state = attempt.state
    moved = advance(state, Event.OUTCOME)
    if state not in IN_FLIGHT:
        return Ended(Recorded.KNOWN)
    taken_by = user_of(db, report.operator) if outcome is Outcome.TALKED else None
    was_abandoned = abandoned(outcome, report.answered, report.ended)
    waited = late(outcome, report.answered, report.talked, report.ended)
    db.execute(
        sa.update(attempts)
        .where(attempts.c.id == attempt.id)
        .values(
            state=moved.value,
            outcome=outcome.value,
            ended_at=now,
            answered_at=sa.func.coalesce(attempts.c.answered_at, report.answered),
            report={k: str(v) for k, v in asdict(report).items() if v not in (None, "")},
            taken_by=taken_by,
            talk_seconds=report.talk_seconds if outcome is Outcome.TALKED else None,
            abandoned=int(was_abandoned),
            late=int(waited),
        )
    )
    db.execute(sa.delete(reservations).where(reservations.c.attempt == attempt.id))
    if taken_by is not None:
        flags.clear(db, flags.forwards(taken_by))  # the operator's phone rings again
    next_call = _plan_next(db, attempt, outcome, now, policy)
    _wake_same_client(db, attempt, now)
    note(db, now, attempt.task, "ended", outcome.value, attempt.id)
    generation = db.scalar(sa.select(tasks.c.generation).where(tasks.c.id == attempt.task))
    closed = _Closed(
        attempt=attempt,
        outcome=outcome,
        report=report,
        taken_by=taken_by,
        user=taken_by or user_of(db, report.operator) or attempt.operator,
        next_call=next_call,
        same_generation=generation == attempt.generation,
        now=now,
    )
    _enqueue_portal(db, closed, policy.write_back)
    call = Answered(at=now, abandoned=was_abandoned, late=waited, purpose=attempt.purpose)
    answered = call if outcome in ANSWERED else None
    return Ended(Recorded.ENDED, outcome, next_call, taken_by, answered)


# Built once: building a statement costs more than running it.
_ENDED = sa.select(attempts).where(attempts.c.id == sa.bindparam("ended")).subquery()
_WAKE = tuple(
    sa.update(tasks)
    .where(tasks.c.id.in_(sa.select(phones.c.task).join(_ENDED, same)))
    .where(tasks.c.reason == Reason.SAME_CLIENT.value, tasks.c.next_check > sa.bindparam("at"))
    for same in same_person(phones.c, _ENDED.c)
)


def _wake_same_client(db: sa.Connection, attempt: Attempt, now: datetime) -> None:
    """Other tasks of the same client no longer wait for the end of this call."""
    for wake in _WAKE:
        db.execute(wake, {"ended": attempt.id, "at": now, "next_check": now})


def _plan_next(
    db: sa.Connection,
    attempt: Attempt,
    outcome: Outcome,
    now: datetime,
    policy: EndPolicy,
) -> datetime | None:
    """Postpone the task by the rule of the outcome, or close it."""
    task = db.execute(sa.select(tasks).where(tasks.c.id == attempt.task)).one()
    if task.generation != attempt.generation:
        # A person moved the deadline meanwhile, perhaps the operator in this very talk.
        db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(next_check=now))
        due: datetime | None = task.due
        return due
    same = (
        sa.select(sa.func.count())
        .select_from(attempts.join(tasks))
        .where(attempts.c.task == attempt.task, attempts.c.outcome == outcome.value)
        .where(attempts.c.generation == tasks.c.generation)
    )
    earlier = (db.scalar(same) or 1) - 1
    next_call = policy.retry[outcome].next_call(earlier, now)
    limit = policy.attempts
    if limit is not None and made_in_generation(db, attempt) >= limit:
        next_call = None
    elif outcome is Outcome.BAD_NUMBER and next_call is None and other_numbers(db, attempt):
        next_call = now + NEXT_NUMBER
    if next_call is not None:
        zone = sa.select(phones.c.zone).where(
            phones.c.task == attempt.task, phones.c.number == attempt.number
        )
        phone = attempt.number, db.scalar(zone) or ""
        next_call = policy.fitted(phone, next_call, outcome)
    values: dict[str, object] = {"due": next_call, "next_check": next_call, "reason": "not due"}
    if next_call is None:
        # The reason stays readable; moving the deadline by hand reopens the task.
        spent = outcome not in (Outcome.TALKED, Outcome.BAD_NUMBER)
        values = {"closed_reason": "exhausted" if spent else outcome.value, "next_check": None}
        values["reason"] = "finished"
    if outcome not in NO_CONTACT:
        values["confirmed"] = None  # a confirmation is for one call
    db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(reason_at=now, **values))
    return next_call


def other_numbers(db: sa.Connection, attempt: Attempt) -> bool:
    """Does the task have a number that was not wrong in this generation?"""
    wrong = sa.select(attempts.c.number).where(
        attempts.c.task == attempt.task,
        attempts.c.generation == attempt.generation,
        (attempts.c.outcome == Outcome.BAD_NUMBER.value)
        | (attempts.c.disposition == Disposition.WRONG_NUMBER.value),
    )
    left = sa.select(phones.c.number).where(
        phones.c.task == attempt.task, phones.c.number.not_in(wrong)
    )
    return db.scalar(left.limit(1)) is not None


@frozen(kw_only=True)
class _Closed:
    """An attempt that has just ended, for its messages to the portal."""

    attempt: Attempt
    outcome: Outcome
    report: Report
    taken_by: OperatorId | None  #: the operator who talked
    user: OperatorId  #: whose call it was, in the portal
    next_call: datetime | None
    same_generation: bool  #: no person has moved the deadline meanwhile
    now: datetime


def _enqueue_portal(db: sa.Connection, closed: _Closed, write_back: WriteBack) -> None:
    if closed.outcome is Outcome.WITHDRAWN:
        return  # nobody was called: there is nothing to report
    _enqueue_call(db, closed, write_back)
    _enqueue_task(db, closed, write_back)
    _enqueue_comment(db, closed, write_back)
    attempt, now, talked = closed.attempt, closed.now, closed.outcome is Outcome.TALKED
    status = write_back.talked if talked else write_back.given_up
    if closed.next_call is None and status and closed.same_generation:
        enqueue(db, attempt, MessageKind.STATUS, {"status": status}, now)
        if talked and write_back.disposition_within:
            put_back(db, attempt.id, MessageKind.STATUS, now + write_back.disposition_within)
    if talked:
        _comment_same_client(db, attempt, closed.user, now)


def _enqueue_call(db: sa.Connection, closed: _Closed, write_back: WriteBack) -> None:
    """The call's registration and end."""
    attempt, outcome, report = closed.attempt, closed.outcome, closed.report
    user, now = closed.user, closed.now
    finish: dict[str, object] = {"user": user, "outcome": outcome.value}
    # A card may be shown although the end of the call is unknown: it must be closed, too.
    if outcome in ANSWERED or registered(db, attempt.id):
        started = report.answered or now
        if card_kind(db, attempt.id) is MessageKind.REGISTER:
            enqueue(
                db,
                attempt,
                MessageKind.REGISTER,
                {"user": user, "at": started.isoformat()},
                now,
                operator=user,
            )
        enqueue(db, attempt, MessageKind.FINISH, finish | {"seconds": report.talk_seconds}, now)
        if write_back.recording and outcome is Outcome.TALKED:
            enqueue(db, attempt, MessageKind.RECORD, {}, now)
    elif write_back.unanswered and outcome not in NO_CONTACT:
        # For the portal's statistics and the client's card; nobody's phone rang here.
        began = db.scalar(sa.select(attempts.c.claimed_at).where(attempts.c.id == attempt.id))
        quiet = {"user": user, "at": (began or now).isoformat(), "quiet": True}
        enqueue(db, attempt, MessageKind.REGISTER, quiet, now, operator=user)
        enqueue(db, attempt, MessageKind.FINISH, finish | {"seconds": 0, "quiet": True}, now)


def _enqueue_task(db: sa.Connection, closed: _Closed, write_back: WriteBack) -> None:
    """The task's deadline and responsible."""
    attempt, next_call, taken_by = closed.attempt, closed.next_call, closed.taken_by
    change: dict[str, object] = {}
    if next_call is not None and closed.same_generation:
        change["deadline"] = next_call.isoformat()
    if write_back.taker and taken_by is not None and taken_by != attempt.responsible:
        change["responsible"] = taken_by
    through = next_call is None and closed.same_generation and closed.outcome is not Outcome.TALKED
    if through and write_back.hand_back not in (0, attempt.responsible):
        change["responsible"] = write_back.hand_back
    if change:
        enqueue(db, attempt, MessageKind.TASK, change, closed.now)


def _enqueue_comment(db: sa.Connection, closed: _Closed, write_back: WriteBack) -> None:
    attempt, outcome, next_call = closed.attempt, closed.outcome, closed.next_call
    same = next_call is not None and outcome not in ANSWERED and _as_before(db, attempt, outcome)
    if same and write_back.comments == "changes":
        return
    comment = {
        "outcome": outcome.value,
        "user": closed.user,
        "missed": user_of(db, closed.report.operator) is not None,
        "seconds": closed.report.talk_seconds,
        "next": next_call.isoformat() if next_call else None,
        "count": made_in_generation(db, attempt),
        "same": same,
    }
    enqueue(db, attempt, MessageKind.COMMENT, comment, closed.now)


def _as_before(db: sa.Connection, attempt: Attempt, outcome: Outcome) -> bool:
    """Did the previous attempt of the same generation have the same outcome?"""
    before = (
        sa.select(attempts.c.outcome)
        .where(attempts.c.task == attempt.task, attempts.c.generation == attempt.generation)
        .where(attempts.c.id != attempt.id, attempts.c.outcome != Outcome.WITHDRAWN.value)
        .order_by(attempts.c.n.desc())
        .limit(1)
    )
    return bool(db.scalar(before) == outcome.value)


_OTHERS_DUE = tuple(
    sa.select(tasks.c.id)
    .join_from(phones, tasks, phones.c.task == tasks.c.id)
    .join(_ENDED, same)
    .where(tasks.c.id != sa.bindparam("own"), tasks.c.open == 1, tasks.c.closed_reason == "")
    .where(tasks.c.due <= sa.bindparam("at"))
    for same in same_person(phones.c, _ENDED.c)
)


def _comment_same_client(
    db: sa.Connection, attempt: Attempt, user: OperatorId, now: datetime
) -> None:
    """Comment on the talk in all other due tasks of the same client."""
    which = {"ended": attempt.id, "own": attempt.task, "at": now}
    others = {int(row.id) for due in _OTHERS_DUE for row in db.execute(due, which)}
    for task in sorted(others):
        comment = {"talked_for": attempt.task, "user": user}
        enqueue(db, attempt, MessageKind.COMMENT, comment, now, task=TaskId(task))
        note(db, now, task, "same client", f"talked for task {attempt.task}", attempt.id)
