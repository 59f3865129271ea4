"""
The whole chain, as client and operator feel it, beside a dialplan without any script.

    python -m bench.chain [--rates 5,20] [--calls 60] [--operators 20] [--rounds 3] [--record]
                          [--latency 0.5] [--boards 50] [--postgresql] [--plot chain.svg]

On the demo's rig, as root. *ours*: so many call tasks due at once, the production dialler at so
many calls a second. *plain*: as many call files by hand, a dialplan that dials client and operator.
*postgresql*: as ours, with the store of several diallers, one of which runs.
Read off the wire (the loopback interface): from the 200 OK that answers the client's INVITE to the
INVITE at the operator's phone. The dialler's CPU is user and system of its process, from the first
call to the last report delivered to the portal.
"""

import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import addressof, create_string_buffer
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import requests
from attrs import define, evolve, field, frozen
from rich.console import Console
from rich.table import Table

from autodial.model.act import Actor, Door
from autodial.store import acts, database, pauses, views
from autodial.store.database import write
from autodial.store.releases import migrate
from bitrix24.simulator import serve
from demo.rig import Rig, rig
from tests.cluster import Cluster, cluster

#: The dialplan without us: nothing is asked, nothing is stored.
PLAIN = """
[plain-out]
exten => _X.,1,Dial(PJSIP/${EXTEN}@carrier1,10,gI)
 same => n,Hangup()
[plain-answered]
exten => s,1,Set(CALLERID(num)=${PLAIN_NUMBER})
 same => n,Dial(PJSIP/${PLAIN_OPERATOR},20,gI)
 same => n,Hangup()
"""
#: Clients of this many fates talk; each fate has ten numbers.
FATES, NUMBERS = 40, 10
PASSWORD = "a password of the bench"
#: Seconds that one measurement may take.
PATIENCE = 600.0

_ANSWER = re.compile(rb"\r\nTo: [^\r]*?sip:\+?(\d+)@")
_CALLER = re.compile(rb"\r\nFrom: [^\r]*?sip:\+?(\d+)@")
#: Only UDP of more than 250 bytes: SIP, and not the voice, which would cost more than the call.
_SIP = (
    (0x30, 0, 0, 9),  # the protocol of the IP header
    (0x15, 0, 3, socket.IPPROTO_UDP),
    (0x28, 0, 0, 24),  # the length in the UDP header
    (0x25, 0, 1, 250),
    (0x06, 0, 0, 65_535),
    (0x06, 0, 0, 0),
)
_SO_ATTACH_FILTER = 26
#: Of sockaddr_ll: a packet that this host sends; on the loopback each is seen twice.
_OUTGOING = 4


@define
class Wire:
    """Moments by the client's number, as SIP messages pass on the loopback interface."""

    pbx: int  #: the PBX's port
    trunks: frozenset[int]  #: ports of the far end, as trunks
    phones: int  #: the port of the operators' phones
    answered: dict[str, float] = field(factory=dict, init=False)
    rung: dict[str, float] = field(factory=dict, init=False)
    _over: threading.Event = field(factory=threading.Event, init=False)

    def listen(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as packets:
            packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
            filters = create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _SIP))
            program = struct.pack("HL", len(_SIP), addressof(filters))
            packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            packets.bind(("lo", 0))
            packets.settimeout(0.2)
            while not self._over.is_set():
                try:
                    data, address = packets.recvfrom(65_535)
                except TimeoutError:
                    continue
                if address[2] != _OUTGOING:
                    self._datagram(data, time.perf_counter())

    def _datagram(self, data: bytes, at: float) -> None:
        header = 4 * (data[0] & 15)
        source, target = struct.unpack("!HH", data[header : header + 4])
        text = data[header + 8 :]
        if source in self.trunks and target == self.pbx:
            if text.startswith(b"SIP/2.0 200") and b" INVITE" in text:
                self._note(self.answered, _ANSWER.search(text), at)
        elif target == self.phones and text.startswith(b"INVITE"):
            self._note(self.rung, _CALLER.search(text), at)

    @staticmethod
    def _note(moments: dict[str, float], match: "re.Match[bytes] | None", at: float) -> None:
        if match is not None:
            moments.setdefault(match[1].decode(), at)

    def stop(self) -> None:
        self._over.set()

    def milliseconds(self) -> list[float]:
        """From the client's answer to the operator's INVITE, the shortest first."""
        both = self.answered.keys() & self.rung.keys()
        return sorted(1000 * (self.rung[number] - self.answered[number]) for number in both)


@frozen(kw_only=True)
class Sample:
    """One measurement."""

    milliseconds: list[float]
    per_second: float  #: calls answered
    cpu: float | None = None  #: of the dialler a call, in ms
    attempts: int = 0  #: that the ledger has


@frozen(kw_only=True)
class Wishes:
    """What is measured."""

    calls: int
    operators: int
    record: bool
    latency: float  #: of the portal, in seconds a request
    boards: int = 0  #: first pages of the board, open and live, in the measurement "watched"
    postgresql: Cluster | None = None  #: the store is there; None: on SQLite

    def overrides(self, rate: float) -> dict[str, Any]:
        lines = max(self.operators, 10)
        trunks = [{"name": name, "lines": lines} for name in ("carrier1", "carrier2")]
        store: dict[str, Any] = {}
        if self.postgresql is not None:
            store = {"store": {"url": self.postgresql.new().url}, "node": {"name": "one"}}
        return {
            **store,
            "pace": {"calls_per_second": rate, "max_calls": lines},
            "asterisk": {"trunks": trunks},
            # The production defaults, but for the limit of requests: the simulator has none.
            "portal": {"poll": "1m", "walk": "15m", "requests_per_second": 1000},
        }


@contextmanager
def chain(wishes: Wishes, rate: float) -> Iterator[tuple[Rig, Wire]]:
    extensions = tuple(str(101 + n) for n in range(wishes.operators))
    with (
        TemporaryDirectory() as directory,
        rig(
            extensions=extensions, directory=Path(directory), operator_rings=0.05,
            operator_talks=0.5, record=wishes.record, headers=False,
            overrides=wishes.overrides(rate),
        ) as running,
    ):  # fmt: skip
        ports = running.exchange.ports
        trunks = frozenset({ports["FAR_PORT_1"], ports["FAR_PORT_2"]})
        wire = Wire(ports["SIP_PORT"], trunks, ports["PHONE_PORT"])
        listener = threading.Thread(target=wire.listen, daemon=True)
        listener.start()
        try:
            yield running, wire
        finally:
            wire.stop()
            listener.join()


def ours(wishes: Wishes, rate: float) -> Sample:
    with chain(wishes, rate) as (running, wire):
        running.development = False
        extensions = running.exchange.extensions
        for number, extension in enumerate(extensions, 500):
            running.operator(number, extension)
        for n in range(wishes.calls):
            running.task(f"{n % FATES:02d}", responsible=500 + n % len(extensions))
        if wishes.latency:
            running.portal_down()
            with serve(running.portal, latency=wishes.latency) as webhook:
                running.settings["portal"]["webhook"] = webhook
                return _calls(wishes, running, wire)
        return _calls(wishes, running, wire)


def _calls(wishes: Wishes, running: Rig, wire: Wire) -> Sample:
    bench, now = Actor("bench", Door.COMMAND), datetime.now(UTC)
    migrate(running.place)
    # (Nobody is dialled before the pages are open.)
    write(running.place, lambda db: acts.pause(db, pauses.EVERYBODY, bench, now))
    running.start_dialler()
    with boards(running, wishes.boards):
        write(running.place, lambda db: acts.resume(db, pauses.EVERYBODY, bench, now))
        return _measured(wishes, running, wire)


@contextmanager
def boards(running: Rig, count: int) -> Iterator[None]:
    """So many live pages of the board, a process of its own beside the dialler."""
    if not count:
        yield
        return
    running.start_board(manager=PASSWORD)
    session = requests.Session()
    form = {"name": "manager", "password": PASSWORD}
    assert session.post(f"{running.board_page}/login", data=form, timeout=20).status_code == 200
    pages = [
        session.get(f"{running.board_page}/live", stream=True, timeout=60) for _ in range(count)
    ]
    readers = [threading.Thread(target=_read, args=(page,), daemon=True) for page in pages]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        running.stop_board()
        for reader in readers:
            reader.join(20)


def _read(page: requests.Response) -> None:
    with suppress(requests.RequestException):  # the board stops
        for _ in page.iter_content(65536):
            pass


def _measured(wishes: Wishes, running: Rig, wire: Wire) -> Sample:
    assert running.dialler is not None
    before = processor_seconds(running.dialler.pid)
    running.wait(lambda: len(wire.rung) >= wishes.calls, "the operators' phones", PATIENCE)
    running.wait(lambda: _reported(running) >= wishes.calls, "the reports", PATIENCE)
    cpu = 1000 * (processor_seconds(running.dialler.pid) - before) / wishes.calls
    attempts = len(database.read(running.place, views.attempt_lines))
    return Sample(
        milliseconds=wire.milliseconds(), per_second=_rate(wire), cpu=cpu, attempts=attempts
    )


def plain(wishes: Wishes, rate: float) -> Sample:
    with chain(wishes, rate) as (running, wire):
        exchange = running.exchange
        place = exchange.pbx.outside / "etc/autodial.d"
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
        (place / "autodial-plain.conf").write_text(PLAIN)
        exchange.pbx.cli("dialplan reload")
        for extension in exchange.extensions:
            exchange.set_fate(extension, "talks")
        owner = exchange.spool.stat()
        begun = time.perf_counter()
        for n in range(wishes.calls):
            number = f"442079460{n % FATES:02d}{n // FATES % NUMBERS}"
            extension = exchange.extensions[n % len(exchange.extensions)]
            draft = exchange.spool.parent / f"draft-{n}"
            draft.write_text(
                f"Channel: Local/{number}@plain-out/n\nWaitTime: 20\nContext: plain-answered\n"
                f"Extension: s\nPriority: 1\nSet: PLAIN_NUMBER={number}\n"
                f"Set: PLAIN_OPERATOR={extension}\n"
            )
            os.chown(draft, owner.st_uid, owner.st_gid)
            draft.replace(exchange.spool / f"p{n}.call")
            time.sleep(max(0.0, begun + (n + 1) / rate - time.perf_counter()))
        running.wait(lambda: len(wire.rung) >= wishes.calls, "the operators' phones", PATIENCE)
        return Sample(milliseconds=wire.milliseconds(), per_second=_rate(wire))


def _reported(running: Rig) -> int:
    lines = database.read(running.place, views.attempt_lines)
    return sum(line.state == "reported" for line in lines)


def _rate(wire: Wire) -> float:
    moments = sorted(wire.answered.values())
    return (len(moments) - 1) / (moments[-1] - moments[0]) if len(moments) > 1 else 0.0


def processor_seconds(process: int) -> float:
    """Seconds of user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(samples: list[Sample], part: float) -> float:
    """The median over the rounds of one quantile."""
    values = [s.milliseconds[min(len(s.milliseconds) - 1, int(len(s.milliseconds) * part))]
              for s in samples]  # fmt: skip
    return float(median(values))


@click.command()
@click.option("--rates", default="5,20", show_default=True, help="Calls a second.")
@click.option("--calls", default=60, show_default=True, help="Of each measurement, up to 400.")
@click.option("--operators", default=20, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--record", is_flag=True, help="Record the talks.")
@click.option("--latency", default=0.0, help="Seconds that the portal takes for a request.")
@click.option("--boards", default=0, help="Live pages of the board, in a third measurement.")
@click.option("--postgresql", is_flag=True, help="Measure with PostgreSQL, too.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="SVG or PNG.")
def main(  # a command's options
    rates: str, calls: int, operators: int, rounds: int, record: bool, latency: float,
    boards: int, postgresql: bool, plot: Path | None,
) -> None:  # fmt: skip
    """Measure in turns, and print medians and ratios."""
    if plot is not None and find_spec("matplotlib") is None:
        raise click.UsageError("--plot: pip install -r bench/requirements.txt")
    wishes = Wishes(
        calls=min(calls, FATES * NUMBERS), operators=operators, record=record, latency=latency
    )
    made: dict[tuple[float, str], list[Sample]] = {}
    with ExitStack() as stack:
        measures = {"ours": (ours, wishes), "plain": (plain, wishes)}
        if boards:
            measures["watched"] = ours, evolve(wishes, boards=boards)
        if postgresql:
            server = stack.enter_context(cluster(durable=True))
            measures["postgresql"] = ours, evolve(wishes, postgresql=server)
        for _ in range(rounds):
            for rate in map(float, rates.split(",")):
                for name, (measure, wanted) in measures.items():
                    made.setdefault((rate, name), []).append(measure(wanted, rate))
    Console(width=110).print(table(made))
    if plot is not None:
        draw(plot, made)


def table(made: dict[tuple[float, str], list[Sample]]) -> Table:
    shown = Table(
        "calls/s",
        "",
        "p50 ms",
        "beyond plain",
        "p90 ms",
        "p99 ms",
        "beyond plain",
        # Fmt: skip.
        "answered/s",
        "CPU ms a call",
        title="client's 200 OK to operator's INVITE",
    )
    for (rate, name), samples in made.items():
        bare = made[rate, "plain"]
        beyond = [
            f"{quantile(samples, part) - quantile(bare, part):+.1f}" if name != "plain" else ""
            for part in (0.5, 0.99)
        ]
        cpu = [sample.cpu for sample in samples if sample.cpu is not None]
        shown.add_row(
            f"{rate:g}", name, f"{quantile(samples, 0.5):.1f}", beyond[0],
            f"{quantile(samples, 0.9):.1f}", f"{quantile(samples, 0.99):.1f}", beyond[1],
            f"{median(s.per_second for s in samples):.1f}", f"{median(cpu):.1f}" if cpu else "",
        )  # fmt: skip
    return shown


def draw(target: Path, made: dict[tuple[float, str], list[Sample]]) -> None:
    """The distributions, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for (rate, name), samples in made.items():
        values = sorted(value for sample in samples for value in sample.milliseconds)
        shares = [(n + 1) / len(values) for n in range(len(values))]
        axes.step(values, shares, label=f"{name}, {rate:g} calls/s", where="post")
    axes.set_xlabel("client's 200 OK to operator's INVITE, ms")
    axes.set_ylabel("share of the calls")
    axes.legend()
    figure.savefig(target)


if __name__ == "__main__":
    main()
