"""
Limits of contacts with a client: hours by the client's clock, number of calls, minimum interval.

Clients with the same number or the same CRM entity count as one person, over all tasks.
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
#: Numbers whose places are remembered, at most.
REMEMBERED = 10_000


@frozen
class Place:
    """A place in which a client may be."""

    zone: ZoneInfo
    country: str = ""  #: by the client's number; empty: unknown
    parts: tuple[str, ...] = ()  #: parts of the country with days off of their own, as ``RU-TA``


@frozen(kw_only=True)
class DayHours:
    """
    Hours by the kind of the day. A Saturday or a Sunday without hours of its own has those of
    ``days_off`` where it belongs to the weekend, and of ``workdays`` elsewhere.
    """

    workdays: Span | None
    days_off: Span | None
    saturday: Span | Usual | None = Usual.USUAL
    sunday: Span | Usual | None = Usual.USUAL
    holidays: Span | None

    @classmethod
    def alike(cls, workdays: Span | None, days_off: Span | None) -> "DayHours":
        """The same hours for all days off."""
        return cls(workdays=workdays, days_off=days_off, holidays=days_off)

    def of(self, day: int, weekend: Iterable[int]) -> Span | None:
        """The hours of a day of the week, Monday is 0."""
        own = {SATURDAY: self.saturday, SUNDAY: self.sunday}.get(day, Usual.USUAL)
        if not isinstance(own, Usual):
            return own
        return self.days_off if day in weekend else self.workdays


@frozen(kw_only=True)
class Part:
    """Additional limits in a part of a country (a state)."""

    hours: DayHours
    per: tuple[Budget, ...] = ()


@frozen(kw_only=True)
class Limits:
    """A site's limits: a preset with the site's changes."""

    hours: DayHours
    quiet: tuple[Span, ...] = ()
    calendar: Calendar = field(factory=Calendar)
    default_zone: ZoneInfo  #: for a number whose zone is unknown
    ambiguous_zone: ZoneInfo | None = None  #: for a number of many zones; None: the strictest
    #: Possible parts for a number that identifies no part of its country; None: any.
    regions: tuple[str, ...] | None = None
    parts: Mapping[str, Part] = field(factory=dict)  #: stricter limits of parts of countries
    per: tuple[Budget, ...] = ()  #: at most so many calls in a sliding window
    minimum_interval: timedelta = timedelta(0)  #: between two calls
    attempts: int | None = None  #: per task
    after_abandoned: timedelta = timedelta(0)  #: minimum interval after an abandoned call
    after_talk: timedelta = timedelta(0)  #: minimum interval after a talk
    best: tuple[Span, ...] = ()  #: local hours at which the client is likely to answer
    best_within: timedelta = timedelta(0)  #: how far a next call is moved to reach ``best``

    #: Cache of ``hours_in``: few places, many lookups.
    _hours_by_place: dict[Place, Hours] = field(factory=dict, init=False, repr=False, eq=False)
    #: Cache of ``places``, by number and zone: a call's are asked for four times.
    _known_places: dict[tuple[str, str], tuple[Place, ...]] = field(
        factory=dict, init=False, repr=False, eq=False
    )

    @property
    def looks_back(self) -> timedelta:
        """The span of the longest limit: older calls do not count."""
        budgets = [*self.per, *(budget for part in self.parts.values() for budget in part.per)]
        return max(
            self.minimum_interval,
            self.after_abandoned,
            self.after_talk,
            *(span for span, _ in budgets),
        )

    def hours_in(self, place: Place) -> Hours:
        """The hours for a client in a place."""
        if (hours := self._hours_by_place.get(place)) is None:
            hours = self._hours_by_place[place] = self._hours_in(place)
        return hours

    def _hours_in(self, place: Place) -> Hours:
        calendar = self._calendar(place)
        weekend = calendar.weekend
        every = [self.hours, *(self.parts[p].hours for p in place.parts if p in self.parts)]
        week = tuple(within(*(hours.of(day, weekend) for hours in every)) for day in range(7))
        free = within(*(hours.holidays for hours in every))
        return Hours(place.zone, week, calendar=calendar, holiday=free, quiet=self.quiet)

    def _calendar(self, place: Place) -> Calendar:
        """The holidays of the client's country; none if the site has no country."""
        own = self.calendar
        country = place.country
        if not own.country or country == own.country or country not in regions.COUNTED:
            return evolve(own, parts=place.parts)
        return evolve(own, country=country, parts=place.parts, working_days=())

    def places(self, number: str, zone: str) -> tuple[Place, ...]:
        """
        The places in which a client may be: by the CRM, else by the numbering plan, else by the
        site's settings. If the CRM's value cannot be parsed, all zones of the plan count.
        """
        known = self._known_places
        if (places := known.get((number, zone))) is None:
            if len(known) >= REMEMBERED:
                known.clear()
            places = known[number, zone] = self._places(number, zone)
        return places

    def _places(self, number: str, zone: str) -> tuple[Place, ...]:
        country = country_of(number)
        if part := regions.known(zone):
            zones = regions.zones_of((part,))
            return tuple(Place(each, part.partition("-")[0], (part,)) for each in zones)
        parts, sure = self._parts(number, country)
        if (crm_zone := named(zone)) is not None:
            if sure and not any(regions.same_clock(crm_zone, each) for each in of_number(number)):
                parts = self.regions if self.regions is not None else regions.of_country(country)
            return (Place(crm_zone, country, regions.with_clock_of(crm_zone, parts)),)
        zones = self._zones(number, zone)
        if sure:
            return tuple(Place(each, country, parts) for each in zones)
        return _anywhere(country, zones, parts)

    def _parts(self, number: str, country: str) -> tuple[tuple[str, ...], bool]:
        """The parts of the country in which the client may be; True: known from the number."""
        parts = regions.of_number(number) if country else ()
        if parts is not None:
            return parts, True
        if self.regions is not None:
            return self.regions, False
        return regions.of_country(country), False

    def _zones(self, number: str, zone: str) -> tuple[ZoneInfo, ...]:
        zones = of_number(number) or (self.default_zone,)
        configured = self.ambiguous_zone
        if len(zones) == 1 or configured is None or zone.strip():
            return zones
        # The configured zone applies only if it is one of the number's.
        applies = any(regions.same_clock(configured, each) for each in zones)
        return (configured,) if applies else zones

    def opens(self, number: str, zone: str, now: datetime) -> datetime | None:
        """None if the client may be called now by their clock; otherwise the next opening."""
        return opens_everywhere(self.hours_in, self.places(number, zone), now)

    def best_opens(self, span: Span, number: str, zone: str, now: datetime) -> datetime | None:
        """None if the client's clock is in this span; otherwise when it begins."""
        every_day = (span,) * 7
        return opens_everywhere(
            lambda place: Hours(place.zone, every_day), self.places(number, zone), now
        )

    def rested(
        self, number: str, zone: str, calls: Sequence[Called], now: datetime
    ) -> datetime | None:
        """
        None if the budget of a person with these earlier calls allows a call at ``now``; otherwise
        when it does again.
        """
        waits = [call.at + self.minimum_interval for call in calls]
        waits += [call.at + self.after_abandoned for call in calls if call.abandoned]
        waits += [call.at + self.after_talk for call in calls if call.talked]
        for span, limit in (*self.per, *self._budgets(number, zone)):
            recent = sorted(call.at for call in calls if call.at > now - span)
            if len(recent) >= limit:
                # There is room again when this call leaves the window.
                waits.append(recent[len(recent) - limit] + span)
        until = max(waits, default=now)
        return until if until > now else None

    def _budgets(self, number: str, zone: str) -> Iterable[Budget]:
        if not self.parts:
            return ()
        near = dict.fromkeys(part for place in self.places(number, zone) for part in place.parts)
        return [budget for part in near if part in self.parts for budget in self.parts[part].per]


@lru_cache(maxsize=1000)
def _anywhere(
    country: str, zones: tuple[ZoneInfo, ...], parts: tuple[str, ...]
) -> tuple[Place, ...]:
    """Places for zones and parts: each clock once, with the parts that use it."""
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
