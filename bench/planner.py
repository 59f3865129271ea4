"""
The cost of one dispatcher turn, by the number of open tasks that are not due.

    python bench/planner.py [--sizes 1000,10000,100000,1000000] [--due 5] [--rounds 50]

The production dispatcher runs on a real SQLite file. In each turn a few tasks are due, are decided
on (it is night for their clients), and are postponed with a reason. One task in ten has an earlier
attempt, and one in ten an external call. Each size is measured in a process of its own, so that its
memory can be measured.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import click
import sqlalchemy as sa
from attrs import asdict, define
from rich.console import Console
from rich.table import Table

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.surroundings import all_well
from autodial.model.ids import OperatorId
from autodial.store import planning
from autodial.store.connections import open_engine
from autodial.store.presence import StaffRow
from autodial.store.releases import migrate
from autodial.store.schema import attempts, external_calls, phones
from autodial.store.schema import tasks as task_table
from call_files import Spool

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CHUNK = 20_000


@define
class Blocking:
    """The store's interface without threads."""

    engine: sa.Engine

    async def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        with self.engine.begin() as db:
            return function(db, *args, **named)

    def in_place(self) -> bool:
        return True


def configuration(place: Path) -> Config:
    return parse(
        {
            "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
            "tasks": {"tag": "autodial"},
            "staff": {"departments": [5]},
            "asterisk": {"spool": str(place), "trunks": [{"name": "c", "lines": 9}]},
            "hours": {"zone": "UTC"},
            "client": {"preset": "ru-230fz"},
        },
        "bench",
    )


def fill(engine: sa.Engine, count: int, due: int) -> None:
    """Insert ``count`` open tasks with a phone each; ``due`` of them now, the others later."""
    for start in range(0, count, CHUNK):
        rows, numbers, attempt_rows, call_rows = [], [], [], []
        for number in range(start, min(start + CHUNK, count)):
            at = NOON if number < due else NOON + timedelta(hours=1, seconds=number)
            rows.append(
                {
                    "id": number + 1, "title": "x", "responsible": 1, "open": 1,
                    "portal_deadline": at, "due": at, "closed_reason": "", "generation": 1,
                    "next_check": at, "reason": "not due", "reason_at": NOON,
                }
            )  # fmt: skip
            client = {"entity_type": "CONTACT", "entity_id": number + 1}
            phone = f"+999{number:08d}"
            # Night at 12:00 UTC.
            zone = "Pacific/Auckland"
            numbers.append(
                {
                    "task": number + 1, "position": 0, "number": phone, "client": "x",
                    "zone": zone, **client,
                }
            )  # fmt: skip
            if number % 10 == 0:
                ago = NOON - timedelta(days=2)
                attempt_rows.append(
                    {
                        "id": f"t{number + 1}-1", "task": number + 1, "n": 1, "generation": 1,
                        "number": phone, "client": "x", "operator": 1, "extension": "101",
                        "trunks": "c", "state": "reported", "outcome": "silent",
                        "spooled_at": ago, "claimed_at": ago, "ended_at": ago, "expires_at": ago,
                        **client,
                    }
                )  # fmt: skip
            if number % 10 == 1:
                call_rows.append(
                    {"id": number, "number": phone, "at": NOON - timedelta(days=3), "operator": 1}
                    | client
                )
        with engine.begin() as db:
            db.execute(sa.insert(task_table), rows)
            db.execute(sa.insert(phones), numbers)
            db.execute(sa.insert(attempts), attempt_rows)
            db.execute(sa.insert(external_calls), call_rows)


def plans(engine: sa.Engine) -> list[str]:
    """SQLite's query plan of each query of the planner."""
    lines = []
    questions = {"due": planning.DUE, **asdict(planning._OF_SOME, recurse=False)}
    with engine.connect() as db:
        for name, query in questions.items():
            statement = query.params(now=NOON, limit=25, ids=[1, 2, 3], since=NOON)
            text = str(statement.compile(engine, compile_kwargs={"render_postcompile": True}))
            rows = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?"))
            lines.append(f"{name}: " + "; ".join(row[3] for row in rows))
    return lines


def measure(size: int, due: int, rounds: int) -> tuple[float, float, int, list[str]]:
    """Milliseconds a turn, megabytes of the process, tasks decided in a turn, and the plans."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "spool").mkdir()
        migrate(place / "store.sqlite")
        engine = open_engine(place / "store.sqlite")
        fill(engine, size, due)
        store: Any = Blocking(engine)
        moment = NOON
        roster = Roster()
        roster.set_staff([StaffRow(id=OperatorId(1), name="x", extension="101", online=True)])
        roster.set_phone("101", "NOT_INUSE")
        config = configuration(place / "spool")
        around = all_well(lambda: moment)
        parts = Engine(config, store, roster, Spool(place / "spool"), lambda: moment, around)
        again = sa.update(task_table).where(task_table.c.id <= due).values(next_check=NOON)
        decided = sa.select(sa.func.count()).where(task_table.c.reason == "client hours")
        took = []
        for _ in range(rounds + 1):
            with engine.begin() as db:
                db.execute(again)
            moment += timedelta(seconds=1)
            start = time.perf_counter()
            run_now(parts.dispatcher.turn())
            took.append(1000 * (time.perf_counter() - start))
        with engine.connect() as db:
            looked = int(db.scalar(decided) or 0)
        steps = plans(engine)
        engine.dispose()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return median(took[1:]), used, looked, steps


@click.command()
@click.option("--sizes", default="1000,10000,100000,1000000", show_default=True)
@click.option("--due", default=5, show_default=True)
@click.option("--rounds", default=50, show_default=True)
def main(sizes: str, due: int, rounds: int) -> None:
    """Measure, and print medians."""
    table = Table("open tasks", "decided", "ms a turn (median)", "times the first", "process, MB")
    first, steps = 0.0, list[str]()
    for size in [int(size) for size in sizes.split(",")]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            took, used, looked, steps = alone.submit(measure, size, due, rounds).result()
        first = first or took
        table.add_row(f"{size:,}", str(looked), f"{took:.2f}", f"{took / first:.2f}", f"{used:.0f}")
    Console().print(table)
    for step in steps:
        Console().print(step, soft_wrap=True)


if __name__ == "__main__":
    main()
