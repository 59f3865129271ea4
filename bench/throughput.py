"""
How many calls one dialler carries on one core: the production dialler, with its store on disk and
its portal, and an Asterisk that costs next to nothing (``light_asterisk``).

    python -m bench.throughput [--rate 100] [--seconds 60] [--operators 200] [--latency 0]
                               [--postgresql]

The dialler has one core for itself (the last one), everything else the others. Every call is
claimed, answered, rings at an operator and talks. At the end each task has one attempt, talked and
reported to the portal.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import tomlkit
from rich.console import Console
from rich.table import Table

from autodial.config.place import Place, Server
from autodial.store import database, views
from bench.chain import processor_seconds
from bench.light_asterisk import LightAsterisk
from demo.rig import free_ports
from tests.cluster import cluster

#: Ranges of numbers that the regulator keeps for fiction, of a thousand each.
FICTION = (
    "44113496", "44114496", "44116496", "44117496", "44118496", "44121496",
    "44131496", "44141496", "44151496", "44161496", "44191498", "44207946", "44292018",
)  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: Seconds that the messages to the portal may take after the last call.
PATIENCE = 900.0

#: The portal, in a process of its own.
PORTAL = """
import signal, sys
from datetime import UTC, datetime, timedelta
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task
operators, latency, *ranges = int(sys.argv[1]), float(sys.argv[3]), *sys.argv[4:]
portal, now = SimulatedPortal(), datetime.now(UTC)
for n in range(operators):
    add_operator(portal, 1000 + n, str(1000 + n), seen=now + timedelta(days=1))
for n in range(int(sys.argv[2])):
    number = f"+{ranges[n // 1000 % len(ranges)]}0{n % 1000:03d}"
    code = add_contact(portal, f"Client {n}", ("MOBILE", number))
    past = now - timedelta(minutes=2)
    add_task(portal, f"Call {n}", code, responsible=1000 + n % operators, deadline=past)
with serve(portal, latency=latency) as webhook:
    print(webhook, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
"""


@contextmanager
def process(
    *command: str, cores: set[int], output: int, log: int | None = None
) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(command, stdout=output, stderr=log, text=True) as running:
        os.sched_setaffinity(running.pid, cores)
        try:
            yield running
        finally:
            running.terminate()


def settings(place: Place, webhook: str, far: LightAsterisk, rate: float, operators: int) -> str:
    store: dict[str, dict[str, str]] = {"store": {"path": str(place)}}
    if isinstance(place, Server):
        store = {"store": {"url": place.url}, "node": {"name": place.node}}
    return tomlkit.dumps(
        {
            "portal": {"webhook": webhook, "requests_per_second": 1000},
            "tasks": {"tag": "autodial"},
            "staff": {"departments": [5]},
            "asterisk": {
                "spool": str(far.spool),
                "trunks": [{"name": "carrier", "lines": operators}],
                "ami_port": far.ami_port,
                "ami_secret": "light",
            },
            "fastagi": {"port": far.agi_port, "secret": far.secret},
            "pace": {"calls_per_second": rate, "max_calls": operators},
            "client": {"preset": "none"},
            "hours": dict.fromkeys(DAYS, "00:00-24:00"),
            **store,
        }
    )


@click.command()
@click.option("--rate", default=100.0, show_default=True, help="Calls a second.")
@click.option("--seconds", default=60, show_default=True)
@click.option("--operators", default=200, show_default=True)
@click.option("--latency", default=0.0, help="Seconds that the portal takes for a request.")
@click.option("--postgresql", is_flag=True, help="The store of several diallers; this is one.")
def main(rate: float, seconds: int, operators: int, latency: float, postgresql: bool) -> None:
    """Measure once, and print what each question took."""
    *others, last = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(others) or {last})
    calls = int(rate * seconds)
    if calls > 1000 * len(FICTION):
        raise click.ClickException(f"{calls} clients: there are numbers for {1000 * len(FICTION)}")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        place: Place = directory / "autodial.sqlite"
        if postgresql:
            place = stack.enter_context(cluster(durable=True)).new()
        asyncio.run(measure(directory, place, calls, rate, operators, latency, last))


async def measure(  # a command's options
    directory: Path, place: Place, calls: int, rate: float, operators: int, latency: float,
    core: int,
) -> None:  # fmt: skip
    spool = directory / "spool/outgoing"
    spool.mkdir(parents=True)
    far = LightAsterisk(spool, free_ports(1)[0], "light0secret0of0the0bench")
    await far.start()
    others = os.sched_getaffinity(0)
    arguments = (str(operators), str(calls), str(latency), *FICTION)
    with (
        process(
            sys.executable, "-c", PORTAL, *arguments, cores=others, output=subprocess.PIPE
        ) as portal,
        (directory / "log").open("w") as log,
    ):  # fmt: skip
        assert portal.stdout is not None
        webhook = portal.stdout.readline().strip()
        config = directory / "autodial.toml"
        config.touch(0o600)
        config.write_text(settings(place, webhook, far, rate, operators), encoding="utf-8")
        command = (sys.executable, "-m", "autodial", "--config", str(config), "run", "--as-root")
        with process(*command, cores={core}, output=log.fileno(), log=log.fileno()) as dialler:
            await first_call(spool, dialler, directory / "log")
            before, begun = processor_seconds(dialler.pid), time.perf_counter()
            await far.dial(calls)
            took = time.perf_counter() - begun
            voice = processor_seconds(dialler.pid) - before
            states = await reported(place, calls)
            told = time.perf_counter() - begun
            used = processor_seconds(dialler.pid) - before
    await far.stop()
    show(far, calls, took, told, (voice, used), states)


async def first_call(spool: Path, dialler: "subprocess.Popen[str]", log: Path) -> None:
    """All tasks are imported before the first call; what that takes is measured elsewhere."""
    while not any(spool.glob("*.call")):
        if dialler.poll() is not None:
            raise click.ClickException(f"the dialler has ended:\n{log.read_text()[-3000:]}")
        await asyncio.sleep(0.02)


async def reported(store: Place, calls: int) -> Counter[tuple[str, str]]:
    """Attempts by state and outcome, once all are reported to the portal."""
    end = time.perf_counter() + PATIENCE
    while True:
        lines = database.read(store, views.attempt_lines)
        states = Counter((line.state, line.outcome or "") for line in lines)
        if states.get(("reported", "talked"), 0) >= calls or time.perf_counter() > end:
            return states
        await asyncio.sleep(2)


def show(
    far: LightAsterisk,
    calls: int,
    took: float,
    told: float,
    used: tuple[float, float],
    states: "Counter[tuple[str, str]]",
) -> None:
    table = Table("question", "answered", "p50 ms", "p99 ms", "longest ms")
    for script, moments in far.moments.items():
        ordered = sorted(1000 * moment for moment in moments)
        table.add_row(
            script, str(len(ordered)), f"{median(ordered):.1f}",
            f"{ordered[int(0.99 * (len(ordered) - 1))]:.1f}", f"{ordered[-1]:.1f}",
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    console.print(
        f"{calls} calls in {took:.1f} s: {calls / took:.1f} a second;"
        f" {far.refused} refused, {far.unanswered} without an answer"
    )
    console.print(
        f"CPU of the dialler: {1000 * used[0] / calls:.1f} ms a call until the last call's end,"
        f" {1000 * used[1] / calls:.1f} ms with all reports, told after {told:.1f} s"
    )
    for (state, outcome), count in sorted(states.items()):
        console.print(f"{count} attempts {state}, {outcome}")


if __name__ == "__main__":
    main()
