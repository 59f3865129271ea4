"""
The diallers that share a store: which of them live, and what each must know of the others.

A node lives as long as its session holds its lock (``shared_store``). What the others have done
since a moment is found by the history, whose rows are numbered in the order of their commits:
writers come one after the other.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import SimpleNamespace

import sqlalchemy as sa
from attrs import frozen

from autodial.model.attempt import Attempt
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.operator import reached
from autodial.model.outcome import ANSWERED, Outcome
from autodial.model.task import Phone
from autodial.model.trunk import Route
from autodial.rules.rolling_statistics import Answered, PastCalls
from autodial.rules.trunk_choice import routes_tried
from autodial.store import attempt_queries
from autodial.store.attempt_queries import WHOLE, as_attempt
from autodial.store.locks import LEADER, NODES, OURS, beside, reads, try_to_decide
from autodial.store.same_person import SAME_PERSON, same_person
from autodial.store.schema import attempts, device_states, events, node_waits, nodes


class Topic(Enum):
    """What a node is told of at once; see ``tell_nodes``."""

    MESSAGES = "messages"  #: there is one for the portal
    CALLS = "calls"  #: a call was started, or has ended: heard by who waits for that
    IMPORTED = "imported"  #: the portal was read
    PORTAL = "portal"  #: it should be read: something has changed there


#: The channel of PostgreSQL's notifications.
CHANNEL = "autodial24"
#: Each names the session that sends it, so that nobody wakes himself.
_NOTIFY = sa.text(
    "SELECT pg_notify(:channel, :topic || ' ' || current_setting('application_name'))"
)


def tell_nodes(db: sa.Connection, topic: Topic) -> None:
    """Wake the other nodes once this is committed; a store of one dialler has none."""
    if db.dialect.name == "postgresql":
        db.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic.value})


@frozen(kw_only=True)
class NodeLine:
    """One dialler, for people."""

    name: str
    lives: bool
    leads: bool
    since: datetime
    seen: datetime
    version: str
    pbx: bool
    reason: str  #: why it dials nobody; empty: it does
    calls: int  #: in flight


_HELD = sa.text("""
SELECT classid, objid, pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def _held(db: sa.Connection) -> dict[tuple[int, int], int]:
    """The advisory locks: class and number, with the process of the server that has each."""
    return {(row.classid, row.objid): row.pid for row in db.execute(_HELD)}


@reads
def live(db: sa.Connection) -> frozenset[str]:
    """The names of the nodes that live; on SQLite none has a name."""
    if db.dialect.name != "postgresql":
        return frozenset()
    held = _held(db)
    rows = db.execute(sa.select(nodes.c.name, nodes.c.lock))
    return frozenset(row.name for row in rows if (NODES, row.lock % 2**32) in held)


def lines(db: sa.Connection) -> list[NodeLine]:
    """All nodes that were ever started, by name; on SQLite there are none."""
    if db.dialect.name != "postgresql":
        return []
    held = _held(db)
    leader = held.get((OURS, LEADER))
    flying = sa.select(attempts.c.node, sa.func.count().label("n")).where(
        attempts.c.outcome.is_(None)
    )
    calls = {row.node: row.n for row in db.execute(flying.group_by(attempts.c.node))}
    return [
        NodeLine(
            name=row.name,
            lives=(holder := held.get((NODES, row.lock % 2**32))) is not None,
            leads=holder is not None and holder == leader,
            since=row.since,
            seen=row.seen,
            version=row.version,
            pbx=bool(row.pbx),
            reason=row.reason,
            calls=calls.get(row.name, 0),
        )
        for row in db.execute(sa.select(nodes).order_by(nodes.c.name))
    ]


def started(db: sa.Connection, node: str, lock: int, version: str, now: datetime) -> None:
    """A node has started. It knows nothing of its phones yet."""
    forget(db, node)
    row = {"name": node, "lock": lock, "since": now, "seen": now, "version": version}
    db.execute(sa.insert(nodes).values(**row, pbx=0, reason=""))


def forget(db: sa.Connection, node: str) -> None:
    """A node that does not live, and has no call in flight, is not listed any more."""
    for table in (device_states, node_waits):
        db.execute(sa.delete(table).where(table.c.node == node))
    db.execute(sa.delete(nodes).where(nodes.c.name == node))


@beside
def beat(db: sa.Connection, node: str, now: datetime, *, pbx: bool, reason: str) -> None:
    """For people: the node runs, and whether it dials."""
    its = sa.update(nodes).where(nodes.c.name == node)
    db.execute(its.values(seen=now, pbx=int(pbx), reason=reason))


@beside
def save_phones(db: sa.Connection, node: str, phones: Mapping[str, str]) -> None:
    """The states of the phones at a node's Asterisk; a phone that is off there is left out."""
    known = {ext: state for ext, state in phones.items() if reached(state)}
    its = device_states.c.node == node
    before = {row.extension: row.state for row in db.execute(sa.select(device_states).where(its))}
    if before == known:
        return
    db.execute(sa.delete(device_states).where(its))
    rows = [{"node": node, "extension": ext, "state": state} for ext, state in known.items()]
    if rows:
        db.execute(sa.insert(device_states), rows)


@reads
def phones_elsewhere(db: sa.Connection, node: str) -> dict[str, str]:
    """The states of the phones at the Asterisks of other nodes that live."""
    others = live(db) - {node}
    query = sa.select(device_states).where(device_states.c.node.in_(others))
    return {row.extension: row.state for row in db.execute(query)}


@frozen(kw_only=True)
class News:
    """What other nodes have done to calls since a moment."""

    seen: int  #: number of the last row of the history that is told of
    in_flight: tuple[tuple[Attempt, datetime], ...] = ()  #: and when each was started
    ended: tuple["EndedElsewhere", ...] = ()
    reserved: Mapping[OperatorId, AttemptId] | None = None  #: None: nothing is new


@frozen(kw_only=True)
class Memory:
    """What a dialler keeps in memory of the calls, as of one moment."""

    in_flight: tuple[Attempt, ...]
    reserved: Mapping[OperatorId, AttemptId]
    past: PastCalls
    seen: int  #: number of the last row of the history


@reads
def memory(db: sa.Connection, now: datetime, over: timedelta) -> Memory:
    """To begin with, and after each new session; ``over``: see ``attempt_queries.past``."""
    return Memory(
        in_flight=tuple(attempt_queries.in_flight(db)),
        reserved=attempt_queries.reserved(db),
        past=attempt_queries.past(db, now, over),
        seen=last_event(db),
    )


@frozen(kw_only=True)
class EndedElsewhere:
    """A call of another node that has ended."""

    attempt: AttemptId
    routes: tuple[Route, ...]  #: the trunks that were tried, with the caller IDs shown
    answered: Answered | None
    taken_by: OperatorId | None
    started: datetime
    ended: datetime


#: The rows of the history that concern other nodes.
_TELLING = ("spooled", "ended")
_LAST = sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0))
_SINCE = (events.c.id > sa.bindparam("seen")) & (attempts.c.node != sa.bindparam("me"))
_OF_CLIENT = sa.or_(
    *same_person(attempts.c, SimpleNamespace(**{k: sa.bindparam(k) for k in SAME_PERSON}))
)
_OVERTAKES = (
    sa.select(events.c.id)
    .join(attempts, attempts.c.id == events.c.attempt)
    .where(
        _SINCE,
        (events.c.kind == "spooled") | ((events.c.kind == "ended") & _OF_CLIENT),
    )
    .limit(1)
)
_NEWS = WHOLE.where(
    attempts.c.id.in_(
        sa.select(events.c.attempt)
        .join(attempts, attempts.c.id == events.c.attempt)
        .where(_SINCE, sa.or_(*(events.c.kind == kind for kind in _TELLING)))
    )
)


def last_event(db: sa.Connection) -> int:
    """The number of the last row of the history."""
    return int(db.execute(_LAST).scalar_one())


def overtaken(db: sa.Connection, node: str, seen: int, phone: Phone) -> bool:
    """
    Is a decision to call this client void, as another node has started a call since, or ended one
    of this client? Any other end gives back what the decision counted as taken: that it is not
    known is as if it came later.
    """
    client = {name: getattr(phone, name) for name in SAME_PERSON}
    return db.scalar(_OVERTAKES, {"me": node, "seen": seen, **client}) is not None


@reads
def news(db: sa.Connection, node: str, seen: int) -> News:
    """What other nodes have done since."""
    until = last_event(db)
    rows = db.execute(_NEWS, {"me": node, "seen": seen}).all() if until > seen else []
    if not rows:
        return News(seen=until)
    return News(
        seen=until,
        in_flight=tuple((as_attempt(row), row.spooled_at) for row in rows if row.outcome is None),
        ended=tuple(_ended(row) for row in rows if row.outcome is not None),
        reserved=attempt_queries.reserved(db),
    )


@reads
def turn_to_decide(db: sa.Connection, node: str, seen: int) -> tuple[News, bool]:
    """What the others have done; may this node decide whom to dial (``try_to_decide``)?"""
    mine = try_to_decide(db)
    return news(db, node, seen), mine


def _ended(row: "sa.Row[tuple[object, ...]]") -> EndedElsewhere:
    tried = routes_tried(as_attempt(row).routes, (row.report or {}).get("trunk", ""))
    call = Answered(
        at=row.ended_at, abandoned=bool(row.abandoned), late=bool(row.late), purpose=row.purpose
    )
    return EndedElsewhere(
        attempt=AttemptId(row.id),
        routes=tuple(tried),
        answered=call if Outcome(row.outcome) in ANSWERED else None,
        taken_by=OperatorId(row.taken_by) if row.taken_by is not None else None,
        started=row.spooled_at,
        ended=row.ended_at,
    )
