"""The dispatcher's side of the tasks: what is due, with all that a decision looks at."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt_states import IN_FLIGHT, State
from autodial.model.disposition import Disposition
from autodial.model.ids import OperatorId, TaskId
from autodial.model.outcome import NO_CONTACT, Outcome
from autodial.model.task import Called, CallTask, Phone
from autodial.rules.dial_facts import Reason
from autodial.store.external_calls import SAME
from autodial.store.locks import reads
from autodial.store.node_waits import wait_here
from autodial.store.same_person import same_person
from autodial.store.schema import IN_FLIGHT as FLYING
from autodial.store.schema import (
    LISTED,
    READ,
    READY,
    Moment,
    attempts,
    do_not_call,
    external_calls,
    holds,
    node_waits,
    one_of,
    phones,
    tasks,
)

_NO_CONTACT = sorted(outcome.value for outcome in NO_CONTACT)


# The dispatcher's queries, built once: building one costs more than running it.
IS_LISTED = holds("tasks", LISTED)
_SINCE: "sa.BindParameter[datetime]" = sa.bindparam("since", type_=Moment)
#: Further back than any call.
EVER = datetime(1970, 1, 1, tzinfo=UTC)


def counts(made: Any) -> sa.ColumnElement[bool]:
    """An attempt, by its columns, that reached the client, or may have."""
    reached: sa.ColumnElement[bool] = made.outcome.is_(None) | ~one_of(made.outcome, _NO_CONTACT)
    return reached


_COUNTS = (attempts.c.generation == tasks.c.generation) & counts(attempts.c)
#: A task, and its attempts as far as a decision looks at them.
_TASK = sa.select(
    tasks,
    sa.select(sa.func.count())
    .where(attempts.c.task == tasks.c.id, _COUNTS)
    .scalar_subquery()
    .label("made"),
    sa.exists()
    .where(attempts.c.task == tasks.c.id, holds("attempts", FLYING))
    .label("in_progress"),
)
DUE = (
    _TASK.where(tasks.c.next_check == READY, holds("tasks", READ))
    .order_by(tasks.c.due, tasks.c.id)
    .limit(sa.bindparam("limit"))
)
#: As ``DUE``, but those for which this node waits.
DUE_HERE = DUE.where(
    ~sa.exists().where(
        node_waits.c.node == sa.bindparam("node"),
        node_waits.c.task == tasks.c.id,
        node_waits.c.until > sa.bindparam("now", type_=Moment),
    )
)
#: Tasks that become ready in one transaction, at most: at nine o'clock sharp it may be thousands.
PORTION = 500
_RIPE_NOW = (tasks.c.next_check > READY) & (tasks.c.next_check <= sa.bindparam("now"))
_RIPE = sa.select(tasks.c.id).where(_RIPE_NOW).limit(1)
_NOW_READY = (
    sa.update(tasks)
    .where(
        tasks.c.id.in_(
            sa.select(tasks.c.id)
            .where(_RIPE_NOW)
            .order_by(tasks.c.next_check, tasks.c.due, tasks.c.id)
            .limit(PORTION)
        )
    )
    .values(next_check=READY)
)


_ONE = _TASK.where(tasks.c.id == sa.bindparam("task"))


@frozen
class _Queries:
    """All that a decision looks at, of some tasks. (Each statement costs more than its rows.)"""

    phones: sa.Select[Any]
    calls: sa.CompoundSelect[Any]
    wrong: sa.Select[Any]


def _queries(of: Callable[[Any], sa.ColumnElement[bool]]) -> _Queries:
    """``of``: the condition for a column with a task's id."""
    return _Queries(
        phones=sa.select(
            phones,
            sa.or_(
                *(sa.exists().where(same) for same in same_person(do_not_call.c, phones.c))
            ).label("listed"),
        )
        .where(of(phones.c.task))
        .order_by(phones.c.task, phones.c.position),
        # Each part by its own index; a call that is found by two counts once.
        calls=sa.union(
            *(
                sa.select(
                    phones.c.task, phones.c.number, attempts.c.id, attempts.c.task.label("of"),
                    attempts.c.state, attempts.c.outcome, attempts.c.claimed_at,
                    attempts.c.abandoned,
                )
                .join_from(phones, attempts, same)
                .where(of(phones.c.task))
                .where((attempts.c.claimed_at > _SINCE) | holds("attempts", FLYING))
                for same in same_person(attempts.c, phones.c)
            ),
            *(
                sa.select(
                    phones.c.task, phones.c.number, sa.cast(external_calls.c.id, sa.String),
                    sa.cast(sa.null(), sa.Integer), sa.literal_column("''", sa.String),
                    sa.literal_column(f"'{Outcome.TALKED.value}'", sa.String),
                    external_calls.c.at, sa.literal_column("0", sa.Integer),
                )
                .join_from(phones, external_calls, same)
                .where(of(phones.c.task), external_calls.c.at > _SINCE)
                for same in SAME
            ),
        ),
        wrong=sa.select(attempts.c.task, attempts.c.generation, attempts.c.number).where(
            of(attempts.c.task),
            (attempts.c.outcome == Outcome.BAD_NUMBER.value)
            | (attempts.c.disposition == Disposition.WRONG_NUMBER.value),
        ),
    )  # fmt: skip


Queries = TypeVar("Queries")


# Mostly it is one task, and a list costs time at each execution.


def is_one(column: Any) -> sa.ColumnElement[bool]:
    """Is it the parameter ``ids``?"""
    same: sa.ColumnElement[bool] = column == sa.bindparam("ids")
    return same


def is_some(column: Any) -> sa.ColumnElement[bool]:
    """Is it among the parameter ``ids``?"""
    among: sa.ColumnElement[bool] = column.in_(sa.bindparam("ids", expanding=True))
    return among


def for_these(
    ids: Sequence[int], one: Queries, some: Queries
) -> tuple[Queries, int | Sequence[int]]:
    """The queries for ``is_one`` or for ``is_some``, and their parameter."""
    return (one, ids[0]) if len(ids) == 1 else (some, ids)


_OF_ONE, _OF_SOME = _queries(is_one), _queries(is_some)


def _for(ids: Sequence[int]) -> tuple[_Queries, int | Sequence[int]]:
    return for_these(ids, _OF_ONE, _OF_SOME)


def look_again(db: sa.Connection, now: datetime) -> None:
    """
    The rules may have changed: the dispatcher decides again on every due task, whatever it waits
    for. Tasks that are not due still wait for that.
    """
    waiting = IS_LISTED & (tasks.c.closed_reason == "") & tasks.c.reason.not_in(("dial",))
    due = tasks.c.due.is_(None) | (tasks.c.due <= now)
    db.execute(sa.update(tasks).where(waiting, due).values(next_check=now))


def due_tasks(
    db: sa.Connection, now: datetime, limit: int, *, since: datetime = EVER
) -> list[CallTask]:
    """
    The tasks the dispatcher must decide on now, earliest due first; at most ``limit``. ``since``:
    earlier calls count in no limit, and are left out of the clients' histories.
    """
    make_ready(db, now)
    return _as_tasks(db, list(db.execute(DUE, {"limit": limit})), since)


@reads
def due_here(
    db: sa.Connection, now: datetime, limit: int, *, node: str, since: datetime = EVER
) -> list[CallTask]:
    """As ``due_tasks``, for a node of several that share the store. See ``any_ripe``."""
    rows = db.execute(DUE_HERE, {"limit": limit, "node": node, "now": now})
    return _as_tasks(db, list(rows), since)


@reads
def any_ripe(db: sa.Connection, now: datetime) -> bool:
    """Has a task's moment come, so that it must be made ready?"""
    return db.scalar(_RIPE, {"now": now}) is not None


def make_ready(db: sa.Connection, now: datetime) -> None:
    """A task whose moment has come is ready until it is decided on, or changed."""
    db.execute(_NOW_READY, {"now": now})


@reads
def load_task(db: sa.Connection, task: TaskId, *, since: datetime = EVER) -> CallTask | None:
    """One task, or None. ``since``: see ``due_tasks``."""
    loaded = _as_tasks(db, list(db.execute(_ONE, {"task": task})), since)
    return loaded[0] if loaded else None


def _as_tasks(
    db: sa.Connection, rows: "Sequence[sa.Row[tuple[object, ...]]]", since: datetime
) -> list[CallTask]:
    if not rows:
        return []  # mostly nothing is due
    ids = [row.id for row in rows]
    numbers = phones_of(db, ids, listed=True)
    history, called_now = _persons(db, ids, since)
    wrong = _wrong(db, ids)
    return [
        CallTask(
            id=TaskId(row.id),
            title=row.title,
            responsible=OperatorId(row.responsible),
            due=row.due,
            phones=numbers.get(row.id, ()),
            open=bool(row.open),
            closed_reason=row.closed_reason,
            attempts=row.made,
            in_progress=bool(row.in_progress),
            purpose=row.purpose,
            own_deputies=deputies_in(row.deputies),
            needs_confirmation=bool(row.needs_confirmation),
            confirmed=row.confirmed == row.generation,
            do_not_call=bool(row.do_not_call),
            history=history.get(row.id, {}),
            called_now=called_now.get(row.id, frozenset()),
            wrong=wrong.get((row.id, row.generation), frozenset()),
        )
        for row in rows
    ]


def _persons(
    db: sa.Connection, ids: Sequence[int], since: datetime
) -> tuple[dict[int, dict[str, tuple[Called, ...]]], dict[int, frozenset[str]]]:
    """
    By task and number: the calls that its owner had, over all their numbers and tasks; and the
    numbers whose owner is being called for another task.
    """
    queries, which = _for(ids)
    calls: dict[int, dict[str, tuple[Called, ...]]] = {}
    now: dict[int, frozenset[str]] = {}
    for row in db.execute(queries.calls, {"ids": which, "since": since}):
        if row.of is not None and State(row.state) in IN_FLIGHT and row.of != row.task:
            now[row.task] = now.get(row.task, frozenset()) | {row.number}
        if row.claimed_at is not None and row.outcome not in _NO_CONTACT:
            by_number = calls.setdefault(row.task, {})
            talked = row.outcome == Outcome.TALKED.value
            call = Called(row.claimed_at, bool(row.abandoned), talked)
            by_number[row.number] = (*by_number.get(row.number, ()), call)
    return calls, now


def _wrong(db: sa.Connection, ids: Sequence[int]) -> dict[tuple[int, int], frozenset[str]]:
    """By task and generation: numbers that do not exist, or were the wrong ones."""
    queries, which = _for(ids)
    numbers: dict[tuple[int, int], frozenset[str]] = {}
    for row in db.execute(queries.wrong, {"ids": which}):
        key = (row.task, row.generation)
        numbers[key] = numbers.get(key, frozenset()) | {row.number}
    return numbers


def phones_of(
    db: sa.Connection, ids: Sequence[int], *, listed: bool = False
) -> dict[int, tuple[Phone, ...]]:
    """
    By task. Without ``listed`` as the portal has them; else those on our own do-not-call list are
    marked, too.
    """
    by_task: dict[int, tuple[Phone, ...]] = {}
    queries, which = _for(ids)
    for row in db.execute(queries.phones, {"ids": which}):
        phone = Phone(
            row.number, row.client, row.entity_type, row.entity_id, row.dtmf, row.zone,
            bool(row.do_not_call or (listed and row.listed)), bool(row.no_consent),
        )  # fmt: skip
        by_task[row.task] = (*by_task.get(row.task, ()), phone)
    return by_task


def save_waiting(db: sa.Connection, reason: str, now: datetime) -> None:
    """Store one reason for all due tasks; they stay due."""
    waiting = (tasks.c.next_check <= now) & (tasks.c.due <= now) & (tasks.c.reason != reason)
    db.execute(sa.update(tasks).where(waiting).values(reason=reason, reason_at=now))


def save_reasons(
    db: sa.Connection, decisions: Sequence[tuple[TaskId, str, datetime | None]], now: datetime
) -> None:
    """Store the dispatcher's decisions: reason, and when to decide again (None: on a change)."""
    for task, reason, until in decisions:
        db.execute(
            sa.update(tasks)
            # Not if the importer has changed the task since.
            .where(tasks.c.id == task, tasks.c.next_check == READY)
            .values(reason=reason, reason_at=now, next_check=until)
        )


def save_reasons_here(
    db: sa.Connection,
    node: str,
    decisions: Sequence[tuple[TaskId, str, datetime | None]],
    now: datetime,
) -> None:
    """
    As ``save_reasons``, of one node among several: for what only this node lacks it alone waits,
    and the tasks stay due.
    """
    here = [one for one in decisions if one[1] in _OF_ONE_NODE]
    save_reasons(db, [one for one in decisions if one not in here], now)
    wait_here(db, node, {task: until for task, _, until in here if until is not None}, now)
    for task, reason, _ in here:
        if reason != Reason.OTHER_NODE.value:
            its = (tasks.c.id == task) & (tasks.c.next_check == READY) & (tasks.c.reason != reason)
            db.execute(sa.update(tasks).where(its).values(reason=reason, reason_at=now))


#: What one node lacks, and another may have: operators, trunks.
_OF_ONE_NODE = frozenset(
    reason.value
    for reason in (
        Reason.OPERATORS_BUSY, Reason.ABANDONED, Reason.RESPONSIBLE_BUSY, Reason.NOT_FOR_OTHERS,
        Reason.NO_ROUTE, Reason.OTHER_NODE,
    )
)  # fmt: skip


def deputies_in(stored: str) -> tuple[OperatorId, ...]:
    """The deputies of a stored text."""
    return tuple(OperatorId(int(number)) for number in stored.split(":") if number)
