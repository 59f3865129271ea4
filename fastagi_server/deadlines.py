"""
Deadlines of many sessions on one timer.

All of a kind have the same time, so who came first is due first: a dict in the order of arrival
is the queue, and to come and to go cost a dictionary's insert and removal.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")


@define(eq=False)
class Deadlines(Generic[T]):
    """
    ``due`` is told of each that was not ended within so many seconds of its start, and of the
    moment (of the clock) when that was.
    """

    clock: IReactorTime
    seconds: float
    due: Callable[[T, float], None]
    _until: dict[T, float] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self._until)

    def __iter__(self) -> Iterator[T]:
        """Who came first comes first."""
        return iter(self._until)

    def start(self, item: T) -> None:
        """From now on."""
        self._until[item] = self.clock.seconds() + self.seconds
        if self._timer is None:
            self._timer = self.clock.callLater(self.seconds, self._look)

    def start_at(self, item: T, moment: float) -> None:
        """From a moment in the past, not before that of the one before."""
        self._until[item] = moment + self.seconds
        if self._timer is None:
            wait = moment + self.seconds - self.clock.seconds()
            self._timer = self.clock.callLater(max(0.0, wait), self._look)

    def end(self, item: T) -> bool:
        """It made it, or has gone. False: it was not there."""
        return self._until.pop(item, None) is not None

    def _look(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        while self._until:
            item, until = next(iter(self._until.items()))
            if until > now:
                self._timer = self.clock.callLater(until - now, self._look)
                return
            del self._until[item]
            self.due(item, until)

    def stop(self) -> None:
        """Forget all, and leave no timer behind."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
