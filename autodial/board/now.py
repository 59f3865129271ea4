"""What the first page shows: the dialler at this moment."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from attrs import frozen

from autodial.config.settings import Config
from autodial.engine import status_queries
from autodial.engine.facts import portal_ok
from autodial.engine.status_queries import Status
from autodial.model.operator import Operator
from autodial.model.outcome import Outcome
from autodial.store import flags, outbox, pauses, presence, views
from autodial.store.tasks import SKIPPED

#: Why an open task needs no more calls.
OVER = frozenset({SKIPPED, *(outcome.value for outcome in Outcome)})


@frozen(kw_only=True)
class Tile:
    """One operator."""

    operator: Operator
    state: str  #: a key of the catalogue, without ``operator.``
    call: views.LiveCall | None  #: for which he is reserved, or which he talks
    pause: pauses.Pause | None  #: of him
    left: datetime | None  #: when he left; None: he is there, or it is not known


@frozen(kw_only=True)
class Now:
    """The dialler at a moment."""

    at: datetime
    status: Status
    tiles: Sequence[Tile]
    calls: Sequence[views.LiveCall]
    dead: int  #: messages that the portal refused for good
    silent: datetime | None  #: since when the portal has not answered; None: it answers
    #: Open tasks by why they wait, most first; without those that need no more calls.
    waiting: Sequence[tuple[str, int]]

    @property
    def is_well(self) -> bool:
        """Nothing is wrong that somebody should know."""
        status = self.status
        return (
            status.running and status.pbx and status.stalled is None and not self.dead
            and not status.everybody_paused and status.changed is None and self.silent is None
        )  # fmt: skip


def now_of(db: sa.Connection, config: Config, at: datetime) -> Now:
    """Everything in one reading of the store."""
    calls = {call.attempt: call for call in views.live_calls(db)}
    status, operators = status_queries.status_and_staff(db, config, at)
    staff = sorted(operators, key=lambda one: (one.extension, one.name))
    seen = flags.last(db, flags.PORTAL_SEEN)
    heard = portal_ok(config.portal, seen, at)
    paused, left = pauses.of_each(db), presence.left_at(db)
    return Now(
        at=at,
        silent=None if heard else seen,
        status=status,
        waiting=[(reason, count) for reason, count in status.funnel if reason not in OVER],
        tiles=[
            Tile(
                operator=one,
                state=one.state(at),
                call=calls.get(one.reserved_for or ""),
                pause=paused.get(one.id) if one.paused else None,
                left=left.get(one.id),
            )
            for one in staff
        ],
        calls=list(calls.values()),
        dead=outbox.backlog(db).dead,
    )
