"""
What people do to the dialler: by command or by a code on the phone. Each act and its line in the
audit log are one transaction; an act that changes nothing leaves no line. Nothing else in the
program calls the functions that are called here (a test).
"""

from datetime import date, datetime

import sqlalchemy as sa

from autodial.model.act import Act, Actor
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.role import Role
from autodial.rules.end_policy import EndPolicy
from autodial.store import (
    accounts,
    api_tokens,
    days_off,
    delivery,
    dispositions,
    flags,
    pauses,
    stand_ins,
    tasks,
)
from autodial.store.audit import record
from autodial.store.events import note
from autodial.store.schema import operators


def pause(  # who, whom, when, why, until when
    db: sa.Connection,
    operator: OperatorId,
    by: Actor,
    now: datetime,
    why: str = "",
    until: datetime | None = None,
) -> None:
    """No calls for an operator, or for everybody."""
    pauses.pause(db, operator, now, why, until)
    record(db, now, by, Act.PAUSE, _extension(db, operator), _end(why, until))


def resume(db: sa.Connection, operator: OperatorId, by: Actor, now: datetime) -> bool:
    """The operator gets calls again. False: there was no pause."""
    ended = pauses.resume(db, operator)
    if ended:
        record(db, now, by, Act.RESUME, _extension(db, operator))
    return ended


def pause_purpose(  # who, what, when, why, until when
    db: sa.Connection,
    purpose: str,
    by: Actor,
    now: datetime,
    why: str = "",
    until: datetime | None = None,
) -> None:
    """Nobody is called for a purpose."""
    pauses.pause_purpose(db, purpose, now, why, until)
    record(db, now, by, Act.PAUSE, purpose, _end(why, until))


def resume_purpose(db: sa.Connection, purpose: str, by: Actor, now: datetime) -> bool:
    """People are called for it again. False: it was not paused."""
    ended = pauses.resume_purpose(db, purpose)
    if ended:
        record(db, now, by, Act.RESUME, purpose)
    return ended


def call_now(db: sa.Connection, task: TaskId, by: Actor, now: datetime) -> bool:
    """A person's confirmation of a task. False: no such open task."""
    done = tasks.confirm(db, task, now)
    if done:
        record(db, now, by, Act.CALL_NOW, str(task))
    return done


def skip(db: sa.Connection, task: TaskId, by: Actor, now: datetime, why: str = "") -> bool:
    """Dial a task no more. False: no such open task."""
    done = tasks.skip(db, task, now, why)
    if done:
        record(db, now, by, Act.SKIP, str(task), why)
    return done


def unskip(db: sa.Connection, task: TaskId, by: Actor, now: datetime) -> bool:
    """Dial it again. False: it was not skipped."""
    done = tasks.unskip(db, task, now)
    if done:
        record(db, now, by, Act.UNSKIP, str(task))
    return done


def hand_over(  # whose tasks, whom to, who, when, until when
    db: sa.Connection,
    operator: OperatorId,
    stand_in: OperatorId,
    by: Actor,
    now: datetime,
    until: datetime | None = None,
) -> None:
    """
    An operator's tasks are another's for a time.

    Raises:
        ValueError: to himself.
    """
    stand_ins.hand_over(db, operator, stand_in, now, until)
    detail = _end(_extension(db, stand_in), until)
    record(db, now, by, Act.HAND_OVER, _extension(db, operator), detail)


def take_back(db: sa.Connection, operator: OperatorId, by: Actor, now: datetime) -> bool:
    """His tasks are his own again. False: they were."""
    done = stand_ins.take_back(db, operator, now)
    if done:
        record(db, now, by, Act.TAKE_BACK, _extension(db, operator))
    return done


def postponed(
    db: sa.Connection, task: TaskId, deadline: datetime, by: Actor, now: datetime
) -> None:
    """Somebody has moved a task's deadline in the portal; the next poll brings it here."""
    record(db, now, by, Act.POSTPONE, str(task), f"{deadline:%Y-%m-%d %H:%M%z}")


def dispose(  # noqa: PLR0913  # who, of whom, what, when, and the policy
    db: sa.Connection,
    operator: OperatorId,
    disposition: Disposition,
    by: Actor,
    now: datetime,
    policy: EndPolicy,
    at: datetime | None = None,
) -> AttemptId | None:
    """The disposition of an operator's last talk; see ``dispositions.save``."""
    attempt = dispositions.save(db, operator, disposition, now, policy, at)
    if attempt is not None:
        record(db, now, by, Act.DISPOSITION, attempt, _end(disposition.value, at))
    return attempt


def never_call(db: sa.Connection, number: str, by: Actor, now: datetime, why: str = "") -> bool:
    """Put a number and its owner on the do-not-call list. False: it is on it."""
    added = dispositions.never_call(db, number, now, why)
    if added:
        note(db, now, 0, "never call", number)
        record(db, now, by, Act.NEVER_CALL, number, why)
    return added


def call_again(db: sa.Connection, number: str, by: Actor, now: datetime) -> int:
    """Take a number and its owner off the do-not-call list. Returns how many entries."""
    removed = dispositions.call_again(db, number, now)
    if removed:
        record(db, now, by, Act.MAY_CALL, number)
    return removed


def add_day_off(db: sa.Connection, day: date, by: Actor, now: datetime, why: str = "") -> None:
    """Nobody is called on this day."""
    days_off.add(db, day, now, why)
    record(db, now, by, Act.DAY_OFF, day.isoformat(), why)


def remove_day_off(db: sa.Connection, day: date, by: Actor, now: datetime) -> bool:
    """People are called on this day again. False: it was no day off by command."""
    done = days_off.remove(db, day)
    if done:
        record(db, now, by, Act.WORKING_DAY, day.isoformat())
    return done


def send_again(db: sa.Connection, message: int | None, by: Actor, now: datetime) -> int:
    """Deliver dead letters again, one or all. Returns how many."""
    count = delivery.again(db, message, now)
    if count:
        record(db, now, by, Act.SEND_AGAIN, "" if message is None else str(message), str(count))
    return count


def save_account(  # noqa: PLR0913  # whom, as what, which hash, by whom, when, which operator
    db: sa.Connection,
    name: str,
    role: Role,
    password_hash: str,
    by: Actor,
    now: datetime,
    operator: int = 0,
) -> None:
    """Somebody may look at the board; role and password of an earlier account are replaced."""
    accounts.save(db, name, role, password_hash, now, operator)
    record(db, now, by, Act.ACCOUNT, name, role.value)


def remove_account(db: sa.Connection, name: str, by: Actor, now: datetime) -> bool:
    """He may look no more. False: there is nobody of this name."""
    done = accounts.remove(db, name)
    if done:
        record(db, now, by, Act.ACCOUNT, name, "-")
    return done


def save_token(  # what for, as what, which token, who, when
    db: sa.Connection, name: str, role: Role, token: str, by: Actor, now: datetime
) -> None:
    """A program may use the API; an earlier token of the name is not valid any more."""
    api_tokens.save(db, name, role, token, now)
    record(db, now, by, Act.TOKEN, name, role.value)


def remove_token(db: sa.Connection, name: str, by: Actor, now: datetime) -> bool:
    """It may not any more. False: there is none of this name."""
    done = api_tokens.remove(db, name)
    if done:
        record(db, now, by, Act.TOKEN, name, "-")
    return done


def reload(db: sa.Connection, by: Actor, now: datetime, file: str, node: str = "") -> None:
    """Ask the running dialler to read its settings again; one node, if several share the store."""
    flags.tell(db, now, flags.of_node(flags.RELOAD, node), file)
    record(db, now, by, Act.RELOAD, "", file)


def test_call(db: sa.Connection, by: Actor, now: datetime, name: str, stored: str) -> None:
    """Ask the dialler to let a test call pass; ``stored``: as ``TestCall.stored`` gives it."""
    flags.tell(db, now, flags.TEST_CALL, stored)
    note(db, now, 0, "spooled", "", name)
    record(db, now, by, Act.TEST_CALL, name)


def _extension(db: sa.Connection, operator: OperatorId) -> str:
    if operator == pauses.EVERYBODY:
        return ""
    extension = db.scalar(sa.select(operators.c.extension).where(operators.c.id == operator))
    return extension or str(operator)


def _end(why: str, until: datetime | None) -> str:
    return why if until is None else f"{why} ({until:%Y-%m-%d %H:%M%z})".strip()
