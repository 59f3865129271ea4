"""
What a client may be asked to bear: at which hours by his own clock, how often, how far apart.

One person is everybody with the same number or the same entity of the CRM, over all tasks.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from autodial.model.task import Called
from autodial.rules import regions
from autodial.rules.calling_hours import Calendar, Hours, Span, Usual, opens_everywhere, within
from autodial.rules.time_zones import country_of, named, of_number

HOUR, DAY, WEEK, MONTH = (
    timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=31),
)  # fmt: skip
Budget = tuple[timedelta, int]
SATURDAY, SUNDAY = 5, 6


@frozen
class Place:
    """Where a client may be."""

    zone: ZoneInfo
    country: str = ""  #: by his number; empty: nobody can say
    parts: tuple[str, ...] = ()  #: parts of the country with days off of their own, as ``RU-TA``


@frozen(kw_only=True)
class DayHours:
    """
    Hours by the kind of the day. A Saturday or a Sunday of which nothing is said has those of
    ``days_off`` where it is one of the weekend, and of ``workdays`` elsewhere.
    """

    workdays: Span | None
    days_off: Span | None
    saturday: Span | Usual | None = Usual.USUAL
    sunday: Span | Usual | None = Usual.USUAL
    holidays: Span | None

    @classmethod
    def alike(cls, workdays: Span | None, days_off: Span | None) -> "DayHours":
        """All days off have the same."""
        return cls(workdays=workdays, days_off=days_off, holidays=days_off)

    def of(self, day: int, weekend: Iterable[int]) -> Span | None:
        """Of a day of the week, Monday is 0."""
        own = {SATURDAY: self.saturday, SUNDAY: self.sunday}.get(day, Usual.USUAL)
        if not isinstance(own, Usual):
            return own
        return self.days_off if day in weekend else self.workdays


@frozen(kw_only=True)
class Part:
    """What a part of a country (a state) allows, besides what holds everywhere."""

    hours: DayHours
    per: tuple[Budget, ...] = ()


@frozen(kw_only=True)
class Limits:
    """A site's limits, from a preset and what it says differently."""

    hours: DayHours
    quiet: tuple[Span, ...] = ()
    calendar: Calendar = field(factory=Calendar)
    default_zone: ZoneInfo  #: for a number of which nobody can say where it rings
    ambiguous_zone: ZoneInfo | None = (
        None  #: for a number of many zones; None: the strictest of them
    )
    #: For a number that names no part of its country: it may be in these; None: in any.
    regions: tuple[str, ...] | None = None
    parts: Mapping[str, Part] = field(factory=dict)  #: stricter limits of parts of countries
    per: tuple[Budget, ...] = ()  #: at most so many calls in any such span
    minimum_interval: timedelta = timedelta(0)  #: between two calls
    attempts: int | None = None  #: for one task
    after_abandoned: timedelta = timedelta(0)  #: rest after a call that nobody took at our end
    after_talk: timedelta = timedelta(0)  #: and after a talk
    best: tuple[Span, ...] = ()  #: hours of his day at which he is likely to answer
    best_within: timedelta = timedelta(0)  #: a next call is moved there, if it is no further off

    #: What ``hours_in`` has said before: there are few places, asked about all the time.
    _said: dict[Place, Hours] = field(factory=dict, init=False, repr=False, eq=False)

    @property
    def looks_back(self) -> timedelta:
        """A call of longer ago counts in none of these limits."""
        budgets = [*self.per, *(one for part in self.parts.values() for one in part.per)]
        return max(
            self.minimum_interval,
            self.after_abandoned,
            self.after_talk,
            *(span for span, _ in budgets),
        )

    def hours_in(self, place: Place) -> Hours:
        """When a client may be called who lives there."""
        if (said := self._said.get(place)) is None:
            said = self._said[place] = self._hours_in(place)
        return said

    def _hours_in(self, place: Place) -> Hours:
        calendar = self._calendar(place)
        weekend = calendar.weekend
        every = [self.hours, *(self.parts[p].hours for p in place.parts if p in self.parts)]
        week = tuple(within(*(hours.of(day, weekend) for hours in every)) for day in range(7))
        free = within(*(hours.holidays for hours in every))
        return Hours(place.zone, week, calendar=calendar, holiday=free, quiet=self.quiet)

    def _calendar(self, place: Place) -> Calendar:
        """The holidays of his country; where the site has none at all, nobody's."""
        own = self.calendar
        country = place.country
        if not own.country or country == own.country or country not in regions.COUNTED:
            return evolve(own, parts=place.parts)
        return evolve(own, country=country, parts=place.parts, working_days=())

    def places(self, number: str, zone: str) -> tuple[Place, ...]:
        """
        Where a client may be: what the CRM says, else the numbering plan, else ours. What the CRM
        says and nobody can read is not ignored: then all zones of the plan count.
        """
        country = country_of(number)
        if part := regions.known(zone):
            lies = regions.zones_of((part,))
            return tuple(Place(one, part.partition("-")[0], (part,)) for one in lies)
        parts, sure = self._parts(number, country)
        if (said := named(zone)) is not None:
            if sure and not any(regions.same_clock(said, one) for one in of_number(number)):
                parts = self.regions if self.regions is not None else regions.of_country(country)
            return (Place(said, country, regions.with_clock_of(said, parts)),)
        zones = self._zones(number, zone)
        if sure:
            return tuple(Place(one, country, parts) for one in zones)
        return _anywhere(country, zones, parts)

    def _parts(self, number: str, country: str) -> tuple[tuple[str, ...], bool]:
        """The parts of his country that he may be in, and whether his number says so."""
        said = regions.of_number(number) if country else ()
        if said is not None:
            return said, True
        if self.regions is not None:
            return self.regions, False
        return regions.of_country(country), False

    def _zones(self, number: str, zone: str) -> tuple[ZoneInfo, ...]:
        found = of_number(number) or (self.default_zone,)
        ours = self.ambiguous_zone
        if len(found) == 1 or ours is None or zone.strip():
            return found
        # Ours is not the clock of a number that lies in other zones: the key is no help then.
        return (ours,) if any(regions.same_clock(ours, one) for one in found) else found

    def opens(self, number: str, zone: str, now: datetime) -> datetime | None:
        """None if the client may be called now by his clock; otherwise when, at the earliest."""
        return opens_everywhere(self.hours_in, self.places(number, zone), now)

    def best_opens(self, span: Span, number: str, zone: str, now: datetime) -> datetime | None:
        """None if it is this span of the client's day; otherwise when it begins."""
        every_day = (span,) * 7
        return opens_everywhere(
            lambda place: Hours(place.zone, every_day), self.places(number, zone), now
        )

    def rested(
        self, number: str, zone: str, calls: Sequence[Called], now: datetime
    ) -> datetime | None:
        """
        None if a person who had these calls may be called at ``now``; otherwise when the budget
        allows it again.
        """
        waits = [call.at + self.minimum_interval for call in calls]
        waits += [call.at + self.after_abandoned for call in calls if call.abandoned]
        waits += [call.at + self.after_talk for call in calls if call.talked]
        for span, most in (*self.per, *self._budgets(number, zone)):
            recent = sorted(call.at for call in calls if call.at > now - span)
            if len(recent) >= most:
                # The call whose leaving the window makes room for another.
                waits.append(recent[len(recent) - most] + span)
        until = max(waits, default=now)
        return until if until > now else None

    def _budgets(self, number: str, zone: str) -> Iterable[Budget]:
        if not self.parts:
            return ()
        near = dict.fromkeys(part for place in self.places(number, zone) for part in place.parts)
        return [one for part in near if part in self.parts for one in self.parts[part].per]


@lru_cache(maxsize=1000)
def _anywhere(
    country: str, zones: tuple[ZoneInfo, ...], parts: tuple[str, ...]
) -> tuple[Place, ...]:
    """In any of these zones and parts: each clock once, with the parts that go by it."""
    own = (
        zone
        for zone in regions.zones_of(parts)
        if any(regions.same_clock(zone, one) for one in zones)
    )
    every: list[ZoneInfo] = []
    for zone in (*zones, *own):
        if not any(regions.same_clock(zone, one) for one in every):
            every.append(zone)
    return tuple(Place(one, country, regions.with_clock_of(one, parts)) for one in every)
