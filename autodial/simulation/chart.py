"""A simulated day as a picture: attempts and talks over the hours, in SVG."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 800, 360, 60, 40, 40

Point = tuple[datetime, int, int]


def svg(points: Sequence[Point], zone: ZoneInfo, title: str) -> str:
    """``points`` are moments with the talks and the attempts made by then."""
    first, last = points[0][0], points[-1][0]
    talks, attempts = [talked for _, talked, _ in points], [made for _, _, made in points]
    most = max(1, *attempts)
    span = max((last - first).total_seconds(), 1.0)

    def place(moment: datetime, value: int) -> str:
        x = LEFT + (WIDTH - LEFT - 20) * (moment - first).total_seconds() / span
        y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most
        return f"{x:.1f},{y:.1f}"

    def line(values: Sequence[int], colour: str) -> str:
        path = " ".join(place(point[0], value) for point, value in zip(points, values, strict=True))
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'

    def label(name: str, values: Sequence[int], colour: str) -> str:
        x, y = place(last, values[-1]).split(",")
        return f'<text x="{x}" y="{float(y) - 6}" text-anchor="end" fill="{colour}">{name}</text>'

    hours = [point[0] for point in points if point[0].astimezone(zone).minute == 0]
    ticks = "".join(
        f'<text x="{place(hour, 0).split(",")[0]}" y="{HEIGHT - 20}" text-anchor="middle">'
        f"{hour.astimezone(zone):%H:%M}</text>"
        for hour in hours
    )
    heights = [(value, place(first, value).split(",")[1]) for value in (0, most // 2, most)]
    scale = "".join(
        f'<text x="{LEFT - 8}" y="{height}" text-anchor="end">{value}</text>'
        for value, height in heights
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>{ticks}{scale}'
        f"{line(attempts, '#8899aa')}{line(talks, '#1f7a3d')}"
        f"{label('attempts', attempts, '#667788')}{label('talks', talks, '#1f7a3d')}</svg>\n"
    )
