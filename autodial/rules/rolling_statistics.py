"""
In-memory counts for the limits over all clients: how recent answered calls ended, and which caller
IDs were shown. The store is authoritative; this mirrors it.
"""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import define, field, frozen

from autodial.rules.contact_limits import DAY
from autodial.rules.pacing import Answers, together


@frozen(kw_only=True)
class Answered:
    """One call that the client answered."""

    at: datetime  #: the end of the call
    abandoned: bool = False  #: see ``rules.pacing.abandoned``
    late: bool = False  #: see ``rules.pacing.late``
    purpose: str = ""


@frozen
class PastCalls:
    """The calls in the store since a moment."""

    answers: tuple[Answered, ...] = ()
    shown: tuple[tuple[datetime, str], ...] = ()  #: moment and caller ID


@define
class RollingStatistics:
    """A sliding window over the last calls."""

    over: timedelta  #: the window of answered calls
    _answers: deque[Answered] = field(factory=deque, init=False)
    #: By purpose: answered, abandoned, late. Updated with each call, because summing a month
    #: of calls on each query is slow.
    _sums: dict[str, list[int]] = field(factory=dict, init=False)
    _shown: deque[tuple[datetime, str]] = field(factory=deque, init=False)

    def recall(self, past: PastCalls) -> None:
        """Replace everything by the calls from the store."""
        self._answers, self._sums, self._shown = deque(), {}, deque(past.shown)
        for call in past.answers:
            self.ended(call)

    def ended(self, call: Answered) -> None:
        """An answered call has ended."""
        self._answers.append(call)
        self._count(call, 1)

    def shown(self, at: datetime, number: str) -> None:
        """A call is about to show this caller ID."""
        if number:
            self._shown.append((at, number))

    def answers(self, now: datetime) -> Answers:
        """The counts of all calls."""
        return together(self.by_purpose(now).values())

    def by_purpose(self, now: datetime) -> Mapping[str, Answers]:
        """The counts by purpose, for purposes with calls."""
        while self._answers and self._answers[0].at <= now - self.over:
            self._count(self._answers.popleft(), -1)
        return {
            purpose: Answers(answered=answered, abandoned=abandoned, late=late)
            for purpose, (answered, abandoned, late) in self._sums.items()
            if answered
        }

    def in_a_day(self, now: datetime) -> Mapping[str, int]:
        """Calls of the last 24 hours by caller ID."""
        while self._shown and self._shown[0][0] <= now - DAY:
            self._shown.popleft()
        return Counter(number for _, number in self._shown)

    def _count(self, call: Answered, by: int) -> None:
        sums = self._sums.setdefault(call.purpose, [0, 0, 0])
        for place, counts in enumerate((True, call.abandoned, call.late)):
            sums[place] += by * counts
