"""What a report counts: the calls of a time, added up by hour, operator, trunk and so on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from math import sqrt

from attrs import define, field, frozen

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
    PERSON = "person"  #: the portal's user id of the operator; for work times


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
#: The key of this attempt is that of all later ones, too.
MOST_ATTEMPTS = 20
#: The key of a sum over everything.
TOTAL = "total"


@define
class Tally:
    """What is counted of some calls; tallies of several days add up."""

    calls: int = 0
    answered: int = 0
    talked: int = 0
    missed: int = 0  #: answered, and no operator did
    abandoned: int = 0
    talk_seconds: int = 0
    waits: int = 0  #: talks whose wait is known, and their seconds together
    waited: float = 0.0
    causes: Counter[int] = field(factory=Counter)

    def add(self, call: EndedCall) -> None:
        self.calls += 1
        self.talked += call.outcome is Outcome.TALKED
        self.missed += call.outcome is Outcome.OPERATOR_MISSED
        self.abandoned += call.abandoned
        self.talk_seconds += call.talk_seconds
        if call.wait_seconds is not None:
            self.waits += 1
            self.waited += call.wait_seconds
        if call.outcome in ANSWERED:
            self.answered += 1
        elif call.cause:
            self.causes[call.cause] += 1

    def merge(self, other: "Tally") -> None:
        self.calls += other.calls
        self.answered += other.answered
        self.talked += other.talked
        self.missed += other.missed
        self.abandoned += other.abandoned
        self.talk_seconds += other.talk_seconds
        self.waits += other.waits
        self.waited += other.waited
        self.causes.update(other.causes)

    def sum(self, key: str) -> Sum:
        return Sum(
            key=key,
            calls=self.calls,
            answered=self.answered,
            talked=self.talked,
            abandoned=self.abandoned,
            talk_seconds=self.talk_seconds,
            mean_wait=self.waited / self.waits if self.waits else None,
            causes=tuple(sorted(self.causes.items(), key=lambda item: (-item[1], item[0]))),
        )


#: Tallies by what is counted, and by key.
Tallies = dict[By, dict[str, Tally]]


def tallied(calls: Iterable[EndedCall], kinds: Sequence[By], zone: tzinfo) -> Tallies:
    """Count calls once for several reports. ``zone``: whose hours and days."""
    tallies: Tallies = {by: {} for by in kinds}
    for call in calls:
        for by in kinds:
            tallies[by].setdefault(_key(call, by, zone), Tally()).add(call)
    return tallies


def merged(several: Iterable[Tallies], kinds: Sequence[By]) -> Tallies:
    """The tallies of several days as one."""
    whole: Tallies = {by: {} for by in kinds}
    for tallies in several:
        for by in kinds:
            for key, tally in tallies[by].items():
                whole[by].setdefault(key, Tally()).merge(tally)
    return whole


def sums_of(tallies: Tallies, by: By) -> list[Sum]:
    """The sums of each key, and the total at the end."""
    sums = [tally.sum(key) for key, tally in tallies[by].items()]
    if by in _ORDERED:
        sums.sort(key=lambda one: (len(one.key), one.key))  # (the tenth attempt after the second)
    else:
        sums.sort(key=lambda one: (-one.calls, one.key))
    total = Tally()
    for tally in tallies[by].values():
        total.merge(tally)
    return [*sums, total.sum(TOTAL)]


def summed(calls: Iterable[EndedCall], by: By, zone: tzinfo) -> list[Sum]:
    """The sums of one report. ``zone``: whose hours and days."""
    return sums_of(tallied(calls, (by,), zone), by)


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
            return str(min(call.n, MOST_ATTEMPTS))
        case By.PERSON:
            return str(call.operator_id)
        case By.OPERATOR:
            return call.operator
        case By.TRUNK:
            return call.trunk
        case By.OUTCOME:
            return call.outcome.value
        case By.PURPOSE:
            return call.purpose
