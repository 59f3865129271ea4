"""Tasks in the store: what the importer brings, and what the planner picks up."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model import CallTask, OperatorId, Phone, TaskId
from autodial.phones import Refused
from autodial.store.events import note
from autodial.store.outbox import our_own_hand
from autodial.store.schema import IN_FLIGHT, attempts, flags, outbox, phones, refused, tasks
from bitrix24 import PortalTask


@frozen
class Imported:
    """One task of the portal with the phones found for it; None: they could not be asked for."""

    task: PortalTask
    phones: tuple[Phone, ...] | None
    refused: tuple[Refused, ...] = ()


def save_tasks(
    db: sa.Connection, found: Sequence[Imported], now: datetime, *, asked: datetime
) -> int:
    """
    Take over what the portal says; returns how many tasks are new or changed.

    A deadline that differs from the portal's last one was moved by a person: it counts, starts a
    new series of attempts, and voids what we still owed the portal about the old one. ``asked``:
    when the portal was asked.
    """
    ids = [entry.task.id for entry in found]
    known = {row.id: row for row in db.execute(sa.select(tasks).where(tasks.c.id.in_(ids)))}
    numbers = _phones(db, ids)
    unfit = _refused(db, ids)
    changed = 0
    for entry in found:
        task = entry.task.id
        changed += _save(db, entry, known.get(task), numbers.get(task, ()), now, asked)
        if entry.phones is not None and unfit.get(task, ()) != entry.refused:
            _save_refused(db, task, entry.refused)
    return changed


def close_others(db: sa.Connection, present: Collection[int], now: datetime) -> int:
    """``present`` is all the open call tasks: close the others. How many were closed."""
    query = sa.select(tasks.c.id).where(tasks.c.open == 1)
    gone = [row.id for row in db.execute(query) if row.id not in present]
    for task in gone:
        _close(db, task, now)
    return len(gone)


def close_these(db: sa.Connection, closed: Collection[int], now: datetime) -> int:
    """Tasks that are no longer open, of those we know as open. How many there were."""
    query = sa.select(tasks.c.id).where(tasks.c.open == 1, tasks.c.id.in_(closed))
    gone = [row.id for row in db.execute(query)]
    for task in gone:
        _close(db, task, now)
    return len(gone)


def note_portal_seen(db: sa.Connection, now: datetime) -> None:
    """The portal has answered a poll."""
    db.execute(sa.delete(flags).where(flags.c.name == "portal_seen"))
    db.execute(sa.insert(flags).values(name="portal_seen", at=now))


def _save(
    db: sa.Connection,
    entry: Imported,
    row: "sa.Row[tuple[object, ...]] | None",
    numbers: Sequence[Phone],
    now: datetime,
    asked: datetime,
) -> bool:
    task = entry.task
    values = {
        "title": task.title,
        "responsible": task.responsible,
        "open": int(task.open),
        "portal_deadline": task.deadline,
    }
    if row is None:
        fresh = {"due": task.deadline, "halted": "", "series": 1, "reason": "", "next_check": now}
        db.execute(sa.insert(tasks).values(id=task.id, **values, **fresh))
        note(db, now, task.id, "imported", task.title)
        _save_phones(db, task.id, (), entry.phones or ())
        return True
    changed = any(getattr(row, key) != value for key, value in values.items())
    if row.portal_deadline == task.deadline:
        pass
    elif our_own_hand(db, TaskId(task.id), asked):
        del values["portal_deadline"], values["responsible"]
    else:
        values |= {"due": task.deadline, "halted": "", "series": row.series + 1}
        _void_owed(db, task.id)
        note(
            db, now, task.id, "moved by hand", f"{task.deadline:%F %R} UTC" if task.deadline else ""
        )
    if entry.phones is not None:
        changed |= _save_phones(db, task.id, numbers, entry.phones)
    if changed:
        db.execute(sa.update(tasks).where(tasks.c.id == task.id).values(**values, next_check=now))
    return changed


def _void_owed(db: sa.Connection, task: int) -> None:
    """A person has decided since: our own deadline must not undo his. The rest is still owed."""
    mine = (outbox.c.task == task) & (outbox.c.kind == "task") & (outbox.c.state == "owed")
    for row in db.execute(sa.select(outbox.c.id, outbox.c.payload).where(mine)).all():
        left = {key: value for key, value in row.payload.items() if key != "deadline"}
        values = {"payload": left} if left else {"state": "void"}
        db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(values))


def _save_phones(
    db: sa.Connection, task: int, numbers: Sequence[Phone], found: Sequence[Phone]
) -> bool:
    if tuple(found) == tuple(numbers):
        return False
    db.execute(sa.delete(phones).where(phones.c.task == task))
    for position, phone in enumerate(found):
        db.execute(
            sa.insert(phones).values(
                task=task,
                position=position,
                number=phone.number,
                client=phone.client,
                entity_type=phone.entity_type,
                entity_id=phone.entity_id,
                extension=phone.extension,
            )
        )
    return True


def _save_refused(db: sa.Connection, task: int, found: Sequence[Refused]) -> None:
    db.execute(sa.delete(refused).where(refused.c.task == task))
    for position, number in enumerate(found):
        db.execute(
            sa.insert(refused).values(
                task=task,
                position=position,
                value=number.value,
                client=number.client,
                reason=number.reason,
            )
        )


def _close(db: sa.Connection, task: int, now: datetime) -> None:
    db.execute(
        sa.update(tasks).where(tasks.c.id == task).values(open=0, next_check=None, reason="closed")
    )
    note(db, now, task, "closed", "no longer among the portal's open call tasks")


def save_one(
    db: sa.Connection, found: Imported | None, task: TaskId, now: datetime, *, asked: datetime
) -> None:
    """Take over one task, re-read while its client's phone rings; None: it is gone."""
    if found is None:
        _close(db, task, now)
    else:
        save_tasks(db, [found], now, asked=asked)


def look_again(db: sa.Connection, now: datetime) -> None:
    """After a start: the rules may have changed, so every open task is looked at anew."""
    waiting = (tasks.c.open == 1) & (tasks.c.halted == "") & tasks.c.reason.not_in(("dial",))
    db.execute(sa.update(tasks).where(waiting).values(next_check=now))


def portal_seen(db: sa.Connection) -> datetime | None:
    """When the portal last answered a whole import."""
    moment: datetime | None = db.scalar(sa.select(flags.c.at).where(flags.c.name == "portal_seen"))
    return moment


def open_count(db: sa.Connection) -> int:
    """Open tasks known."""
    return db.scalar(sa.select(sa.func.count()).where(tasks.c.open == 1)) or 0


def due_tasks(db: sa.Connection, now: datetime, limit: int) -> list[CallTask]:
    """The tasks the planner must look at now, those due first in front; at most ``limit``."""
    query = (
        sa.select(tasks)
        .where(tasks.c.next_check <= now)
        .order_by(tasks.c.due, tasks.c.id)
        .limit(limit)
    )
    return _as_tasks(db, list(db.execute(query)))


def load_task(db: sa.Connection, task: TaskId) -> CallTask | None:
    """One task, or None."""
    found = _as_tasks(db, list(db.execute(sa.select(tasks).where(tasks.c.id == task))))
    return found[0] if found else None


def _as_tasks(db: sa.Connection, rows: "Sequence[sa.Row[tuple[object, ...]]]") -> list[CallTask]:
    ids = [row.id for row in rows]
    numbers = _phones(db, ids)
    made = {
        row.task: row
        for row in db.execute(
            sa.select(
                attempts.c.task,
                sa.func.sum(sa.case((attempts.c.series == tasks.c.series, 1), else_=0)).label("n"),
                sa.func.max(sa.case((sa.text(f"attempts.{IN_FLIGHT}"), 1), else_=0)).label("open"),
            )
            .join(tasks)
            .where(attempts.c.task.in_(ids))
            .group_by(attempts.c.task)
        )
    }
    return [
        CallTask(
            id=TaskId(row.id),
            title=row.title,
            responsible=OperatorId(row.responsible),
            due=row.due,
            phones=numbers.get(row.id, ()),
            open=bool(row.open),
            halted=row.halted,
            attempts=made[row.id].n if row.id in made else 0,
            in_progress=bool(made[row.id].open) if row.id in made else False,
        )
        for row in rows
    ]


def _phones(db: sa.Connection, ids: Sequence[int]) -> dict[int, tuple[Phone, ...]]:
    found: dict[int, tuple[Phone, ...]] = {}
    query = sa.select(phones).where(phones.c.task.in_(ids))
    for row in db.execute(query.order_by(phones.c.task, phones.c.position)):
        phone = Phone(row.number, row.client, row.entity_type, row.entity_id, row.extension)
        found[row.task] = (*found.get(row.task, ()), phone)
    return found


def _refused(db: sa.Connection, ids: Sequence[int]) -> dict[int, tuple[Refused, ...]]:
    found: dict[int, tuple[Refused, ...]] = {}
    query = sa.select(refused).where(refused.c.task.in_(ids))
    for row in db.execute(query.order_by(refused.c.task, refused.c.position)):
        number = Refused(row.value, row.reason, row.client)
        found[row.task] = (*found.get(row.task, ()), number)
    return found


def save_waiting(db: sa.Connection, reason: str, now: datetime) -> None:
    """All tasks that are due wait for the same thing; they stay due."""
    waiting = (tasks.c.next_check <= now) & (tasks.c.due <= now) & (tasks.c.reason != reason)
    db.execute(sa.update(tasks).where(waiting).values(reason=reason, reason_at=now))


def save_reasons(
    db: sa.Connection, looks: Sequence[tuple[TaskId, str, datetime | None]], now: datetime
) -> None:
    """Keep what the planner decided: the reason, and when to look again (None: on a change)."""
    for task, reason, until in looks:
        db.execute(
            sa.update(tasks)
            # Not if the importer has asked for a new look since.
            .where(tasks.c.id == task, tasks.c.next_check <= now)
            .values(reason=reason, reason_at=now, next_check=until)
        )
