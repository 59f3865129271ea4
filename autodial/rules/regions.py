"""
Parts of countries (``US-FL``, ``RU-TA``; ISO 3166-2): those in which a client may be, and their
days off besides the country's.

If the number does not determine the part, the client may be in any of them.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import phonenumbers
from attrs import frozen
from holidays.calendars.julian import JULIAN_CALENDAR
from holidays.groups.chinese import ChineseCalendarHolidays
from holidays.groups.christian import ChristianHolidays
from holidays.groups.islamic import IslamicHolidays
from phonenumbers import geocoder

from autodial.rules import time_zones

#: Countries with known public holidays, and their parts; without aliases (USA, UK).
COUNTED = holidays.list_supported_countries(include_aliases=False)
_FILE = Path(__file__).parent / "calendars" / "russia.toml"
_DAY = timedelta(days=1)
#: Countries in which each area code lies in one part, by the library's names of the parts.
_BY_CODE = {
    "US": {
        **holidays.country_holidays("US").subdivisions_aliases,
        "Washington State": "WA",
        "Washington D.C.": "DC",
    },
    "CA": holidays.country_holidays("CA").subdivisions_aliases,
}
#: Zones of the United States' states with one or two clocks; for others, the country's zones.
_STATES: Mapping[str, tuple[str, ...]] = {
    f"US-{state}": tuple(zones.split())
    for zones, states in {
        "America/New_York": "CT DE DC GA ME MD MA NH NJ NY NC OH PA RI SC VT VA WV",
        "America/Chicago": "AL AR IL IA LA MN MS MO OK WI",
        "America/Denver": "CO MT NM UT WY",
        "America/Los_Angeles": "CA WA",
        "America/New_York America/Chicago": "FL KY TN IN MI",
        "America/Chicago America/Denver": "KS NE ND SD TX",
        "America/Los_Angeles America/Boise": "ID OR NV",
        "America/Phoenix America/Denver": "AZ",
        "America/Anchorage America/Adak": "AK",
        "Pacific/Honolulu": "HI",
    }.items()
    for state in states.split()
}
#: A winter and a summer day, to compare clocks.
_SEASONS = (datetime(2026, 1, 15, 12), datetime(2026, 7, 15, 12))


class _Feasts(holidays.HolidayBase, ChristianHolidays, IslamicHolidays, ChineseCalendarHolidays):
    """Movable days, by their names in ``calendars/russia.toml``."""

    country = "RU"

    def __init__(self, year: int) -> None:
        ChristianHolidays.__init__(self, JULIAN_CALENDAR)
        IslamicHolidays.__init__(self, show_estimated=False)
        ChineseCalendarHolidays.__init__(self)
        super().__init__(years=year)

    def _populate_public_holidays(self) -> None:
        self._add_eid_al_fitr_day("fitr")
        self._add_eid_al_adha_day("adha")
        self._add_easter_monday("easter monday")
        self._add_rejoicing_day("radonitsa")
        self._add_holiday("trinity monday", self._easter_sunday + 50 * _DAY)
        # The first Monday of Uastyrdzhi's feast, in the last full week of November.
        november = date(self._year, 11, 24)
        self._add_holiday("uastyrdzhi", november - november.weekday() * _DAY)
        self._add_chinese_new_years_day("lunar new year")


@frozen(kw_only=True)
class Subject:
    """A subject of the Russian Federation with days off of its own; fields as in the file."""

    zones: tuple[str, ...]
    codes: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    moves: bool = False
    yearly: Mapping[int, tuple[str, ...]]
    movable: tuple[str, ...] = ()

    def off(self, year: int) -> frozenset[date]:
        """The subject's own days off in a year."""
        days = {date.fromisoformat(f"{year}-{day}") for day in self.days}
        for name in self.standing:
            days |= _feasts(year).get(name, frozenset())
        if (listed := self.yearly.get(year)) is not None:
            days |= {date.fromisoformat(f"{year}-{day}") for day in listed}
        else:
            for name in self.movable:
                for day in _feasts(year).get(name, ()):
                    days |= {day - _DAY, day, day + _DAY}
        if self.moves:
            days |= {_next_working_day(day) for day in days if day.weekday() > 4}
        return frozenset(days)


@lru_cache(maxsize=32)
def _feasts(year: int) -> Mapping[str, frozenset[date]]:
    feasts: dict[str, frozenset[date]] = {}
    for day, names in _Feasts(year).items():
        for name in names.split("; "):
            feasts[name] = feasts.get(name, frozenset()) | {day}
    return feasts


def _next_working_day(day: date) -> date:
    russia = holidays.country_holidays("RU")
    while not russia.is_working_day(day):
        day += _DAY
    return day


@cache
def subjects() -> Mapping[str, Subject]:
    """The subjects of Russia, by code."""
    tables: Mapping[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        code: Subject(
            zones=tuple(table["zones"]),
            codes=tuple(table.get("codes", ())),
            days=tuple(table.get("days", ())),
            standing=tuple(table.get("standing", ())),
            moves=table.get("moves", False),
            yearly={int(year): tuple(days) for year, days in table.get("yearly", {}).items()},
            movable=tuple(table.get("movable", ())),
        )
        for code, table in tables.items()
    }


@lru_cache(maxsize=512)
def of_country(country: str) -> tuple[str, ...]:
    """All known parts of a country with days off of their own."""
    if country == "RU":
        return tuple(subjects())
    return tuple(f"{country}-{part}" for part in COUNTED.get(country, ()))


def known(text: str) -> str:
    """The part of a country in a text, as ``RU-TA``; empty: no known part."""
    code = text.strip().upper()
    country = code.partition("-")[0]
    return code if country in COUNTED and code in of_country(country) else ""


@lru_cache(maxsize=10_000)
def of_number(number: str) -> tuple[str, ...] | None:
    """
    The parts in which a valid number may be; empty if the country has none, or if the number lies
    in a part without days off of its own; None: unknown.
    """
    parsed = phonenumbers.parse(number)
    country = phonenumbers.region_code_for_number(parsed) or ""
    parts = of_country(country)
    if not parts:
        return ()
    if country == "RU":
        own = next(
            (part for part, subject in subjects().items() if number[2:5] in subject.codes), None
        )
        if own is not None:
            return (own,)
        # A code with one clock is geographic: it lies in a part without days off of its own.
        return () if len(time_zones.of_number(number)) == 1 else None
    if country in _BY_CODE:
        place = geocoder.description_for_number(parsed, "en")
        part = _BY_CODE[country].get(place) or place.rpartition(", ")[2]
        return (f"{country}-{part}",) if f"{country}-{part}" in parts else None
    return None


@lru_cache(maxsize=1000)
def with_clock_of(zone: ZoneInfo, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts in which clocks may show the time of a zone."""
    return tuple(part for part in parts if any(same_clock(zone, own) for own in zones_of((part,))))


@lru_cache(maxsize=1000)
def zones_of(parts: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    """The zones of parts; for a part without known zones, all zones of its country."""
    zones: dict[ZoneInfo, None] = {}
    for part in parts:
        own = subjects().get(part)
        names = own.zones if own is not None else _STATES.get(part, ())
        whole = time_zones.of_country(part.partition("-")[0]) if not names else ()
        zones |= dict.fromkeys((*map(ZoneInfo, names), *whole))
    return tuple(zones)


@lru_cache(maxsize=10_000)
def same_clock(one: ZoneInfo, other: ZoneInfo) -> bool:
    """Whether clocks show the same in both, in winter and in summer."""
    return all(
        day.replace(tzinfo=one).utcoffset() == day.replace(tzinfo=other).utcoffset()
        for day in _SEASONS
    )


def off(parts: tuple[str, ...], day: date) -> bool:
    """Whether it is a day off in any of these parts: the part's own or the whole country's."""
    return bool(parts) and day in _days_of(parts, day.year)


@lru_cache(maxsize=1000)
def _days_of(parts: tuple[str, ...], year: int) -> frozenset[date]:
    return frozenset(day for part in parts for day in _days(part, year))


@lru_cache(maxsize=1000)
def _days(part: str, year: int) -> frozenset[date]:
    own = subjects().get(part)
    if own is not None:
        return own.off(year)
    country, _, name = part.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=name, years=year, expand=False))
