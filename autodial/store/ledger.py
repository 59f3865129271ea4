"""The ledger of attempts: written before anybody is dialled, and claimed once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace

import sqlalchemy as sa

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import IN_FLIGHT, Event, State, advance
from autodial.model.ids import AttemptId, OperatorId, TaskId, new_attempt_id
from autodial.model.outbox_message import MessageKind
from autodial.model.task import CallTask, Phone
from autodial.model.write_back import WriteBack
from autodial.rules.dial_facts import Dial
from autodial.store.attempt_queries import UNDER_WAY, load_attempt
from autodial.store.events import note
from autodial.store.locks import beside, hand_over_alone, reads
from autodial.store.nodes import News, Topic, news, overtaken, tell_nodes
from autodial.store.outbox import enqueue, registered
from autodial.store.planning import load_task
from autodial.store.same_person import SAME_PERSON, same_person
from autodial.store.schema import attempts, forgotten, operators, reservations, tasks


class Taken(Exception):
    """The operator is reserved, or the task has an attempt in flight; nothing was written."""


class Stale(Exception):
    """Another node was faster (``nodes.overtaken``); nothing was written. See ``afresh``."""


class ClientTaken(Taken):
    """The client is being called for another task; nothing was written."""


# Built once: building a statement costs more than running it.
_BEFORE = sa.select(
    tasks.c.generation,
    sa.select(sa.func.max(attempts.c.n)).where(attempts.c.task == tasks.c.id).label("last"),
    sa.select(forgotten.c.n).where(forgotten.c.task == tasks.c.id).label("forgotten"),
).where(tasks.c.id == sa.bindparam("task"))
_BEING_CALLED = sa.union_all(  # each half by its own index
    *(
        sa.select(attempts.c.task).where(same, attempts.c.task != sa.bindparam("own"), UNDER_WAY)
        for same in same_person(
            attempts.c, SimpleNamespace(**{k: sa.bindparam(k) for k in SAME_PERSON})
        )
    )
).limit(1)
_EXPIRED = sa.delete(reservations).where(reservations.c.until < sa.bindparam("now"))
_OPEN, _RESERVE = sa.insert(attempts), sa.insert(reservations)
_DIALLED = sa.update(tasks).where(tasks.c.id == sa.bindparam("dialled"))
_CHANGE = sa.update(attempts).where(attempts.c.id == sa.bindparam("this"))
_RESERVED = sa.select(reservations).where(
    (reservations.c.attempt == sa.bindparam("its"))
    | (reservations.c.operator == sa.bindparam("whose"))
)
_USER = sa.select(operators.c.id).where(operators.c.extension == sa.bindparam("its"))


def open_attempt(  # noqa: PLR0913  # who decided it, and knowing what
    db: sa.Connection,
    task: CallTask,
    decision: Dial,
    now: datetime,
    *,
    lease: timedelta,
    claimed: bool = False,
    node: str = "",
    seen: int = 0,
) -> Attempt:
    """
    Reserve the operator and write the attempt; the call file may follow once this is committed.

    ``node``: whose Asterisk dials it, among those that share the store; the decision knew what
    other nodes had done up to ``seen``, a number of the history.

    Raises:
        Stale: another node was faster (``nodes.overtaken``).
        ClientTaken: its client is being called for another task.
        Taken: the operator is reserved, or the task has an attempt in flight.
    """
    if node and overtaken(db, node, seen, decision.phone):
        raise Stale
    stored = db.execute(_BEFORE, {"task": task.id}).one()
    last = max(stored.last or 0, stored.forgotten or 0)
    attempt = new_attempt_id(task.id, last + 1)
    phone, operator, state = decision.phone, decision.operator, State.SPOOLED
    if claimed:
        state = State.CLAIMED
    if (other := _being_called(db, phone, task.id)) is not None:
        raise ClientTaken(f"the client is being called for task {other}")
    db.execute(_EXPIRED, {"now": now})
    values = {
        "id": attempt,
        "task": task.id,
        "n": last + 1,
        "generation": stored.generation,
        "number": phone.number,
        "dtmf": phone.dtmf,
        "client": phone.client,
        "entity_type": phone.entity_type,
        "entity_id": phone.entity_id,
        "operator": operator.id,
        "extension": operator.extension,
        "purpose": task.purpose,
        "reserved": int(decision.reserved),
        "trunks": ":".join(route.trunk for route in decision.routes),
        "caller_ids": ":".join(route.caller_id for route in decision.routes),
        "node": node,
        "state": state.value,
        "spooled_at": now,
        "claimed_at": now if claimed else None,
        "expires_at": now + lease,
    }
    try:
        db.execute(_OPEN, values)
        if decision.reserved:
            reservation = {"operator": operator.id, "attempt": attempt, "until": now + lease}
            db.execute(_RESERVE, reservation)
    except sa.exc.IntegrityError as error:
        raise Taken(str(error.orig)) from None
    db.execute(
        _DIALLED, {"dialled": task.id, "reason": "dial", "reason_at": now, "next_check": None}
    )
    whom = operator.name if decision.reserved else "whoever gets free"
    note(db, now, task.id, "spooled", f"{phone.number} for {whom}", attempt)
    if claimed:
        note(db, now, task.id, "claimed", "hand-made call file", attempt)
    tell_nodes(db, Topic.CALLS)
    return Attempt(
        id=attempt,
        task=task.id,
        number=phone.number,
        dtmf=phone.dtmf,
        operator=operator.id,
        extension=operator.extension,
        client=phone.client,
        title=task.title,
        responsible=task.responsible,
        routes=decision.routes,
        state=state,
        generation=stored.generation,
        purpose=task.purpose,
        own_deputies=task.own_deputies,
        node=node,
    )


@reads
def afresh(
    db: sa.Connection, task: TaskId, node: str, seen: int, since: datetime
) -> tuple[News, CallTask | None]:
    """
    What a decision that was stale is made again with: what other nodes have done since, and the
    task after that; None: it is gone. ``since``: see ``load_task``.
    """
    return news(db, node, seen), load_task(db, task, since=since)


def _being_called(db: sa.Connection, phone: Phone, task: TaskId) -> int | None:
    """Another task for which the owner of this number is being called now."""
    entity = {"entity_type": phone.entity_type, "entity_id": phone.entity_id}
    other = db.scalar(_BEING_CALLED, {"number": phone.number, "own": task, **entity})
    return int(other) if other is not None else None


class Refused(Exception):
    """The task may not be dialled any more; the text is the reason. Nothing was written."""


_CLAIM = sa.update(attempts).where(
    attempts.c.id == sa.bindparam("claimed"), attempts.c.state == State.SPOOLED.value
)


@beside
def claim(
    db: sa.Connection,
    attempt: AttemptId,
    now: datetime,
    look: Callable[[sa.Connection], str | None] = lambda db: None,
) -> Attempt | None:
    """
    Let the dialplan dial this attempt, exactly once. None: it may not be dialled.

    When this returns an attempt, the claim is on disk: a second call file for it is refused even
    after a crash of Asterisk or of the dialler.

    ``look``: the reason why its task may not be dialled any more; None: it may.

    Raises:
        Refused: by ``look``.
    """
    if (reason := look(db)) is not None:
        raise Refused(reason)
    state = advance(State.SPOOLED, Event.CLAIM).value
    changed = db.execute(_CLAIM, {"claimed": attempt, "state": state, "claimed_at": now})
    claimed = load_attempt(db, attempt)
    if changed.rowcount != 1:
        if claimed is not None:
            note(db, now, claimed.task, "claim refused", f"already {claimed.state}", attempt)
        return None
    assert claimed is not None
    note(db, now, claimed.task, "claimed", claimed.number, attempt)
    return claimed


@beside
def ringing(
    db: sa.Connection,
    attempt: AttemptId,
    extension: str,
    now: datetime,
    write_back: WriteBack | None = None,
) -> None:
    """The client has answered and this operator's phone is about to ring: show the card."""
    answered = load_attempt(db, attempt)
    if answered is None:
        return
    state = answered.state
    if state not in IN_FLIGHT:
        return  # a late report, after the end
    values: dict[str, object] = {"this": attempt, "state": advance(state, Event.ANSWER).value}
    if state is State.CLAIMED:
        values["answered_at"] = now
    db.execute(_CHANGE, values)
    note(db, now, answered.task, "ringing", f"extension {extension}", attempt)
    user = user_of(db, extension)
    if user is not None:
        _hand_over(db, attempt, user)
    user = user or answered.operator
    card = {"user": user, "at": now.isoformat()}
    kind = MessageKind.MOVE if registered(db, attempt) else MessageKind.REGISTER
    enqueue(db, answered, kind, card, now, operator=user)
    if write_back is not None and write_back.notify:
        enqueue(db, answered, MessageKind.NOTIFY, {}, now, operator=user)


def _hand_over(db: sa.Connection, attempt: AttemptId, operator: OperatorId) -> None:
    """
    Reserve the operator whose phone rings for this attempt. A call for which that operator was
    reserved gets the operator reserved for this one, if any. Nobody is reserved twice.
    """
    hand_over_alone(db)
    rows = db.execute(_RESERVED, {"its": attempt, "whose": operator}).all()
    before = next((row for row in rows if row.attempt == attempt), None)
    other = next((row for row in rows if row.attempt != attempt), None)
    if before is not None and before.operator == operator:
        return
    for row in rows:
        db.execute(sa.delete(reservations).where(reservations.c.operator == row.operator))
    lease = sa.select(attempts.c.expires_at).where(attempts.c.id == attempt)
    db.execute(_RESERVE, {"operator": operator, "attempt": attempt, "until": db.scalar(lease)})
    if before is not None and other is not None:
        values = {"operator": before.operator, "attempt": other.attempt, "until": other.until}
        db.execute(_RESERVE, values)


def user_of(db: sa.Connection, extension: str) -> OperatorId | None:
    if not extension:
        return None
    user = db.scalar(_USER, {"its": extension})
    return OperatorId(user) if user is not None else None
