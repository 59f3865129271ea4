"""
The figures of days, counted once: a day that is long over does not change, so what it adds up to is
kept in memory, and a month is the sum of its days.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from threading import Event, Lock
from time import monotonic

import sqlalchemy as sa
from attrs import define, field, frozen

from autodial.board.days import Days
from autodial.errors import AutodialError
from autodial.rules.report import By, Sum, Tallies, merged, sums_of, tallied
from autodial.rules.work_times import WorkTime, added_up
from autodial.store import reports
from autodial.store.database import Beside
from autodial.store.reports import TaskCounts

_log = logging.getLogger(__name__)  # Twisted's has no reader in this process
KINDS = tuple(By)
#: A day may change for so long after its end (a call that began before midnight).
SETTLED = timedelta(days=1)
#: Days that are kept. What may change is kept for seconds, the more of them the longer it took.
KEPT, KEPT_SUMS, FRESH, SLOWLY = 400, 20, 5.0, 30
#: Days that are counted when the board starts, the latest first.
WARMED = 62


_Sums = tuple[dict[str, list[Sum]], list[WorkTime]]


@frozen
class _Day:
    """What one day adds up to."""

    tallies: Tallies
    times: Sequence[WorkTime]
    until: float | None  #: of the monotonic clock; None: it does not change any more


@define(eq=False)
class Figures:
    """From any thread; blocks."""

    store: Beside
    now: Callable[[], datetime]
    _days: "OrderedDict[date, _Day]" = field(factory=OrderedDict, init=False)
    _sums: dict[tuple[date, date], tuple[float, _Sums]] = field(factory=dict, init=False)
    _counts: dict[tuple[date, date], tuple[float, TaskCounts]] = field(factory=dict, init=False)
    _counting: Lock = field(factory=Lock, init=False)
    _stopping: Event = field(factory=Event, init=False)

    def of(self, days: Days) -> _Sums:
        """The sums by each kind, and the operators' times, of some days up to now."""
        key = (days.first, days.last)
        kept = self._sums.get(key)
        if kept is not None and monotonic() < kept[0]:
            return kept[1]
        begun = monotonic()
        last = min(days.last, self.now().astimezone(days.zone).date())
        found = []
        day = days.first
        while day <= last:
            found.append(self._day(Days(day, day, days.zone)))
            day += timedelta(days=1)
        whole = merged([one.tallies for one in found], KINDS)
        sums = {by.value: sums_of(whole, by) for by in KINDS}
        figures = sums, added_up([one.times for one in found])
        if len(self._sums) >= KEPT_SUMS:
            self._sums.clear()
        self._sums[key] = (_fresh(begun), figures)
        return figures

    def counts(self, days: Days) -> TaskCounts:
        """What became of the tasks that were dialled in these days."""
        key = (days.first, days.last)
        until, counts = self._counts.get(key, (0.0, None))
        if counts is None or monotonic() >= until:
            begun = monotonic()
            counts = self.store.read(lambda db: reports.task_counts(db, days.start, days.end))
            if len(self._counts) > KEPT:
                self._counts.clear()
            self._counts[key] = (_fresh(begun), counts)
        return counts

    def _day(self, day: Days) -> _Day:
        kept = self._days.get(day.first)
        if kept is not None and (kept.until is None or monotonic() < kept.until):
            return kept
        with self._counting:  # one at a time: who waits finds it counted
            kept = self._days.get(day.first)
            if kept is None or (kept.until is not None and monotonic() >= kept.until):
                kept = self._days[day.first] = self._counted(day)
                self._days.move_to_end(day.first)
                while len(self._days) > KEPT:
                    self._days.popitem(last=False)
        return kept

    def _counted(self, day: Days) -> _Day:
        now, begun = self.now(), monotonic()

        def asked(db: sa.Connection) -> tuple[Tallies, list[WorkTime]]:
            calls = reports.ended_between(db, day.start, day.end)
            tallies = tallied(calls, KINDS, day.zone)
            end = max(day.start, min(day.end, now))
            return tallies, reports.work_times_between(db, tallies[By.PERSON], day.start, end)

        tallies, times = self.store.read(asked)
        settled = now > day.end.astimezone(UTC) + SETTLED
        return _Day(tallies, times, None if settled else _fresh(begun))

    def warm(self, today: Days) -> None:
        """Count the last days one by one, a quarter of the time: others look meanwhile."""
        took = 0.0
        for back in range(1, WARMED):
            if self._stopping.wait(max(0.2, 3 * took)):
                return
            begun = monotonic()
            day = today.first - timedelta(days=back)
            try:
                self._day(Days(day, day, today.zone))
                took = monotonic() - begun
            except AutodialError as error:
                _log.warning("the figures of %s: %s", day, error)
                return

    def stop(self) -> None:
        self._stopping.set()


def _fresh(begun: float) -> float:
    """Until when a figure is kept that may change, on the monotonic clock."""
    now = monotonic()
    return now + max(FRESH, SLOWLY * (now - begun))
