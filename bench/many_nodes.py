"""
A hundred diallers on one store, by simulation: where does the writers' lock saturate?

    python -m bench.many_nodes [--nodes 1,10,25,50,100] [--operators 30] [--seconds 60]
                               [--hold 1.0] [--seed 20]

The planners are the production ones: each node has the production dispatcher, call control and
reports, in the production's turns, and all share one store. The clock is simulated, and so are
Asterisk, clients and phones: a client answers four calls in ten after 5 to 15 s and talks for a
minute and a half on average; the others ring for 25 s. So thirty operators start about half a call
a second.

What a transaction takes is measured first, of one node on a real PostgreSQL; in the simulation it
lasts so long, times ``--hold``, and has the lock that its function needs (``store/locks``). A node
has one thread for its transactions. Nothing else takes time: the hosts of the nodes are as fast as
they must be. Each measurement is the last ``--seconds`` after a minute in which the operators come.
"""

import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import sqlalchemy as sa
from attrs import define, field
from rich.console import Console
from rich.table import Table
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred

from autodial.config.settings import Config
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.periodic import Periodic
from autodial.engine.surroundings import all_well
from autodial.model.ids import AttemptId, OperatorId
from autodial.rules.hangup import parse_report
from autodial.service.app import DISPATCH, LEAD, PHONES_ELSEWHERE, TURNS_APART
from autodial.store import ledger, locks, nodes, planning, schema
from autodial.store.connections import open_memory
from autodial.store.locks import Access, access_of
from autodial.store.presence import StaffRow
from autodial.store.server import open_server
from bench.nodes import measured, settings
from call_files import CallFile, Spool
from tests.cluster import cluster

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
#: Seconds in which the operators come to work, before anything is measured.
RAMP = 60.0
#: From a call file to its claim, and of the answers: seconds.
SPOOL, ANSWERS, SILENT = 0.1, (5.0, 15.0), 25.0
SHARE_ANSWERED, TALK, PICKS_UP = 0.4, 90.0, 2.0
NO_ANSWER = parse_report(["dial", "NOANSWER", "19", "SIP 480 x"])
#: Looks of a node that change nothing, each so many seconds: who leads, the others' phones.
LOOKS = (LEAD, PHONES_ELSEWHERE)


@define(eq=False)
class Clock:
    """Simulated time. (Twisted's sorts all calls at each new one.)"""

    now: float = 0.0
    _calls: list[tuple[float, int, DelayedCall]] = field(factory=list)
    _made: int = 0

    def seconds(self) -> float:
        return self.now

    def callLater(  # (IReactorTime)
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall:
        ignore: Callable[[DelayedCall], None] = lambda call: None  # noqa: E731
        call = DelayedCall(
            self.now + delay, callable, args, kw, ignore, ignore, seconds=self.seconds
        )
        self._made += 1
        heappush(self._calls, (call.getTime(), self._made, call))
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:  # (IReactorTime)
        return [call for _, _, call in self._calls]

    def run_until(self, moment: float) -> None:
        while self._calls and self._calls[0][0] <= moment:
            at, _, call = heappop(self._calls)
            if not call.cancelled:
                self.now, call.called = at, 1
                call.func(*call.args, **call.kw)
        self.now = moment


@define
class Lock:
    """The writers' lock in simulated time, in the order of requests; some may share it."""

    clock: Clock
    held: Access = Access.READS
    holders: int = 0
    waiting: "deque[tuple[Access, Deferred[None]]]" = field(factory=deque)
    since: float = 0.0
    busy: float = 0.0  #: seconds for which anybody had it

    async def take(self, access: Access) -> None:
        turn: Deferred[None] = Deferred()
        self.waiting.append((access, turn))
        self._grant()
        await turn

    def give_back(self) -> None:
        self.holders -= 1
        if not self.holders:
            self.busy += self.clock.seconds() - self.since
        self._grant()

    def _grant(self) -> None:
        while self.waiting:
            access, turn = self.waiting[0]
            if self.holders and Access.ALONE in (access, self.held):
                return
            if not self.holders:
                self.since = self.clock.seconds()
            self.waiting.popleft()
            self.held, self.holders = access, self.holders + 1
            turn.callback(None)


@define(eq=False)
class SimulatedStore:
    """One node's: its transactions come one after the other, and last as long as measured."""

    world: "World"
    node: str
    _last: "Deferred[None] | None" = None

    async def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        before, self._last = self._last, Deferred()
        mine, begun = self._last, self.world.clock.seconds()
        try:
            if before is not None and not before.called:
                await before
            return await self.world.transaction(self.node, function, *args, **named)
        finally:
            self.world.took(function, self.world.clock.seconds() - begun)
            mine.callback(None)

    def in_place(self) -> bool:
        return True


class SimulatedSpool(Spool):
    """Asterisk reads each call file a moment later."""

    def __init__(self, dial: Callable[[str], None]) -> None:
        super().__init__(Path("outgoing"))
        object.__setattr__(self, "dial", dial)

    def submit(self, file: CallFile) -> None:
        self.dial(file.name)  # type: ignore[attr-defined]

    def withdraw(self, name: str) -> bool:
        return True


@define(eq=False)
class World:
    """The clock, the store and its lock, and what is counted."""

    engine: sa.Engine
    costs: dict[str, float]  #: seconds a transaction, by function
    chance: random.Random
    clock: Clock = field(factory=Clock)
    lock: Lock = field(init=False)
    decides: str = ""  #: the node that decides whom to dial
    counts: Counter[str] = field(factory=Counter)
    times: dict[str, list[float]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.lock = Lock(self.clock)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.clock.seconds())

    async def pause(self, seconds: float) -> None:
        over: Deferred[None] = Deferred()
        self.clock.callLater(seconds, over.callback, None)
        await over

    async def transaction(
        self, node: str, function: Callable[..., Any], /, *args: Any, **named: Any
    ) -> Any:
        access = access_of(function)
        if access is not Access.READS:
            await self.lock.take(access)
        try:
            await self.pause(self.costs.get(function.__name__, self.costs["others"]))
            if function is locks.stop_deciding and self.decides == node:
                self.decides = ""
            with self.engine.begin() as db:  # committed at this moment
                result = function(db, *args, **named)
            if function is nodes.turn_to_decide:
                self.decides = self.decides or node
                return result[0], self.decides == node
            return result
        except ledger.Stale:
            self.counts["overtaken"] += 1
            raise
        finally:
            if access is not Access.READS:
                self.lock.give_back()

    def took(self, function: Callable[..., Any], seconds: float) -> None:
        self.counts[function.__name__] += 1
        self.times.setdefault(function.__name__, []).append(seconds)

    def forget(self) -> None:
        self.counts.clear()
        self.times.clear()
        self.lock.busy, self.lock.since = 0.0, self.clock.seconds()


@define(eq=False)
class Node:
    """One dialler with its Asterisk, clients and phones."""

    name: str
    world: World
    config: Config
    extensions: tuple[str, ...]
    roster: Roster = field(factory=Roster)
    engine: Engine = field(init=False)
    dispatch: Periodic = field(init=False)

    def __attrs_post_init__(self) -> None:
        clock, now = self.world.clock, self.world.now

        def wake_at(moment: datetime) -> None:
            clock.callLater(max(0.0, (moment - now()).total_seconds()), self.dispatch.wake)

        around = all_well(now, on_ended=lambda: self.dispatch.wake(), wake_at=wake_at)
        store: Any = SimulatedStore(self.world, self.name)
        spool = SimulatedSpool(self._dial)
        self.engine = Engine(self.config, store, self.roster, spool, now, around)
        turn = self.engine.dispatcher.turn
        self.dispatch = Periodic(clock, DISPATCH, turn, self.name, TURNS_APART)

    def start(self) -> None:
        chance, clock = self.world.chance, self.world.clock
        for extension in self.extensions:
            self.roster.set_phone(extension, "INUSE")
            clock.callLater(RAMP * chance.random(), self._at_work, extension)
        clock.callLater(chance.random(), self.dispatch.startService)
        for seconds in LOOKS:
            clock.callLater(seconds * chance.random(), self._look, seconds)

    def _at_work(self, extension: str) -> None:
        self.roster.set_phone(extension, "NOT_INUSE")
        self.dispatch.wake()

    def _look(self, seconds: float) -> None:
        self.world.clock.callLater(seconds, self._look, seconds)
        Deferred.fromCoroutine(self.engine.store.run(nodes.phones_elsewhere, self.name))

    def _dial(self, name: str) -> None:
        Deferred.fromCoroutine(self._call(AttemptId(name)))

    async def _call(self, attempt: AttemptId) -> None:
        world, control = self.world, self.engine.call_control
        await world.pause(SPOOL)
        if await control.claim(attempt) is None:
            world.counts["refused"] += 1
            return
        if world.chance.random() > SHARE_ANSWERED:
            await world.pause(SILENT)
            await self.engine.ends.record(attempt, NO_ANSWER)
            return
        await world.pause(world.chance.uniform(*ANSWERS))
        ring = control.whom_to_ring(attempt)
        extension = ring.extensions[0] if ring is not None and ring.extensions else ""
        await self.engine.store.run(ledger.ringing, attempt, extension, world.now())
        await world.pause(PICKS_UP)
        self.roster.set_phone(extension, "INUSE")
        await world.pause(world.chance.expovariate(1 / TALK))
        at = int(world.now().timestamp())
        report = f"dial,ANSWER,16,SIP 200 OK,talk,{extension},{at - 60},{at - 58},{at},carrier1"
        await self.engine.ends.record(attempt, parse_report(report.split(",")))
        self._at_work(extension)


def fill(engine: sa.Engine, count: int, operators: int, tasks: int) -> None:
    """Operators, and due tasks of different clients, for each node."""
    due = START - timedelta(minutes=5)
    with engine.begin() as db:
        staff = [
            {"id": who, "name": str(who), "extension": str(who), "online": 1, "seen": START}
            for n in range(count) for who in of_node(n, operators)
        ]  # fmt: skip
        db.execute(sa.insert(schema.operators), staff)
        rows, phones = [], []
        for id_ in range(1, count * tasks + 1):
            whose = of_node(id_ % count, operators)
            rows.append(
                {"id": id_, "title": "", "open": 1, "closed_reason": "", "generation": 0,
                 "responsible": whose[id_ // count % operators], "due": due, "next_check": due,
                 "reason": "new", "reason_at": due}
            )  # fmt: skip
            phones.append(
                {"task": id_, "position": 0, "number": f"+4420{id_:08}", "client": "",
                 "entity_type": "CONTACT", "entity_id": id_}
            )  # fmt: skip
        db.execute(sa.insert(schema.tasks), rows)
        db.execute(sa.insert(schema.phones), phones)


def of_node(n: int, operators: int) -> range:
    """The operators at a node, who are their extensions, too."""
    return range(1000 * (n + 1), 1000 * (n + 1) + operators)


@contextmanager
def house(
    count: int, operators: int, seconds: float, costs: dict[str, float], seed: int
) -> Generator[World, None, None]:
    engine = open_memory()
    fill(engine, count, operators, tasks=int(operators * (RAMP + seconds) / 20))
    world = World(engine, costs, random.Random(seed))
    staff = [
        StaffRow(id=OperatorId(who), name=str(who), extension=str(who), online=True)
        for n in range(count) for who in of_node(n, operators)
    ]  # fmt: skip
    with TemporaryDirectory() as directory:
        plain = settings(Path(directory) / "none", Path(directory), "")
        for n in range(count):
            name = f"node{n + 1}"
            config = plain.model_copy(update={"node": plain.node.model_copy(update={"name": name})})
            node = Node(name, world, config, tuple(map(str, of_node(n, operators))))
            node.roster.set_staff(staff)
            node.roster.ask_phones()
            others = [k for k in range(count) if k != n]
            node.roster.set_elsewhere(
                {str(who): "INUSE" for k in others for who in of_node(k, operators)}
            )
            node.start()
        yield world
    engine.dispose()


def simulated(
    count: int, operators: int, seconds: float, costs: dict[str, float], seed: int
) -> tuple[str, ...]:
    """One row of the table."""
    begun = time.perf_counter()
    with house(count, operators, seconds, costs, seed) as world:
        world.clock.run_until(RAMP)
        world.forget()
        world.clock.run_until(RAMP + seconds)
    starts = world.counts["record"]
    claims = sorted(1000 * t for t in world.times["claim"])
    turns = sorted(1000 * t for t in world.times["due_here"])
    print(dict(world.counts), f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return (
        str(count), f"{world.counts['claim'] / seconds:.1f}", f"{starts / seconds:.1f}",
        f"{100 * world.lock.busy / seconds:.0f} %",
        f"{median(claims):.0f} / {quantile(claims, 0.99):.0f}",
        f"{median(turns):.0f} / {quantile(turns, 0.99):.0f}",
        f"{world.counts['overtaken'] / max(1, world.counts['claim']):.2f}",
        f"{sum(world.counts[name] for name in world.times) / seconds:.0f}",
    )  # fmt: skip


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def calibrate(seconds: float) -> dict[str, float]:
    """Medians of one node on a real PostgreSQL, in seconds."""
    with cluster(durable=True) as running:
        server = running.new()
        [result] = measured(server, 1, seconds)
        # That node read whole pages of due tasks; in the simulation mostly one is read.
        engine, reads = open_server(server), []
        for _ in range(50):
            begun = time.perf_counter()
            with engine.begin() as db:
                planning.due_here(db, datetime.now(UTC), 1, node="node1")
            reads.append(time.perf_counter() - begun)
        engine.dispose()
    costs = {name: median(times) for name, times in result.times.items()}
    return {**costs, "due_here": median(reads), "others": costs["in_force"]}


@click.command()
@click.option("--nodes", "counts", default="1,10,25,50,100", show_default=True)
@click.option("--operators", default=30, show_default=True, help="At each node.")
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--hold", default=1.0, show_default=True, help="Times what was measured.")
@click.option("--seed", default=20, show_default=True)
def main(counts: str, operators: int, seconds: float, hold: float, seed: int) -> None:
    costs = {name: hold * cost for name, cost in calibrate(10.0).items()}
    shown = ", ".join(f"{name} {1000 * cost:.1f}" for name, cost in sorted(costs.items()))
    table = Table(
        "nodes", "calls/s", "ends/s", "lock held", "claim p50 / p99, ms", "due p50 / p99",
        "overtaken a call", "transactions/s",
    )  # fmt: skip
    for count in map(int, counts.split(",")):
        table.add_row(*simulated(count, operators, seconds, costs, seed))
    Console(width=110).print(table)
    print(f"a transaction, ms: {shown}; Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
