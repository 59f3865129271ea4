"""The calls that a report or the history of a client is made of. Read only."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen

from autodial.model.outcome import Outcome
from autodial.rules.report import EndedCall
from autodial.store.schema import attempts, do_not_call, external_calls, operators

#: From a call file's writing to the claim it takes seconds; at most so long.
LEASE = timedelta(days=1)


def ended_between(db: sa.Connection, start: datetime, end: datetime) -> Iterator[EndedCall]:
    """The calls that began in ``[start, end)`` and have ended, in no order."""
    query = (
        sa.select(attempts, operators.c.name)
        .outerjoin(operators, operators.c.id == attempts.c.taken_by)
        .where(
            attempts.c.spooled_at >= start - LEASE, attempts.c.spooled_at < end,
            attempts.c.claimed_at >= start, attempts.c.claimed_at < end,
            attempts.c.outcome.is_not(None),
        )
    )  # fmt: skip
    for row in db.execute(query):
        report = row.report or {}
        answered, talked = report.get("answered"), report.get("talked")
        wait = None
        if answered and talked:
            passed = datetime.fromisoformat(talked) - datetime.fromisoformat(answered)
            wait = passed.total_seconds()
        cause = str(report.get("cause") or "")
        yield EndedCall(
            begun=row.claimed_at,
            outcome=Outcome(row.outcome),
            purpose=row.purpose,
            trunk=report.get("trunk") or "",
            cause=int(cause) if cause.isdigit() else 0,
            operator=row.name or report.get("operator") or "",
            talk_seconds=row.talk_seconds or 0,
            wait_seconds=wait,
            abandoned=bool(row.abandoned),
        )


@frozen(kw_only=True)
class ClientCall:
    """One call to a client, ours or another of the portal's statistics."""

    at: datetime
    number: str
    client: str
    task: int | None  #: None: not the dialler's call
    attempt: str
    operator: str
    outcome: str  #: or the state of a call in flight; empty: not the dialler's
    talk_seconds: int | None
    abandoned: bool = False


_ENTITIES = sa.select(attempts.c.entity_type, attempts.c.entity_id).distinct()


def calls_of_number(db: sa.Connection, number: str) -> list[ClientCall]:
    """
    All calls to whoever has this number, over all tasks, numbers of the same client included; the
    latest first.
    """
    owners = db.execute(_ENTITIES.where(attempts.c.number == number)).all()
    ours = attempts.c.number == number
    others = external_calls.c.number == number
    for owner in owners:
        if owner.entity_id:
            ours |= (attempts.c.entity_id == owner.entity_id) & (
                attempts.c.entity_type == owner.entity_type
            )
            others |= (external_calls.c.entity_id == owner.entity_id) & (
                external_calls.c.entity_type == owner.entity_type
            )
    return _calls(db, ours, others)


def calls_between(db: sa.Connection, start: datetime, end: datetime) -> list[ClientCall]:
    """The dialler's calls that were begun in ``[start, end)``, the latest first."""
    return _calls(db, (attempts.c.spooled_at >= start) & (attempts.c.spooled_at < end), None)


def calls_of_client(db: sa.Connection, part: str, since: datetime) -> list[ClientCall]:
    """The dialler's calls since a moment to clients whose name has this part, latest first."""
    found = _calls(db, attempts.c.spooled_at >= since, None)
    return [call for call in found if part.casefold() in call.client.casefold()]


def _calls(
    db: sa.Connection, ours: sa.ColumnElement[bool], others: sa.ColumnElement[bool] | None
) -> list[ClientCall]:
    query = (
        sa.select(attempts, operators.c.name)
        .outerjoin(
            operators, operators.c.id == sa.func.coalesce(attempts.c.taken_by, attempts.c.operator)
        )
        .where(ours)
    )
    calls = [
        ClientCall(
            at=row.spooled_at,
            number=row.number,
            client=row.client,
            task=row.task,
            attempt=row.id,
            operator=row.name or "",
            outcome=row.outcome or row.state,
            talk_seconds=row.talk_seconds,
            abandoned=bool(row.abandoned),
        )
        for row in db.execute(query)
    ]
    if others is not None:
        outside = (
            sa.select(external_calls, operators.c.name)
            .outerjoin(operators, operators.c.id == external_calls.c.operator)
            .where(others)
        )
        calls += [
            ClientCall(
                at=row.at,
                number=row.number,
                client="",
                task=None,
                attempt="",
                operator=row.name or str(row.operator),
                outcome="",
                talk_seconds=None,
            )
            for row in db.execute(outside)
        ]
    return sorted(calls, key=lambda call: call.at, reverse=True)


def refused_since(db: sa.Connection, numbers: Sequence[str]) -> datetime | None:
    """When one of these numbers was put on the do-not-call list; None: it is not on it."""
    query = sa.select(sa.func.min(do_not_call.c.at)).where(do_not_call.c.number.in_(numbers))
    moment: datetime | None = db.scalar(query)
    return moment
