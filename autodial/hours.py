"""When calls may be placed: opening hours per weekday, in one time zone."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from attrs import frozen


@frozen
class Hours:
    """``week[0]`` is Monday; None is a day without calls; an end of midnight is the day's end."""

    zone: ZoneInfo
    week: tuple[tuple[time, time] | None, ...]

    def opens(self, now: datetime) -> datetime | None:
        """None if calls may be placed at ``now``; otherwise when they may, at the earliest."""
        local = now.astimezone(self.zone)
        for days in range(8):
            day = local.date() + timedelta(days=days)
            span = self.week[day.weekday()]
            if span is None:
                continue
            start = datetime.combine(day, span[0], self.zone)
            last = day if span[1] != time(0) else day + timedelta(days=1)
            end = datetime.combine(last, span[1], self.zone)
            if start <= local < end:
                return None
            if local < start:
                return start.astimezone(now.tzinfo)
        return now + timedelta(days=7)  # no day has hours: look again in a week
