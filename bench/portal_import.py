"""
HTTP requests and seconds for reading 5,000 call tasks with their contacts' phones: this client,
fast_bitrix24 and b24pysdk, on one simulated portal with 20 ms of latency, in one run, in turns.

    python bench/portal_import.py [--tasks 5000] [--rounds 5] [--latency 0.02]

The others are used in their way with the fewest requests: fast lists for the tasks, and batched
list methods with 50 ids each for the contacts. "plain" is the first way in their manuals.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import aiohttp
import click
import trustme
from b24pysdk import BitrixWebhook
from fast_bitrix24 import BitrixAsync
from rich.console import Console
from rich.table import Table
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from autodial.portal.importer import TOGETHER
from bitrix24 import Link, Portal, RequestsTransport, TaskQuery, Webhook

OPEN = {"TAG": "autodial", "REAL_STATUS": [1, 2, 3]}
TASK = ["ID", "TITLE", "STATUS", "DEADLINE", "RESPONSIBLE_ID", "UF_CRM_TASK"]
CONTACT = ["ID", "NAME", "LAST_NAME", "PHONE"]

#: The portal, in a process of its own: contacts only, so that all clients do the same work.
SERVER = """
import signal, ssl, sys
from datetime import UTC, datetime
from bitrix24.simulator import SimulatedPortal, serve
from bitrix24.simulator.seed import add_contact, add_operator, add_task
tasks, latency, pem = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
portal = SimulatedPortal()
add_operator(portal, 500, "101")
for n in range(tasks):
    code = add_contact(portal, f"Client {n}", ("MOBILE", f"+44207946{n % 10000:04d}"))
    add_task(portal, f"Call {n}", code, responsible=500, deadline=datetime.now(UTC))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem)
with serve(portal, latency=latency, tls=context) as webhook:
    print(webhook, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
"""


@contextmanager
def portal(tasks: int, latency: float) -> Iterator[tuple[str, Path]]:
    """The webhook's address, and the certificate of the authority."""
    with tempfile.TemporaryDirectory() as place:
        authority = trustme.CA()
        ca, pem = Path(place, "ca.pem"), Path(place, "server.pem")
        authority.cert_pem.write_to_path(str(ca))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        command = [sys.executable, "-c", SERVER, str(tasks), str(latency), str(pem)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                yield server.stdout.readline().strip(), ca
            finally:
                server.terminate()


def requests_so_far(webhook: str, ca: Path) -> int:
    context = ssl.create_default_context(cafile=str(ca))
    url = "/".join(webhook.split("/")[:3]) + "/state"
    with urllib.request.urlopen(url, context=context) as answer:
        return int(json.load(answer)["requests"])


def ours(webhook: str, ca: Path) -> int:
    """Our client; returns the number of phones found."""
    transport = RequestsTransport(reactor, str(ca))  # type: ignore[arg-type]

    async def read() -> int:
        client = Portal(Link(Webhook(webhook), transport, reactor))  # type: ignore[arg-type]
        pending, codes = [], []
        async for page in client.open_tasks(TaskQuery(tag="autodial")):
            codes += [code for task in page.tasks for code in task.clients]
            if len(codes) == TOGETHER:
                pending.append(Deferred.fromCoroutine(phones(client, codes)))
                codes = []
        return await phones(client, codes) + sum(await gatherResults(pending))

    return spin(read, transport)


async def phones(client: Portal, codes: list[str]) -> int:
    by_code = await client.clients(codes) if codes else {}
    return sum(len(contact.phones) for clients in by_code.values() for contact in clients)


def spin(read: Callable[[], object], transport: RequestsTransport) -> int:
    """Run on Twisted's reactor step by step, because it can be started only once."""
    done: list[object] = []
    transport.start()
    Deferred.fromCoroutine(read()).addBoth(done.append)  # type: ignore[arg-type]
    while not done:
        reactor.iterate(0.001)  # type: ignore[attr-defined]
    transport.stop()
    assert isinstance(done[0], int), done[0]
    return done[0]


def fast(webhook: str, ca: Path, *, plain: bool = False) -> int:
    """fast_bitrix24."""

    async def read() -> int:
        context = ssl.create_default_context(cafile=str(ca))
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
            client = BitrixAsync(webhook, verbose=False, client=session)
            tasks = await client.get_all("tasks.task.list", {"filter": OPEN, "select": TASK})
            ids = [int(code[2:]) for task in tasks for code in task["ufCrmTask"]]
            if plain:
                rows = (await client.get_by_ID("crm.contact.get", ids, ID_field_name="id")).values()
            else:
                requests = [
                    {"filter": {"@ID": ids[n : n + 50]}, "select": CONTACT, "start": -1}
                    for n in range(0, len(ids), 50)
                ]
                rows = await client.call("crm.contact.list", requests)
            return sum(len(row.get("PHONE") or [1] * plain) for row in rows)

    return asyncio.run(read())


def official(webhook: str, ca: Path) -> int:
    """b24pysdk."""
    import os

    os.environ["REQUESTS_CA_BUNDLE"] = str(ca)
    _, _, host, _, user, secret = webhook.split("/")
    client = BitrixWebhook(domain=host, webhook_token=f"{user}/{secret}")
    params = {"filter": OPEN, "select": TASK}
    tasks = list(client.call_list_fast("tasks.task.list", params)["result"])
    ids = [int(code[2:]) for task in tasks for code in task["ufCrmTask"]]
    commands = {
        f"c{n}": (
            "crm.contact.list",
            {"filter": {"@ID": ids[n : n + 50]}, "select": CONTACT, "start": -1},
        )
        for n in range(0, len(ids), 50)
    }
    results = client.call_batches(commands)["result"]["result"]
    return sum(len(row["PHONE"]) for rows in results.values() for row in rows)


WAYS: dict[str, Callable[[str, Path], int]] = {
    "this client": ours,
    "fast_bitrix24": fast,
    "fast_bitrix24, plain": lambda webhook, ca: fast(webhook, ca, plain=True),
    "b24pysdk": official,
}


@click.command()
@click.option("--tasks", default=5000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--latency", default=0.02, show_default=True, help="Seconds.")
def main(tasks: int, rounds: int, latency: float) -> None:
    """Measure, and print medians and ratios."""
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    requests: dict[str, int] = {}
    with portal(tasks, latency) as (webhook, ca):
        for turn in range(rounds + 1):
            for name, way in WAYS.items():
                before = requests_so_far(webhook, ca)
                start = time.perf_counter()
                count = way(webhook, ca)
                if turn:  # the first one warms up
                    took[name].append(time.perf_counter() - start)
                requests[name] = requests_so_far(webhook, ca) - before
                assert count == tasks, f"{name} found {count} phones"
    table = Table("client", "HTTP requests", "seconds (median)", "times ours")
    base = median(took["this client"])
    for name, times in took.items():
        row = (name, str(requests[name]), f"{median(times):.2f}", f"{median(times) / base:.1f}")
        table.add_row(*row)
    Console().print(f"{tasks} tasks with a contact each, {latency * 1000:.0f} ms latency")
    Console().print(table)


if __name__ == "__main__":
    main()
