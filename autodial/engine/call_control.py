"""
Call control answers requests of the dialplan: whom to dial, whom to ring, what the phone shows.

Whom to ring is answered from memory. A claim waits for a read and a write of the store: it is on
disk before the dialplan gets the answer.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from itertools import chain

import sqlalchemy as sa
from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from autodial.config.settings import Config
from autodial.engine.attempt_ends import AttemptEnds
from autodial.engine.attempt_starts import AttemptStarts, Started, only
from autodial.engine.conditions import Conditions
from autodial.engine.live_calls import MOST_RUNG, LiveCalls
from autodial.engine.surroundings import Surroundings
from autodial.errors import StoreError
from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator
from autodial.model.trunk import Route
from autodial.rules.caller_display import Looks
from autodial.rules.capacity import DIALLING
from autodial.rules.dial_decision import against, decide, nobody_there
from autodial.rules.dial_facts import Decision, Dial, Facts
from autodial.rules.operator_choice import deputies_of, in_order, responsible_for
from autodial.rules.trunk_choice import as_dialled
from autodial.store import flags, ledger
from autodial.store.database import Store
from autodial.store.planning import load_task


@frozen
class Claimed:
    """A granted claim: the number to dial, and whom to ring if the server is gone at the answer."""

    attempt: Attempt
    number: str  #: in the trunks' format
    wait: int  #: seconds to let the client's phone ring
    routes: tuple[Route, ...]
    #: How many calls each of these trunks takes at once; None: it is not configured any more.
    lines: tuple[int | None, ...]
    ring: "Ring"


@frozen
class Ring:
    """The extensions to ring, in order, and what their phones show."""

    extensions: tuple[str, ...]
    seconds: int
    caller_name: str
    alert: str | None = None  #: Alert-Info, for a distinctive ring; None: the dialplan's


@frozen(kw_only=True)
class Ringing:
    """May an operator's phone ring, and what does it show?"""

    allowed: bool
    #: Name and Alert-Info, if they may differ from those of the phone before it.
    look: tuple[str, str | None] | None = None


@frozen
class _LastLook:
    """Decides again: meanwhile the task may be closed, or the calling hours may have ended."""

    attempt: Attempt
    facts: Facts
    now: datetime
    since: datetime

    def __call__(self, db: sa.Connection) -> str | None:
        task = load_task(db, self.attempt.task, since=self.since)
        if task is None:
            return "the task is gone"
        # This attempt itself does not count.
        phones, made = only(task, self.attempt.number), task.attempts - 1
        task = evolve(task, in_progress=False, attempts=made, phones=phones)
        refusal = against(task, self.facts, self.now) or nobody_there(task, self.facts, self.now)
        return refusal.reason.value if refusal is not None else None


@define(eq=False)
class CallControl:
    """Answers the dialplan for the calls of one dialler."""

    log = Logger()

    config: Config
    store: Store
    calls: LiveCalls
    starts: AttemptStarts
    ends: AttemptEnds
    conditions: Conditions
    now: Callable[[], datetime]
    around: Surroundings
    _looks: Looks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.use(self.config)

    def use(self, config: Config) -> None:
        """From now on this is the configuration."""
        self.config = config
        self._looks = config.looks

    async def claim(self, attempt: AttemptId) -> Claimed | None:
        """Let this attempt's client be dialled, at most once; None: refused."""
        now = self.now()
        known = self.calls.get(attempt)
        first = known is not None and known.state is State.SPOOLED
        try:
            if known is not None and first:
                look = _LastLook(known, self.conditions.facts(), now, self._since())
                claimed = await self.store.run(ledger.claim, attempt, now, look)
            else:
                claimed = await self.store.run(ledger.claim, attempt, now)
        except ledger.Refused as refused:
            await self.ends.give_up(attempt, str(refused))
            return None
        if claimed is None:
            self.log.warn("{attempt}: claim refused", attempt=attempt)
            return None
        self.calls.claimed(claimed)
        self.ends.withdraw(attempt)  # a crash of Asterisk must not find the file again
        self._refresh_while_ringing(claimed)
        return self._claimed(claimed)

    def _since(self) -> datetime:
        """Earlier calls count in no limit."""
        return self.now() - self.conditions.rules.limits.looks_back

    async def claim_task(self, task_id: TaskId, number: str) -> Claimed | None:
        """
        A hand-made call file names only a task: open an attempt for it, under the same rules.

        ``number``: the digits in the file, or empty; a number that is not the task's is refused.
        """
        now = self.now()
        if self.config.pace.shadow:
            self.log.info("shadow: task {task} of a hand-made call file refused", task=task_id)
            return None
        task = await self.store.run(load_task, task_id, since=self._since())
        if task is None:
            self.log.warn("task {task} of a hand-made call file is not a call task", task=task_id)
            return None
        if number:
            task = evolve(task, phones=only(task, number))
        end: Started | Decision | None = decide(task, self.conditions.facts(), now)
        if isinstance(end, Dial):
            try:
                end = await self.starts.start(task, end, claimed=True, number=number)
            except ledger.Taken as taken:
                self.log.info("task {task}: {taken}", task=task_id, taken=taken)
                return None
        if not isinstance(end, Started):
            reason = end.reason.value if end is not None else "other nodes were faster"
            self.log.info(
                "task {task}: hand-made call file refused: {reason}", task=task_id, reason=reason
            )
            return None
        self.calls.claimed(end.attempt)
        self._refresh_while_ringing(end.attempt)
        return self._claimed(end.attempt)

    def whom_to_ring(self, attempt: AttemptId) -> Ring | None:
        """
        The client has answered: the operators to ring. The first of them is reserved for this call,
        and about to ring: see ``write_ringing``. None: the attempt is not in flight.
        """
        known = self.calls.get(attempt)
        if known is None:
            return None
        self.calls.roster.ring_delay.answered(attempt)
        ring = self._ring(known)
        if ring.extensions:
            first = ring.extensions[0]
            name, alert = self._look(known, first)
            ring = evolve(ring, caller_name=name, alert=alert)
            self.calls.answered(attempt, first)
        return ring

    def ringing(self, attempt: AttemptId, extension: str) -> Ringing | None:
        """
        The operators before this one did not take the call. May this one's phone ring? Then it is
        reserved, and about to ring. None: the attempt is not in flight.
        """
        known = self.calls.get(attempt)
        if known is None:
            return None
        operator = self.calls.roster.with_extension(extension)
        if operator is not None and not self._may_take(operator, known):
            return Ringing(allowed=False)
        self.calls.answered(attempt, extension)
        # Without looks of single phones, all show what was said at the answer.
        look = self._look(known, extension) if self._looks.phones else None
        return Ringing(allowed=True, look=look)

    def write_ringing(self, attempt: AttemptId, extension: str) -> None:
        """
        Store that this phone rings, with the message to the portal. Beside the call, and after the
        dialplan has its answer: the client hears silence until the phone rings.
        """

        async def write() -> None:
            await self.store.run(
                ledger.ringing, attempt, extension, self.now(), self.config.write_back
            )
            self.around.on_enqueued()

        self._aside(write(), attempt)

    def forwards(self, attempt: AttemptId, extension: str) -> None:
        """An operator's phone forwards its calls: warn, so that a person ends it."""
        operator = self.calls.roster.with_extension(extension)
        if operator is None:
            return
        self.log.warn(
            "{attempt}: the phone {extension} of {name} forwards its calls, and is passed over;"
            " end that on the phone (see 'autodial operators')",
            attempt=attempt,
            extension=extension,
            name=operator.name,
        )
        # Beside the call: the client has answered, and hears silence meanwhile.
        self._aside(self.store.run(flags.mark, self.now(), flags.forwards(operator.id)), attempt)

    def _claimed(self, attempt: Attempt) -> Claimed:
        lines = {trunk.name: trunk.lines for trunk in self.config.asterisk.trunks}
        return Claimed(
            attempt,
            as_dialled(attempt.number, self.config.asterisk.number_format),
            self.config.asterisk.ring_client,
            attempt.routes,
            tuple(lines.get(route.trunk) for route in attempt.routes),
            self._ring(attempt),
        )

    def _ring(self, attempt: Attempt) -> Ring:
        """Whom to ring, in order. Mostly the first ten will do: the others are not looked at."""
        now = self.now()
        ready: list[str] = []
        wrapping_up: list[str] = []  # these come last
        for who in self._in_order(attempt):
            if self._may_take(who, attempt):
                (wrapping_up if who.wraps_up(now) else ready).append(who.extension)
                if len(ready) == MOST_RUNG:
                    break
        name, alert = self._look(attempt, "")
        rung = (*ready, *wrapping_up)[:MOST_RUNG]
        return Ring(rung, self.config.asterisk.ring_operator, name, alert)

    def _in_order(self, attempt: Attempt) -> Iterator[Operator]:
        """The responsible first, then the reserved operator, the deputies, anybody else."""
        stand_ins = self.calls.roster.stand_ins
        deputies = deputies_of(attempt, self.config.staff.deputies_by_id, stand_ins)
        first, reserved = responsible_for(attempt, stand_ins), attempt.operator
        everybody = self.calls.roster.all_by_id()

        def rings(who: OperatorId) -> bool:
            operator = everybody[who]
            paused = operator.paused and operator.reserved_for != attempt.id
            return operator.at_work and not operator.elsewhere and not paused

        line = filter(rings, in_order(first, everybody, deputies, self.config.staff.who))
        if (head := next(line, None)) is None:
            return iter(())
        if head == reserved:  # as mostly: the others are not looked at
            return (everybody[who] for who in chain((head,), line))
        others = list(line)
        ahead = [head] if head == first else []
        second = [reserved] if reserved in others else []
        return (everybody[who] for who in dict.fromkeys((*ahead, *second, head, *others)))

    def _look(self, attempt: Attempt, extension: str) -> tuple[str, str | None]:
        """The name that a phone shows, and its Alert-Info; None: the dialplan's."""
        look = self._looks.of(attempt.purpose, extension)
        name = self._looks.name(look, client=attempt.client, task=attempt.task, title=attempt.title)
        return name, look.alert if self._looks.rings else None

    def _may_take(self, operator: Operator, attempt: Attempt) -> bool:
        """
        An operator reserved for another call may not. Where calls are overdialled, they may while
        that other call is still being dialled.
        """
        other = operator.reserved_for
        if other in (None, attempt.id):
            return True
        ahead = self.calls.get(other) if other is not None else None
        dialled = ahead is None or ahead.state in DIALLING
        return self.config.pace.dial_ratio > 1 and dialled

    def _refresh_while_ringing(self, attempt: Attempt) -> None:
        async def refresh() -> None:
            responsible = await self.around.refresh(attempt.task)
            if responsible is not None:
                self.calls.reassign({attempt.task: responsible})

        self._aside(refresh(), attempt.id)

    def _aside(self, work: "Awaitable[None]", attempt: AttemptId) -> None:
        """Run it beside the call; a failure is logged, and the call continues."""

        async def run() -> None:
            await work

        def failed(failure: Failure) -> None:
            if failure.check(StoreError):
                self.log.error("{attempt}: {error}", attempt=attempt, error=failure.value)
            else:
                self.log.failure("{attempt}: beside the call", failure, attempt=attempt)

        Deferred.fromCoroutine(run()).addErrback(failed)
