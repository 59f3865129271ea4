"""The command ``autodial simulate``: a day with other staff, hours or numbers of calls."""

import csv
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from attrs import frozen

from autodial.cli.language import tr
from autodial.cli.options import load
from autodial.cli.output import PlainTable, read, say, show_table, words
from autodial.config.fields import DAYS, parse_span
from autodial.config.settings import Config
from autodial.simulation.behaviour import CallerBehaviour, Replayed, measured, replayed
from autodial.simulation.chart import svg
from autodial.simulation.day import Day, Simulation
from autodial.simulation.due import due_by
from autodial.store import views


@frozen
class _Series(click.ParamType[object]):
    """One number, or several separated by commas, to compare."""

    number: type[int] | type[float]
    minimum: float
    maximum: float
    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        try:
            numbers = tuple(self.number(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                tr("{value}: a number, or several with commas between", value=repr(value)),
                param, ctx,
            )  # fmt: skip
        if not all(self.minimum <= number <= self.maximum for number in numbers):
            limits = {"least": self.minimum, "most": self.maximum}
            self.fail(
                tr("{value}: from {least} to {most}", value=repr(value), **limits), param, ctx
            )
        return numbers


@click.command("simulate")
@click.option("--tasks", default=400, show_default=True, type=click.IntRange(1, 20_000))
@click.option(
    "--operators",
    "staff",
    default="7",
    show_default=True,
    type=_Series(int, 1, 999),
    help="How many; several with commas, to compare.",
)
@click.option(
    "--dial-ratio",
    type=_Series(float, 1.0, 5.0),
    help="Instead of [pace] dial_ratio; several with commas, to compare.",
)
@click.option("--hours", help='Instead of [hours] of that day: "09:00-21:00".')
@click.option(
    "--measured",
    "as_measured",
    is_flag=True,
    help="Measure clients and operators from the ledger's calls.",
)
@click.option(
    "--replay",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The tasks of that day from the ledger, with their calls.",
)
@click.option(
    "--due", "as_due", is_flag=True,
    help="As many tasks as are open and due by that day's end, and can be dialled.",
)  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same day.")
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="The day; default: today.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="The table."
)
@click.option(
    "--curve",
    "curve_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Calls and talks by the quarter of an hour, as CSV.",
)
@click.option("--svg", "svg_file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def simulate(  # noqa: PLR0913  # click hands over each option
    path: Path, tasks: int, staff: tuple[int, ...], dial_ratio: tuple[float, ...] | None,
    hours: str | None, as_measured: bool, replay: datetime | None, as_due: bool,
    seed: int, date: datetime | None,
    csv_file: Path | None, curve_file: Path | None, svg_file: Path | None,
) -> None:  # fmt: skip
    """Simulate a day by this configuration, with random clients; nothing is dialled or written."""
    config = load(path)
    zone = ZoneInfo(config.hours.zone)
    if as_due and replay is not None:
        raise click.UsageError(tr("--due or --replay, not both"))
    day = (replay or date or datetime.now(zone)).date()
    config = _with_hours(config, day, hours)
    start, end = _span(config, day)
    behaviour = measured(read(config, views.calls), zone) if as_measured else CallerBehaviour()
    past: list[Replayed] = []
    if replay is not None:
        past = replayed(read(config, partial(views.calls_between, start=start, end=end)))
    if replay is not None and not past:
        raise click.ClickException(
            tr("{day}: the ledger has no calls of that day's hours", day=day)
        )
    tasks = _due(config, day, end) if as_due else len(past) or tasks
    table = PlainTable(
        "operators", "dial ratio", "done", "talks", "attempts", "abandoned", "last call", "busy",
        whole=("done", "talks", "attempts"),
    )  # fmt: skip
    sums: list[Sequence[object]] = []
    rows: list[Sequence[object]] = []
    result: Day | None = None
    for number, ratio in product(staff, dial_ratio or (config.pace.dial_ratio,)):
        pace = config.pace.model_copy(update={"dial_ratio": ratio})
        tried = config.model_copy(update={"pace": pace})
        result = Simulation(tried, behaviour, seed, tasks, number, start, end, past).run()
        last = result.last_finished
        table.add_row(
            str(number), f"{ratio:g}", f"{result.finished}/{result.tasks}", str(result.talked),
            str(sum(result.attempts.values())), f"{result.answers.rate:.1%}",
            f"{last.astimezone(zone):%H:%M}" if last else "-", f"{result.busy:.0%}",
        )  # fmt: skip
        sums.append(
            (
                number, ratio, result.tasks, result.finished, result.talked,
                sum(result.attempts.values()), f"{result.answers.rate:.4f}",
                last.astimezone(zone).isoformat(timespec="minutes") if last else "",
                f"{result.busy:.4f}",
            )
        )  # fmt: skip
        rows += [
            (number, ratio, f"{at.astimezone(zone):%H:%M}", t, a) for at, t, a in result.points
        ]
    show_table(table)
    if csv_file is not None:
        head = (
            "operators", "dial_ratio", "tasks", "done", "talked", "attempts", "abandoned_share",
            "last_call", "busy_share",
        )  # fmt: skip
        _write(csv_file, head, sums)
    if curve_file is not None:
        _write(curve_file, ("operators", "dial_ratio", "time", "talks", "attempts"), rows)
    if svg_file is not None and result is not None:
        title = f"{day}: {tasks} tasks, {staff[-1]} operators"
        svg_file.write_text(svg(result.points, zone, title), encoding="utf-8")


def _due(config: Config, day: date, end: datetime) -> int:
    """How many open tasks are due by then and can be dialled; said, with what holds the others."""
    due = read(config, lambda db: due_by(db, end))
    for reason, count in due.held.most_common():
        say(tr("{count} tasks are held: {reason}", count=count, reason=words(reason)))
    tasks = due.tasks
    if not tasks:
        raise click.ClickException(tr("{day}: no open task is due that can be dialled", day=day))
    say(tr("{count} tasks are due by the end of {day}", count=tasks, day=day))
    return tasks


def _write(file: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])


def _with_hours(config: Config, day: date, hours: str | None) -> Config:
    if hours is None:
        return config
    try:
        span = parse_span(hours)
    except ValueError as error:
        raise click.UsageError(f"--hours: {error}") from error
    changed = {**dict.fromkeys(DAYS, span), "holiday": "usual"}
    return config.model_copy(update={"hours": config.hours.model_copy(update=changed)})


def _span(config: Config, day: date) -> tuple[datetime, datetime]:
    """Start and end of the call centre's day."""
    zone = config.when.zone
    span = config.when.span(day)
    if span is None:
        raise click.ClickException(
            tr("{day}: the call centre does not work; name another --date, or --hours", day=day)
        )
    start, end = (datetime.combine(day, at, zone) for at in span)
    return start, end + timedelta(days=end <= start)
