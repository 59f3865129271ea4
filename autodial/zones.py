"""In which time zones a client may be: by what the CRM says, or by the numbering plan."""

import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone

#: The plan's own data has a number of Russia or Kazakhstan in any zone of the country code they
#: share, and Kaliningrad under Bucharest, which is right in winter only.
_RUSSIA = {
    "Asia/Anadyr", "Asia/Irkutsk", "Asia/Kamchatka", "Asia/Krasnoyarsk", "Asia/Magadan",
    "Asia/Novosibirsk", "Asia/Omsk", "Asia/Sakhalin", "Asia/Vladivostok", "Asia/Yakutsk",
    "Asia/Yekaterinburg", "Europe/Moscow", "Europe/Samara", "Europe/Kaliningrad",
}  # fmt: skip
_OF = {"RU": _RUSSIA, "KZ": {"Asia/Almaty", "Asia/Aqtobe", "Asia/Aqtau"}}
_INSTEAD = {("RU", "Europe/Bucharest"): "Europe/Kaliningrad"}
#: Area codes for which the plan's data is wrong, or says less than it might; the longest that fits
#: counts. Checked 2026-11-26 against the time zone database 2026.3, code by code. A code of
#: Yakutia's uluses lies in one of three zones, and which one is not certain from the code.
_CODES = {
    "+7845": ("Europe/Saratov",),  # UTC+4 since 2016-12-04
    "+7411": ("Asia/Yakutsk", "Asia/Vladivostok", "Asia/Srednekolymsk"),
    "+74112": ("Asia/Yakutsk",),
}
_UNKNOWN = timezone.UNKNOWN_TIMEZONE


def named(text: str) -> ZoneInfo | None:
    """
    A zone as the CRM may have it: ``Europe/Moscow``, or an offset such as ``UTC+3`` or ``МСК+4``.
    None: it cannot be read.
    """
    text = text.strip()
    for prefix, base in (("UTC", 0), ("GMT", 0), ("МСК", 3), ("MSK", 3)):
        rest = text.upper().removeprefix(prefix)
        if text.upper().startswith(prefix) and (not rest or rest[0] in "+-\u2212"):
            return _offset(base, rest.replace("\u2212", "-"))
    try:
        return ZoneInfo(text) if text else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _offset(base: int, rest: str) -> ZoneInfo | None:
    found = re.fullmatch(r"([+-][0-9]{1,2})?(:00)?", rest)
    if found is None:
        return None
    ahead = base + int(found.group(1) or 0)
    if not -12 <= ahead <= 14:
        return None
    # The database's names have the sign of the sea charts: west is positive.
    return ZoneInfo(f"Etc/GMT{-ahead:+d}") if ahead else ZoneInfo("UTC")


@lru_cache(maxsize=10_000)
def of_number(number: str) -> tuple[ZoneInfo, ...]:
    """All the zones in which a number may ring; empty: the plan does not say."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ()
    for length in (6, 5):
        if (code := number[:length]) in _CODES:
            return tuple(ZoneInfo(name) for name in _CODES[code])
    region = phonenumbers.region_code_for_number(parsed) or ""
    names = [_INSTEAD.get((region, name), name) for name in timezone.time_zones_for_number(parsed)]
    known = _OF.get(region)
    fit = [name for name in names if name != _UNKNOWN and (known is None or name in known)]
    if not fit and region == "RU":
        fit = sorted(_RUSSIA)  # a new code: anywhere in the country
    return tuple(ZoneInfo(name) for name in dict.fromkeys(fit))
