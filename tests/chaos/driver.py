"""Calls and faults drawn from a seed, until there were enough of both."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa
from attrs import define, field, frozen

from autodial.store import views
from autodial.store.schema import attempts, tasks
from demo.rig import Rig, rig
from tests.chaos.faults import DATABASE, KINDS, OF_ONE, OF_SEVERAL
from tests.cluster import Cluster, cluster
from tests.system import scene

EXTENSIONS = tuple(str(number) for number in range(101, 109))
#: Tasks open at the same time: more than there are operators.
OPEN = 60
#: The fates of clients, see demo/far; each has ten numbers.
FATES = (
    *(f"{n:02d}" for n in range(40)), "40", "41", "44", "46", "48", "49", "50", "52", "55", "56",
    "60", "61", "62", "70", "72", "73", "74", "75", "79",
)  # fmt: skip
#: Seconds; a write-back that failed several times is put off for ten minutes.
DEFERRED = 900.0
#: Seconds without an attempt after which the dialler counts as stuck.
STUCK = 180.0


@frozen
class Happened:
    """One fault, as it was."""

    kind: str
    begun: datetime
    ended: datetime


@define
class Chaos:
    """A running rig, and the faults done to it."""

    rig: Rig
    seed: int
    others: tuple[Rig, ...] = ()  #: further nodes on the same store and portal
    database: Cluster | None = None  #: the store's server, if there are other nodes
    tell: Callable[[str], None] = print
    happened: list[Happened] = field(factory=list, init=False)
    random: Random = field(init=False)
    _numbers: dict[str, int] = field(factory=dict, init=False)  #: whose last task it is

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def rigs(self) -> tuple[Rig, ...]:
        return (self.rig, *self.others)

    def run(self, calls: int, faults: int, kinds: Collection[str] = ()) -> None:
        """Run until there were so many attempts and faults; then wait for all ends."""
        self.tell(f"seed {self.seed}: {calls} attempts, {faults} faults")
        possible = OF_SEVERAL if self.others else OF_ONE
        chosen = [KINDS[name] for name in kinds or possible]
        weights = [kind.weight for kind in chosen]
        per_fault = calls / max(1, faults)
        count, last = 0, time.monotonic()
        while count < calls or len(self.happened) < faults:
            self._feed()
            now = self._made()
            if now > count:
                count, last = now, time.monotonic()
            elif time.monotonic() - last > STUCK:
                raise AssertionError(f"no attempt for {STUCK:g} s\n{self.rig.said()[-4000:]}")
            if len(self.happened) < faults and count >= per_fault * len(self.happened):
                self.do(self.random.choices(chosen, weights)[0].name)
                last = time.monotonic()
            else:
                time.sleep(0.1)
        self.settle()

    def do(self, name: str) -> None:
        """One fault, from its beginning to its end."""
        begun, which = datetime.now(UTC), self.random.choice(self.rigs)
        if name in DATABASE:
            assert self.database is not None
            DATABASE[name](self.database, self.random)
        else:
            KINDS[name].do(which, self.random)
        self.happened.append(Happened(name, begun, datetime.now(UTC)))
        if len(self.happened) % 100 == 0:
            self.tell(f"{len(self.happened)} faults, {self._made()} attempts")

    def settle(self) -> None:
        """No further faults: wait until everything has ended."""
        with self.rig.portal.lock:
            self.rig.portal._faults.clear()
        scene.wait_for_reports(self.rig, set(self._numbers.values()), DEFERRED)
        for one in self.rigs:
            one.wait(lambda one=one: one.exchange.channels() == 0, "all channels to go")  # type: ignore[misc]
            empty = partial(_empty, one.exchange.spool)
            one.wait(empty, "an empty spool")

    def _made(self) -> int:
        return scene.read(self.rig, _count)

    def _feed(self) -> None:
        """People are at work, and there are new tasks for clients who are not being called."""
        with self.rig.portal.lock:
            for user in range(501, 501 + len(EXTENSIONS)):
                self.rig.portal.users[user]["LAST_ACTIVITY"] = datetime.now(UTC)
        waiting = {line.id for line in scene.read(self.rig, views.task_lines) if _wants(line)}
        known = max(scene.read(self.rig, _newest), default=0)
        fresh = {task for task in self._numbers.values() if task > known}
        busy = waiting | fresh
        missing = OPEN - len(busy)
        free = [
            f"{fate}{n}"
            for fate in FATES
            for n in range(10)
            if self._numbers.get(f"{fate}{n}") not in busy
        ]
        for _ in range(max(0, missing)):
            number = free.pop(self.random.randrange(len(free)))
            fate, index = number[:2], int(number[2])
            self.rig._numbers[fate] = index
            who = 501 + self.random.randrange(len(EXTENSIONS))
            self._numbers[number] = self.rig.task(fate, responsible=who)

    def counts(self) -> Counter[str]:
        return Counter(one.kind for one in self.happened)


def _empty(spool: Path) -> bool:
    return not any(spool.glob("*.call"))


def _count(db: sa.Connection) -> int:
    return int(db.scalar(sa.select(sa.func.count()).select_from(attempts)) or 0)


def _newest(db: sa.Connection) -> list[int]:
    """The number of the newest task that the dialler knows."""
    return list(db.scalars(sa.select(tasks.c.id).order_by(tasks.c.id.desc()).limit(1)))


def _wants(line: views.TaskLine) -> bool:
    """Is this task still to be called for?"""
    return line.reason not in ("finished", "talked", "bad number", "exhausted", "closed")


@contextmanager
def chaos(
    seed: int,
    directory: Path,
    keep_logs: Path | None = None,
    deferral: float | None = None,
    *,
    nodes: int = 1,
) -> Iterator[Chaos]:
    """
    A rig with eight operators whose calls are short. ``deferral``: seconds for which a message that
    fails repeatedly is put off, where ten minutes are too long to wait for. ``nodes``: so many
    rigs, each with its share of the operators, on one PostgreSQL.
    """
    overrides: dict[str, Any] = {
        # Each outcome is reported to the portal, so that each can be counted.
        "portal": {"poll": "1s", "walk": "3s", "comments": "all", "executes_within": "30s"},
        "pace": {"calls_per_second": 20, "max_calls": 30},
        "asterisk": {"ring_client": 5, "longest_call": "1m"},
        # Each task has one call that counts, and as many attempts as that needs.
        "retry": {
            **{name: [] for name in ("busy", "silent", "rejected", "unreachable", "client_left")},
            "operator_missed": ["2s", "2s"], "line_failed": ["2s", "2s"], "lost": ["2s"],
            "withdrawn": ["2s"],
        },
    }  # fmt: skip
    with ExitStack() as stack:
        database = stack.enter_context(cluster()) if nodes > 1 else None
        url = database.new().url if database is not None else ""
        rigs: list[Rig] = []
        for n in range(nodes):
            phones, place = EXTENSIONS[n::nodes], directory / f"node{n}"
            place.mkdir()
            shared = {"store": {"url": url}, "node": {"name": f"node{n}"}} if url else {}
            house = stack.enter_context(
                rig(
                    extensions=phones, directory=place, operator_rings=0.3, operator_talks=0.7,
                    impatience=0.2, overrides=overrides | shared, deferral=deferral,
                    keep_logs=keep_logs / f"node{n}" if keep_logs is not None else None,
                    portal=rigs[0].portal if rigs else None,
                )
            )  # fmt: skip
            rigs.append(house)
            for extension in phones:
                house.operator(501 + EXTENSIONS.index(extension), extension)
        rigs[0].portal.late = timedelta(seconds=20)
        for house in rigs:
            house.start_dialler()
        yield Chaos(rigs[0], seed, tuple(rigs[1:]), database)
