"""What a report counts: the calls of a time, added up by hour, operator, trunk and so on."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, tzinfo
from enum import StrEnum
from math import sqrt

from attrs import field, frozen

from autodial.model.outcome import ANSWERED, Outcome


class By(StrEnum):
    """By what calls are added up."""

    HOUR = "hour"
    DAY = "day"
    WEEKDAY = "weekday"
    WEEK_HOUR = "week-hour"  #: "1 09:00": each hour of the week, for a heat map
    OPERATOR = "operator"
    TRUNK = "trunk"
    OUTCOME = "outcome"
    PURPOSE = "purpose"
    ATTEMPT = "attempt"  #: the task's first call, its second …


@frozen(kw_only=True)
class EndedCall:
    """A call that has ended: from the claim to the end of its channel."""

    begun: datetime  #: the claim
    outcome: Outcome
    purpose: str
    trunk: str  #: the last one tried
    cause: int  #: Q.850 hangup cause; 0: none
    n: int  #: number of the attempt within its task, from 1
    operator_id: int  #: who spoke, else who was reserved; 0: nobody
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

    @property
    def surely_answered(self) -> float:
        """
        The share of answered calls that these calls prove, 0 to 1: the lower end of Wilson's
        interval of 95 %. Three of three proves less than eighty of a hundred.
        """
        if not self.calls:
            return 0.0
        n, share = self.calls, self.answer_rate
        middle = share + _Z**2 / (2 * n)
        spread = _Z * sqrt((share * (1 - share) + _Z**2 / (4 * n)) / n)
        return max(0.0, (middle - spread) / (1 + _Z**2 / n))

    @property
    def cells(self) -> tuple[str | int | float | None, ...]:
        """For a spreadsheet, without the key: shares in per cent, times in seconds."""
        return (
            self.calls, self.answered, round(100 * self.answer_rate, 1), self.talked,
            self.talk_seconds, round(self.mean_talk, 1),
            None if self.mean_wait is None else round(self.mean_wait, 2), self.abandoned,
            self.said_causes,
        )  # fmt: skip

    @property
    def said_causes(self) -> str:
        """The three most frequent hangup causes, with their numbers."""
        return ", ".join(f"{cause}×{count}" for cause, count in self.causes[:3])


#: Kinds of sums whose keys have an order of their own; the others: most calls first.
_ORDERED = frozenset({By.HOUR, By.DAY, By.WEEKDAY, By.WEEK_HOUR, By.ATTEMPT})
#: The quantile of the normal distribution for 95 % within.
_Z = 1.96
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
        sums.sort(key=lambda one: (len(one.key), one.key))  # (the tenth attempt after the second)
    else:
        sums.sort(key=lambda one: (-one.calls, one.key))
    return [*sums, _sum(TOTAL, every)]


def best_hours(sums: Iterable[Sum], most: int = 3) -> list[Sum]:
    """The hours in which clients answer most surely, best first; ``sums``: by hour."""
    known = [one for one in sums if one.key != TOTAL and one.answered]
    return sorted(known, key=lambda one: -one.surely_answered)[:most]


def _key(call: EndedCall, by: By, zone: tzinfo) -> str:
    begun = call.begun.astimezone(zone)
    match by:
        case By.HOUR:
            return f"{begun:%H}:00"
        case By.DAY:
            return f"{begun:%Y-%m-%d}"
        case By.WEEKDAY:
            return str(begun.isoweekday())
        case By.WEEK_HOUR:
            return f"{begun.isoweekday()} {begun:%H}:00"
        case By.ATTEMPT:
            return str(call.n)
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
