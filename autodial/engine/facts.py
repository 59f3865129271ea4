"""
The facts of a decision, built in one place: by the dialler from its memory, by commands from the
store.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import frozen

from autodial.config.portal import PortalConfig
from autodial.config.settings import Config
from autodial.model.attempt import Attempt
from autodial.model.ids import OperatorId
from autodial.model.operator import Operator
from autodial.rules.calling_hours import Hours
from autodial.rules.capacity import capacity
from autodial.rules.contact_limits import Limits
from autodial.rules.dial_facts import Facts
from autodial.rules.pacing import Answers
from autodial.rules.trunk_choice import Routing


@frozen
class Rules:
    """The rules of the configuration, computed once."""

    hours: Hours
    limits: Limits
    routing: Routing

    @classmethod
    def of(cls, config: Config) -> "Rules":
        return cls(config.when, config.limits, config.routing)


@frozen(kw_only=True)
class Known:
    """The present state. Without a running dialler, what only it can know counts as good."""

    operators: tuple[Operator, ...]
    live: Collection[Attempt]  #: attempts in flight, of all nodes
    node: str | None = None  #: whose facts these are; None: of all nodes together
    do_not_call: frozenset[str] | None  #: None: the list cannot be read
    portal_seen: datetime | None  #: when it last answered a whole poll
    pbx_ok: bool
    paused: bool
    paused_purposes: frozenset[str]
    stand_ins: Mapping[OperatorId, OperatorId]
    answers: Mapping[str, Answers]  #: by purpose
    in_a_day: Mapping[str, int]  #: calls by the number shown
    started: Mapping[str, datetime]  #: the last call over each trunk
    next_start: datetime | None  #: when the pace allows the next call; None: now
    store_ok: bool = True
    spool_ok: bool = True
    dialplan_ok: bool = True


def facts(config: Config, rules: Rules, known: Known, now: datetime) -> Facts:
    """All facts of a decision, as of now."""
    return Facts(
        operators=known.operators,
        deputies=config.staff.deputies_by_id,
        order=config.staff.who,
        stand_ins=known.stand_ins,
        wait_for_responsible=config.staff.wait_for_responsible,
        do_not_call=known.do_not_call,
        hours=rules.hours,
        limits=rules.limits,
        store_ok=known.store_ok,
        spool_ok=known.spool_ok,
        portal_ok=portal_ok(config.portal, known.portal_seen, now),
        pbx_ok=known.pbx_ok,
        dialplan_ok=known.dialplan_ok,
        paused=known.paused,
        paused_purposes=known.paused_purposes,
        max_calls=config.pace.max_calls,
        next_start=known.next_start,
        **capacity(
            config.pace.pacing,
            rules.routing,
            live=known.live,
            own=[one for one in known.live if known.node in (None, one.node)],
            operators=[operator for operator in known.operators if not operator.elsewhere],
            answers=known.answers,
            in_a_day=known.in_a_day,
            started=known.started,
            now=now,
        ),
    )


def portal_ok(portal: PortalConfig, seen: datetime | None, now: datetime) -> bool:
    """Is the last answer of the portal recent enough to dial by?"""
    if seen is None:
        return False
    # Three polls without an answer are silence; "continue" tolerates it for silent_after.
    limit = portal.silent_after if portal.when_silent == "continue" else 3 * portal.poll
    return now - seen < limit
