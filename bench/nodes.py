"""
How many calls a second several diallers place over one store, and where the rest of the time goes.

    python -m bench.nodes [--nodes 1,2,4,8,16] [--seconds 15]

Each node is a process with the production dispatcher, call control and reports; there is no
Asterisk and no portal: a call file is answered at once by a claim, an operator's ringing and a
result. All share one PostgreSQL (a private cluster that waits for the disk), with many lines and
operators, so that only the store limits. ``sqlite`` is one node on a file, for comparison. Shown
are calls a second over all nodes, the time of a claim, and decisions that another node overtook.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
import psycopg
import sqlalchemy as sa
from attrs import define, field, frozen
from rich.console import Console
from rich.table import Table

from autodial.config.load import parse
from autodial.config.place import Place, Server
from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.surroundings import all_well
from autodial.errors import StoreBusy
from autodial.model.ids import AttemptId, OperatorId
from autodial.rules.hangup import parse_report
from autodial.store import ledger, nodes, schema
from autodial.store.engines import engine_of
from autodial.store.locks import NODES, Access, access_of, node_lock
from autodial.store.presence import StaffRow
from autodial.store.releases import migrate
from autodial.store.server import open_server
from call_files import Spool
from tests.cluster import cluster

#: Tasks of each node that are due, and its operators.
TASKS, OPERATORS = 4000, 100


@define
class Blocking:
    """The store's interface without threads; counts what another node has overtaken."""

    place: Place
    engine: sa.Engine = field(init=False)
    access: Access = Access.ALONE  #: of the next transaction
    overtaken: int = 0
    busy: int = 0
    times: dict[str, list[float]] = field(factory=dict)  #: seconds, by function

    def __attrs_post_init__(self) -> None:
        if isinstance(self.place, Server):
            self.engine = open_server(self.place, access=lambda: self.access)
        else:
            self.engine = engine_of(self.place)

    async def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.access = access_of(function)
        begun = time.perf_counter()
        try:
            with self.engine.begin() as db:
                return function(db, *args, **named)
        except ledger.Stale:
            self.overtaken += 1
            raise
        except sa.exc.OperationalError as error:  # it waited too long for the writers' lock
            self.busy += 1
            raise StoreBusy(str(error.orig)) from error
        finally:
            took = time.perf_counter() - begun
            self.times.setdefault(function.__name__, []).append(took)

    def in_place(self) -> bool:
        return True


@frozen
class Result:
    calls: int
    took: float  #: seconds: the last turn may last longer than was wished
    overtaken: int
    busy: int
    times: dict[str, list[float]]  #: seconds that a function of the store took, by its name
    cpu: float  #: seconds


def settings(place: Place, directory: Path, node: str) -> Config:
    where: dict[str, Any] = {"store": {"path": str(place)}}
    if isinstance(place, Server):
        where = {"store": {"url": place.url}, "node": {"name": node}}
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return parse(
        {
            "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
            "tasks": {"tag": "autodial"},
            "staff": {"departments": [5]},
            "asterisk": {
                "spool": str(directory), "trunks": [{"name": "carrier1", "lines": 9999}],
                "ami_port": 5038, "ami_secret": "bench",
            },
            "pace": {"calls_per_second": 200, "max_calls": 9999},
            "client": {"preset": "none"},
            "hours": dict.fromkeys(days, "00:00-24:00"),
            **where,
        },
        "bench",
    )  # fmt: skip


def fill(place: Place, count: int) -> None:
    """Due tasks and operators of so many nodes: each task's operator is at one of them."""
    engine, now = engine_of(place), datetime.now(UTC)
    due = now - timedelta(minutes=5)
    with engine.begin() as db:
        staff = [
            {"id": 1000 * n + o, "name": f"{n}/{o}", "extension": f"{1000 * n + o}", "online": 1,
             "seen": now}
            for n in range(1, count + 1) for o in range(OPERATORS)
        ]  # fmt: skip
        db.execute(sa.insert(schema.operators), staff)
        for part in range(count * TASKS // 1000):
            ids = range(part * 1000 + 1, part * 1000 + 1001)
            rows = [
                {"id": id_, "title": "", "open": 1, "closed_reason": "", "generation": 0,
                 "responsible": 1000 * (id_ % count + 1) + id_ // count % OPERATORS,
                 "due": due, "next_check": due, "reason": "new", "reason_at": due}
                for id_ in ids
            ]  # fmt: skip
            db.execute(sa.insert(schema.tasks), rows)
            phones = [
                {"task": id_, "position": 0, "number": f"+4420{id_:08}", "client": "",
                 "entity_type": "CONTACT", "entity_id": id_}
                for id_ in ids
            ]  # fmt: skip
            db.execute(sa.insert(schema.phones), phones)
    engine.dispose()


def work(place: Place, n: int, count: int, seconds: float, results: "Queue[Result]") -> None:
    """One node, for so many seconds."""
    name = f"node{n}"
    directory = Path(tempfile.mkdtemp(prefix="autodial-bench-"))
    spool = Spool(directory / "outgoing")
    spool.outgoing.mkdir()
    spool.prepare()
    config = settings(place, spool.outgoing, name)
    store: Any = Blocking(place)
    roster = Roster()
    whose = range(1, count + 1)
    roster.set_staff(
        StaffRow(id=OperatorId(1000 * k + o), name="", extension=f"{1000 * k + o}", online=True)
        for k in whose for o in range(OPERATORS)
    )  # fmt: skip
    roster.ask_phones()
    for o in range(OPERATORS):
        roster.set_phone(f"{1000 * n + o}", "NOT_INUSE")
    roster.set_elsewhere(
        {f"{1000 * k + o}": "NOT_INUSE" for k in whose if k != n for o in range(OPERATORS)}
    )
    now = lambda: datetime.now(UTC)  # noqa: E731
    engine = Engine(config, store, roster, spool, now, all_well(now))
    if isinstance(place, Server):
        session = psycopg.connect(place.url.replace("+psycopg", ""), autocommit=True)
        session.execute("SELECT pg_advisory_lock(%s, %s)", (NODES, node_lock(name)))
        with store.engine.begin() as db:
            nodes.started(db, name, node_lock(name), "bench", now())
            memory = nodes.memory(db, now(), timedelta(days=1))
        engine.calls.restore(memory.in_flight, memory.reserved)
        engine.calls.seen = memory.seen
    calls = 0
    begun, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - begun < seconds:
        placed = 0
        with suppress(StoreBusy):
            run_now(engine.dispatcher.turn())
            for file in spool.waiting():
                placed += one_call(engine, AttemptId(file))
        calls += placed
        if not placed:
            time.sleep(0.005)
    took, taken = time.monotonic() - begun, time.process_time() - cpu
    results.put(Result(calls, took, store.overtaken, store.busy, store.times, taken))
    store.engine.dispose()


def one_call(engine: Engine, attempt: AttemptId) -> int:
    """What the dialplan asks in a call; 1 if it was claimed."""
    claimed = run_now(engine.call_control.claim(attempt))
    if claimed is None:
        return 0
    ring = engine.call_control.whom_to_ring(attempt)
    assert ring is not None
    extension = ring.extensions[0]
    run_now(engine.store.run(ledger.ringing, attempt, extension, engine.now()))
    at = int(time.time())
    report = f"dial,ANSWER,16,SIP 200 OK,talk,{extension},{at},{at},{at + 1},carrier1"
    run_now(engine.ends.record(attempt, parse_report(report.split(","))))
    return 1


def measured(place: Place, count: int, seconds: float) -> list[Result]:
    fill(place, count)
    context = get_context("spawn")
    results: Queue[Result] = context.Queue()
    processes = [
        context.Process(target=work, args=(place, n, count, seconds, results))
        for n in range(1, count + 1)
    ]
    for process in processes:
        process.start()
    got = [results.get(timeout=seconds + 120) for _ in processes]
    for process in processes:
        process.join()
    return got


def row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    claims = [1000 * claim for one in results for claim in one.times["claim"]]
    calls = sum(one.calls for one in results)
    overtaken = sum(one.overtaken for one in results)
    return (
        name, f"{sum(one.calls / one.took for one in results):.0f}", f"{median(claims):.1f}",
        f"{quantiles(claims, n=100)[-1]:.1f}", f"{overtaken / max(1, calls):.2f}",
        f"{1000 * sum(one.cpu for one in results) / max(1, calls):.1f}",
        str(sum(one.busy for one in results)),
    )  # fmt: skip


@click.command()
@click.option("--nodes", "counts", default="1,2,4,8,16", show_default=True)
@click.option("--seconds", default=15.0, show_default=True)
def main(counts: str, seconds: float) -> None:
    table = Table(
        "nodes", "calls/s", "claim p50, ms", "p99", "overtaken a call", "CPU, ms a call", "gave up"
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "store.sqlite"
        migrate(file)
        table.add_row(*row("sqlite", measured(file, 1, seconds)))
    with cluster(durable=True) as running:
        for count in map(int, counts.split(",")):
            server = running.new()
            result = row(str(count), measured(server, count, seconds))
            print(*result, file=sys.stderr)
            table.add_row(*result)
            running.drop(server)
    Console().print(table)
    print(f"{os.cpu_count()} processors; Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
