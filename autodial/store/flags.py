"""Flags of the whole dialler: when each was last set."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from autodial.model.ids import OperatorId
from autodial.store.locks import reads
from autodial.store.nodes import live
from autodial.store.schema import flags

READ_WITH = "read with "  #: … under the rules of this fingerprint
PORTAL_SEEN = "portal_seen"  #: the portal answered a whole poll
ALIVE = "alive"  #: the dialler was running
STOPPED = "stopped"  #: it was stopped in order
PBX_UP = "pbx_up"  #: Asterisk's manager was connected, or is not used
FORWARDS = "forwards "  #: … this operator's id: the phone forwarded the last call
CUTS_DAYS = "cuts_days"  #: the portal cut a deadline of ours to its day, as on-premise 2019 does
HEEDS_KEYS = "heeds_keys"  #: it has echoed an idempotency key
CHECKED = "checked"  #: Asterisk has asked for "autodial doctor"; the detail is its number
TEST_CALL = "test_call"  #: the last one asked for, by "autodial test-call"
STALLED = "stalled"  #: tasks due, operators free, nothing dialled
RELOAD = "reload"  #: the settings are to be read again
RELOADED = "reloaded"  #: they were read; the detail is the result
CHANGED = "changed"  #: the settings file differs from what was read


#: Built once: building a statement costs more than running it.
_CLEAR = sa.delete(flags).where(flags.c.name == sa.bindparam("this"))


def of_node(flag: str, node: str) -> str:
    """A flag of one dialler among those that share the store; ``node`` is empty if it is alone."""
    return f"{flag} {node}" if node else flag


def forwards(operator: OperatorId) -> str:
    """The name of the flag that this operator's phone forwards its calls."""
    return f"{FORWARDS}{operator}"


def mark(db: sa.Connection, now: datetime, *names: str) -> None:
    """Set flags now."""
    db.execute(sa.delete(flags).where(flags.c.name.in_(names)))
    for name in names:
        db.execute(sa.insert(flags).values(name=name, at=now))


def tell(db: sa.Connection, now: datetime, name: str, detail: str) -> None:
    """Set a flag now, with a detail."""
    db.execute(sa.delete(flags).where(flags.c.name == name))
    db.execute(sa.insert(flags).values(name=name, at=now, detail=detail))


@reads
def told(db: sa.Connection, name: str) -> tuple[datetime, str] | None:
    """When a flag was last set, and its detail; None: never."""
    row = db.execute(sa.select(flags.c.at, flags.c.detail).where(flags.c.name == name)).first()
    return (row.at, row.detail) if row is not None else None


def clear(db: sa.Connection, name: str) -> None:
    """Delete a flag."""
    db.execute(_CLEAR, {"this": name})


def clear_all(db: sa.Connection, beginning: str) -> None:
    """Delete all flags whose names begin with this text."""
    db.execute(sa.delete(flags).where(flags.c.name.startswith(beginning, autoescape=True)))


#: A dialler without a beat for this long does not run.
SILENT = timedelta(seconds=60)


def running(db: sa.Connection, now: datetime) -> bool:
    """Is a dialler at work on this store?"""
    if db.dialect.name == "postgresql":
        return bool(live(db))
    seen, stopped = last(db, ALIVE), last(db, STOPPED)
    if seen is None or (stopped is not None and stopped >= seen):
        return False
    return now - seen < SILENT


@reads
def last(db: sa.Connection, name: str) -> datetime | None:
    """When a flag was last set; None: never."""
    moment: datetime | None = db.scalar(sa.select(flags.c.at).where(flags.c.name == name))
    return moment
