"""People who may look at the board: their names, roles, password hashes and sessions."""

from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from attrs import frozen

from autodial.model.ids import OperatorId
from autodial.model.role import Role
from autodial.store.schema import accounts, board_sessions

#: A session ends after so long without a page, and after so long in any case.
IDLE, LONGEST = timedelta(hours=12), timedelta(days=7)
#: A page within this time of the last one does not write.
SEEN_EVERY = timedelta(minutes=5)
#: The portal says anew who somebody is each time that he opens the board there.
LONGEST_INSIDE = timedelta(hours=12)


@frozen(kw_only=True)
class Account:
    """A person, without the password's hash."""

    name: str
    role: Role
    created: datetime
    operator: OperatorId  #: whose day is his own; 0: none's


@frozen(kw_only=True)
class Session:
    """Somebody who has logged in."""

    name: str  #: of the account, or of a person of the portal, as the audit log says it
    shown: str
    role: Role
    operator: OperatorId  #: 0: none
    proof: str  #: what each form must send back
    inside: bool  #: of a person of the portal, in its frame


def save(  # the columns of an account
    db: sa.Connection, name: str, role: Role, password_hash: str, now: datetime, operator: int = 0
) -> None:
    """Add somebody, or replace role and password; sessions of before end."""
    remove(db, name)
    values = {
        "name": name, "role": role.value, "password": password_hash, "created": now,
        "operator": operator,
    }  # fmt: skip
    db.execute(sa.insert(accounts).values(values))


def remove(db: sa.Connection, name: str) -> bool:
    """He may look no more, at once. False: there is nobody of this name."""
    db.execute(sa.delete(board_sessions).where(board_sessions.c.name == name))
    return bool(db.execute(sa.delete(accounts).where(accounts.c.name == name)).rowcount)


def lines(db: sa.Connection) -> list[Account]:
    """Everybody, by name."""
    query = sa.select(accounts.c.name, accounts.c.role, accounts.c.created, accounts.c.operator)
    return [
        Account(
            name=row.name,
            role=Role(row.role),
            created=row.created,
            operator=OperatorId(row.operator),
        )
        for row in db.execute(query.order_by(accounts.c.name))
    ]


def password_of(db: sa.Connection, name: str) -> str | None:
    """The hash of a password; None: there is nobody of this name."""
    found: str | None = db.scalar(sa.select(accounts.c.password).where(accounts.c.name == name))
    return found


def log_in(  # noqa: PLR0913  # the columns of a session
    db: sa.Connection,
    name: str,
    token: str,
    proof: str,
    now: datetime,
    *,
    shown: str = "",
    role: Role | None = None,
    operator: int = 0,
) -> None:
    """
    Begin a session. Only the hash of its token is stored. Ended ones are deleted. ``role``: of a
    person of the portal, who has no account here.
    """
    too_old = (board_sessions.c.seen < now - IDLE) | (board_sessions.c.created < now - LONGEST)
    db.execute(sa.delete(board_sessions).where(too_old))
    db.execute(
        sa.insert(board_sessions).values(
            token=_hash(token),
            name=name,
            shown=shown,
            role="" if role is None else role.value,
            operator=operator,
            proof=proof,
            created=now,
            seen=now,
        )
    )


def log_out(db: sa.Connection, token: str) -> None:
    db.execute(sa.delete(board_sessions).where(board_sessions.c.token == _hash(token)))


def session_of(db: sa.Connection, token: str, now: datetime) -> tuple[Session, bool] | None:
    """
    Whose session this is, and whether ``seen`` must be called; None: nobody's, or it has ended.
    """
    his = (accounts.c.name == board_sessions.c.name) & (board_sessions.c.role == "")
    query = (
        sa.select(
            board_sessions, accounts.c.role.label("of"), accounts.c.operator.label("his_operator")
        )
        .outerjoin(accounts, his)
        .where(board_sessions.c.token == _hash(token), board_sessions.c.seen >= now - IDLE)
    )
    row = db.execute(query).first()
    role = (row.role or row.of) if row is not None else None
    longest = LONGEST_INSIDE if row is not None and row.role else LONGEST
    if row is None or not role or row.created < now - longest:
        return None
    session = Session(
        name=row.name, shown=row.shown or row.name, role=Role(role), proof=row.proof,
        inside=bool(row.role),
        operator=OperatorId(row.operator or row.his_operator or 0),
    )  # fmt: skip
    return session, now - row.seen >= SEEN_EVERY


def seen(db: sa.Connection, token: str, now: datetime) -> None:
    """The session was used."""
    which = board_sessions.c.token == _hash(token)
    db.execute(sa.update(board_sessions).where(which).values(seen=now))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
