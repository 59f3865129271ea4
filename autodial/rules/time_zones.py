"""The time zones in which a client may be: by the CRM or by the numbering plan."""

import re
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone

from autodial.rules import time_zone_data

#: Chosen before the first zone is read: all code that needs a zone imports this module.
DATA = time_zone_data.choose()
#: The library's data puts numbers of Russia or Kazakhstan in any zone of their shared country code,
#: and Kaliningrad under Bucharest, which is right in winter only.
_RUSSIA = {
    "Asia/Anadyr", "Asia/Irkutsk", "Asia/Kamchatka", "Asia/Krasnoyarsk", "Asia/Magadan",
    "Asia/Novosibirsk", "Asia/Omsk", "Asia/Sakhalin", "Asia/Vladivostok", "Asia/Yakutsk",
    "Asia/Yekaterinburg", "Europe/Moscow", "Europe/Samara", "Europe/Kaliningrad",
}  # fmt: skip
_OF = {"RU": _RUSSIA, "KZ": {"Asia/Almaty", "Asia/Aqtobe", "Asia/Aqtau"}}
_INSTEAD = {("RU", "Europe/Bucharest"): "Europe/Kaliningrad"}
#: Area codes for which the library's data is wrong or imprecise; the longest match counts. Checked
#: 2026-11-26 against the time zone database 2026.3, code by code. A code of Yakutia's uluses lies
#: in one of three zones, and the code does not determine which.
_CODES = {
    "+7845": ("Europe/Saratov",),  # UTC+4 since 2016-12-04
    "+7411": ("Asia/Yakutsk", "Asia/Vladivostok", "Asia/Srednekolymsk"),
    "+74112": ("Asia/Yakutsk",),
    # Area codes of North America in two zones: the library has one zone for most of their
    # exchanges, or for all (364, 448, 930), and a number is kept over a move within its area code.
    # Checked 2026-11-27 against the states' time zone borders, code by code.
    **dict.fromkeys(
        ("+1208", "+1986", "+1541", "+1458"), ("America/Los_Angeles", "America/Boise")
    ),
    **dict.fromkeys(
        ("+1219", "+1574", "+1812", "+1930", "+1270", "+1364", "+1606", "+1423", "+1850", "+1448",
         "+1906", "+1807"),
        ("America/New_York", "America/Chicago"),
    ),
    **dict.fromkeys(
        ("+1308", "+1605", "+1620", "+1701", "+1785"), ("America/Chicago", "America/Denver")
    ),
    "+1775": ("America/Los_Angeles", "America/Boise"),
    "+1928": ("America/Phoenix", "America/Denver"),  # the Navajo Nation changes its clocks
    "+1907": ("America/Anchorage", "America/Adak"),
}  # fmt: skip
#: A number with more zones than this identifies only its country.
MOST_ZONES = 15
_UNKNOWN = timezone.UNKNOWN_TIMEZONE


def named(text: str) -> ZoneInfo | None:
    """
    A zone from the CRM's text: ``Europe/Moscow``, or an offset such as ``UTC+3`` or ``МСК+4``.
    None: it cannot be parsed.
    """
    text = text.strip()
    for prefix, base in (("UTC", 0), ("GMT", 0), ("МСК", 3), ("MSK", 3)):
        rest = text.upper().removeprefix(prefix).strip()
        if text.upper().startswith(prefix) and (not rest or rest[0] in "+-\u2212"):
            return _offset(base, rest.replace("\u2212", "-"))
    try:
        return ZoneInfo(text) if text else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _offset(base: int, rest: str) -> ZoneInfo | None:
    match = re.fullmatch(r"([+-][0-9]{1,2})?(:00)?", rest)
    if match is None:
        return None
    ahead = base + int(match.group(1) or 0)
    if not -12 <= ahead <= 14:
        return None
    # In the database's Etc names the sign is inverted: west is positive.
    return ZoneInfo(f"Etc/GMT{-ahead:+d}") if ahead else ZoneInfo("UTC")


@lru_cache(maxsize=256)
def of_country(country: str) -> tuple[ZoneInfo, ...]:
    """All zones of a country, by the time zone database's table."""
    if country in _OF:
        return tuple(ZoneInfo(name) for name in sorted(_OF[country]))
    table = files("tzdata.zoneinfo").joinpath("zone.tab").read_text(encoding="utf-8")
    rows = (row.split("\t") for row in table.splitlines() if not row.startswith("#"))
    return tuple(ZoneInfo(row[2]) for row in rows if row[0] == country)


@lru_cache(maxsize=10_000)
def _parsed(number: str) -> tuple[phonenumbers.PhoneNumber, str] | None:
    """With its country; None: it is no number."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    return parsed, phonenumbers.region_code_for_number(parsed) or ""


def country_of(number: str) -> str:
    """The country of a number, as ``RU``; empty: unknown."""
    known = _parsed(number)
    return known[1] if known is not None else ""


@lru_cache(maxsize=10_000)
def of_number(number: str) -> tuple[ZoneInfo, ...]:
    """All zones in which a number may ring; empty: unknown."""
    known_number = _parsed(number)
    if known_number is None:
        return ()
    parsed, region = known_number
    for length in (6, 5):
        if (code := number[:length]) in _CODES:
            return tuple(ZoneInfo(name) for name in _CODES[code])
    names = [_INSTEAD.get((region, name), name) for name in timezone.time_zones_for_number(parsed)]
    known = _OF.get(region)
    fit = [name for name in names if name != _UNKNOWN and (known is None or name in known)]
    if (not fit and region == "RU") or len(fit) > MOST_ZONES:
        return of_country(region)  # a new code, or one for a whole continent
    return tuple(ZoneInfo(name) for name in dict.fromkeys(fit))
