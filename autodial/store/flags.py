"""What the whole dialler remembers: when something was last so."""

from datetime import datetime

import sqlalchemy as sa

from autodial.model.ids import OperatorId
from autodial.store.schema import flags

READ_WITH = "read with "  #: … under the rules of this fingerprint
PORTAL_SEEN = "portal_seen"  #: the portal answered a whole poll
ALIVE = "alive"  #: the dialler was running
PBX_UP = "pbx_up"  #: and Asterisk's manager was there, or is not asked
FORWARDS = "forwards "  #: … this operator's phone, when it was rung last
CUTS_DAYS = "cuts_days"  #: the portal cut a deadline of ours to its day, as boxes of 2019 do
HEEDS_KEYS = "heeds_keys"  #: it has echoed an idempotency key
STALLED = "stalled"  #: tasks due, operators free, nothing dialled
RELOAD = "reload"  #: somebody wants the settings read again
RELOADED = "reloaded"  #: they were; the detail says what came of it
CHANGED = "changed"  #: the file of the settings says something else than what was read


def forwards(operator: OperatorId) -> str:
    """The name under which it is kept that this operator's phone forwards its calls."""
    return f"{FORWARDS}{operator}"


def mark(db: sa.Connection, now: datetime, *names: str) -> None:
    """It is so now."""
    db.execute(sa.delete(flags).where(flags.c.name.in_(names)))
    for name in names:
        db.execute(sa.insert(flags).values(name=name, at=now))


def tell(db: sa.Connection, now: datetime, name: str, detail: str) -> None:
    """It is so now, and this is to be said of it."""
    db.execute(sa.delete(flags).where(flags.c.name == name))
    db.execute(sa.insert(flags).values(name=name, at=now, detail=detail))


def told(db: sa.Connection, name: str) -> tuple[datetime, str] | None:
    """When it was last so, and what was said of it; None: never."""
    row = db.execute(sa.select(flags.c.at, flags.c.detail).where(flags.c.name == name)).first()
    return (row.at, row.detail) if row is not None else None


def clear(db: sa.Connection, name: str) -> None:
    """It is no longer so."""
    db.execute(sa.delete(flags).where(flags.c.name == name))


def clear_all(db: sa.Connection, beginning: str) -> None:
    """Nothing whose name begins so is so any longer."""
    db.execute(sa.delete(flags).where(flags.c.name.startswith(beginning, autoescape=True)))


def last(db: sa.Connection, name: str) -> datetime | None:
    """When it was last so; None: never."""
    moment: datetime | None = db.scalar(sa.select(flags.c.at).where(flags.c.name == name))
    return moment
