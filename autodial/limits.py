"""
What a client may be asked to bear: at which hours by his own clock, how often, how far apart.

One person is everybody with the same number or the same entity of the CRM, over all tasks.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import field, frozen

from autodial.hours import Calendar, Hours, Span, opens_everywhere
from autodial.model import Called
from autodial.zones import named, of_number

HOUR, DAY, WEEK, MONTH = (
    timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=31),
)  # fmt: skip


@frozen(kw_only=True)
class Limits:
    """A site's limits, from a preset and what it says differently."""

    workdays: Span | None
    days_off: Span | None
    quiet: tuple[Span, ...] = ()
    calendar: Calendar = field(factory=Calendar)
    elsewhere: ZoneInfo  #: for a number of which nobody can say where it rings
    spanning: ZoneInfo | None = None  #: for a number of many zones; None: the strictest of them
    per: tuple[tuple[timedelta, int], ...] = ()  #: at most so many calls in any such span
    apart: timedelta = timedelta(0)  #: between two calls
    attempts: int | None = None  #: for one task
    after_abandoned: timedelta = timedelta(0)  #: rest after a call that nobody took at our end
    best: tuple[Span, ...] = ()  #: hours of his day at which he is likely to answer
    best_within: timedelta = timedelta(0)  #: a next call is moved there, if it is no further off

    @property
    def looks_back(self) -> timedelta:
        """A call of longer ago counts in none of these limits."""
        return max(self.apart, self.after_abandoned, *(span for span, _ in self.per))

    def hours(self, zone: ZoneInfo) -> Hours:
        """When a client may be called who lives in ``zone``."""
        weekend = self.calendar.weekend
        week = tuple(self.days_off if day in weekend else self.workdays for day in range(7))
        return Hours(zone, week, calendar=self.calendar, holiday=self.days_off, quiet=self.quiet)

    def zones(self, number: str, zone: str) -> tuple[ZoneInfo, ...]:
        """
        Where a client may be: what the CRM says, else the numbering plan, else ours. What the CRM
        says and nobody can read is not ignored: then all zones of the plan count.
        """
        said = named(zone)
        if said is not None:
            return (said,)
        found = of_number(number) or (self.elsewhere,)
        if len(found) == 1 or self.spanning is None or zone.strip():
            return found
        return (self.spanning,)

    def opens(self, number: str, zone: str, now: datetime) -> datetime | None:
        """None if the client may be called now by his clock; otherwise when, at the earliest."""
        return opens_everywhere(self.hours, self.zones(number, zone), now)

    def best_opens(self, span: Span, number: str, zone: str, now: datetime) -> datetime | None:
        """None if it is this span of the client's day; otherwise when it begins."""
        every_day = (span,) * 7
        return opens_everywhere(
            lambda where: Hours(where, every_day), self.zones(number, zone), now
        )

    def rested(self, calls: Sequence[Called], now: datetime) -> datetime | None:
        """
        None if a person who had these calls may be called at ``now``; otherwise when the budget
        allows it again.
        """
        waits = [call.at + self.apart for call in calls]
        waits += [call.at + self.after_abandoned for call in calls if call.abandoned]
        for span, most in self.per:
            recent = sorted(call.at for call in calls if call.at > now - span)
            if len(recent) >= most:
                # The call whose leaving the window makes room for another.
                waits.append(recent[len(recent) - most] + span)
        until = max(waits, default=now)
        return until if until > now else None
