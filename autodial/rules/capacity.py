"""How many calls there may be now, and over which routes: from what is under way. Pure."""

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

#: No operator's phone has rung for these yet.
DIALLING = frozenset({State.SPOOLED.value, State.CLAIMED.value})


def capacity(  # noqa: PLR0913  # what is counted, by name
    power: Pacing,
    routing: Routing,
    *,
    live: Collection[Attempt],
    operators: Sequence[Operator],
    answers: Mapping[str, Answers],
    in_a_day: Mapping[str, int],
    started: Mapping[str, datetime],
    now: datetime,
) -> dict[str, Any]:
    """
    The part of ``decide.Facts`` that comes from counting: calls, overdial (by purpose, where the
    cap is), reserve_operators, routes.

    ``answers``: of the calls of each purpose. Lines and numbers in use are counted at each
    attempt's first carrier.
    """
    dialling = {attempt.id for attempt in live if attempt.state in DIALLING}
    held = {operator.reserved_for for operator in operators}
    use = Use(
        lines=Counter(attempt.routes[0].trunk for attempt in live),
        shown=Counter(attempt.routes[0].caller_id for attempt in live),
        in_a_day=in_a_day,
        started=started,
    )
    unheld = Counter(
        attempt.purpose if power.by_purpose else EVERY
        for attempt in live
        if attempt.id in dialling - held
    )
    counted = answers if power.by_purpose else {EVERY: together(answers.values())}
    return {
        "calls": len(live),
        "reserve_operators": max(
            (power.reserve_operators(one) for one in counted.values()), default=0
        ),
        "overdial": {
            purpose: power.overdial(
                one,
                operators=sum(_could_take(operator, dialling, now) for operator in operators),
                dialling=len(dialling),
                unheld=unheld[purpose],
            )
            for purpose, one in counted.items()
        },
        "routes": routing.free(use, now),
    }


def _could_take(operator: Operator, dialling: Collection[AttemptId], now: datetime) -> bool:
    """Will he be there for a client who answers in a moment?"""
    return operator.could_talk(now) and operator.reserved_for in (None, *dialling)
