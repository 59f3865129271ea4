"""Programs that may use the API: what each is for, its role, and the hash of its token."""

from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from attrs import frozen

from autodial.model.role import Role
from autodial.store.schema import api_tokens


@frozen(kw_only=True)
class TokenLine:
    """One program, without its token."""

    name: str
    role: Role
    created: datetime


def save(db: sa.Connection, name: str, role: Role, token: str, now: datetime) -> None:
    """Add a program, or replace its token. Only the token's hash is stored."""
    remove(db, name)
    values = {"name": name, "role": role.value, "token": _hash(token), "created": now}
    db.execute(sa.insert(api_tokens).values(values))


def remove(db: sa.Connection, name: str) -> bool:
    """Its token is not valid any more, at once. False: there is none of this name."""
    return bool(db.execute(sa.delete(api_tokens).where(api_tokens.c.name == name)).rowcount)


def of(db: sa.Connection, token: str) -> tuple[str, Role] | None:
    """Whose token it is; None: nobody's."""
    query = sa.select(api_tokens.c.name, api_tokens.c.role)
    row = db.execute(query.where(api_tokens.c.token == _hash(token))).first()
    return None if row is None else (row.name, Role(row.role))


def lines(db: sa.Connection) -> list[TokenLine]:
    """All of them, by name."""
    return [
        TokenLine(name=row.name, role=Role(row.role), created=row.created)
        for row in db.execute(sa.select(api_tokens).order_by(api_tokens.c.name))
    ]


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
