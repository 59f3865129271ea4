"""
When calls may be placed: hours per weekday, with holidays and quiet periods, in one time zone or
in all zones in which a client may be.
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

#: How far ahead to search for an opening. Hours without one are checked again then.
HORIZON = timedelta(days=14)


class Usual(Enum):
    """The hours of the weekday apply."""

    USUAL = "usual"


@lru_cache(maxsize=64)
def _of_thread(country: str, thread: int) -> holidays.HolidayBase:
    return holidays.country_holidays(country)


def _public(country: str) -> holidays.HolidayBase:
    """
    The public holidays, one object per thread: it fills itself on the first lookup in a year, and a
    concurrent lookup meanwhile finds no holidays.
    """
    return _of_thread(country, get_ident())


#: As the end of a span: the end of the day.
_MIDNIGHT = time(0)


def within(*spans: Span | None) -> Span | None:
    """The intersection of spans of a day; None: it is empty."""
    begin, end = time(0), _MIDNIGHT
    for span in spans:
        if span is None:
            return None
        begin = max(begin, span[0])
        end = min((end, span[1]), key=lambda clock: (clock == _MIDNIGHT, clock))
    return (begin, end) if end == _MIDNIGHT or begin < end else None


@frozen(kw_only=True)
class Calendar:
    """
    The days off: public holidays of a country and of parts of it, moved days, and the site's own.
    """

    country: str = ""  #: a code of the holidays library; empty: no public holidays
    #: Parts of the country, as ``RU-TA``: a day off in any of them is a day off.
    parts: tuple[str, ...] = ()
    days_off: Collection[date] = ()
    days_off_in: Mapping[str, Collection[date]] = field(factory=dict)  #: by part of the country
    working_days: Collection[date] = ()  #: override everything else

    @property
    def weekend(self) -> Collection[int]:
        """The weekend's days of the week, Monday is 0."""
        return _public(self.country).weekend if self.country else (5, 6)

    def holiday(self, day: date) -> bool:
        """Whether it is a day off for another reason than the weekend."""
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
        """Whether it is a day off of the site's own."""
        return day in self.days_off and day not in self.working_days

    def moved(self, day: date) -> bool:
        """Whether it is a weekend day that is worked in place of another day."""
        if day in self.days_off or day.weekday() not in self.weekend:
            return False
        if day in self.working_days:
            return True
        moved = bool(self.country) and _public(self.country).is_working_day(day)
        return moved and not self._in_parts(day)


@frozen
class Hours:
    """
    ``week[0]`` is Monday; None is a day without calls; midnight as an end is the day's end.

    Spans are half-open: in ``[09:00, 20:00)`` calls may be placed at 09:00, not at 20:00.
    """

    zone: ZoneInfo
    week: tuple[Span | None, ...]
    calendar: Calendar = field(default=Calendar(), kw_only=True)
    holiday: Span | Usual | None = field(default=Usual.USUAL, kw_only=True)
    quiet: tuple[Span, ...] = field(default=(), kw_only=True)  #: on every day

    def span(self, day: date) -> Span | None:
        """
        The hours of a day. A moved working day has those of the week's last working day, mostly
        Friday. A day off never has more than its weekday.
        """
        if self.calendar.moved(day):
            weekend = self.calendar.weekend
            return self.week[max(weekday for weekday in range(7) if weekday not in weekend)]
        usual = self.week[day.weekday()]
        if self.calendar.own(day):
            # "usual" applies to public holidays, not to days off that the site has entered.
            return None if self.holiday is Usual.USUAL else within(self.holiday, usual)
        if self.holiday is not Usual.USUAL and self.calendar.holiday(day):
            return within(self.holiday, usual)
        return usual

    def opens(self, now: datetime) -> datetime | None:
        """None if calls may be placed at ``now``; otherwise the next opening."""
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
        """The day's hours minus the quiet periods, in order."""
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
    For a client who may be in any of ``places``: None if calls may be placed in all of them at
    ``now``; otherwise the next moment when they may.
    """
    everywhere: Sequence[Hours] = [hours(place) for place in places]
    at = now
    while at < now + HORIZON:
        later = [opening for each in everywhere if (opening := each.opens(at)) is not None]
        if not later:
            return None if at == now else at
        at = max(later)
    return now + HORIZON
