"""
Deadlines of many sessions on one timer.

All sessions of a kind have the same time, so the first to start is the first due: a dict in the
order of arrival is the queue. A start and an end cost one insert and one removal.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

T = TypeVar("T")


@define(eq=False)
class Deadlines(Generic[T]):
    """
    ``due`` is called with each item that did not end within ``seconds`` of its start, and with the
    clock's time when it was due.
    """

    clock: IReactorTime
    seconds: float
    due: Callable[[T, float], None]
    _until: dict[T, float] = field(factory=dict, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self._until)

    def __iter__(self) -> Iterator[T]:
        """In the order of arrival."""
        return iter(self._until)

    def start(self, item: T) -> None:
        """Start the deadline now."""
        self._until[item] = self.clock.seconds() + self.seconds
        if self._timer is None:
            self._timer = self.clock.callLater(self.seconds, self._look)

    def start_at(self, item: T, moment: float) -> None:
        """Start it at a past moment, not earlier than the previous item's."""
        self._until[item] = moment + self.seconds
        if self._timer is None:
            wait = moment + self.seconds - self.clock.seconds()
            self._timer = self.clock.callLater(max(0.0, wait), self._look)

    def end(self, item: T) -> bool:
        """Remove an item. False: it was not there."""
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
        """Remove all items and cancel the timer."""
        self._until.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
