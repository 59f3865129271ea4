"""What a report counts: the calls of a time, added up by hour, operator, trunk and so on."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, tzinfo
from enum import StrEnum

from attrs import field, frozen

from autodial.model.outcome import ANSWERED, Outcome


class By(StrEnum):
    """By what calls are added up."""

    HOUR = "hour"
    DAY = "day"
    WEEKDAY = "weekday"
    OPERATOR = "operator"
    TRUNK = "trunk"
    OUTCOME = "outcome"
    PURPOSE = "purpose"


@frozen(kw_only=True)
class EndedCall:
    """A call that has ended: from the claim to the end of its channel."""

    begun: datetime  #: the claim
    outcome: Outcome
    purpose: str
    trunk: str  #: the last one tried
    cause: int  #: Q.850 hangup cause; 0: none
    operator: str  #: who spoke; else the extension rung last; empty: nobody was rung
    talk_seconds: int
    wait_seconds: float | None  #: from the client's "hello" to the operator's; None: no talk
    abandoned: bool


@frozen(kw_only=True)
class Sum:
    """The calls of one hour, one operator …"""

    key: str
    calls: int
    answered: int  #: by the client
    talked: int
    abandoned: int
    talk_seconds: int
    mean_wait: float | None  #: seconds from the client's answer to the operator's
    #: Hangup causes of the calls that the client did not answer, most frequent first.
    causes: tuple[tuple[int, int], ...] = field(factory=tuple)

    @property
    def answer_rate(self) -> float:
        """Answered calls of all, 0 to 1."""
        return self.answered / self.calls if self.calls else 0.0

    @property
    def mean_talk(self) -> float:
        """Seconds."""
        return self.talk_seconds / self.talked if self.talked else 0.0


#: Kinds of sums whose keys have an order of their own; the others: most calls first.
_ORDERED = frozenset({By.HOUR, By.DAY, By.WEEKDAY})
#: The key of a sum over everything.
TOTAL = "total"


def summed(calls: Iterable[EndedCall], by: By, zone: tzinfo) -> list[Sum]:
    """The sums of each key, and the total at the end. ``zone``: whose hours and days."""
    groups: dict[str, list[EndedCall]] = {}
    every = []
    for call in calls:
        groups.setdefault(_key(call, by, zone), []).append(call)
        every.append(call)
    sums = [_sum(key, group) for key, group in groups.items()]
    if by in _ORDERED:
        sums.sort(key=lambda one: one.key)
    else:
        sums.sort(key=lambda one: (-one.calls, one.key))
    return [*sums, _sum(TOTAL, every)]


def _key(call: EndedCall, by: By, zone: tzinfo) -> str:
    begun = call.begun.astimezone(zone)
    match by:
        case By.HOUR:
            return f"{begun:%H}:00"
        case By.DAY:
            return f"{begun:%Y-%m-%d}"
        case By.WEEKDAY:
            return str(begun.isoweekday())
        case By.OPERATOR:
            return call.operator
        case By.TRUNK:
            return call.trunk
        case By.OUTCOME:
            return call.outcome.value
        case By.PURPOSE:
            return call.purpose


def _sum(key: str, calls: list[EndedCall]) -> Sum:
    waits = [call.wait_seconds for call in calls if call.wait_seconds is not None]
    causes = Counter(call.cause for call in calls if call.cause and call.outcome not in ANSWERED)
    return Sum(
        key=key,
        calls=len(calls),
        answered=sum(call.outcome in ANSWERED for call in calls),
        talked=sum(call.outcome is Outcome.TALKED for call in calls),
        abandoned=sum(call.abandoned for call in calls),
        talk_seconds=sum(call.talk_seconds for call in calls),
        mean_wait=sum(waits) / len(waits) if waits else None,
        causes=tuple(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
    )
