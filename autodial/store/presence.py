"""Staff and presence in the store: who the operators are, and who was at work when."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.model.operator import PresenceRules
from autodial.store.locks import reads
from autodial.store.schema import flags, operators, presence
from bitrix24 import Employee, LoginEvent, Presence


@frozen(kw_only=True)
class StaffRow:
    """One operator, as stored."""

    id: OperatorId
    name: str
    extension: str
    online: bool


@frozen(kw_only=True)
class PresenceLine:
    """One line of the presence ledger."""

    operator: int
    name: str
    at: datetime
    kind: str  #: login, logout (from the portal's event log); came, left (from a poll)
    source: str  #: "event log" or "poll"


def save_logins(db: sa.Connection, events: Sequence[LoginEvent], now: datetime) -> None:
    """Store rows of the portal's event log; rows stored already are left out."""
    read = [event.id for event in events]
    known = set(db.scalars(sa.select(presence.c.mark).where(presence.c.mark.in_(read))))
    for event in events:
        if event.id not in known:
            kind = "login" if event.login else "logout"
            db.execute(
                sa.insert(presence).values(
                    operator=event.user, at=event.at, kind=kind, mark=event.id
                )
            )
    if db.scalar(sa.select(flags.c.at).where(flags.c.name == "logins_read")) is None:
        db.execute(sa.insert(flags).values(name="logins_read", at=now))


def forget_logins(db: sa.Connection) -> None:
    """The event log cannot be read any more: a missing row proves nothing."""
    db.execute(sa.delete(flags).where(flags.c.name == "logins_read"))


def login_mark(db: sa.Connection) -> int:
    """The last stored row of the portal's event log."""
    return db.scalar(sa.select(sa.func.max(presence.c.mark))) or 0


def save_staff(
    db: sa.Connection,
    staff: Sequence[Employee],
    seen: Mapping[int, Presence],
    now: datetime,
    rules: PresenceRules,
) -> list[StaffRow]:
    """Replace the staff by the portal's list, and record who came and who left."""
    known = {row.id: row for row in db.execute(sa.select(operators))}
    if db.scalar(sa.select(flags.c.at).where(flags.c.name == "staff_seen")) is None:
        db.execute(sa.insert(flags).values(name="staff_seen", at=now))
    for person in staff:
        row = known.pop(person.id, None)
        current = seen.get(person.id, Presence())
        logout, out = _last(db, person.id, "logout")
        entered, into = _last(db, person.id, "login")
        login = max(filter(None, (person.last_login, entered)), default=None)
        # Both times are in seconds: within one second the order of the log decides.
        gone = logout is not None and out > into and (login is None or logout >= login)
        online = person.active and at_work(person, current, logout if gone else None, now, rules)
        left = row.last_left if row is not None else None
        if online != (row is not None and bool(row.online)):
            kind = "came" if online else "left"
            # An operator left when last active, not when the portal noticed.
            at = now if online else min(logout or current.last_activity or now, now)
            left = left if online else at
            db.execute(sa.insert(presence).values(operator=person.id, at=at, kind=kind))
        values = {
            "name": person.name,
            "extension": person.extension,
            "online": int(online),
            "last_login": login,
            "last_activity": current.last_activity,
            "last_logout": logout,
            "last_left": left,
            "working_day": current.working_day,
            "seen": now,
        }
        if row is None:
            db.execute(sa.insert(operators).values(id=person.id, **values))
        else:
            db.execute(sa.update(operators).where(operators.c.id == person.id).values(**values))
    if known:
        db.execute(sa.delete(operators).where(operators.c.id.in_(list(known))))
    return load_staff(db)


def at_work(
    person: Employee,
    current: Presence,
    gone: datetime | None,
    now: datetime,
    rules: PresenceRules,
) -> bool:
    """
    Is the operator logged in at the portal? IS_ONLINE lags a logout by up to 24 minutes, so a
    logout in the event log (``gone``: no login since), or a last activity, takes precedence.
    """
    if rules.working_day and current.working_day not in ("opened", None):
        return False
    seen = current.last_activity
    if gone is not None and (seen is None or seen <= gone):
        return False  # activity after it would mean a session that left no login in the log
    if seen is not None:
        return now - seen < rules.active_within
    return bool(person.online)


def _last(db: sa.Connection, operator: int, kind: str) -> tuple[datetime | None, int]:
    """The newest row of a kind: when, and its number in the portal's log; (None, 0): none."""
    query = (
        sa.select(presence.c.at, presence.c.mark)
        .where(presence.c.operator == operator, presence.c.kind == kind)
        .order_by(presence.c.at.desc(), presence.c.mark.desc())
        .limit(1)
    )
    row = db.execute(query).first()
    return (row.at, row.mark or 0) if row is not None else (None, 0)


def save_phones(db: sa.Connection, states: Mapping[str, str] | None) -> None:
    """Device states by extension, for commands; None: Asterisk is not connected."""
    for row in db.execute(
        sa.select(operators.c.id, operators.c.extension, operators.c.phone)
    ).all():
        state = None if states is None else states.get(row.extension, "UNKNOWN")
        if state != row.phone:
            db.execute(sa.update(operators).where(operators.c.id == row.id).values(phone=state))


@reads
def load_staff(db: sa.Connection) -> list[StaffRow]:
    """The staff, by id."""
    return [
        StaffRow(
            id=OperatorId(row.id), name=row.name, extension=row.extension, online=bool(row.online)
        )
        for row in db.execute(sa.select(operators).order_by(operators.c.id))
    ]


def left_at(db: sa.Connection) -> dict[OperatorId, datetime]:
    """When those of the staff who are not at work were last there, as far as it is known."""
    away = sa.select(operators.c.id, operators.c.last_logout, operators.c.last_left)
    moments = {
        OperatorId(row.id): max(filter(None, (row.last_logout, row.last_left)), default=None)
        for row in db.execute(away.where(operators.c.online == 0))
    }
    return {operator: at for operator, at in moments.items() if at is not None}


def presence_lines(
    db: sa.Connection, since: datetime, operator: int | None = None
) -> list[PresenceLine]:
    """The presence ledger since a moment, oldest first."""
    query = (
        sa.select(presence, operators.c.name)
        .outerjoin(operators, operators.c.id == presence.c.operator)
        .where(presence.c.at >= since)
        .order_by(presence.c.at, presence.c.id)
    )
    if operator is not None:
        query = query.where(presence.c.operator == operator)
    return [
        PresenceLine(
            operator=row.operator,
            name=row.name or "",
            at=row.at,
            kind=row.kind,
            source="poll" if row.mark is None else "event log",
        )
        for row in db.execute(query)
    ]
