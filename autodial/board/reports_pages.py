"""The pages about what was: a day with its forecast, a month with its heat map."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from math import ceil
from time import monotonic
from typing import Any

import sqlalchemy as sa
from attrs import define, field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from autodial.board.days import Days, day_of, month_of
from autodial.board.figures import Figures
from autodial.board.showing import Showing
from autodial.rules.report import TOTAL, Sum, best_hours
from autodial.simulation.behaviour import CallerBehaviour, TooFewCalls, measured
from autodial.simulation.day import Simulation
from autodial.simulation.due import Due, due_by
from autodial.store import reports, views
from autodial.store.accounts import Session

#: A forecast is made anew after so many seconds; it takes some, in a thread.
FORECAST_KEPT = 900.0
#: Forecasts that are kept at once; days ahead that one is made of.
FORECASTS, MOST_AHEAD = 20, timedelta(days=14)
#: Forecasts that may be asked for and not made yet.
MOST_MAKING = 4
#: Most tasks and operators of a simulated day; seconds for which a page waits for it.
MOST_TASKS, MOST_OPERATORS, PATIENCE = 400, 30, 2.0
#: Days whose calls a forecast is measured by, and how many of them, the latest.
MEASURED_DAYS, MEASURED = 28, 3000
#: Shades of a heat map.
SHADES = 5
_HEADERS = (
    "calls", "answered", "% answered", "talks", "talk time", "mean talk", "wait", "abandoned",
    "causes",
)  # fmt: skip


@define(frozen=True)
class Forecast:
    """What the simulator says of a day, by the hour so far and at the end."""

    talks: tuple[int, ...]  #: by the end of each hour, 0 to 23
    attempts: int
    finished: int
    tasks: int
    operators: int
    held: tuple[tuple[str, int], ...]  #: tasks that nobody dials, by why


@define(eq=False)
class ReportsPages:
    """Everything is asked of the ledger when the page is opened."""

    showing: Showing
    figures: Figures
    _forecasts: dict[tuple[date, int], tuple[float, Forecast | None]] = field(
        factory=dict, init=False
    )
    _making: dict[tuple[date, int], "asyncio.Future[Forecast | None]"] = field(
        factory=dict, init=False
    )
    #: One forecast at a time: each takes a processor for some seconds.
    _worker: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(1), init=False)

    async def day(self, request: Request, session: Session) -> Response:
        now = self.showing.now()
        days = day_of(request, self.showing.config, now)
        values = await self._sums(request, days)
        if isinstance(values, Response):
            return values
        today = now.astimezone(days.zone).date()
        text = request.query_params.get("operators", "")
        operators = int(text) if text.isdecimal() and len(text) < 4 else 0
        forecast, making_it = None, False
        if today <= days.first <= today + MOST_AHEAD:
            forecast, making_it = await self._forecast(days, operators)
        so_far = min(now.astimezone(days.zone).hour, 23)
        values |= {
            "day": f"{days.first:%Y-%m-%d}", "forecast": forecast, "so_far": so_far,
            "today": days.first == today, "to_come": days.first >= today, "operators": operators,
            "making_it": making_it,
            "most": _most(values["sums"]["hour"]),
        }  # fmt: skip
        return self.showing.page(request, "day.html", values, session)

    async def month(self, request: Request, session: Session) -> Response:
        now = self.showing.now()
        days = month_of(request, self.showing.config, now)
        values = await self._sums(request, days)
        if isinstance(values, Response):
            return values
        week = {one.key: one for one in values["sums"]["week-hour"] if one.key != TOTAL}
        hours = sorted({key[2:] for key in week})
        values |= {
            "month": f"{days.first:%Y-%m}",
            "hours": hours, "heat": _heat(week, hours), "best": best_hours(week.values()),
            "most": _most(values["sums"]["day"]),
        }  # fmt: skip
        return self.showing.page(request, "month.html", values, session)

    async def _sums(self, request: Request, days: Days) -> dict[str, Any] | Response:
        """The sums of these days, or one of them as a file: ``?by=hour&file=.xlsx``."""

        def asked() -> dict[str, Any]:
            sums, times = self.figures.of(days)
            return {"sums": sums, "times": times, "counts": self.figures.counts(days)}

        values = await run_in_threadpool(asked)
        by = request.query_params.get("by", "")
        if by == "times":
            headers: tuple[str, ...] = (
                "operator",
                "ext.",
                "at work",
                "talks",
                "talk time",
                "rung",
                "rest",
                "missed",
            )
            rows: Sequence[Any] = [time.cells for time in values["times"]]
        else:
            headers = (by if by in values["sums"] else "hour", *_HEADERS)
            rows = [(one.key, *one.cells) for one in values["sums"].get(by, [])]
        file = self.showing.table(request, f"{by or 'hour'}-{days.first}", headers, rows)
        return file or values

    async def _forecast(self, days: Days, operators: int) -> tuple[Forecast | None, bool]:
        """
        By the calls of the last weeks and the tasks of the day, with so many operators, or (0)
        those who were at work or are of the staff. None: there is nothing to dial, or nobody; or,
        with True, it is being made, or many others are: ask again.
        """
        key = (days.first, operators)
        made, forecast = self._forecasts.get(key, (0.0, None))
        if key in self._forecasts and monotonic() - made < FORECAST_KEPT:
            return forecast, False
        making = self._making.get(key)
        if making is None:
            if len(self._making) >= MOST_MAKING:
                return None, True
            making = self._making[key] = asyncio.get_running_loop().run_in_executor(
                self._worker, self._simulated, days, operators
            )
            making.add_done_callback(lambda done: self._made(key, done))
        try:
            return await asyncio.wait_for(asyncio.shield(making), PATIENCE), False
        except TimeoutError:
            return None, True

    def _made(self, key: tuple[date, int], done: "asyncio.Future[Forecast | None]") -> None:
        del self._making[key]
        if done.cancelled() or done.exception() is not None:
            return  # who waited for it has the error
        if len(self._forecasts) >= FORECASTS:
            self._forecasts.clear()
        self._forecasts[key] = (monotonic(), done.result())

    def stop(self) -> None:
        """No further forecasts."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _simulated(self, days: Days, operators: int) -> Forecast | None:
        config, store = self.showing.config, self.showing.store
        since = days.start - timedelta(days=MEASURED_DAYS)
        past = store.read(lambda db: views.calls_between(db, since, days.start, MEASURED))
        try:
            behaviour = measured([call for _, call in past], days.zone)
        except TooFewCalls:
            behaviour = CallerBehaviour()
        due, tasks, staff = store.read(lambda db: _facts_of(db, days))
        staff = operators or staff
        span = config.when.span(days.first)
        if not tasks or not staff or span is None:
            return None
        start, end = (datetime.combine(days.first, moment, days.zone) for moment in span)
        end += timedelta(days=end <= start)
        # A part of a large day stands for the whole: so many tasks, and as many people for each.
        part = min(1.0, MOST_TASKS / tasks, MOST_OPERATORS / staff)
        few = max(1, round(tasks * part)), max(1, round(staff * part))
        day = Simulation(config, behaviour, 1, *few, start, end).run()
        by_hour = [0] * 24
        for at, talks, _ in day.points:
            hour = ceil((at.astimezone(days.zone) - days.start).total_seconds() / 3600)
            for later in range(max(0, hour - 1), 24):
                by_hour[later] = max(by_hour[later], talks)
        return Forecast(
            talks=tuple(round(talks / part) for talks in by_hour),
            attempts=round(day.attempts.total() / part),
            finished=round(day.finished / part),
            tasks=tasks,
            operators=staff,
            held=tuple(due.held.most_common()),
        )


def _facts_of(db: sa.Connection, days: Days) -> tuple[Due, int, int]:
    """The tasks of the day: due yet, or dialled already; and who has been at work."""
    counts = reports.task_counts(db, days.start, days.end)
    due = due_by(db, days.end)
    there = len(reports.work_times_between(db, {}, days.start, days.end))
    staff = sum(bool(line.extension) for line in views.operator_lines(db))
    return due, due.tasks + counts.finished + counts.given_up, there or staff


def _most(sums: Sequence[Sum]) -> int:
    """The highest bar."""
    return max([one.calls for one in sums if one.key != TOTAL], default=1)


def _heat(week: dict[str, Sum], hours: Sequence[str]) -> list[list[tuple[Sum | None, int]]]:
    """
    A row for each day of the week, Monday first, a cell for each hour: its sum and its shade, by
    the answer rate among all cells.
    """
    rates = [one.answer_rate for one in week.values()]
    low, high = min(rates, default=0.0), max(rates, default=0.0)
    step = (high - low) / SHADES or 1.0
    rows = []
    for day in range(1, 8):
        cells = [week.get(f"{day} {hour}") for hour in hours]
        rows.append(
            [
                (one, 0 if one is None else min(SHADES, 1 + int((one.answer_rate - low) / step)))
                for one in cells
            ]
        )
    return rows
