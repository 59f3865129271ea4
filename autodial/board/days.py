"""The days that a page is about, as its address names them; midnight to midnight at the site."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import frozen
from starlette.requests import Request

from autodial.config.settings import Config

#: Days beyond these are not asked for.
FIRST, LAST = date(2000, 1, 1), date(2999, 1, 1)


@frozen
class Days:
    """From ``first`` to ``last``, both included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, datetime.min.time(), self.zone)

    @property
    def end(self) -> datetime:
        after = self.last + timedelta(days=1)
        return datetime.combine(after, datetime.min.time(), self.zone)


def day_of(request: Request, config: Config, now: datetime) -> Days:
    """``?day=2026-11-27``; anything else is today."""
    zone = ZoneInfo(config.hours.zone)
    day = _date(request.query_params.get("day", ""), now.astimezone(zone).date())
    return Days(day, day, zone)


def month_of(request: Request, config: Config, now: datetime) -> Days:
    """``?month=2026-11``; anything else is this month."""
    zone = ZoneInfo(config.hours.zone)
    first = _date(
        request.query_params.get("month", "") + "-01", now.astimezone(zone).date()
    ).replace(day=1)
    after = (first + timedelta(days=31)).replace(day=1)
    return Days(first, after - timedelta(days=1), zone)


def _date(text: str, otherwise: date) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return otherwise
    return min(max(found, FIRST), LAST)
