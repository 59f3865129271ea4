"""
How an attempt ends, exactly once: what happened, the next call and the messages to the portal are
one transaction.
"""

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

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
from autodial.rules.operator_choice import standing_in
from autodial.rules.pacing import abandoned, late
from autodial.rules.rolling_statistics import Answered
from autodial.store import flags, stand_ins
from autodial.store.attempt_queries import load_attempt
from autodial.store.events import note
from autodial.store.ledger import user_of
from autodial.store.nodes import Topic, tell_nodes
from autodial.store.outbox import enqueue, put_back
from autodial.store.planning import IS_LISTED, counts
from autodial.store.same_person import same_person
from autodial.store.schema import attempts, outbox, phones, reservations, tasks

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
    last_rung = user_of(db, report.operator)
    taken_by = last_rung if outcome is Outcome.TALKED else None
    was_abandoned = abandoned(outcome, report.answered, report.ended)
    waited = late(outcome, report.answered, report.talked, report.ended)
    values = {
        "state": moved.value,
        "outcome": outcome.value,
        "ended_at": now,
        "report": {k: str(v) for k, v in asdict(report).items() if v not in (None, "")},
        "taken_by": taken_by,
        "talk_seconds": report.talk_seconds if outcome is Outcome.TALKED else None,
        "abandoned": int(was_abandoned),
        "late": int(waited),
    }
    db.execute(_END, {"this": attempt.id, "answered": report.answered, **values})
    db.execute(_FREE, {"this": attempt.id})
    if taken_by is not None:
        flags.clear(db, flags.forwards(taken_by))  # the operator's phone rings again
    after = db.execute(_AFTER, {"this": attempt.id}).one()
    next_call = _plan_next(db, attempt, after, outcome, now, policy)
    db.execute(_WAKE, {"ended": attempt.id, "at": now, "next_check": now})
    note(db, now, attempt.task, "ended", outcome.value, attempt.id)
    closed = _Closed(
        attempt=attempt,
        outcome=outcome,
        report=report,
        taken_by=taken_by,
        last_rung=last_rung,
        user=last_rung or attempt.operator,
        next_call=next_call,
        after=after,
        now=now,
    )
    if closed.given_up:
        reason = db.scalar(sa.select(tasks.c.closed_reason).where(tasks.c.id == attempt.task))
        note(db, now, attempt.task, "given up", reason or "", attempt.id)
    _enqueue_portal(db, closed, policy.write_back)
    tell_nodes(db, Topic.CALLS)
    call = Answered(at=now, abandoned=was_abandoned, late=waited, purpose=attempt.purpose)
    answered = call if outcome in ANSWERED else None
    return Ended(Recorded.ENDED, outcome, next_call, taken_by, answered)


# Built once: building a statement costs more than running it.
_END = (
    sa.update(attempts)
    .where(attempts.c.id == sa.bindparam("this"))
    .values(
        answered_at=sa.func.coalesce(
            attempts.c.answered_at, sa.bindparam("answered", type_=attempts.c.answered_at.type)
        )
    )
)
_FREE = sa.delete(reservations).where(reservations.c.attempt == sa.bindparam("this"))
_PLAN = sa.update(tasks).where(tasks.c.id == sa.bindparam("this"))

_OF_TASK = attempts.alias("of_task")
_SAME_OUTCOME = sa.case((_OF_TASK.c.outcome == attempts.c.outcome, 1), else_=0)
#: What happens next depends on this: the task, and its attempts, of which this is the last.
_AFTER = (
    sa.select(
        tasks.c.generation,
        tasks.c.due,
        attempts.c.claimed_at,
        sa.select(sa.func.sum(_SAME_OUTCOME))
        .where(_OF_TASK.c.task == tasks.c.id, _OF_TASK.c.generation == tasks.c.generation)
        .label("same_outcome"),
        sa.select(sa.func.count())
        .where(_OF_TASK.c.task == tasks.c.id, _OF_TASK.c.generation == tasks.c.generation)
        .where(counts(_OF_TASK.c))
        .label("made"),
        sa.select(phones.c.zone)
        .where(phones.c.task == tasks.c.id, phones.c.number == attempts.c.number)
        .limit(1)
        .label("zone"),
        sa.exists()
        .where(outbox.c.attempt == attempts.c.id, outbox.c.kind == MessageKind.REGISTER)
        .label("registered"),
    )
    .join_from(attempts, tasks)
    .where(attempts.c.id == sa.bindparam("this"))
)

_ENDED = sa.select(attempts).where(attempts.c.id == sa.bindparam("ended")).subquery()
#: Other tasks of the same client no longer wait for the end of this call.
_WAKE = (
    sa.update(tasks)
    .where(
        tasks.c.id.in_(  # each half by its own index
            sa.union(
                *(
                    sa.select(phones.c.task).join(_ENDED, same)
                    for same in same_person(phones.c, _ENDED.c)
                )
            )
        )
    )
    .where(tasks.c.reason == Reason.SAME_CLIENT.value, tasks.c.next_check > sa.bindparam("at"))
)


def _plan_next(
    db: sa.Connection,
    attempt: Attempt,
    task: "sa.Row[Any]",
    outcome: Outcome,
    now: datetime,
    policy: EndPolicy,
) -> datetime | None:
    """Postpone the task by the rule of the outcome, or close it."""
    if task.generation != attempt.generation:
        # A person moved the deadline meanwhile, perhaps the operator in this very talk.
        db.execute(_PLAN, {"this": attempt.task, "next_check": now})
        due: datetime | None = task.due
        return due
    next_call = policy.retry[outcome].next_call((task.same_outcome or 1) - 1, now)
    limit = policy.attempts
    if limit is not None and task.made >= limit:
        next_call = None
    elif outcome is Outcome.BAD_NUMBER and next_call is None and other_numbers(db, attempt):
        next_call = now + NEXT_NUMBER
    if next_call is not None:
        phone = attempt.number, task.zone or ""
        next_call = policy.fitted(phone, next_call, outcome)
    values: dict[str, object] = {"due": next_call, "next_check": next_call, "reason": "not due"}
    if next_call is None:
        # The reason stays readable; moving the deadline by hand reopens the task.
        spent = outcome not in (Outcome.TALKED, Outcome.BAD_NUMBER)
        values = {"closed_reason": "exhausted" if spent else outcome.value, "next_check": None}
        values["reason"] = "finished"
    if outcome not in NO_CONTACT:
        values["confirmed"] = None  # a confirmation is for one call
    db.execute(_PLAN, {"this": attempt.task, "reason_at": now, **values})
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
    last_rung: OperatorId | None
    user: OperatorId  #: whose call it was, in the portal
    next_call: datetime | None
    after: "sa.Row[Any]"
    now: datetime

    @property
    def same_generation(self) -> bool:
        """Has no person moved the deadline meanwhile?"""
        return bool(self.after.generation == self.attempt.generation)

    @property
    def given_up(self) -> bool:
        """Is the task not called again, though nobody talked?"""
        talked = self.outcome is Outcome.TALKED
        return self.next_call is None and self.same_generation and not talked


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
    if outcome in ANSWERED or closed.after.registered:
        started = report.answered or now
        if not closed.after.registered:
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
        began = closed.after.claimed_at or now
        quiet = {"user": user, "at": began.isoformat(), "quiet": True}
        enqueue(db, attempt, MessageKind.REGISTER, quiet, now, operator=user)
        enqueue(db, attempt, MessageKind.FINISH, finish | {"seconds": 0, "quiet": True}, now)


def _enqueue_task(db: sa.Connection, closed: _Closed, write_back: WriteBack) -> None:
    """The task's deadline and responsible."""
    attempt, next_call, taken_by = closed.attempt, closed.next_call, closed.taken_by
    change: dict[str, object] = {}
    if next_call is not None and closed.same_generation:
        change["deadline"] = next_call.isoformat()
    taker = taken_by if write_back.taker and taken_by != attempt.responsible else None
    if taker is not None and taker != standing_in(
        attempt.responsible, stand_ins.current(db, closed.now)
    ):
        change["responsible"] = taker
    if closed.given_up and write_back.hand_back not in (0, attempt.responsible):
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
        "missed": closed.last_rung is not None,
        "seconds": closed.report.talk_seconds,
        "next": next_call.isoformat() if next_call else None,
        "count": closed.after.made,
        "same": same,
    }
    enqueue(db, attempt, MessageKind.COMMENT, comment, closed.now)


_OUTCOME_BEFORE = (
    sa.select(attempts.c.outcome)
    .where(attempts.c.task == sa.bindparam("its"), attempts.c.generation == sa.bindparam("of"))
    .where(attempts.c.id != sa.bindparam("this"), attempts.c.outcome != Outcome.WITHDRAWN.value)
    .order_by(attempts.c.n.desc())
    .limit(1)
)


def _as_before(db: sa.Connection, attempt: Attempt, outcome: Outcome) -> bool:
    """Did the previous attempt of the same generation have the same outcome?"""
    its = {"its": attempt.task, "of": attempt.generation, "this": attempt.id}
    return bool(db.scalar(_OUTCOME_BEFORE, its) == outcome.value)


_OTHERS_DUE = sa.union(  # each half by its own index; no task twice
    *(
        sa.select(tasks.c.id)
        .join_from(phones, tasks, phones.c.task == tasks.c.id)
        .join(_ENDED, same)
        .where(tasks.c.id != sa.bindparam("own"), IS_LISTED, tasks.c.closed_reason == "")
        .where(tasks.c.due <= sa.bindparam("at"))
        for same in same_person(phones.c, _ENDED.c)
    )
)


def _comment_same_client(
    db: sa.Connection, attempt: Attempt, user: OperatorId, now: datetime
) -> None:
    """Comment on the talk in all other due tasks of the same client."""
    which = {"ended": attempt.id, "own": attempt.task, "at": now}
    for task in sorted(db.scalars(_OTHERS_DUE, which)):
        comment = {"talked_for": attempt.task, "user": user}
        enqueue(db, attempt, MessageKind.COMMENT, comment, now, task=TaskId(task))
        note(db, now, task, "same client", f"talked for task {attempt.task}", attempt.id)
