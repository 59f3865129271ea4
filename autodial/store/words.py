"""
What an operator says of his last talk, by a code on his phone: done, call later, wrong number,
never again. The last word counts; what an earlier one has not done yet is taken back.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import Event, State, advance
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.outcome import Outcome
from autodial.model.write_back import WriteBack
from autodial.rules.end_policy import EndPolicy
from autodial.store.attempt_end import NEXT_NUMBER, other_numbers
from autodial.store.attempt_queries import load_attempt
from autodial.store.events import note
from autodial.store.outbox import owe
from autodial.store.same_person import same_person
from autodial.store.schema import attempts, never, operators, outbox, phones, tasks

#: A word about an older talk would be taken for one about a talk that we do not know of.
SINCE = timedelta(hours=1)


def say(
    db: sa.Connection,
    operator: OperatorId,
    word: Disposition,
    now: datetime,
    policy: EndPolicy,
) -> AttemptId | None:
    """
    Write down his word and what follows from it; None: he has had no talk lately, or its task was
    closed or moved by a person since. (That a client is never to be called again counts all the
    same.)
    """
    attempt = _last_talk(db, operator, now)
    if attempt is None:
        return None
    task = db.execute(sa.select(tasks).where(tasks.c.id == attempt.task)).one()
    if not task.open or task.series != attempt.series:
        if word is not Disposition.NEVER:
            return None
        # The task is a person's business by now; what the client wants is not of the task.
        db.execute(sa.delete(never).where(never.c.attempt == attempt.id))
        _never(db, attempt, operator, now)
        note(db, now, attempt.task, "word", word.value, attempt.id)
        return attempt.id
    _take_back(db, attempt)
    db.execute(sa.update(attempts).where(attempts.c.id == attempt.id).values(word=word.value))
    following = _next_call(db, attempt, word, now, policy)
    values: dict[str, object] = {"due": following, "next_check": following, "reason": "not due"}
    if following is None:
        halted = Outcome.BAD_NUMBER if word is Disposition.WRONG_NUMBER else Outcome.TALKED
        values = {"next_check": None, "reason": "finished", "halted": halted.value}
    else:
        values["halted"] = ""
    db.execute(sa.update(tasks).where(tasks.c.id == attempt.task).values(reason_at=now, **values))
    if word is Disposition.NEVER:
        _never(db, attempt, operator, now)
    _owe(db, attempt, operator, word, following, policy.write_back, now)
    note(db, now, attempt.task, "word", word.value, attempt.id)
    state = State(attempt.state)
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
    found = db.scalar(query)
    return load_attempt(db, AttemptId(found)) if found is not None else None


def _take_back(db: sa.Connection, attempt: Attempt) -> None:
    """His word before, as far as the portal has not heard of it."""
    db.execute(sa.delete(never).where(never.c.attempt == attempt.id))
    said = (outbox.c.attempt == attempt.id) & outbox.c.kind.in_(("task", "status", "comment"))
    unheard = said & (outbox.c.target > 0) & (outbox.c.state == "owed")
    db.execute(sa.delete(outbox).where(unheard, outbox.c.task == attempt.task))
    # What was to become of the task after the talk is for his word to say.
    after = (outbox.c.kind == "status") & (outbox.c.target == 0) & (outbox.c.state == "owed")
    db.execute(sa.update(outbox).where(outbox.c.attempt == attempt.id, after).values(state="void"))


def _next_call(
    db: sa.Connection,
    attempt: Attempt,
    word: Disposition,
    now: datetime,
    policy: EndPolicy,
) -> datetime | None:
    wait = {Disposition.LATER: policy.later, Disposition.WRONG_NUMBER: NEXT_NUMBER}.get(word)
    if wait is None or (word is Disposition.WRONG_NUMBER and not other_numbers(db, attempt)):
        return None
    zone = sa.select(phones.c.zone).where(
        phones.c.task == attempt.task, phones.c.number == attempt.number
    )
    return policy.fitted((attempt.number, db.scalar(zone) or ""), now + wait, Outcome.TALKED)


def _never(db: sa.Connection, attempt: Attempt, operator: OperatorId, now: datetime) -> None:
    """The client is not to be called again: for no task, on no number of his."""
    mine = sa.select(attempts).where(attempts.c.id == attempt.id)
    row = db.execute(mine).one()
    db.execute(
        sa.insert(never).values(
            number=row.number, entity_type=row.entity_type, entity_id=row.entity_id, at=now,
            operator=operator, attempt=attempt.id,
        )
    )  # fmt: skip
    for same in same_person(phones.c, row):
        his = sa.select(phones.c.task).where(same)
        waiting = tasks.c.id.in_(his) & (tasks.c.next_check > now)
        db.execute(sa.update(tasks).where(waiting).values(next_check=now))


def _owe(  # noqa: PLR0913  # the columns of a message
    db: sa.Connection, attempt: Attempt, operator: OperatorId, word: Disposition,
    following: datetime | None, write_back: WriteBack, now: datetime,
) -> None:  # fmt: skip
    """Under the word's own number: what the end, or a word before, owed are other debts."""
    before = (outbox.c.attempt == attempt.id) & (outbox.c.kind == "comment") & (outbox.c.target > 0)
    spoken = db.scalar(sa.select(sa.func.count()).where(before)) or 0
    target = 10 * spoken + word.code
    change: dict[str, object] = {}
    if following is not None:
        change["deadline"] = following.isoformat()
    given_up = following is None and word is Disposition.WRONG_NUMBER
    if given_up and write_back.hand_back not in (0, attempt.responsible):
        change["responsible"] = write_back.hand_back
    if change:
        owe(db, attempt, "task", target, change, now)
    said = following.isoformat() if following is not None else None
    comment = {"word": word.value, "user": operator, "next": said}
    owe(db, attempt, "comment", target, comment, now)
    status = {Disposition.DONE: "DONE", Disposition.NEVER: write_back.talked}.get(word, "")
    status = write_back.given_up if given_up else status
    if status:
        owe(db, attempt, "status", target, {"status": status}, now)


@frozen(kw_only=True)
class NeverLine:
    """One client who told an operator not to be called again."""

    number: str
    client: str
    at: datetime
    operator: str
    attempt: str


def never_lines(db: sa.Connection) -> list[NeverLine]:
    """All of them, the latest in front."""
    query = (
        sa.select(never, attempts.c.client, operators.c.name)
        .join(attempts, attempts.c.id == never.c.attempt)
        .outerjoin(operators, operators.c.id == never.c.operator)
        .order_by(never.c.at.desc(), never.c.id.desc())
    )
    return [
        NeverLine(
            number=row.number,
            client=row.client,
            at=row.at,
            operator=row.name or str(row.operator),
            attempt=row.attempt,
        )
        for row in db.execute(query)
    ]


def call_again(db: sa.Connection, number: str, now: datetime) -> int:
    """A person knows better: take a number, and whose it is, off the list. How many entries."""
    found = db.execute(sa.delete(never).where(never.c.number == number)).rowcount
    if found:
        held = (tasks.c.open == 1) & (tasks.c.reason == "do not call")
        db.execute(sa.update(tasks).where(held).values(next_check=now))
    return found
