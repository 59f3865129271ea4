"""A simulated day as a picture: attempts and talks over the hours, in SVG."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import leather

Point = tuple[datetime, int, int]


def svg(points: Sequence[Point], zone: ZoneInfo, title: str) -> str:
    """``points`` are moments, each with the talks and the attempts made by then."""
    clocks = [at.astimezone(zone).replace(tzinfo=None) for at, _, _ in points]
    chart = leather.Chart(title)
    chart.add_x_axis(tick_formatter=lambda clock, *_: f"{clock:%H:%M}")
    for name, place in (("attempts", 2), ("talks", 1)):
        values = [point[place] for point in points]
        chart.add_line(list(zip(clocks, values, strict=True)), name=name)
    return str(chart.to_svg(width=800, height=400))
