"""The importer's side of the tasks: what the portal has is saved, what it has no more is closed."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId, TaskId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.model.outcome import Outcome
from autodial.model.task import Phone
from autodial.rules.phone_numbers import Refused
from autodial.store.events import note
from autodial.store.outbox import LATE
from autodial.store.own_deadlines import our_own_hand
from autodial.store.planning import IS_LISTED, for_these, is_one, is_some, phones_of
from autodial.store.schema import (
    ASKED_FOR,
    holds,
    outbox,
    phones,
    refused,
    tasks,
)
from bitrix24 import Deadline, PortalTask

# Built once: building a statement costs more than running it.
_RESPONSIBLE = sa.select(tasks.c.responsible).where(tasks.c.id == sa.bindparam("task"))
_ADD, _ADD_PHONES, _ADD_REFUSED = sa.insert(tasks), sa.insert(phones), sa.insert(refused)
_CHANGE = sa.update(tasks).where(tasks.c.id == sa.bindparam("this"))


@frozen
class _Stored:
    """What is stored of some tasks, besides their phones."""

    tasks: sa.Select[Any]
    refused: sa.Select[Any]


def _stored(of: Callable[[Any], sa.ColumnElement[bool]]) -> _Stored:
    """``of``: the condition for a column with a task's id."""
    numbers = sa.select(refused).where(of(refused.c.task))
    return _Stored(
        tasks=sa.select(tasks).where(of(tasks.c.id)),
        refused=numbers.order_by(refused.c.task, refused.c.position),
    )


_STORED = _stored(is_one), _stored(is_some)


@frozen
class Imported:
    """One task of the portal with its phones; None: they could not be read."""

    task: PortalTask
    phones: tuple[Phone, ...] | None
    refused: tuple[Refused, ...] = ()
    purpose: str = ""
    needs_confirmation: bool = False  #: a person must confirm: "dial it now"
    do_not_call: bool = False  #: by a tag of the task
    deputies: tuple[int, ...] = ()  #: named in the task


def save_tasks(
    db: sa.Connection,
    imported: Sequence[Imported],
    now: datetime,
    *,
    asked: datetime,
    late: timedelta = LATE,
) -> int:
    """
    Store the tasks as the portal has them; returns how many are new or changed.

    A deadline that differs from the portal's last one was moved by a person: it counts, starts a
    new generation of attempts, and voids undelivered messages about the old one. ``asked``: when
    the portal was read; ``late``: how long after its sending it may execute a request.
    """
    ids = [entry.task.id for entry in imported]
    stored, which = for_these(ids, *_STORED)
    known = {row.id: row for row in db.execute(stored.tasks, {"ids": which})}
    numbers = phones_of(db, ids)
    unfit = _refused(db.execute(stored.refused, {"ids": which}))
    changed = 0
    for entry in imported:
        task = entry.task.id
        changed += _save(db, entry, known.get(task), numbers.get(task, ()), now, asked, late)
        if entry.phones is not None and unfit.get(task, ()) != entry.refused:
            _save_refused(db, task, entry.refused)
    return changed


def close_others(db: sa.Connection, present: Collection[int], now: datetime) -> int:
    """Close all tasks but ``present``, the open call tasks. Returns how many were closed."""
    query = sa.select(tasks.c.id).where(IS_LISTED)
    gone = [row.id for row in db.execute(query) if row.id not in present]
    for task in gone:
        _close(db, task, now)
    return len(gone)


def close_these(db: sa.Connection, closed: Collection[int], now: datetime) -> int:
    """Close tasks that the portal has closed. Returns how many were open here."""
    query = sa.select(tasks.c.id).where(IS_LISTED, tasks.c.id.in_(closed))
    gone = [row.id for row in db.execute(query)]
    for task in gone:
        _close(db, task, now)
    return len(gone)


def _save(  # noqa: PLR0913  # one task as it was stored, and as it is now
    db: sa.Connection,
    entry: Imported,
    row: "sa.Row[tuple[object, ...]] | None",
    numbers: Sequence[Phone],
    now: datetime,
    asked: datetime,
    late: timedelta,
) -> bool:
    task = entry.task
    values = {
        "title": task.title,
        "responsible": task.responsible,
        "open": int(task.open),
        "portal_deadline": task.until.at,
        "portal_wall": task.until.wall,
        "purpose": entry.purpose,
        "deputies": ":".join(map(str, entry.deputies)),
        "needs_confirmation": int(entry.needs_confirmation),
        "do_not_call": int(entry.do_not_call),
    }
    if row is None:
        fresh = {
            "due": task.deadline,
            "closed_reason": "",
            "generation": 1,
            "reason": "",
            "next_check": now,
        }
        db.execute(_ADD, {"id": task.id, **values, **fresh})
        note(db, now, task.id, "imported", task.title)
        _save_phones(db, task.id, (), entry.phones or ())
        return True
    changed = any(getattr(row, key) != value for key, value in values.items())
    if task.until.same(Deadline(row.portal_deadline, row.portal_wall)):
        if row.due == row.portal_deadline:  # the portal's own: take its present reading
            values["due"] = task.deadline
    elif our_own_hand(db, TaskId(task.id), asked, task.until, late):
        del values["portal_deadline"], values["portal_wall"], values["responsible"]
    else:
        values |= {"due": task.deadline, "closed_reason": "", "generation": row.generation + 1}
        # The number may have been corrected, too: read the phones before the next call.
        values["refetch"] = int(entry.phones is None)
        _void_pending(db, task.id)
        note(
            db, now, task.id, "moved by hand", f"{task.deadline:%F %R} UTC" if task.deadline else ""
        )
    if entry.phones is not None and _save_phones(db, task.id, numbers, entry.phones):
        changed = True
        values |= _corrected(db, row, task, numbers, entry.phones, now)
    if changed:
        db.execute(_CHANGE, {"this": task.id, **values, "next_check": now})
    return changed


def _corrected(
    db: sa.Connection,
    row: "sa.Row[tuple[Any, ...]]",
    task: PortalTask,
    before: Sequence[Phone],
    after: Sequence[Phone],
    now: datetime,
) -> dict[str, Any]:
    """A new number reopens a task that was closed because of a bad number."""
    new = {phone.number for phone in after} - {phone.number for phone in before}
    if row.closed_reason != Outcome.BAD_NUMBER.value or not new:
        return {}
    note(db, now, task.id, "number corrected", ", ".join(sorted(new)))
    _void_pending(db, task.id)
    return {"closed_reason": "", "due": max(task.deadline, now) if task.deadline else now}


def _void_pending(db: sa.Connection, task: int) -> None:
    """
    A person has moved the deadline: our own deadline and status must not overwrite that decision,
    not even by a repetition of what was sent. Other messages are still delivered.
    """
    undelivered = (outbox.c.task == task) & outbox.c.state.in_(
        (MessageState.PENDING, MessageState.SENDING)
    )
    db.execute(
        sa.update(outbox)
        .where(undelivered, outbox.c.kind == MessageKind.STATUS)
        .values(state=MessageState.VOID)
    )
    changes = undelivered & (outbox.c.kind == MessageKind.TASK)
    for row in db.execute(sa.select(outbox.c.id, outbox.c.payload).where(changes)).all():
        left = {key: value for key, value in row.payload.items() if key != "deadline"}
        values = {"payload": left} if left else {"state": MessageState.VOID}
        db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(values))


def _save_phones(
    db: sa.Connection, task: int, before: Sequence[Phone], after: Sequence[Phone]
) -> bool:
    if tuple(after) == tuple(before):
        return False
    if before:
        db.execute(sa.delete(phones).where(phones.c.task == task))
    rows = [
        {
            "task": task,
            "position": position,
            "number": phone.number,
            "client": phone.client,
            "entity_type": phone.entity_type,
            "entity_id": phone.entity_id,
            "dtmf": phone.dtmf,
            "zone": phone.zone,
            "do_not_call": int(phone.do_not_call),
            "no_consent": int(phone.no_consent),
        }
        for position, phone in enumerate(after)
    ]
    if rows:
        db.execute(_ADD_PHONES, rows)
    return True


def _save_refused(db: sa.Connection, task: int, numbers: Sequence[Refused]) -> None:
    db.execute(sa.delete(refused).where(refused.c.task == task))
    rows = [
        {
            "task": task,
            "position": position,
            "value": number.value,
            "client": number.client,
            "reason": number.reason,
        }
        for position, number in enumerate(numbers)
    ]
    if rows:
        db.execute(_ADD_REFUSED, rows)


def _close(db: sa.Connection, task: int, now: datetime) -> None:
    db.execute(
        _CHANGE, {"this": task, "open": 0, "next_check": None, "reason": "closed", "reason_at": now}
    )
    note(db, now, task, "closed", "no longer among the portal's open call tasks")


def save_one(
    db: sa.Connection,
    imported: Imported | None,
    task: TaskId,
    now: datetime,
    *,
    asked: datetime,
    late: timedelta = LATE,
) -> OperatorId | None:
    """
    Store one task, re-read while its client's phone rings; None: it is gone. Returns its
    responsible operator.
    """
    if imported is None:
        _close(db, task, now)
    else:
        save_tasks(db, [imported], now, asked=asked, late=late)
    responsible = db.scalar(_RESPONSIBLE, {"task": task})
    return OperatorId(responsible) if responsible is not None else None


def to_refetch(db: sa.Connection, limit: int) -> list[int]:
    """Tasks on which a person has acted: their phones are read before they are dialled."""
    query = sa.select(tasks.c.id).where(holds("tasks", ASKED_FOR)).order_by(tasks.c.id)
    return [row.id for row in db.execute(query.limit(limit))]


def refetched(db: sa.Connection, which: Sequence[int], now: datetime) -> None:
    """Their phones were read, or cannot be: the dispatcher may decide on them."""
    due = {"refetch": 0, "next_check": now}
    db.execute(sa.update(tasks).where(tasks.c.id.in_(which), IS_LISTED).values(due))
    db.execute(sa.update(tasks).where(tasks.c.id.in_(which)).values(refetch=0))


def mistrust(db: sa.Connection, *, consent: bool, do_not_call: bool) -> None:
    """
    Other fields now tell who may be called: until a client's field is read, nobody calls them. It
    is never read for clients that the portal does not show.
    """
    values = {"no_consent": int(consent)} | ({"do_not_call": 1} if do_not_call else {})
    open_tasks = sa.select(tasks.c.id).where(IS_LISTED)
    db.execute(sa.update(phones).where(phones.c.task.in_(open_tasks)).values(**values))


def open_count(db: sa.Connection) -> int:
    """The number of open tasks."""
    return db.scalar(sa.select(sa.func.count(tasks.c.id)).where(IS_LISTED)) or 0


def confirm(db: sa.Connection, task: TaskId, now: datetime) -> bool:
    """
    A person's confirmation: dial it now. It counts for one call, and until the deadline is moved by
    hand. The phones are read again before the call. False: no such open task.
    """
    changed = db.execute(
        sa.update(tasks)
        .where(tasks.c.id == task, IS_LISTED, tasks.c.closed_reason == "")
        .values(confirmed=tasks.c.generation, due=now, next_check=now, refetch=1)
    )
    if changed.rowcount:
        note(db, now, task, "confirmed", "dial it now, confirmed by a person")
    return bool(changed.rowcount)


def _refused(rows: Iterable[Any]) -> dict[int, tuple[Refused, ...]]:
    by_task: dict[int, tuple[Refused, ...]] = {}
    for row in rows:
        number = Refused(row.value, row.reason, row.client)
        by_task[row.task] = (*by_task.get(row.task, ()), number)
    return by_task


#: The ``closed_reason`` of a task that a person took away from the dialler.
SKIPPED = "skipped"


def skip(db: sa.Connection, task: TaskId, now: datetime, why: str) -> bool:
    """
    Dial it no more, until its deadline is moved by hand or ``unskip``. A call under way goes on.
    False: no such open task.
    """
    values = {"closed_reason": SKIPPED, "next_check": None, "reason": "finished", "reason_at": now}
    changed = db.execute(
        sa.update(tasks)
        .where(tasks.c.id == task, IS_LISTED, tasks.c.closed_reason == "")
        .values(values)
    )
    if changed.rowcount:
        note(db, now, task, "skipped", why)
    return bool(changed.rowcount)


def unskip(db: sa.Connection, task: TaskId, now: datetime) -> bool:
    """The dialler's again. False: it was not skipped."""
    changed = db.execute(
        sa.update(tasks)
        .where(tasks.c.id == task, IS_LISTED, tasks.c.closed_reason == SKIPPED)
        .values(closed_reason="", next_check=now, reason="", reason_at=now)
    )
    if changed.rowcount:
        note(db, now, task, "unskipped")
    return bool(changed.rowcount)
