"""
What limits over all clients count, in memory: how answered calls ended lately, and which numbers
were shown. The store holds the truth; this mirrors it.
"""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import define, field, frozen

from autodial.limits import DAY
from autodial.power import Answers


@frozen
class Past:
    """What the store remembers of the calls since a moment."""

    answers: tuple[tuple[datetime, bool], ...] = ()  #: when each ended, and was it abandoned
    shown: tuple[tuple[datetime, str], ...] = ()  #: when each number was shown


@define
class Recent:
    """A window over the last calls."""

    over: timedelta  #: how far back answered calls count
    _answers: deque[tuple[datetime, bool]] = field(factory=deque, init=False)
    _shown: deque[tuple[datetime, str]] = field(factory=deque, init=False)

    def recall(self, past: Past) -> None:
        """Take over what the store remembers."""
        self._answers, self._shown = deque(past.answers), deque(past.shown)

    def ended(self, at: datetime, *, abandoned: bool) -> None:
        """A call that its client had answered is over."""
        self._answers.append((at, abandoned))

    def shown(self, at: datetime, number: str) -> None:
        """A call is about to show this number."""
        if number:
            self._shown.append((at, number))

    def answers(self, now: datetime) -> Answers:
        _forget(self._answers, now - self.over)
        return Answers(
            answered=len(self._answers), abandoned=sum(lost for _, lost in self._answers)
        )

    def in_a_day(self, now: datetime) -> Mapping[str, int]:
        """Calls by the number shown."""
        _forget(self._shown, now - DAY)
        return Counter(number for _, number in self._shown)


def _forget(
    entries: "deque[tuple[datetime, bool]] | deque[tuple[datetime, str]]", before: datetime
) -> None:
    while entries and entries[0][0] <= before:
        entries.popleft()
