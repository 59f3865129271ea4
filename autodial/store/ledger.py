"""
The ledger of attempts: written before anybody is dialled, ended exactly once.

What happened, the next call, and what the portal is owed are one transaction.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum

import sqlalchemy as sa
from attrs import asdict, frozen

from autodial.model.attempt import Attempt, Report
from autodial.model.attempt_states import IN_FLIGHT, Event, State, advance
from autodial.model.disposition import Word
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outcome import ANSWERED, NO_CONTACT, Outcome
from autodial.model.task import CallTask, Phone
from autodial.model.trunk import Route
from autodial.model.write_back import Telling
from autodial.rules.contact_limits import DAY
from autodial.rules.dial_decision import Dial, Reason
from autodial.rules.hangup import outcome_of
from autodial.rules.pacing import abandoned, late
from autodial.rules.retry import Rule
from autodial.rules.rolling_statistics import Answered, Past
from autodial.rules.trunk_choice import routes_tried
from autodial.store import flags
from autodial.store.events import note
from autodial.store.outbox import owe, put_back, registered
from autodial.store.schema import IN_FLIGHT as FLYING
from autodial.store.schema import attempts, forgotten, holds, operators, phones, reservations, tasks
from autodial.store.tasks import deputies_in, made_in_series

#: After a number that does not exist the next one of the task is tried this soon.
NEXT_NUMBER = timedelta(minutes=1)


_FLYING = holds("attempts", FLYING)

#: Moves a next call, after a call that ended so, to where a client (number, zone) may be called.
Fit = Callable[[tuple[str, str], datetime, Outcome], datetime]


def _as_it_is(phone: tuple[str, str], moment: datetime, outcome: Outcome) -> datetime:
    return moment


class Taken(Exception):
    """The operator or the task was taken in the meantime; nothing was written."""


class ClientTaken(Taken):
    """The client is being called for another task; nothing was written."""


class Recorded(Enum):
    """What became of a report."""

    ENDED = "ended"  #: it was the attempt's end
    KNOWN = "known"  #: the attempt had ended before; nothing changed
    UNKNOWN = "unknown"  #: no such attempt


@frozen
class Ended:
    """An attempt's end, for the log and the memory of the desk."""

    recorded: Recorded
    outcome: Outcome | None = None
    next_call: datetime | None = None
    taken_by: OperatorId | None = None  #: the operator who talked
    answered: Answered | None = None  #: for the rates; None: its client did not answer


def open_attempt(
    db: sa.Connection,
    task: CallTask,
    decision: Dial,
    now: datetime,
    *,
    lease: timedelta,
    claimed: bool = False,
) -> Attempt:
    """
    Reserve the operator and write the attempt; the call file may follow once this is committed.

    Raises:
        ClientTaken: its client is being called for another task.
        Taken: the operator is reserved, or the task has an attempt under way.
    """
    made = sa.select(sa.func.max(attempts.c.n)).where(attempts.c.task == task.id)
    before = sa.select(forgotten.c.n).where(forgotten.c.task == task.id)
    last = max(db.scalar(made) or 0, db.scalar(before) or 0)
    series = db.scalar(sa.select(tasks.c.series).where(tasks.c.id == task.id))
    attempt = AttemptId(f"t{task.id}-{last + 1}")
    phone, operator = decision.phone, decision.operator
    if (other := _being_called(db, phone, task.id)) is not None:
        raise ClientTaken(f"the client is being called for task {other}")
    db.execute(sa.delete(reservations).where(reservations.c.until < now))
    try:
        with db.begin_nested():
            db.execute(
                sa.insert(attempts).values(
                    id=attempt,
                    task=task.id,
                    n=last + 1,
                    series=series,
                    number=phone.number,
                    tones=phone.extension,
                    client=phone.client,
                    entity_type=phone.entity_type,
                    entity_id=phone.entity_id,
                    operator=operator.id,
                    extension=operator.extension,
                    purpose=task.purpose,
                    held=int(decision.held),
                    trunks=":".join(route.trunk for route in decision.routes),
                    caller_ids=":".join(route.caller_id for route in decision.routes),
                    state=(State.CLAIMED if claimed else State.SPOOLED).value,
                    spooled_at=now,
                    claimed_at=now if claimed else None,
                    expires_at=now + lease,
                )
            )
            if decision.held:
                db.execute(
                    sa.insert(reservations).values(
                        operator=operator.id, attempt=attempt, until=now + lease
                    )
                )
    except sa.exc.IntegrityError as error:
        raise Taken(str(error.orig)) from None
    db.execute(
        sa.update(tasks)
        .where(tasks.c.id == task.id)
        .values(reason="dial", reason_at=now, next_check=None)
    )
    whom = operator.name if decision.held else "whoever gets free"
    note(db, now, task.id, "spooled", f"{phone.number} for {whom}", attempt)
    if claimed:
        note(db, now, task.id, "claimed", "hand-made call file", attempt)
    found = load_attempt(db, attempt)
    assert found is not None
    return found


def _being_called(db: sa.Connection, phone: Phone, task: TaskId) -> int | None:
    """The other task for which this phone's owner is being called now."""
    flying = sa.and_(attempts.c.task != task, _FLYING)
    for same in (
        attempts.c.number == phone.number,
        sa.and_(
            attempts.c.entity_id == phone.entity_id,
            attempts.c.entity_type == phone.entity_type,
            sa.literal(phone.entity_id) != 0,
        ),
    ):
        found = db.scalar(sa.select(attempts.c.task).where(same, flying).limit(1))
        if found is not None:
            return int(found)
    return None


def claim(db: sa.Connection, attempt: AttemptId, now: datetime) -> Attempt | None:
    """
    Say yes to the dialplan, once and only once. None: no; nobody may be dialled.

    When this returns an attempt, it is on disk: a second call file for it will be refused even
    after a crash of Asterisk or of ourselves.
    """
    changed = db.execute(
        sa.update(attempts)
        .where(attempts.c.id == attempt, attempts.c.state == State.SPOOLED.value)
        .values(state=advance(State.SPOOLED, Event.CLAIM).value, claimed_at=now)
    )
    found = load_attempt(db, attempt)
    if changed.rowcount != 1:
        if found is not None:
            note(db, now, found.task, "claim refused", f"already {found.state}", attempt)
        return None
    assert found is not None
    note(db, now, found.task, "claimed", found.number, attempt)
    return found


def ringing(
    db: sa.Connection,
    attempt: AttemptId,
    extension: str,
    now: datetime,
    telling: Telling | None = None,
) -> None:
    """The client has answered and this operator's phone is about to ring: raise his card."""
    found = load_attempt(db, attempt)
    if found is None:
        return
    state = State(found.state)
    if state not in IN_FLIGHT:
        return  # told late, after the end
    values: dict[str, object] = {"state": advance(state, Event.ANSWER).value}
    if state is State.CLAIMED:
        values["answered_at"] = now
    db.execute(sa.update(attempts).where(attempts.c.id == attempt).values(values))
    note(db, now, found.task, "ringing", f"extension {extension}", attempt)
    user = _user(db, extension)
    if user is not None:
        _hand_over(db, attempt, user)
    user = user or found.operator
    owe(db, found, _card_kind(db, attempt), user, {"user": user, "at": now.isoformat()}, now)
    if telling is not None and telling.notify:
        owe(db, found, "notify", user, {}, now)


def _hand_over(db: sa.Connection, attempt: AttemptId, operator: OperatorId) -> None:
    """
    Whose phone rings is held for this attempt; a call for which he was held gets the operator
    held for this one until now, if any. Nobody ever holds two.
    """
    rows = db.execute(
        sa.select(reservations).where(
            (reservations.c.attempt == attempt) | (reservations.c.operator == operator)
        )
    ).all()
    before = next((row for row in rows if row.attempt == attempt), None)
    other = next((row for row in rows if row.attempt != attempt), None)
    if before is not None and before.operator == operator:
        return
    for row in rows:
        db.execute(sa.delete(reservations).where(reservations.c.operator == row.operator))
    lease = sa.select(attempts.c.expires_at).where(attempts.c.id == attempt)
    held = {"operator": operator, "attempt": attempt, "until": db.scalar(lease)}
    db.execute(sa.insert(reservations).values(**held))
    if before is not None and other is not None:
        held = {"operator": before.operator, "attempt": other.attempt, "until": other.until}
        db.execute(sa.insert(reservations).values(**held))


def _card_kind(db: sa.Connection, attempt: AttemptId) -> str:
    return "move" if registered(db, attempt) else "register"


def _user(db: sa.Connection, extension: str) -> OperatorId | None:
    if not extension:
        return None
    found = db.scalar(sa.select(operators.c.id).where(operators.c.extension == extension))
    return OperatorId(found) if found is not None else None


def record(
    db: sa.Connection,
    attempt: AttemptId,
    report: Report,
    now: datetime,
    rules: Mapping[Outcome, Rule],
    telling: Telling | None = None,
    fit: Fit = _as_it_is,
    most: int | None = None,
) -> Ended:
    """
    End an attempt with what Asterisk reported. The first report wins; a second changes nothing.

    ``most``: attempts that one task may have; after the last of them it is given up.
    """
    found = load_attempt(db, attempt)
    if found is None:
        return Ended(Recorded.UNKNOWN)
    if report.stage == "refused" or (
        report.stage == "claimfail" and found.state == State.ANSWERED.value
    ):
        # The second run of a call file. It says nothing about the first.
        return Ended(Recorded.KNOWN)
    return _end(db, found, outcome_of(report), report, now, rules, telling or Telling(), fit, most)


def give_up(
    db: sa.Connection,
    attempt: AttemptId,
    outcome: Outcome,
    why: str,
    now: datetime,
    rules: Mapping[Outcome, Rule],
    telling: Telling | None = None,
    fit: Fit = _as_it_is,
    most: int | None = None,
) -> Ended:
    """
    End an attempt that Asterisk says nothing about: LOST, or WITHDRAWN.

    Only an attempt that was never claimed can be withdrawn: if it was claimed a moment ago, its
    client is being dialled, and nothing changes here.
    """
    found = load_attempt(db, attempt)
    if found is None:
        return Ended(Recorded.UNKNOWN)
    if outcome is Outcome.WITHDRAWN and found.state != State.SPOOLED.value:
        return Ended(Recorded.KNOWN)
    return _end(db, found, outcome, Report(stage=why), now, rules, telling or Telling(), fit, most)


def _end(
    db: sa.Connection,
    attempt: Attempt,
    outcome: Outcome,
    report: Report,
    now: datetime,
    rules: Mapping[Outcome, Rule],
    telling: Telling,
    fit: Fit,
    most: int | None,
) -> Ended:
    state = State(attempt.state)
    moved = advance(state, Event.OUTCOME)
    if state not in IN_FLIGHT:
        return Ended(Recorded.KNOWN)
    taken_by = _user(db, report.operator) if outcome is Outcome.TALKED else None
    lost = abandoned(outcome, report.answered, report.ended)
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
            abandoned=int(lost),
            late=int(waited),
        )
    )
    db.execute(sa.delete(reservations).where(reservations.c.attempt == attempt.id))
    if taken_by is not None:
        flags.clear(db, flags.forwards(taken_by))  # his phone rings again
    next_call = _plan_next(db, attempt, outcome, now, rules, fit, most)
    _look_at_his_other_tasks(db, attempt, now)
    note(db, now, attempt.task, "ended", outcome.value, attempt.id)
    _owe_portal(db, attempt, outcome, report, taken_by, next_call, now, telling)
    call = Answered(at=now, abandoned=lost, late=waited, purpose=attempt.purpose)
    answered = call if outcome in ANSWERED else None
    return Ended(Recorded.ENDED, outcome, next_call, taken_by, answered)


def _look_at_his_other_tasks(db: sa.Connection, attempt: Attempt, now: datetime) -> None:
    """Tasks that waited for the end of this call, as it is the same client's, wait no longer."""
    mine = sa.select(attempts).where(attempts.c.id == attempt.id).subquery()
    for same in (
        phones.c.number == mine.c.number,
        (phones.c.entity_id == mine.c.entity_id) & (phones.c.entity_type == mine.c.entity_type),
    ):
        his = sa.select(phones.c.task).join(mine, same)
        db.execute(
            sa.update(tasks)
            .where(tasks.c.id.in_(his), tasks.c.reason == Reason.SAME_CLIENT.value)
            .where(tasks.c.next_check > now)
            .values(next_check=now)
        )


def _plan_next(
    db: sa.Connection,
    attempt: Attempt,
    outcome: Outcome,
    now: datetime,
    rules: Mapping[Outcome, Rule],
    fit: Fit,
    most: int | None,
) -> datetime | None:
    """Put the task off by the rule of the outcome, or be through with it."""
    task = db.execute(sa.select(tasks).where(tasks.c.id == attempt.task)).one()
    if task.series != attempt.series:
        # A person moved the deadline meanwhile, perhaps the operator in this very talk.
        db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(next_check=now))
        due: datetime | None = task.due
        return due
    same = (
        sa.select(sa.func.count())
        .select_from(attempts.join(tasks))
        .where(attempts.c.task == attempt.task, attempts.c.outcome == outcome.value)
        .where(attempts.c.series == tasks.c.series)
    )
    earlier = (db.scalar(same) or 1) - 1
    next_call = rules[outcome].next_call(earlier, now)
    if most is not None and made_in_series(db, attempt) >= most:
        next_call = None
    elif outcome is Outcome.BAD_NUMBER and next_call is None and other_numbers(db, attempt):
        next_call = now + NEXT_NUMBER
    if next_call is not None:
        zone = sa.select(phones.c.zone).where(
            phones.c.task == attempt.task, phones.c.number == attempt.number
        )
        next_call = fit((attempt.number, db.scalar(zone) or ""), next_call, outcome)
    values: dict[str, object] = {"due": next_call, "next_check": next_call, "reason": "not due"}
    if next_call is None:
        # The reason stays readable; a person who moves the deadline starts it again.
        spent = outcome not in (Outcome.TALKED, Outcome.BAD_NUMBER)
        values = {"halted": "exhausted" if spent else outcome.value, "next_check": None}
        values["reason"] = "finished"
    if outcome not in NO_CONTACT:
        values["confirmed"] = None  # a person's word is for one call
    db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(reason_at=now, **values))
    return next_call


def other_numbers(db: sa.Connection, attempt: Attempt) -> bool:
    """Has the task a number that has not proved wrong in this series?"""
    wrong = sa.select(attempts.c.number).where(
        attempts.c.task == attempt.task,
        attempts.c.series == attempt.series,
        (attempts.c.outcome == Outcome.BAD_NUMBER.value)
        | (attempts.c.word == Word.WRONG_NUMBER.value),
    )
    left = sa.select(phones.c.number).where(
        phones.c.task == attempt.task, phones.c.number.not_in(wrong)
    )
    return db.scalar(left.limit(1)) is not None


def _owe_portal(
    db: sa.Connection,
    attempt: Attempt,
    outcome: Outcome,
    report: Report,
    taken_by: OperatorId | None,
    next_call: datetime | None,
    now: datetime,
    telling: Telling,
) -> None:
    if outcome is Outcome.WITHDRAWN:
        return  # nobody was called: there is nothing to tell
    user = taken_by or _user(db, report.operator) or attempt.operator
    # A card may be up though nobody knows how the call ended: it must come down, too.
    if outcome in ANSWERED or registered(db, attempt.id):
        started = report.answered or now
        if _card_kind(db, attempt.id) == "register":
            owe(db, attempt, "register", user, {"user": user, "at": started.isoformat()}, now)
        finish = {"user": user, "seconds": report.talk_seconds, "outcome": outcome.value}
        owe(db, attempt, "finish", 0, finish, now)
        if telling.recording and outcome is Outcome.TALKED:
            owe(db, attempt, "record", 0, {}, now)
    elif telling.unanswered and outcome not in NO_CONTACT:
        # For the portal's statistics and the client's card; nobody's phone rang here.
        began = db.scalar(sa.select(attempts.c.claimed_at).where(attempts.c.id == attempt.id))
        quiet = {"user": user, "at": (began or now).isoformat(), "quiet": True}
        owe(db, attempt, "register", user, quiet, now)
        finish = {"user": user, "seconds": 0, "outcome": outcome.value, "quiet": True}
        owe(db, attempt, "finish", 0, finish, now)
    change: dict[str, object] = {}
    moved = db.scalar(sa.select(tasks.c.series).where(tasks.c.id == attempt.task))
    if next_call is not None and moved == attempt.series:
        change["deadline"] = next_call.isoformat()
    if telling.taker and taken_by is not None and taken_by != attempt.responsible:
        change["responsible"] = taken_by
    through = next_call is None and moved == attempt.series and outcome is not Outcome.TALKED
    if through and telling.hand_back not in (0, attempt.responsible):
        change["responsible"] = telling.hand_back
    if change:
        owe(db, attempt, "task", 0, change, now)
    same = next_call is not None and outcome not in ANSWERED and _as_before(db, attempt, outcome)
    if not (same and telling.comments == "changes"):
        comment = {
            "outcome": outcome.value,
            "user": user,
            "missed": _user(db, report.operator) is not None,
            "seconds": report.talk_seconds,
            "next": next_call.isoformat() if next_call else None,
            "count": made_in_series(db, attempt),
            "same": same,
        }
        owe(db, attempt, "comment", 0, comment, now)
    status = telling.talked if outcome is Outcome.TALKED else telling.given_up
    if next_call is None and status and moved == attempt.series:
        owe(db, attempt, "status", 0, {"status": status}, now)
        if outcome is Outcome.TALKED and telling.word_within:
            put_back(db, attempt.id, "status", now + telling.word_within)
    if outcome is Outcome.TALKED:
        _tell_his_other_tasks(db, attempt, user, now)


def _as_before(db: sa.Connection, attempt: Attempt, outcome: Outcome) -> bool:
    """Did the attempt before it in the same series end so, too?"""
    before = (
        sa.select(attempts.c.outcome)
        .where(attempts.c.task == attempt.task, attempts.c.series == attempt.series)
        .where(attempts.c.id != attempt.id, attempts.c.outcome != Outcome.WITHDRAWN.value)
        .order_by(attempts.c.n.desc())
        .limit(1)
    )
    return bool(db.scalar(before) == outcome.value)


def _tell_his_other_tasks(
    db: sa.Connection, attempt: Attempt, user: OperatorId, now: datetime
) -> None:
    """One talk, and all tasks with the same client that want a call now hear of it."""
    mine = sa.select(attempts).where(attempts.c.id == attempt.id).subquery()
    told: set[int] = set()
    for same in (
        phones.c.number == mine.c.number,
        (phones.c.entity_id == mine.c.entity_id)
        & (phones.c.entity_type == mine.c.entity_type)
        & (phones.c.entity_id != 0),
    ):
        his = (
            sa.select(tasks.c.id)
            .join_from(phones, tasks, phones.c.task == tasks.c.id)
            .join(mine, same)
            .where(tasks.c.id != attempt.task, tasks.c.open == 1, tasks.c.halted == "")
            .where(tasks.c.due <= now)
        )
        told |= {int(row.id) for row in db.execute(his)}
    for task in sorted(told):
        said = {"talked_for": attempt.task, "user": user}
        owe(db, attempt, "comment", -task, said, now, task=TaskId(task))
        note(db, now, task, "same client", f"talked for task {attempt.task}", attempt.id)


def load_attempt(db: sa.Connection, attempt: AttemptId) -> Attempt | None:
    """One attempt with its task, or None."""
    found = _load(db, attempts.c.id == attempt)
    return found[0] if found else None


def in_flight(db: sa.Connection) -> list[Attempt]:
    """All attempts that have no outcome yet."""
    return _load(db, _FLYING)


def past(db: sa.Connection, now: datetime, over: timedelta) -> Past:
    """What the limits over all clients count: answered calls so far back, numbers of a day."""
    columns = (attempts.c.ended_at, attempts.c.abandoned, attempts.c.late, attempts.c.purpose)
    ended = sa.select(*columns).where(
        attempts.c.spooled_at > now - over - timedelta(hours=2),
        attempts.c.ended_at > now - over,
        attempts.c.outcome.in_([outcome.value for outcome in ANSWERED]),
    )
    shown = sa.select(
        attempts.c.spooled_at, attempts.c.trunks, attempts.c.caller_ids, attempts.c.report
    ).where(attempts.c.spooled_at > now - DAY, attempts.c.caller_ids != "")
    tried = (
        (row.spooled_at, route.caller_id)
        for row in db.execute(shown.order_by(attempts.c.spooled_at))
        for route in routes_tried(
            _routes(row.trunks, row.caller_ids), (row.report or {}).get("trunk", "")
        )
    )
    return Past(
        answers=tuple(
            Answered(
                at=row.ended_at,
                abandoned=bool(row.abandoned),
                late=bool(row.late),
                purpose=row.purpose,
            )
            for row in db.execute(ended.order_by(attempts.c.ended_at))
        ),
        shown=tuple((at, number) for at, number in tried if number),
    )


def expired(db: sa.Connection, now: datetime) -> list[tuple[AttemptId, State]]:
    """Attempts in flight past their lease."""
    query = sa.select(attempts.c.id, attempts.c.state).where(_FLYING, attempts.c.expires_at < now)
    return [(AttemptId(row.id), State(row.state)) for row in db.execute(query)]


def older_than(db: sa.Connection, moment: datetime) -> list[tuple[AttemptId, State]]:
    """Attempts in flight whose last step was before ``moment``."""
    step = sa.func.coalesce(attempts.c.answered_at, attempts.c.claimed_at, attempts.c.spooled_at)
    query = sa.select(attempts.c.id, attempts.c.state).where(_FLYING, step < moment)
    return [(AttemptId(row.id), State(row.state)) for row in db.execute(query)]


def reserved(db: sa.Connection) -> dict[OperatorId, AttemptId]:
    """Who is held for which attempt."""
    return {
        OperatorId(row.operator): AttemptId(row.attempt)
        for row in db.execute(sa.select(reservations))
    }


def last_talks(db: sa.Connection, since: datetime) -> dict[OperatorId, datetime]:
    """When each operator who has talked since then ended his last talk."""
    query = (
        sa.select(attempts.c.taken_by, sa.func.max(attempts.c.ended_at).label("at"))
        # (By the index on when it was spooled: nobody talks for longer than a day.)
        .where(attempts.c.spooled_at > since - DAY, attempts.c.ended_at > since)
        .where(attempts.c.taken_by.is_not(None))
        .group_by(attempts.c.taken_by)
    )
    return {OperatorId(row.taken_by): row.at for row in db.execute(query)}


def _routes(trunks: str, caller_ids: str) -> tuple[Route, ...]:
    numbers = caller_ids.split(":")
    return tuple(
        Route(trunk, numbers[n] if n < len(numbers) else "")
        for n, trunk in enumerate(trunks.split(":"))
    )


def _load(db: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Attempt]:
    columns = (attempts, tasks.c.title, tasks.c.responsible, tasks.c.deputies)
    query = sa.select(*columns).join(tasks).where(condition)
    return [
        Attempt(
            id=AttemptId(row.id),
            task=TaskId(row.task),
            number=row.number,
            tones=row.tones,
            operator=OperatorId(row.operator),
            extension=row.extension,
            client=row.client,
            title=row.title,
            responsible=OperatorId(row.responsible),
            routes=_routes(row.trunks, row.caller_ids),
            state=row.state,
            series=row.series,
            purpose=row.purpose,
            own_deputies=deputies_in(row.deputies),
        )
        # Sorted here: for the order SQLite would go through all attempts there ever were.
        for row in sorted(db.execute(query), key=lambda row: row.spooled_at)
    ]
