"""
The outbox: messages to the portal. A row is written in the transaction of what happened, marked
``sending`` before the request and ``delivered`` after it, so a crash in between is recognised.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt import Attempt
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.outbox_message import MessageKind, MessageState
from autodial.store.locks import reads
from autodial.store.nodes import Topic, tell_nodes
from autodial.store.schema import (
    DEAD,
    IN_FLIGHT,
    UNDELIVERED,
    attempts,
    holds,
    in_state,
    one_of,
    outbox,
    tasks,
)
from bitrix24 import Deadline

#: How long after its timeout the portal may still execute a request, unless configured otherwise.
LATE = timedelta(seconds=90)


#: Messages whose repetition the portal recognises, or that mean nothing later: repeated at once.
_AT_ONCE = (MessageKind.REGISTER, MessageKind.MOVE, MessageKind.NOTIFY)


@frozen(kw_only=True)
class Message:
    """One message to the portal, with what is needed to send it."""

    id: int
    attempt: AttemptId
    task: TaskId
    kind: MessageKind
    operator: OperatorId  #: whose card or notice it is; 0: no operator's
    revision: int  #: see ``enqueue``
    of_task: TaskId  #: the task of its attempt; differs from ``task`` for another task
    payload: Mapping[str, Any]
    doubtful: bool  #: it was sent before, without an answer: verify before repeating
    number: str
    entity: tuple[str, int]
    call_id: str | None
    client: str
    title: str
    ended: datetime | None  #: when the attempt ended; None: it is in flight
    until: Deadline  #: of the task, as the portal last had it
    created: datetime  #: when it happened
    sent_before: datetime | None  #: restored if the message is not sent after all
    lost_before: datetime | None
    purpose: str  #: of the task
    comment: int | None  #: our comment of the attempt's generation, if there is one
    #: A request to show a card of this call had no answer: it may be executed yet.
    unsure: bool = False

    @property
    def ordinal(self) -> int:
        """Distinguishes it, in the portal, from other messages of its attempt and kind."""
        other = 0 if self.task == self.of_task else -self.task
        return self.operator or self.revision or other


# Built once: building a statement costs more than running it.
_ADDED = ("attempt", "kind", "task", "operator", "revision", "payload", "state", "created", "error")
_NEW = {name: sa.bindparam(name, type_=outbox.c[name].type) for name in _ADDED}
_SAME = sa.select(outbox.c.id).where(*(outbox.c[name] == _NEW[name] for name in _ADDED[:5]))
_ADD = sa.insert(outbox).from_select(_ADDED, sa.select(*_NEW.values()).where(~_SAME.exists()))
_REGISTERED = sa.select(outbox.c.id).where(
    outbox.c.attempt == sa.bindparam("this"), outbox.c.kind == MessageKind.REGISTER.value
)
_CHANGE = sa.update(outbox).where(outbox.c.id == sa.bindparam("this"))


def enqueue(  # noqa: PLR0913  # the columns of a message
    db: sa.Connection,
    attempt: Attempt,
    kind: MessageKind,
    payload: Mapping[str, Any],
    now: datetime,
    *,
    operator: int = 0,
    revision: int = 0,
    task: TaskId | None = None,
) -> None:
    """
    Add a message; a duplicate is ignored. ``operator``: whose card or notice it is. ``revision``
    distinguishes messages of one kind about one attempt: 0 comes from its end, the next ones from
    an operator's dispositions, those from ``replan.BY_RULES`` on from changed rules. ``task``:
    another task of the same client, which gets a comment about the talk.
    """
    about = {
        "attempt": attempt.id,
        "kind": kind,
        "task": attempt.task if task is None else task,
        "operator": operator,
        "revision": revision,
    }
    message = {"payload": dict(payload), "state": MessageState.PENDING, "created": now}
    db.execute(_ADD, {**about, **message, "error": ""})
    tell_nodes(db, Topic.MESSAGES)


def put_back(db: sa.Connection, attempt: AttemptId, kind: MessageKind, until: datetime) -> None:
    """Do not deliver a message before a moment."""
    which = (outbox.c.attempt == attempt) & (outbox.c.kind == kind)
    db.execute(sa.update(outbox).where(which).values(not_before=until))


def registered(db: sa.Connection, attempt: AttemptId) -> bool:
    """Is the call's registration on its way, or done?"""
    return db.scalar(_REGISTERED, {"this": attempt}) is not None


_KINDS = frozenset(kind.value for kind in MessageKind)
_UNDELIVERED = holds("outbox", UNDELIVERED)


_UNDER_WAY = holds("attempts", IN_FLIGHT)
#: Messages being delivered beside the one that is looked for, at most.
BESIDE = 2
_NEXT = (
    sa.select(outbox.c.id)
    .join(attempts, attempts.c.id == outbox.c.attempt)
    .join(tasks, tasks.c.id == outbox.c.task)
    .where(_UNDELIVERED)
    .where(outbox.c.not_before.is_(None) | (outbox.c.not_before <= sa.bindparam("now")))
    .order_by(outbox.c.id)
    .limit(1)
)


_EARLIER = outbox.alias("earlier")
#: Recordings are files of one node: it delivers them, after what comes before in their calls.
_RECORDINGS = _NEXT.where(
    outbox.c.kind == MessageKind.RECORD.value,
    attempts.c.node == sa.bindparam("node"),
    ~sa.exists().where(
        _EARLIER.c.attempt == outbox.c.attempt,
        _EARLIER.c.id < outbox.c.id,
        holds("earlier", UNDELIVERED),
    ),
)
#: And the node that leads delivers everything else.
_NO_RECORDING = _NEXT.where(outbox.c.kind != MessageKind.RECORD.value)
#: The cards of calls in flight: found from the few calls, not among all undelivered messages.
_CARD = _NEXT.where(
    outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
    one_of(outbox.c.kind, _AT_ONCE),
)
_OTHER = outbox.alias("other")
#: When a registration or a card of this call was last sent without an answer.
_LAST_LOST_CARD = sa.select(sa.func.max(_OTHER.c.lost_at)).where(
    _OTHER.c.attempt == outbox.c.attempt,
    one_of(_OTHER.c.kind, (MessageKind.REGISTER, MessageKind.MOVE)),
)
#: When an earlier comment of the task was last sent, if its answer is still unknown.
_DOUBTFUL_COMMENT = sa.select(sa.func.max(_OTHER.c.sent_at)).where(
    _OTHER.c.task == outbox.c.task,
    _OTHER.c.kind == MessageKind.COMMENT,
    in_state(MessageState.SENDING, "other"),
    _OTHER.c.id < outbox.c.id,
)


def _only_of(kind: MessageKind, query: "sa.Select[tuple[datetime]]") -> "sa.Case[datetime]":
    """Looked for if the message is of this kind."""
    return sa.case((outbox.c.kind == kind, query.scalar_subquery()), else_=None)


def _whole(first: "Sequence[sa.Select[Any]]", busy: int) -> "sa.Select[Any]":
    """
    The message that the first of these finds, else the next one: in one statement. Messages of one
    attempt, and those about one task, are delivered one after the other: not those of ``busy``
    tasks, the parameters ``busy_0`` and so on, as their own or their attempt's.
    """
    names: list[sa.BindParameter[int]] = [sa.bindparam(f"busy_{n}") for n in range(busy)]
    others = [column != name for name in names for column in (outbox.c.task, attempts.c.task)]
    found = [query.where(*others).correlate(None).scalar_subquery() for query in first]
    return (
        sa.select(
            outbox,
            _only_of(MessageKind.FINISH, _LAST_LOST_CARD).label("lost_card"),
            _only_of(MessageKind.COMMENT, _DOUBTFUL_COMMENT).label("doubtful_comment"),
            attempts.c.task.label("of_task"),
            attempts.c.number,
            attempts.c.entity_type,
            attempts.c.entity_id,
            attempts.c.call_id,
            attempts.c.outcome,
            attempts.c.client,
            attempts.c.ended_at,
            attempts.c.generation,
            tasks.c.portal_deadline,
            tasks.c.portal_wall,
            tasks.c.title,
            tasks.c.purpose,
            tasks.c.comment,
            tasks.c.comment_generation,
        )
        .join(attempts, attempts.c.id == outbox.c.attempt)
        .join(tasks, tasks.c.id == outbox.c.task)
        # (``coalesce`` looks no further than it must.)
        .where(outbox.c.id == (sa.func.coalesce(*found) if len(found) > 1 else found[0]))
    )


class Share(Enum):
    """Which messages one dialler delivers, among those that share the store."""

    ALL = "all"  #: it is alone
    NO_RECORDINGS = "no recordings"  #: it leads
    RECORDINGS = "recordings"  #: of its own calls; each node does so


@frozen(kw_only=True)
class Search:
    """Which message to deliver next."""

    #: How long after its sending the portal may execute a request whose answer was lost.
    late: timedelta = LATE
    #: What is being delivered now: messages about the same attempts and tasks wait.
    beside: tuple[Message, ...] = ()
    cards_only: bool = False  #: cards and notices of calls in flight
    share: Share = Share.ALL
    node: str = ""  #: whose recordings

    def query(self) -> tuple["sa.Select[Any]", dict[str, str | int]]:
        """The statement, and its parameters besides ``now``."""
        busy = {task for message in self.beside for task in (message.task, message.of_task)}
        values: dict[str, str | int] = {f"busy_{n}": task for n, task in enumerate(busy)}
        if self.share is Share.RECORDINGS:
            values["node"] = self.node
        return _query(self.share, len(busy), cards_only=self.cards_only), values


_WHOLE_QUEUE = Search()
#: The cards first.
_FIRST: Mapping[Share, Sequence["sa.Select[Any]"]] = {
    Share.ALL: (_CARD, _NEXT),
    Share.NO_RECORDINGS: (_CARD, _NO_RECORDING),
    Share.RECORDINGS: (_RECORDINGS,),
}


@cache
def _query(share: Share, busy: int, *, cards_only: bool) -> "sa.Select[Any]":
    """Built once: building a statement costs more than running it."""
    return _whole(_FIRST[share][: 1 if cards_only else 2], busy)


def take_over(db: sa.Connection, request: timedelta) -> datetime | None:
    """
    Another dialler has reported until now, and may still wait for answers, each of them for
    ``request`` at most: its messages were sent that much later, as far as doubt is concerned.
    Returns when the last of these requests ends; None: none was under way.
    """
    sending = in_state(MessageState.SENDING)
    rows = db.execute(sa.select(outbox.c.id, outbox.c.sent_at).where(_UNDELIVERED, sending)).all()
    ends = [(row.id, row.sent_at + request) for row in rows if row.sent_at is not None]
    for message, at in ends:
        db.execute(_CHANGE, {"this": message, "sent_at": at})
    return max((at for _, at in ends), default=None)


def next_message(db: sa.Connection, now: datetime, search: Search = _WHOLE_QUEUE) -> Message | None:
    """
    The oldest message, marked as being sent. Messages are delivered in the order they arose, but
    the cards of calls in flight overtake messages about ended calls.

    A doubtful message, and what follows it for its attempt, waits until it can no longer be
    executed; then the portal shows whether it was. The kinds in ``_AT_ONCE`` are repeated at once;
    the call's end waits instead.
    """
    query, among = search.query()
    while True:
        row = db.execute(query, {"now": now, **among}).first()
        if row is None:
            return None
        if row.kind not in _KINDS:  # of a program that was installed in between
            dead = {"state": MessageState.DEAD, "error": f"unknown kind {row.kind}"}
            db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(dead))
            continue
        doubtful = row.state == MessageState.SENDING
        waits = [moment for moment in (row.lost_card, row.doubtful_comment) if moment is not None]
        if doubtful and row.sent_at is not None and row.kind not in _AT_ONCE:
            waits.append(row.sent_at)
        until = max(waits) + search.late if waits else now
        if until <= now:
            break
        put_off_rest(db, row.attempt, row.id, until)
    lost = row.sent_at if doubtful else row.lost_at
    sent = {"state": MessageState.SENDING, "sent_at": now, "lost_at": lost}
    db.execute(_CHANGE, {"this": row.id, **sent})
    return Message(
        id=row.id,
        attempt=AttemptId(row.attempt),
        task=TaskId(row.task),
        kind=MessageKind(row.kind),
        operator=OperatorId(row.operator),
        revision=row.revision,
        of_task=TaskId(row.of_task),
        payload=row.payload,
        doubtful=row.state == MessageState.SENDING,
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
        comment=row.comment if row.comment_generation == row.generation else None,
        unsure=row.lost_card is not None,
    )


def said_since(db: sa.Connection, message: Message) -> bool:
    """Does the generation's comment already report a later attempt? It must not be overwritten."""
    generation = (
        sa.select(attempts.c.generation).where(attempts.c.id == message.attempt).scalar_subquery()
    )
    query = (
        sa.select(outbox.c.id)
        .join(attempts, attempts.c.id == outbox.c.attempt)
        .where(
            outbox.c.task == message.task,
            outbox.c.kind == MessageKind.COMMENT,
            outbox.c.revision == 0,
            outbox.c.task == attempts.c.task,
            in_state(MessageState.DELIVERED),
            outbox.c.id > message.id,
            attempts.c.generation == generation,
        )
    )
    return db.scalar(query.limit(1)) is not None


def lines_in_use(db: sa.Connection) -> dict[str, str]:
    """Lines of the portal on which calls in flight were registered, and by which attempts."""
    query = sa.select(outbox.c.attempt, outbox.c.payload).where(
        outbox.c.attempt.in_(sa.select(attempts.c.id).where(_UNDER_WAY)),
        outbox.c.kind == MessageKind.REGISTER,
    )
    return {row.payload["line"]: row.attempt for row in db.execute(query) if "line" in row.payload}


def shown_to(db: sa.Connection, message: Message) -> list[int]:
    """Operators who may see a card of this call, besides the message's own."""
    query = sa.select(outbox.c.operator).where(
        outbox.c.attempt == message.attempt,
        outbox.c.kind.in_((MessageKind.REGISTER, MessageKind.MOVE)),
        outbox.c.id < message.id,
    )
    return [row.operator for row in db.execute(query)]


@frozen(kw_only=True)
class Backlog:
    """What the portal has not been told."""

    waiting: int
    oldest: datetime | None  #: when that happened which the oldest waiting message tells
    dead: int  #: dead letters


_WAITING = sa.select(sa.func.count()).select_from(outbox).where(_UNDELIVERED)
_OLDEST = sa.select(outbox.c.created).where(_UNDELIVERED).order_by(outbox.c.id).limit(1)
_DEAD = sa.select(sa.func.count()).select_from(outbox).where(holds("outbox", DEAD))


@reads
def backlog(db: sa.Connection) -> Backlog:
    """For monitoring. Each condition has an index of its own: delivered rows cost nothing."""
    return Backlog(
        waiting=db.execute(_WAITING).scalar_one(),
        oldest=db.scalar(_OLDEST),
        dead=db.execute(_DEAD).scalar_one(),
    )


def put_off_rest(db: sa.Connection, attempt: str, message: int, until: datetime) -> None:
    rest = (outbox.c.attempt == attempt) & (outbox.c.id >= message)
    undelivered = outbox.c.state.in_((MessageState.PENDING, MessageState.SENDING))
    # A longer delay stays, for example a status that waits for a disposition.
    sooner = outbox.c.not_before.is_(None) | (outbox.c.not_before < until)
    db.execute(sa.update(outbox).where(rest, undelivered, sooner).values(not_before=until))
