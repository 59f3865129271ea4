"""Moments as people write them: 14:00, fri 15:00, 2026-11-27T09:00."""

import re
from datetime import datetime, timedelta, tzinfo

#: The days of the week as people shorten them, Monday first.
_DAYS = (
    ("mo", "mon", "monday", "пн"), ("tu", "tue", "tuesday", "вт"), ("we", "wed", "wednesday", "ср"),
    ("th", "thu", "thursday", "чт"), ("fr", "fri", "friday", "пт"),
    ("sa", "sat", "saturday", "сб"), ("su", "sun", "sunday", "вс"),
)  # fmt: skip
#: Years that can be meant; beyond them, moments in other zones are none.
FIRST, LAST = 2000, 2999
_TIME = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?"


def moment_of(text: str, zone: tzinfo, now: datetime) -> datetime:
    """
    A time of today, of the next such day of the week (today, if it has not passed), or of a date;
    without an offset, in ``zone``.

    Raises:
        ValueError: none of these.
    """
    here, text = now.astimezone(zone), text.strip().casefold()
    found = re.fullmatch(rf"(?:(?P<day>[^\W\d]+)\s+)?{_TIME}", text)
    if found is None:
        moment = datetime.fromisoformat(text.upper())
        if not FIRST <= moment.year <= LAST:
            raise ValueError(f"{moment.year} is no year to plan for")
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    moment = here.replace(
        hour=int(found["hour"]),
        minute=int(found["minute"]),
        second=int(found["second"] or 0),
        microsecond=0,
    )
    if found["day"] is None:
        return moment
    day = next((number for number, names in enumerate(_DAYS) if found["day"] in names), None)
    if day is None:
        raise ValueError(f"{found['day']} is no day of the week")
    return on_day(moment, day, now)


def on_day(moment: datetime, day: int, now: datetime) -> datetime:
    """The time of a moment of today on the next such day of the week, 0 is Monday."""
    moment += timedelta(days=(day - moment.weekday()) % 7)
    return moment if moment > now else moment + timedelta(days=7)
