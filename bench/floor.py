"""
What a call costs a dialler that decides nothing: as many transactions, requests to the portal, AGI
sessions, manager events and call files as ours has, by the barest means (sqlite3, no SQLAlchemy; no
rules, no texts, no checks), spread over the call as they are there. Less than this no
dialler of this architecture can cost on this machine.

    python -m bench.floor [--rates 5,20,100] [--seconds 20]
"""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from twisted.internet import reactor as _reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.protocols.basic import LineReceiver
from twisted.python.threadpool import ThreadPool

from bench.chain import processor_seconds
from bench.throughput import PORTAL
from bitrix24 import Webhook
from bitrix24.transport import RequestsTransport
from demo.rig import free_ports
from fastagi_server import AgiSession, FastAgiServer, listen

#: Per call, as counted in ours: transactions, statements in each, requests, sessions, events.
TRANSACTIONS, STATEMENTS, REQUESTS, SESSIONS, EVENTS = 13, 7, 4, 3, 20
#: Seconds over which the steps of one call are spread.
LIFE = 2.0
_EVENT = (
    "Event: DeviceStateChange\r\nPrivilege: call,all\r\nDevice: PJSIP/1000\r\nState: INUSE\r\n\r\n"
)
_BLOCK = "".join(f"agi_{name}: some value\n" for name in "abcdefghijklmnopqrstuv")
reactor: Any = _reactor


class Events(LineReceiver):
    """The manager's events, as dictionaries."""

    def __init__(self) -> None:
        self.event: dict[str, str] = {}

    def lineReceived(self, line: bytes) -> None:
        name, _, value = line.decode().partition(": ")
        if name:
            self.event[name] = value
        else:
            self.event = {}


def dialler(place: Path, webhook: str, ports: tuple[int, int], rate: float, seconds: int) -> None:
    """The process that is measured."""
    transport = RequestsTransport(reactor)
    transport.start()
    access = Webhook(webhook)
    pool = ThreadPool(1, 1)
    pool.start()
    db: list[sqlite3.Connection] = []

    def transaction() -> None:
        if not db:
            db.append(sqlite3.connect(place / "floor.sqlite", isolation_level=None))
            db[0].execute("PRAGMA journal_mode=WAL")
            db[0].execute("PRAGMA synchronous=FULL")
            db[0].execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, said TEXT)")
        db[0].execute("BEGIN IMMEDIATE")
        db[0].execute("INSERT INTO calls (said) VALUES (?)", ("something",))
        for number in range(STATEMENTS - 1):
            db[0].execute("SELECT said FROM calls WHERE id = ?", (number,)).fetchone()
        db[0].execute("COMMIT")

    def file(number: int) -> None:
        new = place / f"{number}.new"
        new.write_text("Channel: Local/s@x\n" * 20)
        new.rename(place / f"{number}.call")

    async def request() -> None:
        await transport(access.request("user.current", {"x": "y"}))

    async def script(call: AgiSession) -> None:
        await call.set_many({"AD_A": "1", "AD_B": "2"})

    async def call(number: int) -> None:
        await deferToThreadPool(reactor, pool, file, number)

    def begin(number: int) -> None:
        for step in range(TRANSACTIONS):
            moment = LIFE * step / TRANSACTIONS
            reactor.callLater(moment, deferToThreadPool, reactor, pool, transaction)
        for step in range(REQUESTS):
            moment = LIFE * (step + 0.5) / REQUESTS
            reactor.callLater(moment, lambda: ensureDeferred(request()))
        ensureDeferred(call(number))

    listen(reactor, FastAgiServer({"x": script}, reactor), ports[0])
    reactor.listenTCP(ports[1], Factory.forProtocol(Events), interface="127.0.0.1")
    for number in range(int(rate * seconds)):
        reactor.callLater(number / rate, begin, number)
    print("ready", flush=True)
    reactor.run()


async def session(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"agi_network: yes\nagi_network_script: x\n{_BLOCK}\n".encode())
    while await reader.readline():
        writer.write(b"200 result=1\n")
        await writer.drain()
    writer.close()


async def beside(ports: tuple[int, int], rate: float, seconds: int) -> None:
    """Asterisk's part: sessions and events, evenly."""
    _, events = await asyncio.open_connection("127.0.0.1", ports[1])
    loop = asyncio.get_running_loop()
    begun = loop.time()
    running = []
    for step in range(int(rate * seconds * EVENTS)):
        events.write(_EVENT.encode())
        if step % EVENTS < SESSIONS:
            running.append(asyncio.create_task(session(ports[0])))
        await asyncio.sleep(begun + step / rate / EVENTS - loop.time())
    await asyncio.gather(*running)
    await asyncio.sleep(LIFE)


def measure(rate: float, seconds: int) -> float:
    """CPU of one call, ms."""
    with TemporaryDirectory() as directory:
        portal = subprocess.Popen(
            [sys.executable, "-c", PORTAL, "1", "1", "0", "44113496"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert portal.stdout is not None
        webhook = portal.stdout.readline().strip()
        ports = free_ports(2)
        arguments = [directory, webhook, *map(str, ports), str(rate), str(seconds)]
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.floor", "dialler", *arguments],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert child.stdout is not None
            child.stdout.readline()
            before = processor_seconds(child.pid)
            asyncio.run(beside((ports[0], ports[1]), rate, seconds))
            return 1000 * (processor_seconds(child.pid) - before) / (rate * seconds)
        finally:
            for process in (child, portal):
                process.kill()
                process.wait()


@click.command()
@click.option("--rates", default="5,20,100", show_default=True, help="Calls a second.")
@click.option("--seconds", default=20, show_default=True)
def main(rates: str, seconds: int) -> None:
    """Measure each rate once, and print a table."""
    table = Table("calls/s", "CPU, ms a call")
    for rate in rates.split(","):
        table.add_row(rate, f"{measure(float(rate), seconds):.1f}")
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["dialler"]:
        place, webhook, agi, manager, rate, seconds = sys.argv[2:]
        dialler(Path(place), webhook, (int(agi), int(manager)), float(rate), int(seconds))
    else:
        main()
