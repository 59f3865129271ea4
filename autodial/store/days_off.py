"""Days off by command: nobody is called; besides those of the configuration."""

from datetime import date, datetime

import sqlalchemy as sa

from autodial.store.schema import days_off


def add(db: sa.Connection, day: date, now: datetime, why: str = "") -> None:
    """Nobody is called on this day; repeating it does no harm."""
    remove(db, day)
    db.execute(sa.insert(days_off).values(day=day, at=now, why=why))


def remove(db: sa.Connection, day: date) -> bool:
    """People are called on this day again; False: it was no day off by command."""
    return bool(db.execute(sa.delete(days_off).where(days_off.c.day == day)).rowcount)


def lines(db: sa.Connection, since: date) -> list[tuple[date, str]]:
    """All of them from a day on, each with its reason."""
    query = sa.select(days_off.c.day, days_off.c.why).where(days_off.c.day >= since)
    return [(row.day, row.why) for row in db.execute(query.order_by(days_off.c.day))]
