"""
When calls may be placed: hours per weekday, with holidays and quiet periods, in a time zone or in
all the zones in which a client may be.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from threading import get_ident
from typing import TypeVar
from zoneinfo import ZoneInfo

import holidays
from attrs import field, frozen

from autodial.rules import regions

Where = TypeVar("Where")
Span = tuple[time, time]

#: How far ahead an opening is looked for. Hours that never open are looked at again then.
HORIZON = timedelta(days=14)


class Usual(Enum):
    """A holiday has the hours of its weekday."""

    USUAL = "usual"


@lru_cache(maxsize=64)
def _of_thread(country: str, thread: int) -> holidays.HolidayBase:
    return holidays.country_holidays(country)


def _public(country: str) -> holidays.HolidayBase:
    """
    A thread has its own: a list of holidays fills itself in when it is asked about a new year, and
    whoever asks it meanwhile is told that there are none.
    """
    return _of_thread(country, get_ident())


#: A span that ends at midnight ends the day.
_MIDNIGHT = time(0)


def within(*spans: Span | None) -> Span | None:
    """What lies in all of these spans of a day; None: nothing."""
    begin, end = time(0), _MIDNIGHT
    for span in spans:
        if span is None:
            return None
        begin = max(begin, span[0])
        end = min((end, span[1]), key=lambda one: (one == _MIDNIGHT, one))
    return (begin, end) if end == _MIDNIGHT or begin < end else None


@frozen(kw_only=True)
class Calendar:
    """
    Which days are days off: a country's public holidays and those of parts of it, moved days, and a
    site's own.
    """

    country: str = ""  #: as the holidays library knows it; empty: no public holidays
    #: Parts of the country, as ``RU-TA``: a day off in any of them is one.
    parts: tuple[str, ...] = ()
    days_off: Collection[date] = ()
    days_off_in: Mapping[str, Collection[date]] = field(factory=dict)  #: by part of the country
    working_days: Collection[date] = ()  #: stronger than everything else

    @property
    def weekend(self) -> Collection[int]:
        """Days of the week, Monday is 0."""
        return _public(self.country).weekend if self.country else (5, 6)

    def holiday(self, day: date) -> bool:
        """A day off that is not simply a weekend."""
        if day in self.working_days:
            return False
        return (
            day in self.days_off
            or bool(self.country and day in _public(self.country))
            or self._in_parts(day)
        )

    def _in_parts(self, day: date) -> bool:
        if self.country and regions.off(self.parts, day):
            return True
        return any(day in self.days_off_in.get(part, ()) for part in self.parts)

    def own(self, day: date) -> bool:
        """A day off of the site's own."""
        return day in self.days_off and day not in self.working_days

    def moved(self, day: date) -> bool:
        """A day of the weekend that is worked, in place of another."""
        if day in self.days_off or day.weekday() not in self.weekend:
            return False
        if day in self.working_days:
            return True
        moved = bool(self.country) and _public(self.country).is_working_day(day)
        return moved and not self._in_parts(day)


@frozen
class Hours:
    """
    ``week[0]`` is Monday; None is a day without calls; an end of midnight is the day's end.

    A boundary belongs to what begins: at 09:00 calls may be placed, at 20:00 no longer.
    """

    zone: ZoneInfo
    week: tuple[Span | None, ...]
    calendar: Calendar = field(default=Calendar(), kw_only=True)
    holiday: Span | Usual | None = field(default=Usual.USUAL, kw_only=True)
    quiet: tuple[Span, ...] = field(default=(), kw_only=True)  #: of every day

    def span(self, day: date) -> Span | None:
        """
        The hours of a day; a moved working day has those of the week's last, mostly Friday. A day
        off never has more than its day of the week.
        """
        if self.calendar.moved(day):
            weekend = self.calendar.weekend
            return self.week[max(one for one in range(7) if one not in weekend)]
        usual = self.week[day.weekday()]
        if self.calendar.own(day):
            # Who writes a day off into the calendar means it: "usual" is about public holidays.
            return None if self.holiday is Usual.USUAL else within(self.holiday, usual)
        if self.holiday is not Usual.USUAL and self.calendar.holiday(day):
            return within(self.holiday, usual)
        return usual

    def opens(self, now: datetime) -> datetime | None:
        """None if calls may be placed at ``now``; otherwise when they may, at the earliest."""
        local = now.astimezone(self.zone)
        for days in range(HORIZON.days):
            day = local.date() + timedelta(days=days)
            for start, end in self._parts(day):
                if local < start:
                    return start.astimezone(now.tzinfo)
                if start <= local < end:
                    return None
        return now + HORIZON

    def _parts(self, day: date) -> list[tuple[datetime, datetime]]:
        """The day's hours less its quiet periods, in order."""
        span = self.span(day)
        if span is None:
            return []
        parts = []
        begin, end = self._moments(day, span)
        for start, stop in sorted(self._moments(day, quiet) for quiet in self.quiet):
            if begin < start < end:
                parts.append((begin, start))
            if start < end and stop > begin:
                begin = stop
        return [*parts, (begin, end)] if begin < end else parts

    def _moments(self, day: date, span: Span) -> tuple[datetime, datetime]:
        last = day if span[1] != time(0) else day + timedelta(days=1)
        return (
            datetime.combine(day, span[0], self.zone),
            datetime.combine(last, span[1], self.zone),
        )


def opens_everywhere(
    hours: Callable[[Where], Hours], places: Iterable[Where], now: datetime
) -> datetime | None:
    """
    The strictest reading, for a client who may be in any of ``places``: None if calls may be
    placed in all of them at ``now``; otherwise when they may in all of them.
    """
    everywhere: Sequence[Hours] = [hours(place) for place in places]
    at = now
    while at < now + HORIZON:
        later = [opening for one in everywhere if (opening := one.opens(at)) is not None]
        if not later:
            return None if at == now else at
        at = max(later)
    return now + HORIZON
