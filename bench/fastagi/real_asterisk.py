"""
FastAGI servers with a real Asterisk as the client: the time that AGI() takes for a call.

    python bench/fastagi/real_asterisk.py [--rounds 5] [--loops 300] [--calls 200]

One channel runs AGI() in a loop: wall time of each. Then many call files at once, each a call that
runs it once: calls a second. All servers take turns within each round; medians, and ratios to the
plain server in C. Has the demo's requirements (install.sh setup), as root.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table
from run import contenders, running

from call_files import CallFile, Spool
from demo.pbx import Exchange, exchange, free_ports

DIALPLAN = """
[agibench]
exten => s,1,Answer()
 same => n,Set(AUTODIAL_TASK=4711)
 same => n,Set(N=0)
 same => n(again),AGI(agi://127.0.0.1:${PORT}/${SCRIPT},4711)
 same => n,GotoIf($["${AGISTATUS}" = "SUCCESS"]?:failed)
 same => n,Set(N=$[${N} + 1])
 same => n,GotoIf($[${N} < ${LOOPS}]?again)
 same => n,Hangup()
 same => n(failed),Set(DB(agibench/failed)=${PORT})
 same => n,Hangup()

[agibench-other]
exten => s,1,Answer()
 same => n,Wait(600)
"""
SCRIPTS = {"standard": "autodial", "one command": "autodial-arg"}
MEASURED = ("C", "C, mark", "ours", "ours, stock transport")


def calls(spool: Spool, port: int, script: str, loops: int, count: int) -> float:
    """Seconds until ``count`` calls have each run the script ``loops`` times."""
    names = [f"b{next(NUMBERS)}" for _ in range(count)]
    start = time.perf_counter()
    for name in names:
        spool.submit(
            CallFile(
                name=name, channel="Local/s@agibench-other/n", context="agibench",
                wait=30,
                variables={"PORT": str(port), "SCRIPT": script, "LOOPS": str(loops)},
            )
        )  # fmt: skip
    # Asterisk removes a call file when its call is over.
    while spool.waiting() & set(names):
        time.sleep(0.002)
    return time.perf_counter() - start


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


NUMBERS = _numbers()


def prepared(running_exchange: Exchange) -> Spool:
    place = running_exchange.pbx.outside / "etc/autodial.d"
    place.mkdir()
    place.chmod(0o755)
    (place / "autodial-bench.conf").write_text(DIALPLAN)
    running_exchange.pbx.cli("dialplan reload")
    spool = Spool(running_exchange.spool)
    spool.prepare()
    return spool


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--loops", default=300, show_default=True)
@click.option("--calls", "count", default=200, show_default=True)
def main(rounds: int, loops: int, count: int) -> None:
    """Measure, and print medians."""
    with ExitStack() as stack:
        into = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (port,) = free_ports(1)
        pbx = stack.enter_context(exchange(extensions=("101",), agi_port=port))
        spool = prepared(pbx)
        chosen = [contender for contender in contenders(into) if contender.name in MEASURED]
        servers = {
            contender.name: stack.enter_context(running(contender))[0] for contender in chosen
        }
        walls: dict[tuple[str, str], list[float]] = defaultdict(list)
        rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        for address in servers.values():
            calls(spool, address, "autodial", 20, 1)  # everything once
        for _ in range(rounds):
            for kind, script in SCRIPTS.items():
                for name, address in servers.items():
                    took = calls(spool, address, script, loops, 1)
                    walls[name, kind].append(1e6 * took / loops)
                    rates[name, kind].append(count / calls(spool, address, script, 1, count))
        if "failed" in pbx.pbx.cli("database show agibench"):
            raise click.ClickException("a server did not answer Asterisk as it should")
    table = Table("server", "AGI(), us", "times C", "calls/s", "of C", title="real Asterisk")
    for kind in SCRIPTS:
        for name in servers:
            wall, rate = median(walls[name, kind]), median(rates[name, kind])
            table.add_row(
                f"{name}: {kind}", f"{wall:.0f}", f"{wall / median(walls['C', kind]):.2f}",
                f"{rate:.0f}", f"{rate / median(rates['C', kind]):.2f}",
            )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
