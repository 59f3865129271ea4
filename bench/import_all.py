"""
The import of many open tasks with their clients: the production importer and store, a simulated
portal in a process of its own.

    python -m bench.import_all [--tasks 50000] [--touched 100] [--latency 0.02]

Three times: all tasks, new to the store (the first start); a poll after some were touched; a whole
walk that finds nothing new. Seconds, CPU, HTTP requests, the longest that a claim waited for the
store meanwhile, and the most memory of the process.
"""

import json
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from autodial.config.load import parse
from autodial.engine.operators import Roster
from autodial.model.ids import AttemptId
from autodial.portal.importer import Importer
from autodial.store import ledger, tasks
from autodial.store.database import Store
from autodial.store.file_store import FileStore
from bitrix24 import Link, Portal, RequestsTransport, Webhook

reactor: Any = _reactor

#: Touches so many tasks at each line of its input.
SERVER = """
import sys
from datetime import UTC, datetime, timedelta
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task
count, touched, latency = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
portal, now = SimulatedPortal(), datetime.now(UTC)
for n in range(500, 520):
    add_operator(portal, n, str(n), seen=now)
numbers = []
for n in range(count):
    phone = "MOBILE", f"+44{113 + n // 1000 % 6}4960{n % 1000:03d}"
    code = add_contact(portal, f"Client {n}", phone)
    numbers.append(add_task(portal, f"Call {n}", code, responsible=500 + n % 20, deadline=now))
for task in portal.tasks.values():
    task["CHANGED_DATE"] = now - timedelta(days=1)
with serve(portal, latency=latency) as webhook:
    print(webhook, flush=True)
    for line in sys.stdin:
        for number in numbers[:touched]:
            portal.tasks[number]["TITLE"] += "!"
            portal.tasks[number]["CHANGED_DATE"] = datetime.now(UTC)
        print("touched", flush=True)
"""


@contextmanager
def portal(count: int, touched: int, latency: float) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", SERVER, str(count), str(touched), str(latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        try:
            yield server
        finally:
            server.terminate()


def requests_so_far(webhook: str) -> int:
    url = "/".join(webhook.split("/")[:3]) + "/state"
    with urllib.request.urlopen(url) as answer:
        return int(json.load(answer)["requests"])


def spin(work: Callable[[], Any]) -> None:
    """Run on Twisted's reactor step by step, because it can be started only once."""
    done: list[object] = []
    Deferred.fromCoroutine(work()).addBoth(done.append)
    while not done:
        reactor.iterate(0.001)
    assert done[0] is None, done[0]


class Claims:
    """Asks the store for a claim every 50 ms, as calls would; the longest wait in seconds."""

    def __init__(self, store: Store) -> None:
        self.store, self.longest = store, 0.0
        self._loop = LoopingCall(self._claim)

    def _claim(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._asked())

    async def _asked(self) -> None:
        begun = time.perf_counter()
        await self.store.run(ledger.claim, AttemptId("t1-1"), datetime.now(UTC))
        self.longest = max(self.longest, time.perf_counter() - begun)

    def __enter__(self) -> "Claims":
        self._loop.start(0.05)
        return self

    def __exit__(self, *args: object) -> None:
        self._loop.stop()


@click.command()
@click.option("--tasks", "count", default=50_000, show_default=True)
@click.option("--touched", default=100, show_default=True)
@click.option("--latency", default=0.02, show_default=True, help="Seconds a request.")
def main(count: int, touched: int, latency: float) -> None:
    """Measure once, and print a table."""
    table = Table("", "seconds", "CPU, s", "requests", "a claim waited, ms", "process, MB")
    with portal(count, touched, latency) as server, TemporaryDirectory() as directory:
        assert server.stdout is not None and server.stdin is not None
        webhook = server.stdout.readline().strip()
        place = Path(directory)
        config = parse(
            {
                "portal": {"webhook": webhook, "requests_per_second": 1000},
                "tasks": {"tag": "autodial"},
                "staff": {"departments": [5]},
                "asterisk": {"spool": directory, "trunks": [{"name": "c", "lines": 9}]},
                "hours": {"zone": "UTC"},
                "client": {"preset": "none"},
            },
            "bench",
        )
        store = FileStore(place / "autodial.sqlite", reactor)
        store.start()
        transport = RequestsTransport(reactor)
        transport.start()
        link = Link(Webhook(webhook), transport, reactor, rate=1000)
        shift = [timedelta(0)]
        importer = Importer(
            config, Portal(link), store, Roster(), lambda: datetime.now(UTC) + shift[0],
            lambda responsible: None, breathe=lambda: deferLater(reactor, 0),
        )  # fmt: skip
        for name, later in (
            ("all new", timedelta(0)),
            (f"a poll, {touched} touched", timedelta(0)),
            ("a walk", timedelta(hours=1)),
        ):
            server.stdin.write("\n")
            server.stdin.flush()
            server.stdout.readline()
            shift[0] = later
            before, begun, cpu = requests_so_far(webhook), time.perf_counter(), time.process_time()
            with Claims(store) as claims:
                spin(importer.poll)
            table.add_row(
                name, f"{time.perf_counter() - begun:.1f}", f"{time.process_time() - cpu:.1f}",
                str(requests_so_far(webhook) - before - 1), f"{1000 * claims.longest:.0f}",
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
            )  # fmt: skip
        found: list[int] = []

        async def look() -> None:
            found.append(await store.run(tasks.open_count))

        spin(look)
        transport.stop()
        store.stop()
    Console().print(table)
    Console().print(f"{found[0]} open tasks in the store")


if __name__ == "__main__":
    main()
