"""How many calls may be placed now, and over which routes, from the calls in flight. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId
from autodial.model.operator import Operator
from autodial.rules.pacing import EVERY, Answers, Pacing, together
from autodial.rules.trunk_choice import Routing, Use

#: States in which no operator's phone has rung yet.
DIALLING = frozenset({State.SPOOLED, State.CLAIMED})


def capacity(  # noqa: PLR0913  # the counts, by name
    pacing: Pacing,
    routing: Routing,
    *,
    live: Collection[Attempt],
    own: Collection[Attempt],
    operators: Sequence[Operator],
    answers: Mapping[str, Answers],
    in_a_day: Mapping[str, int],
    started: Mapping[str, datetime],
    now: datetime,
) -> dict[str, Any]:
    """
    The fields of ``dial_facts.Facts`` that are counts: calls, overdial (by purpose if the cap is),
    reserve_operators, routes.

    ``live`` are all calls in flight, ``own`` those that ``operators`` may take: of this node, if
    several share the store. ``answers`` is by purpose. Lines and caller IDs in use are counted on
    an attempt's first trunk.
    """
    use = Use(
        lines=Counter(attempt.routes[0].trunk for attempt in live),
        shown=Counter(attempt.routes[0].caller_id for attempt in live),
        in_a_day=in_a_day,
        started=started,
    )
    counted = answers if pacing.by_purpose else {EVERY: together(answers.values())}
    return {
        "calls": len(live),
        "reserve_operators": max(
            (pacing.reserve_operators(each) for each in counted.values()), default=0
        ),
        "overdial": _overdial(pacing, counted, own, operators, now) if pacing.overdials else {},
        "routes": routing.free(use, now),
    }


def _overdial(
    pacing: Pacing,
    counted: Mapping[str, Answers],
    own: Collection[Attempt],
    operators: Sequence[Operator],
    now: datetime,
) -> Mapping[str, int]:
    dialling = {attempt.id for attempt in own if attempt.state in DIALLING}
    unreserved = dialling - {operator.reserved_for for operator in operators}
    unheld = Counter(
        attempt.purpose if pacing.by_purpose else EVERY
        for attempt in own
        if attempt.id in unreserved
    )
    could = sum(_could_take(operator, dialling, now) for operator in operators)
    return {
        purpose: pacing.overdial(
            answers, operators=could, dialling=len(dialling), unheld=unheld[purpose]
        )
        for purpose, answers in counted.items()
    }


def _could_take(operator: Operator, dialling: Collection[AttemptId], now: datetime) -> bool:
    """Whether the operator could take a client who answers in a moment."""
    held = operator.reserved_for is not None and operator.reserved_for not in dialling
    return not held and operator.could_talk(now)
