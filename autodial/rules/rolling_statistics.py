"""
What limits over all clients count, in memory: how answered calls ended lately, and which numbers
were shown. The store holds the truth; this mirrors it.
"""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import define, field, frozen

from autodial.rules.contact_limits import DAY
from autodial.rules.pacing import Answers, together


@frozen(kw_only=True)
class Answered:
    """One call that its client answered."""

    at: datetime  #: when it ended
    abandoned: bool = False  #: see ``power.abandoned``
    late: bool = False  #: see ``power.late``
    purpose: str = ""


@frozen
class PastCalls:
    """What the store remembers of the calls since a moment."""

    answers: tuple[Answered, ...] = ()
    shown: tuple[tuple[datetime, str], ...] = ()  #: when each number was shown


@define
class RollingStatistics:
    """A window over the last calls."""

    over: timedelta  #: how far back answered calls count
    _answers: deque[Answered] = field(factory=deque, init=False)
    #: By purpose: answered, abandoned, late. Kept up to date: a month of calls is not summed up
    #: at each turn.
    _sums: dict[str, list[int]] = field(factory=dict, init=False)
    _shown: deque[tuple[datetime, str]] = field(factory=deque, init=False)

    def recall(self, past: PastCalls) -> None:
        """Take over what the store remembers."""
        self._answers, self._sums, self._shown = deque(), {}, deque(past.shown)
        for call in past.answers:
            self.ended(call)

    def ended(self, call: Answered) -> None:
        """A call that its client had answered is over."""
        self._answers.append(call)
        self._count(call, 1)

    def shown(self, at: datetime, number: str) -> None:
        """A call is about to show this number."""
        if number:
            self._shown.append((at, number))

    def answers(self, now: datetime) -> Answers:
        """Of all calls."""
        return together(self.by_purpose(now).values())

    def by_purpose(self, now: datetime) -> Mapping[str, Answers]:
        """Of the calls of each purpose that had any."""
        while self._answers and self._answers[0].at <= now - self.over:
            self._count(self._answers.popleft(), -1)
        return {
            purpose: Answers(answered=answered, abandoned=abandoned, late=late)
            for purpose, (answered, abandoned, late) in self._sums.items()
            if answered
        }

    def in_a_day(self, now: datetime) -> Mapping[str, int]:
        """Calls by the number shown."""
        while self._shown and self._shown[0][0] <= now - DAY:
            self._shown.popleft()
        return Counter(number for _, number in self._shown)

    def _count(self, call: Answered, by: int) -> None:
        sums = self._sums.setdefault(call.purpose, [0, 0, 0])
        for place, counts in enumerate((True, call.abandoned, call.late)):
            sums[place] += by * counts
