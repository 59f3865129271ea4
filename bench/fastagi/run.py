"""
FastAGI servers compared: ours with all its features, plain servers in C, and those of the package
index.

    python bench/fastagi/run.py [--rounds 5] [--seconds 1.2] [--plot fastagi.svg]

The load generator (agiload.c) acts as Asterisk 22: it writes the block line by line, and checks
what each session sets. All contenders take turns within each round; medians and ratios are printed.
CPU per session is the reliable figure: the generator itself limits the others.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import click
from attrs import frozen
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
WORKLOADS = ("std", "mset", "arg", "pipe")
#: Low-water mark in bytes: the opening block wakes the server once, as ours.
MARK = "400"


@frozen
class Contender:
    """A server to be measured."""

    name: str
    command: tuple[str, ...]  #: ``PORT`` stands for the port
    workloads: tuple[str, ...] = WORKLOADS


def compiled(name: str, into: Path) -> str:
    target = into / name
    source = HERE / f"{name}.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", target, source, "-lm"], check=True)
    return str(target)


def contenders(into: Path) -> list[Contender]:
    plain = compiled("agiplain", into)
    chosen = [
        Contender("C", (plain, "PORT")),
        Contender("C, mark", (plain, "PORT", MARK)),
        Contender("bare Python", (sys.executable, str(HERE / "bare.py"), "PORT"), ("std", "arg")),
        Contender("ours", (sys.executable, str(HERE / "ours.py"), "PORT")),
        Contender(
            "ours, stock transport", (sys.executable, str(HERE / "ours.py"), "PORT", "stock")
        ),
    ]
    for peer, workloads in (("panoramisk", ("std",)), ("pyst2", ("std",))):
        module = {"pyst2": "asterisk"}.get(peer, peer)
        if find_spec(module) is not None:
            peers = str(HERE / "peers.py")
            chosen.append(Contender(peer, (sys.executable, peers, peer, "PORT"), workloads))
    return chosen


@contextmanager
def running(contender: Contender) -> Iterator[tuple[int, int]]:
    """Run the server on a core of its own; yields port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [str(port) if argument == "PORT" else argument for argument in contender.command]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    log = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the server
    process = subprocess.Popen(
        [*pinned(0), *arguments], stdout=subprocess.PIPE, stderr=log, env=environment, text=True
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise click.ClickException(f"{contender.name} did not start")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def pinned(core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)])]


def load(generator: str, port: int, process: int, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*pinned(1), generator, "-p", str(port), "-s", str(process), *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def syscalls(generator: str, port: int, process: int) -> float | None:
    """System calls of the server per standard session, one at a time; None without strace."""
    with tempfile.NamedTemporaryFile() as counted:
        try:
            tracer = subprocess.Popen(
                ["strace", "-f", "-c", "-q", "-o", counted.name, "-p", str(process)],
                stderr=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            return None
        load(generator, port, process, "-c", "1", "-n", "20")  # until strace is attached
        sessions = 20 + load(generator, port, process, "-c", "1", "-n", "200")["ok"]
        tracer.terminate()
        tracer.wait()
        rows = [row.split() for row in Path(counted.name).read_text().splitlines()]
    # Percent, seconds, microseconds a call, calls, and perhaps errors.
    counts = [int(row[3]) for row in rows if len(row) > 4 and row[3].isdigit()]
    return sum(counts[:-1]) / sessions  # the last row is the total


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=1.2, show_default=True)
@click.option("--only", help="Names of contenders, with semicolons between.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="SVG or PNG.")
def main(rounds: int, seconds: float, only: str | None, plot: Path | None) -> None:
    """Measure, and print medians and ratios."""
    if plot is not None and find_spec("matplotlib") is None:
        raise click.UsageError("--plot: pip install -r bench/requirements.txt")
    console = Console(width=110)
    with ExitStack() as stack:
        into = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = compiled("agiload", into)
        chosen = [c for c in contenders(into) if only is None or c.name in only.split(";")]
        servers = {c.name: stack.enter_context(running(c)) for c in chosen}
        results: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for _ in range(rounds):
            for workload in WORKLOADS:
                for contender in chosen:
                    if workload in contender.workloads:
                        arguments = ("-c", "50", "-w", workload, "-d", str(seconds), "-W", "0.3")
                        figures = load(generator, *servers[contender.name], *arguments)
                        results[contender.name, workload].append(figures)
        for workload in WORKLOADS:
            console.print(table(workload, chosen, results))
        console.print(others(generator, chosen, servers))
        if plot is not None:
            draw(plot, chosen, results)


def middle(runs: list[dict[str, Any]], key: str) -> float:
    return float(median(run[key] for run in runs))


def table(
    workload: str, chosen: list[Contender], results: Mapping[tuple[str, str], list[dict[str, Any]]]
) -> Table:
    """Medians, and ratios to plain C and to C with a low-water mark (capacity: 1 / CPU)."""
    shown = Table(
        "server", "CPU us/session", "of C", "of C, mark", "sessions/s", "p50 us", "p99 us",
        "errors", title=f"{workload}, 50 at once",
    )  # fmt: skip
    cost = {c.name: middle(results[c.name, workload], "srv_cpu_us") for c in chosen
            if (c.name, workload) in results}  # fmt: skip
    for name, own_cost in cost.items():
        runs = results[name, workload]
        ratios = [
            f"{cost[peer] / own_cost:.2f}" if peer in cost and own_cost else ""
            for peer in ("C", "C, mark")
        ]
        shown.add_row(
            name, f"{own_cost:.1f}", *ratios, f"{middle(runs, 'per_s'):,.0f}",
            f"{middle(runs, 'p50_us'):,.0f}", f"{middle(runs, 'p99_us'):,.0f}",
            str(sum(peer["err"] for peer in runs)),
        )  # fmt: skip
    return shown


def draw(
    target: Path, chosen: list[Contender], results: Mapping[tuple[str, str], list[dict[str, Any]]]
) -> None:
    """CPU per session of all contenders, by workload."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    names = [contender.name for contender in chosen]
    height = 0.8 / len(WORKLOADS)
    for row, workload in enumerate(WORKLOADS):
        known = [(n, name) for n, name in enumerate(names) if (name, workload) in results]
        places = [n + row * height for n, _ in known]
        costs = [middle(results[name, workload], "srv_cpu_us") for _, name in known]
        bars = axes.barh(places, costs, height, label=workload)
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    axes.set_yticks([n + 0.3 for n in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("server CPU per session, us (median; less is better)")
    axes.legend(title="session")
    figure.savefig(target)


def others(
    generator: str, chosen: list[Contender], servers: Mapping[str, tuple[int, int]]
) -> Table:
    """Single-run figures: memory of idle sessions in a fresh server, a burst, system calls."""
    shown = Table("server", "KB per 1,000 idle", "1,000 connects: slowest, ms", "errors",
                  "syscalls/session")  # fmt: skip
    for contender in chosen:
        with running(contender) as (port, process):
            load(generator, port, process, "-c", "1", "-n", "50")  # initial allocations
            idle = load(generator, port, process, "-c", "1000", "-i")
        port, process = servers[contender.name]
        calls = syscalls(generator, port, process)
        burst = load(generator, port, process, "-c", "1000", "-n", "1000")
        shown.add_row(
            contender.name, f"{idle['kb_per_1000']:,.0f}", f"{burst['max_us'] / 1000:,.0f}",
            str(burst["err"]), "no strace" if calls is None else f"{calls:.1f}",
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
