"""
What one look of the dispatcher costs in the store, by the number of open tasks that are not due.

    python bench/planner.py [--sizes 1000,10000,100000,1000000] [--due 5] [--rounds 50]
"""

import gc
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import click
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from autodial.store import pauses, tasks
from autodial.store.database import migrate, open_engine
from autodial.store.schema import phones
from autodial.store.schema import tasks as task_table

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CHUNK = 20_000


def fill(engine: sa.Engine, count: int, due: int) -> None:
    """``count`` open tasks with a phone each; ``due`` of them now, the others later."""
    for start in range(0, count, CHUNK):
        rows, numbers = [], []
        for number in range(start, min(start + CHUNK, count)):
            at = NOW if number < due else NOW + timedelta(seconds=1 + number)
            rows.append(
                {
                    "id": number + 1, "title": "x", "responsible": 1, "open": 1,
                    "portal_deadline": at, "due": at, "halted": "", "series": 1,
                    "next_check": at, "reason": "not due", "reason_at": NOW,
                }
            )  # fmt: skip
            numbers.append(
                {
                    "task": number + 1, "position": 0, "number": f"+999{number:08d}",
                    "client": "x", "entity_type": "CONTACT", "entity_id": number + 1,
                }
            )  # fmt: skip
        with engine.begin() as db:
            db.execute(sa.insert(task_table), rows)
            db.execute(sa.insert(phones), numbers)


def look(engine: sa.Engine) -> float:
    """Seconds for what the dispatcher asks at each turn."""
    start = time.perf_counter()
    with engine.begin() as db:
        pauses.paused(db)
        tasks.due_tasks(db, NOW, 25)
        tasks.any_due(db, NOW)
    return time.perf_counter() - start


def plan(engine: sa.Engine) -> list[str]:
    """How SQLite finds what is due."""
    query = sa.select(task_table.c.id).where(task_table.c.next_check <= NOW)
    ordered = query.order_by(task_table.c.due, task_table.c.id).limit(25)
    text = str(ordered.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.connect() as db:
        return [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]


@click.command()
@click.option("--sizes", default="1000,10000,100000,1000000", show_default=True)
@click.option("--due", default=5, show_default=True)
@click.option("--rounds", default=50, show_default=True)
def main(sizes: str, due: int, rounds: int) -> None:
    """Measure, and print medians."""
    table = Table("open tasks", "due", "ms a look (median)", "times the first", "process, MB")
    first = 0.0
    for size in [int(one) for one in sizes.split(",")]:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "store.sqlite")
            migrate(path)
            engine = open_engine(path)
            fill(engine, size, due)
            look(engine)
            gc.collect()
            took = median(look(engine) for _ in range(rounds)) * 1000
            first = first or took
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            table.add_row(
                f"{size:,}", str(due), f"{took:.2f}", f"{took / first:.2f}", f"{used:.0f}"
            )
            steps = plan(engine)
            engine.dispose()
    Console().print(table)
    for step in steps:
        Console().print(f"plan: {step}")


if __name__ == "__main__":
    main()
