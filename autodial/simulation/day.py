"""
A day of the call centre on a fake clock: the production dispatcher, call control and ledger, with
clients and operators drawn from distributions. One seed, one day.

Nothing here dials: the spool is a queue of events, the store is in memory.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import sqlalchemy as sa
from attrs import define, evolve, field, frozen

from autodial.config.settings import Config
from autodial.coroutines import run_now
from autodial.engine.engine import Engine
from autodial.engine.operators import Roster
from autodial.engine.surroundings import all_well
from autodial.model.attempt import Report
from autodial.model.ended_call import Call
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.outcome import ANSWERED, Outcome
from autodial.model.task import Phone
from autodial.rules.pacing import Answers
from autodial.simulation.behaviour import CallerBehaviour, Replayed
from autodial.store import attempt_queries, views
from autodial.store.connections import open_memory
from autodial.store.presence import StaffRow
from autodial.store.schema import attempts as attempt_table
from autodial.store.schema import operators as staff_table
from autodial.store.schema import tasks as task_table
from autodial.store.tasks import Imported, save_tasks
from bitrix24 import PortalTask
from call_files import CallFile

T = TypeVar("T")
SECOND = timedelta(seconds=1)
#: How long the polite sentence lasts, in seconds.
SENTENCE = 3.0


@frozen(kw_only=True)
class Day:
    """The results of a simulated day."""

    tasks: int
    finished: int  #: talked, or given up by rule
    talked: int
    attempts: Counter[str]
    answers: Answers
    overdial: int  #: calls placed without a reserved operator
    last_finished: datetime | None
    busy: float  #: share of the operators' time at work spent in talks
    points: tuple[tuple[datetime, int, int], ...]  #: by the quarter: talked, attempts so far


@define
class _Memory:
    """The store's coroutine interface, on a database in memory and without threads."""

    engine: sa.Engine

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self.now(function, *args, **kwargs)

    def in_place(self) -> bool:
        return True

    async def rescue(self) -> Path:
        raise AssertionError("a store in memory is always in its place")

    def now(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        with self.engine.begin() as connection:
            return function(connection, *args, **kwargs)


@define(eq=False)
class Simulation:
    """One day, from ``start`` to ``end``."""

    config: Config
    behaviour: CallerBehaviour
    seed: int
    tasks: int
    operators: int
    start: datetime
    end: datetime
    #: The tasks of a past day; their calls end as they did, and further ones are drawn.
    replay: Sequence[Replayed] = ()
    _clock: datetime = field(init=False)
    _events: list[tuple[datetime, int, Callable[[], None], bool]] = field(factory=list, init=False)
    _order: "count[int]" = field(factory=count, init=False)
    _store: _Memory = field(init=False)
    _roster: Roster = field(factory=Roster, init=False)
    _engine: Engine = field(init=False)
    _random: Random = field(init=False)
    _people: dict[int, StaffRow] = field(factory=dict, init=False)
    _dialled: int = field(default=0, init=False)
    _talks: int = field(default=0, init=False)
    _talking: float = field(default=0.0, init=False)
    _working: float = field(default=0.0, init=False)

    def run(self) -> Day:
        """Simulate the day."""
        self._prepare()
        points = [self._point()]
        self._turn()
        while self._events and self._events[0][0] <= self.end:
            self._clock, _, happen, dispatch = heapq.heappop(self._events)
            while self._clock >= points[-1][0] + timedelta(minutes=15):
                points.append((points[-1][0] + timedelta(minutes=15), *self._point()[1:]))
            happen()
            if dispatch:
                self._turn()
        self._clock = self.end
        return self._day((*points, self._point()))

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """Query the ledger of the simulated day, when it is over."""
        return self._store.now(question)

    # What happens.

    def submit(self, call: CallFile) -> Path:
        """The dispatcher's spool: Asterisk takes the file, and the dialplan claims it."""
        self._dialled += 1
        self._in(0.5, lambda: self._claim(AttemptId(call.name)), dispatch=False)
        return Path(call.name)

    def withdraw(self, name: str) -> bool:
        """The same spool: Asterisk has already taken the file."""
        return False

    def _claim(self, attempt: AttemptId) -> None:
        claimed = run_now(self._engine.call_control.claim(attempt))
        if claimed is None:
            return
        outcome = self.behaviour.end(self._local().hour, self._random)
        rings = self._random.choice(self.behaviour.rings)
        if (past := self._past_call(attempt)) is not None:
            outcome = None if past.outcome in ANSWERED else past.outcome
            rings = _seconds(past.claimed, past.answered, rings)
        if outcome is None and rings < claimed.wait:
            self._in(rings, lambda: self._answered(attempt))
            return
        outcome = outcome or Outcome.SILENT
        lasts = claimed.wait if outcome is Outcome.SILENT else self._random.uniform(1, 6)
        self._in(lasts, lambda: self._end(attempt, _UNANSWERED[outcome]))

    def _past_call(self, attempt: AttemptId) -> Call | None:
        """The same call on the replayed day; None: there was none."""
        if not self.replay:
            return None
        task, _, n = attempt.removeprefix("t").partition("-")
        calls = self.replay[int(task) - 1].calls
        return calls[int(n) - 1] if int(n) <= len(calls) else None

    def _answered(self, attempt: AttemptId) -> None:
        ring = self._engine.call_control.whom_to_ring(attempt)
        patience = self.behaviour.leaves_after(self._random)
        past = self._past_call(attempt)
        if past is not None and past.outcome is Outcome.CLIENT_LEFT:
            patience = _seconds(past.answered, past.ended, patience)
        leaves = self._clock + patience * SECOND
        waiting = _Waiting(attempt, self._clock, leaves, ring.seconds if ring else 0)
        self._ring(waiting, ring.extensions if ring is not None else ())

    def _ring(self, client: "_Waiting", extensions: Sequence[str]) -> None:
        """As in the dialplan: the free phones ring one after the other."""
        free = [ext for ext in extensions if self._roster.phones_state(ext) == "NOT_INUSE"]
        if not free:
            self._in(SENTENCE, lambda: self._end(client.attempt, client.report("NOANSWER", self)))
            return
        extension, others = free[0], free[1:]
        self._engine.call_control.ringing(client.attempt, extension)
        self._engine.call_control.write_ringing(client.attempt, extension)
        self._roster.set_phone(extension, "RINGING")
        missed = self._random.random() < self.behaviour.misses
        rings = client.seconds if missed else self._random.choice(self.behaviour.picks_up)

        def stops() -> None:
            self._roster.set_phone(extension, "NOT_INUSE")

        def leaves() -> None:
            stops()
            self._end(client.attempt, client.report("ring", self))

        def rings_out() -> None:
            stops()
            self._ring(client, others)

        if self._clock + rings * SECOND > client.leaves:
            self._at(client.leaves, leaves)
        elif missed:
            self._in(rings, rings_out)
        else:
            self._in(rings, lambda: self._talk(client, extension), dispatch=False)

    def _talk(self, client: "_Waiting", extension: str) -> None:
        lasts = min(self._random.choice(self.behaviour.talk), 1800.0)
        past = self._past_call(client.attempt)
        if past is not None and past.talk_seconds:
            lasts = float(past.talk_seconds)
        self._roster.set_phone(extension, "INUSE")
        begins = self._clock

        def hang_up() -> None:
            self._talking += lasts
            self._talks += 1
            self._roster.set_phone(extension, "NOT_INUSE")
            report = client.report("talk", self)
            self._end(client.attempt, evolve(report, operator=extension, talked=begins))

        self._in(lasts, hang_up)

    def _end(self, attempt: AttemptId, report: Report) -> None:
        run_now(self._engine.ends.record(attempt, report))
        wrap = self.config.staff.wrap_up.total_seconds()
        if wrap and report.operator:
            self._in(wrap, lambda: None)  # the dispatcher runs again after the wrap-up

    def _break(self, number: int, *, ends: bool) -> None:
        work, rest = self.behaviour.breaks
        mean = rest if not ends else work
        self._staff(number, at_work=ends)
        if not ends:
            self._working -= rest * 60
        lasts = self._random.expovariate(1 / mean) if ends else rest
        self._in(60 * lasts, lambda: self._break(number, ends=not ends))

    # The set-up.

    def _prepare(self) -> None:
        self._clock, self._random = self.start, Random(self.seed)
        self._store = _Memory(open_memory())
        store: Any = self._store
        spool: Any = self
        around = all_well(
            lambda: self._clock, wake_at=lambda moment: self._at(moment, lambda: None)
        )
        self._engine = Engine(self.config, store, self._roster, spool, lambda: self._clock, around)
        for number in range(self.operators):
            self._staff(number, at_work=True)
            known = {"id": number + 1, "name": "", "extension": str(101 + number), "online": 1}
            self._store.now(
                lambda db, row: db.execute(sa.insert(staff_table), row),
                known | {"seen": self.start},
            )
            self._roster.set_phone(str(101 + number), "NOT_INUSE")
            first = self._random.uniform(0, 60 * self.behaviour.breaks[0])
            self._in(first, partial(self._break, number, ends=False))
        self._working = self.operators * (self.end - self.start).total_seconds()
        self._store.now(
            save_tasks, [self._task(n) for n in range(self.tasks)], self.start, asked=self.start
        )

    def _task(self, number: int) -> Imported:
        """Half of the tasks are due when the day begins, the others through its first half."""
        late = max(0.0, self._random.uniform(-1, 1)) * (self.end - self.start) / 2
        if self.replay:
            late = self.replay[number].due - self.start
        # An unassigned country code: these numbers cannot be dialled.
        phone = Phone(f"+999{number:08d}", "", "CONTACT", number + 1, zone=self.config.hours.zone)
        task = PortalTask(
            id=number + 1, title="", status=2, responsible=number % self.operators + 1,
            deadline=self.start + late, clients=(),
        )  # fmt: skip
        return Imported(task, (phone,))

    def _staff(self, number: int, *, at_work: bool) -> None:
        self._people[number] = StaffRow(
            id=OperatorId(number + 1), name=f"Operator {101 + number}", extension=str(101 + number),
            online=at_work,
        )  # fmt: skip
        self._roster.set_staff(self._people.values())

    def _turn(self) -> None:
        run_now(self._engine.dispatcher.turn())
        later = sa.select(sa.func.min(task_table.c.next_check)).where(
            task_table.c.next_check > self._clock
        )
        moment = self._store.now(lambda db: db.scalar(later))
        if moment is not None and (not self._events or moment < self._events[0][0]):
            self._at(moment, lambda: None)

    def _in(self, seconds: float, happen: Callable[[], None], *, dispatch: bool = True) -> None:
        self._at(self._clock + seconds * SECOND, happen, dispatch=dispatch)

    def _at(self, moment: datetime, happen: Callable[[], None], *, dispatch: bool = True) -> None:
        """``dispatch``: run the dispatcher afterwards; the event may change whom it can dial."""
        heapq.heappush(self._events, (moment, next(self._order), happen, dispatch))

    def _local(self) -> datetime:
        return self._clock.astimezone(self.config.when.zone)

    @property
    def clock(self) -> datetime:
        """The time of the simulated day."""
        return self._clock

    # The results.

    def _point(self) -> tuple[datetime, int, int]:
        return self._clock, self._talks, self._dialled

    def _day(self, points: tuple[tuple[datetime, int, int], ...]) -> Day:
        lines = self._store.now(views.attempt_lines)
        ends = Counter(line.outcome or line.state for line in lines)
        past = self._store.now(attempt_queries.past, self.end, self.end - self.start)
        answers = Answers(
            answered=sum(ends[outcome.value] for outcome in ANSWERED),
            abandoned=sum(call.abandoned for call in past.answers),
            late=sum(call.late for call in past.answers),
        )
        closed = sa.select(sa.func.count()).where(task_table.c.closed_reason != "")
        overdial = sa.select(sa.func.count()).where(attempt_table.c.reserved == 0)
        finished = [line.ended_at for line in lines if line.ended_at is not None]
        return Day(
            tasks=self.tasks,
            finished=self._store.now(lambda db: db.scalar(closed)) or 0,
            talked=ends[Outcome.TALKED.value],
            attempts=ends,
            answers=answers,
            overdial=self._store.now(lambda db: db.scalar(overdial)) or 0,
            last_finished=max(finished, default=None),
            busy=self._talking / self._working if self._working else 0.0,
            points=points,
        )


@frozen
class _Waiting:
    """A client who has answered."""

    attempt: AttemptId
    since: datetime
    leaves: datetime
    seconds: int  #: that each operator's phone rings

    def report(self, state: str, day: "Simulation") -> Report:
        """The dialplan's report if the call ends now."""
        return Report(
            stage="dial", dial_status="ANSWER", operator_state=state, answered=self.since,
            ended=day.clock,
        )  # fmt: skip


def _seconds(since: datetime | None, until: datetime | None, otherwise: float) -> float:
    known = since is not None and until is not None
    return max(0.0, (until - since).total_seconds()) if known else otherwise  # type: ignore[operator]


_UNANSWERED = {
    Outcome.SILENT: Report(stage="dial", dial_status="NOANSWER", cause=19),
    Outcome.BUSY: Report(stage="dial", dial_status="BUSY", cause=17),
    Outcome.REJECTED: Report(stage="dial", dial_status="CHANUNAVAIL", cause=21, tech="SIP 603"),
    Outcome.FORWARDED: Report(stage="dial", dial_status="BUSY", cause=0),
    Outcome.UNREACHABLE: Report(stage="dial", dial_status="CHANUNAVAIL", cause=20),
    Outcome.BAD_NUMBER: Report(stage="dial", dial_status="CHANUNAVAIL", cause=1),
}
