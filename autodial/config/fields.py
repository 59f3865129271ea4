"""What a key may hold: durations, hours, zones, networks … each refused with how it is written."""

import re
import tomllib
from collections.abc import Mapping
from datetime import time, timedelta
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
)

from autodial.rules import regions
from autodial.rules.caller_display import wrong_in

_LONGEST = 366 * 86400


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _as_duration(text: object) -> object:
    """``"90s"``, ``"20m"``, ``"2h"``, ``"1d"``."""
    if not isinstance(text, str) or text[-1:] not in _UNITS or not text[:-1].isdigit():
        raise ValueError(f'a time is written "90s", "20m", "2h" or "1d", not {text!r}')
    seconds = int(text[:-1]) * _UNITS[text[-1]]
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is longer than a year")
    return timedelta(seconds=seconds)


def known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder, "Europe"
        raise ValueError(f"no such time zone: {name!r}; write for example Europe/Moscow") from error
    return name


def parse_span(text: object) -> tuple[time, time] | None:
    """``"09:00-20:00"``; ``"off"`` for a day without calls; ``"00:00-24:00"`` for all day."""
    if text == "off":
        return None
    try:
        start, end = str(text).split("-")
        span = time.fromisoformat(start), time.fromisoformat("00:00" if end == "24:00" else end)
        if span[0].tzinfo or span[1].tzinfo:
            raise ValueError  # the zone is a key of its own
    except ValueError:
        raise ValueError(f'hours are written "09:00-20:00" or "off", not {text!r}') from None
    if span[1] != time(0) and span[0] >= span[1]:
        raise ValueError(f"these hours end before they begin: {text!r}")
    return span


def known_network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address or network, as 10.0.0.5 or 10.0.0.0/24"
        ) from None
    return text


def webhook_address(secret: SecretStr) -> SecretStr:
    # The text must not quote it: its path is a password.
    if not re.match(r"https?://[^/]+/.+/\d+/[^/]+/?$", secret.get_secret_value()):
        raise ValueError("an incoming webhook reads https://portal.example.com/rest/1/secret/")
    return secret


Duration = Annotated[timedelta, BeforeValidator(_as_duration)]


Span = Annotated[tuple[time, time] | None, BeforeValidator(parse_span)]


#: What laws and manners ask for, as data.
PRESETS = Path(__file__).parent / "presets"


NAME = r"^[A-Za-z0-9_.-]+$"


#: A department or a work group, by its number or its name; ``autodial groups`` lists both.
GroupName = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1, max_length=255)]


#: What breaks the call window of the portal's desktop app is in no line's name.
LINE_NAME = r"^[^'\\\n\r<>]*$"


CallerNumber = Annotated[str, Field(pattern=r"^\+?[0-9]+$")]


def _display_template(text: str) -> str:
    wrong = wrong_in(text)
    if wrong is not None:
        raise ValueError(wrong)
    return text


Template = Annotated[str, Field(max_length=200), AfterValidator(_display_template)]


#: The value of a SIP header: one line of printable ASCII.
AlertInfo = Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$")]


def numeric_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"a numeric address, as 127.0.0.1 or ::1, not {text!r}") from None
    return text


def _part_of_country(code: str) -> str:
    if not (part := regions.known(code)):
        raise ValueError(
            f"no part of a country with days off of its own is known as {code!r}; write for example"
            " RU-TA, GB-ENG or US-FL"
        )
    return part


#: A part of a country, by ISO 3166-2.
RegionCode = Annotated[str, AfterValidator(_part_of_country)]


ALL_DAY = (time(0), time(0))


def known_country(code: str) -> str:
    if code and code not in regions.COUNTED:
        raise ValueError(f"no public holidays are known for {code!r}; write RU, or nothing")
    return code


PresetName = Literal["courtesy", "ru-230fz", "us-ftc", "us-debt", "uk-ofcom", "none"]


def preset_of(client: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset says that [client] names."""
    name = client.get("preset", "courtesy")
    if name not in get_args(PresetName):
        return {}  # refused with its own sentence
    return tomllib.loads((PRESETS / f"{name}.toml").read_text(encoding="utf-8"))


def known_region(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"no numbering plan is known for {code!r}; write for example RU or GB")
    return code


def nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
