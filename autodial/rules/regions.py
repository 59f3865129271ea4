"""
Parts of countries (``US-FL``, ``RU-TA``; ISO 3166-2): in which a client may be, and which days are
days off there and not in the whole country.

What a number cannot say is not guessed: then the client may be in any of them.
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

#: Countries whose public holidays are known, with their parts; not by their other names (USA, UK).
COUNTED = holidays.list_supported_countries(include_aliases=False)
_FILE = Path(__file__).parent / "calendars" / "russia.toml"
_DAY = timedelta(days=1)
#: Countries whose area codes each lie in one part, which the library names.
_BY_CODE = {
    "US": {
        **holidays.country_holidays("US").subdivisions_aliases,
        "Washington State": "WA",
        "Washington D.C.": "DC",
    },
    "CA": holidays.country_holidays("CA").subdivisions_aliases,
}
#: Where the states of the United States lie that have one clock, or two; others by the country.
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
#: A day of winter and one of summer, to compare clocks by.
_SEASONS = (datetime(2026, 1, 15, 12), datetime(2026, 7, 15, 12))


class _Feasts(holidays.HolidayBase, ChristianHolidays, IslamicHolidays, ChineseCalendarHolidays):
    """Days that move, by the names that ``calendars/russia.toml`` has for them."""

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
        # The first Monday of Uastyrdzhi's feast, which is in the last full week of November.
        november = date(self._year, 11, 24)
        self._add_holiday("uastyrdzhi", november - november.weekday() * _DAY)
        self._add_chinese_new_years_day("lunar new year")


@frozen(kw_only=True)
class Subject:
    """A subject of the Russian Federation with days off of its own; see the file."""

    zones: tuple[str, ...]
    codes: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    moves: bool = False
    yearly: Mapping[int, tuple[str, ...]]
    movable: tuple[str, ...] = ()

    def off(self, year: int) -> frozenset[date]:
        """All of its own days off in a year."""
        found = {date.fromisoformat(f"{year}-{day}") for day in self.days}
        for name in self.standing:
            found |= _feasts(year).get(name, frozenset())
        if (told := self.yearly.get(year)) is not None:
            found |= {date.fromisoformat(f"{year}-{day}") for day in told}
        else:
            for name in self.movable:
                for day in _feasts(year).get(name, ()):
                    found |= {day - _DAY, day, day + _DAY}
        if self.moves:
            found |= {_next_working_day(day) for day in found if day.weekday() > 4}
        return frozenset(found)


@lru_cache(maxsize=32)
def _feasts(year: int) -> Mapping[str, frozenset[date]]:
    found: dict[str, frozenset[date]] = {}
    for day, said in _Feasts(year).items():
        for name in said.split("; "):
            found[name] = found.get(name, frozenset()) | {day}
    return found


def _next_working_day(day: date) -> date:
    russia = holidays.country_holidays("RU")
    while not russia.is_working_day(day):
        day += _DAY
    return day


@cache
def subjects() -> Mapping[str, Subject]:
    """Of Russia, by their codes."""
    said: Mapping[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {
        code: Subject(
            zones=tuple(one["zones"]),
            codes=tuple(one.get("codes", ())),
            days=tuple(one.get("days", ())),
            standing=tuple(one.get("standing", ())),
            moves=one.get("moves", False),
            yearly={int(year): tuple(days) for year, days in one.get("yearly", {}).items()},
            movable=tuple(one.get("movable", ())),
        )
        for code, one in said.items()
    }


@lru_cache(maxsize=512)
def of_country(country: str) -> tuple[str, ...]:
    """All parts of a country that have days off of their own, as far as is known."""
    if country == "RU":
        return tuple(subjects())
    return tuple(f"{country}-{part}" for part in COUNTED.get(country, ()))


def known(text: str) -> str:
    """The part of a country that a text names, as ``RU-TA``; empty: none that is known."""
    code = text.strip().upper()
    country = code.partition("-")[0]
    return code if country in COUNTED and code in of_country(country) else ""


@lru_cache(maxsize=10_000)
def of_number(number: str) -> tuple[str, ...] | None:
    """
    The parts in which a valid number may be; none if the country has none, or if the number lies in
    a part without days of its own; None: it cannot say.
    """
    parsed = phonenumbers.parse(number)
    country = phonenumbers.region_code_for_number(parsed) or ""
    parts = of_country(country)
    if not parts:
        return ()
    if country == "RU":
        own = next((part for part, one in subjects().items() if number[2:5] in one.codes), None)
        if own is not None:
            return (own,)
        # A code that lies under one clock is a place's: one of those without days of their own.
        return () if len(time_zones.of_number(number)) == 1 else None
    if country in _BY_CODE:
        said = geocoder.description_for_number(parsed, "en")
        part = _BY_CODE[country].get(said) or said.rpartition(", ")[2]
        return (f"{country}-{part}",) if f"{country}-{part}" in parts else None
    return None


@lru_cache(maxsize=1000)
def with_clock_of(zone: ZoneInfo, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Those of some parts where clocks may show what they show in a zone."""
    return tuple(part for part in parts if any(same_clock(zone, one) for one in zones_of((part,))))


@lru_cache(maxsize=1000)
def zones_of(parts: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    """Where they lie; of a part of which only the country is known, all zones of that."""
    found: dict[ZoneInfo, None] = {}
    for part in parts:
        own = subjects().get(part)
        names = own.zones if own is not None else _STATES.get(part, ())
        whole = time_zones.of_country(part.partition("-")[0]) if not names else ()
        found |= dict.fromkeys((*map(ZoneInfo, names), *whole))
    return tuple(found)


@lru_cache(maxsize=10_000)
def same_clock(one: ZoneInfo, other: ZoneInfo) -> bool:
    """Do clocks show the same in both, in winter and in summer?"""
    return all(
        day.replace(tzinfo=one).utcoffset() == day.replace(tzinfo=other).utcoffset()
        for day in _SEASONS
    )


def off(parts: tuple[str, ...], day: date) -> bool:
    """Is it a day off in any of these parts of countries (of its own, or of the whole country)?"""
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
