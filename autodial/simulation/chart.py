"""A simulated day as a picture: attempts and talks over the hours, in SVG."""

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pygal

Point = tuple[datetime, int, int]


def svg(points: Sequence[Point], zone: ZoneInfo, title: str) -> str:
    """``points`` are moments, each with the talks and the attempts made by then."""

    def clock(moment: datetime) -> str:  # the library hands moments back as UTC, without saying so
        return f"{moment.replace(tzinfo=UTC).astimezone(zone):%H:%M}"

    chart = pygal.DateTimeLine(
        title=title,
        show_dots=False,
        include_x_axis=True,
        x_value_formatter=clock,
        js=(),  # one file, which loads nothing
        width=800,
        height=400,
    )
    chart.x_labels = [at for at, _, _ in points if at.astimezone(zone).minute == 0]
    chart.add("attempts", [(at, attempts) for at, _, attempts in points])
    chart.add("talks", [(at, talks) for at, talks, _ in points])
    return str(chart.render(is_unicode=True))
