"""People who may look at the board: their names, roles, password hashes and sessions."""

from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from attrs import frozen

from autodial.model.role import Role
from autodial.store.schema import accounts, board_sessions

#: A session ends after so long without a page, and after so long in any case.
IDLE, LONGEST = timedelta(hours=12), timedelta(days=7)
#: A page within this time of the last one does not write.
SEEN_EVERY = timedelta(minutes=5)


@frozen(kw_only=True)
class Account:
    """A person, without the password's hash."""

    name: str
    role: Role
    created: datetime


@frozen(kw_only=True)
class Session:
    """Somebody who has logged in."""

    name: str
    role: Role
    proof: str  #: what each form must send back


def save(db: sa.Connection, name: str, role: Role, password_hash: str, now: datetime) -> None:
    """Add somebody, or replace role and password; sessions of before end."""
    remove(db, name)
    values = {"name": name, "role": role.value, "password": password_hash, "created": now}
    db.execute(sa.insert(accounts).values(values))


def remove(db: sa.Connection, name: str) -> bool:
    """He may look no more, at once. False: there is nobody of this name."""
    db.execute(sa.delete(board_sessions).where(board_sessions.c.name == name))
    return bool(db.execute(sa.delete(accounts).where(accounts.c.name == name)).rowcount)


def lines(db: sa.Connection) -> list[Account]:
    """Everybody, by name."""
    query = sa.select(accounts.c.name, accounts.c.role, accounts.c.created)
    return [
        Account(name=row.name, role=Role(row.role), created=row.created)
        for row in db.execute(query.order_by(accounts.c.name))
    ]


def password_of(db: sa.Connection, name: str) -> str | None:
    """The hash of a password; None: there is nobody of this name."""
    found: str | None = db.scalar(sa.select(accounts.c.password).where(accounts.c.name == name))
    return found


def log_in(db: sa.Connection, name: str, token: str, proof: str, now: datetime) -> None:
    """Begin a session. Only the hash of its token is stored. Ended ones are deleted."""
    too_old = (board_sessions.c.seen < now - IDLE) | (board_sessions.c.created < now - LONGEST)
    db.execute(sa.delete(board_sessions).where(too_old))
    db.execute(
        sa.insert(board_sessions).values(
            token=_hash(token), name=name, proof=proof, created=now, seen=now
        )
    )


def log_out(db: sa.Connection, token: str) -> None:
    db.execute(sa.delete(board_sessions).where(board_sessions.c.token == _hash(token)))


def session_of(db: sa.Connection, token: str, now: datetime) -> tuple[Session, bool] | None:
    """
    Whose session this is, and whether ``seen`` must be called; None: nobody's, or it has ended.
    """
    query = (
        sa.select(board_sessions, accounts.c.role)
        .join(accounts, accounts.c.name == board_sessions.c.name)
        .where(
            board_sessions.c.token == _hash(token),
            board_sessions.c.seen >= now - IDLE,
            board_sessions.c.created >= now - LONGEST,
        )
    )
    row = db.execute(query).first()
    if row is None:
        return None
    session = Session(name=row.name, role=Role(row.role), proof=row.proof)
    return session, now - row.seen >= SEEN_EVERY


def seen(db: sa.Connection, token: str, now: datetime) -> None:
    """The session was used."""
    which = board_sessions.c.token == _hash(token)
    db.execute(sa.update(board_sessions).where(which).values(seen=now))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
