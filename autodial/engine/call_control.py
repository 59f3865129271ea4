"""
Call control answers the calls' questions: whom to dial, whom to ring, what his phone shows.

Its answers come from memory. The only waits are the durable ones: a claim and a result are on
disk before the dialplan hears of them.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import phonenumbers
from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.errors import StoreError
from autodial.model.attempt import Attempt, Report
from autodial.model.disposition import Disposition
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator
from autodial.model.outcome import Outcome
from autodial.model.task import CallTask, Phone
from autodial.model.trunk import Route
from autodial.rules.caller_display import Looks
from autodial.rules.capacity import DIALLING
from autodial.rules.dial_decision import against, decide, nobody_there
from autodial.rules.dial_facts import Dial, Facts
from autodial.rules.end_policy import EndPolicy
from autodial.rules.next_call import NextCall
from autodial.rules.operator_choice import deputies_of, in_order
from autodial.rules.rolling_statistics import Recent
from autodial.rules.trunk_choice import routes_tried
from autodial.store import attempt_end, attempt_queries, flags, ledger, pauses, words
from autodial.store.database import Store
from autodial.store.tasks import confirm, load_task

#: Operators named to one call: a client does not wait for more, the lease reckons with as many, and
#: one command to Asterisk carries them.
MOST_RUNG = 10
#: Beyond ringing and talking, how long an attempt may take before it is given up, in seconds.
MARGIN = 60


@frozen
class Claimed:
    """Yes: dial this number; and what to do if the server is gone when the client answers."""

    attempt: Attempt
    number: str  #: as the carriers want it
    wait: int  #: seconds to let the client's phone ring
    routes: tuple[Route, ...]
    #: How many calls each of these carriers takes at once; None: it has left the configuration.
    lines: tuple[int | None, ...]
    ring: "Ring"


@frozen
class Ring:
    """Whom to ring, in order, and what their phones show."""

    extensions: tuple[str, ...]
    seconds: int
    caller_name: str
    alert: str | None = None  #: Alert-Info, for a ring of its own; None: the dialplan's


@define(eq=False)
class CallControl:
    """The calls of one dialler. ``facts`` are the dispatcher's, ``refresh`` the importer's."""

    log = Logger()

    config: Config
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    facts: Callable[[], Facts]
    refresh: Callable[[TaskId], Awaitable[CallTask | None]]
    on_ended: Callable[[], None]
    on_owed: Callable[[], None]
    withdraw: Callable[[str], bool]
    #: Asterisk's own word on an attempt's outbound leg (its channel, if known): still in its call?
    under_way: Callable[[AttemptId, str | None], Awaitable[bool]]
    #: The channels of the outbound legs, as their claims named them.
    _legs: dict[AttemptId, str] = field(factory=dict, init=False)
    _live: dict[AttemptId, Attempt] = field(factory=dict, init=False)
    #: When the pace allows the next call; None: now.
    next_start: datetime | None = field(default=None, init=False)
    #: When the last call was started over each carrier.
    started: dict[str, datetime] = field(factory=dict, init=False)
    recent: Recent = field(init=False)
    ended_since_start: Counter[Outcome] = field(factory=Counter, init=False)
    _looks: Looks = field(init=False)
    _policy: EndPolicy = field(init=False)
    _looks_back: timedelta = field(init=False)
    #: Reports that the store could not take, in the order they came: nobody else may have them.
    _unwritten: dict[AttemptId, list[Report]] = field(factory=dict, init=False)
    _writing: DeferredLock = field(factory=DeferredLock, init=False)
    last_claim: datetime | None = field(default=None, init=False)  #: that was granted

    def __attrs_post_init__(self) -> None:
        self.recent = Recent(self.config.pace.abandoned_over)
        self.use(self.config)

    def use(self, config: Config) -> None:
        """From now on this is the configuration."""
        self.config = config
        self._looks = config.looks
        self._policy = EndPolicy(
            retry=config.rules_for_retry,
            write_back=config.write_back,
            fit=NextCall(config.limits, config.when, config.client.jitter),
            attempts=config.client.attempts,
            later=config.tasks.later,
        )
        self._looks_back = config.limits.looks_back

    def live(self) -> tuple[Attempt, ...]:
        """Attempts under way."""
        return tuple(self._live.values())

    def lease(self) -> timedelta:
        """How long an attempt may take at the very most."""
        asterisk = self.config.asterisk
        rings = asterisk.ring_client * len(asterisk.trunks) + asterisk.ring_operator * MOST_RUNG
        return asterisk.longest_call + timedelta(seconds=rings + MARGIN)

    def opened(self, attempt: Attempt, *, held: bool = True) -> None:
        """An attempt was written; its call is about to start. ``held``: for its operator."""
        now, route = self.now(), attempt.routes[0]
        self.next_start = now + timedelta(seconds=1 / self.config.pace.calls_per_second)
        self.started[route.trunk] = now
        self.recent.shown(now, route.caller_id)
        self._live[attempt.id] = attempt
        if held:
            self.roster.reserve(attempt.operator, attempt.id)

    def ended(self, attempt: AttemptId) -> None:
        """An attempt is over, by whatever way."""
        self._live.pop(attempt, None)
        self._legs.pop(attempt, None)
        self.roster.release(attempt)
        self.on_ended()
        self.on_owed()

    def learn(self, responsible: Mapping[TaskId, OperatorId]) -> None:
        """The portal says who is responsible now; calls under way are to reach him."""
        self._live = {
            number: evolve(attempt, responsible=responsible.get(attempt.task, attempt.responsible))
            for number, attempt in self._live.items()
        }

    def claimed_by(self, attempt: AttemptId, channel: str) -> None:
        """The channel of an attempt's outbound leg, which will report its end."""
        if attempt in self._live:
            self._legs[attempt] = channel

    async def over(self, attempt: AttemptId) -> bool:
        """
        Can this attempt have ended? A report alone is not believed while Asterisk says that the
        call goes on.
        """
        if attempt not in self._live:
            return True
        return not await self.under_way(attempt, self._legs.get(attempt))

    async def claim(self, attempt: AttemptId) -> Claimed | None:
        """May this attempt's client be dialled? Yes at most once; None: no."""
        now = self.now()
        known = self._live.get(attempt)
        first = known is not None and known.state == "spooled"
        if known and first and (refusal := await self._last_look(known)) is not None:
            await self.give_up(attempt, refusal)
            return None
        found = await self.store.run(ledger.claim, attempt, now)
        if found is None:
            self.log.warn("{attempt}: claim refused", attempt=attempt)
            return None
        self._live[attempt] = found
        self.last_claim = now
        self.take_away(attempt)  # a crash of Asterisk must not find the file again
        self._refresh_while_ringing(found)
        return self._yes(found)

    async def _last_look(self, attempt: Attempt) -> str | None:
        """Between the spool and the dialplan the task may have been closed, or the day ended."""
        task = await self.store.run(load_task, attempt.task, since=self._since())
        if task is None:
            return "the task is gone"
        facts, now = self.facts(), self.now()
        # This attempt itself is not one that was made before it.
        made = task.attempts - 1
        task = evolve(task, in_progress=False, attempts=made, phones=_only(task, attempt.number))
        refusal = against(task, facts, now) or nobody_there(task, facts, now)
        return refusal.reason.value if refusal is not None else None

    def _since(self) -> datetime:
        """Calls before it count in no limit."""
        return self.now() - self._looks_back

    async def claim_task(self, task_id: TaskId, number: str) -> Claimed | None:
        """
        A hand-made call file names only a task: open an attempt for it, under the same rules.

        ``number``: digits the file named, or empty; a number that is not the task's is refused.
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
            task = evolve(task, phones=_only(task, number))
        decision = decide(task, self.facts(), now)
        if not isinstance(decision, Dial):
            self.log.info(
                "task {task}: hand-made call file refused: {reason}",
                task=task_id,
                reason=decision.reason.value,
            )
            return None
        try:
            attempt = await self.store.run(
                ledger.open_attempt, task, decision, now, lease=self.lease(), claimed=True
            )
        except ledger.Taken as taken:
            self.log.info("task {task}: {taken}", task=task_id, taken=taken)
            return None
        self.opened(attempt, held=decision.held)
        self.last_claim = now
        self._refresh_while_ringing(attempt)
        return self._yes(attempt)

    def whom_to_ring(self, attempt: AttemptId) -> Ring | None:
        """The client has answered. None: this attempt is not known here."""
        known = self._live.get(attempt)
        return self._ring(known) if known is not None else None

    def ringing(self, attempt: AttemptId, extension: str) -> tuple[str, str | None] | None:
        """
        An operator's phone is about to ring; the portal is told off the voice path. What this phone
        is to show, and its Alert-Info, if that is not what was said at the answer.
        """
        own: tuple[str, str | None] | None = None
        if attempt in self._live:
            if self._looks.phones:  # also what a phone before it was told is not for this one
                own = self._look(self._live[attempt], extension)
            self._live[attempt] = evolve(self._live[attempt], state="answered")
            self.roster.hand_over(extension, attempt)

        async def tell() -> None:
            await self.store.run(
                ledger.ringing, attempt, extension, self.now(), self.config.write_back
            )
            self.on_owed()

        self._aside(tell(), attempt)
        return own

    def forwards(self, attempt: AttemptId, extension: str) -> None:
        """An operator's phone forwards its calls: a conflict that a person must see."""
        him = self._with_extension(extension)
        if him is None:
            return
        self.log.warn(
            "{attempt}: the phone {extension} of {name} forwards its calls, and is passed over;"
            " end that on the phone (see 'autodial operators')",
            attempt=attempt,
            extension=extension,
            name=him.name,
        )
        # Beside the call: its client has answered, and hears nothing meanwhile.
        self._aside(self.store.run(flags.mark, self.now(), flags.forwards(him.id)), attempt)

    async def result(self, attempt: AttemptId, report: Report) -> bool:
        """
        Write the end down. True once it is on disk, and for an attempt that ended before.

        Raises:
            StoreError: it cannot be written now. The report is kept here, and written before
                anything is given up.
        """
        try:
            await self._write(attempt, report)
        except StoreError:
            reports = self._unwritten.setdefault(attempt, [])
            if report not in reports:
                reports.append(report)
            raise
        return True

    async def write_unwritten(self) -> None:
        """
        Write the reports that could not be written when they came.

        Raises:
            StoreError: still not; what was not written stays here.
        """
        await self._writing.acquire()  # a stop does not wait for the reconciler's turn for ever
        try:
            for attempt in tuple(self._unwritten):
                while reports := self._unwritten[attempt]:
                    await self._write_or_leave(attempt, reports[0])
                    del reports[0]
                del self._unwritten[attempt]
        finally:
            self._writing.release()

    async def _write_or_leave(self, attempt: AttemptId, report: Report) -> None:
        """A report that is wrong in itself must not stand before the others."""
        try:
            await self._write(attempt, report)
        except StoreError:
            raise
        except Exception:
            self.log.failure("{attempt}: its report cannot be written", attempt=attempt)
        else:
            self.log.info("{attempt}: its report is written down now", attempt=attempt)

    async def _write(self, attempt: AttemptId, report: Report) -> None:
        known = self._live.get(attempt)
        ended = await self.store.run(
            attempt_end.record, attempt, report, self.now(), self._policy,
        )  # fmt: skip
        if ended.recorded is attempt_end.Recorded.UNKNOWN:
            self.log.warn("{attempt}: a report for an attempt nobody made", attempt=attempt)
        if ended.recorded is attempt_end.Recorded.ENDED:
            self._log_end(attempt, ended)
            self._wrap_up(ended)
            for route in routes_tried(known.routes, report.trunk)[1:] if known else ():
                self.recent.shown(self.now(), route.caller_id)
            if ended.answered is not None:
                self.recent.ended(ended.answered)

    def _wrap_up(self, ended: attempt_end.Ended) -> None:
        span = self.config.staff.wrap_up
        if span and ended.taken_by is not None:
            self.roster.wraps_up(ended.taken_by, self.now() + span)

    async def give_up(self, attempt: AttemptId, why: str, *, lost: bool = False) -> None:
        """
        End an attempt ourselves: never dialled (withdrawn), or gone quiet (lost). Not one whose
        report waits to be written.
        """
        if attempt in self._unwritten:
            return
        outcome = Outcome.LOST if lost else Outcome.WITHDRAWN
        ended = await self.store.run(
            attempt_end.give_up, attempt, outcome, why, self.now(), self._policy,
        )  # fmt: skip
        if ended.recorded is attempt_end.Recorded.ENDED:
            self._log_end(attempt, ended, why)
            self.take_away(attempt)

    def take_away(self, name: str) -> None:
        """Remove a call file; one that cannot be removed is only logged: its claim is refused."""
        try:
            self.withdraw(name)
        except OSError as error:
            self.log.error("{attempt}: call file stays: {error}", attempt=name, error=error)

    async def call_now(self, extension: str, task: TaskId) -> bool:
        """
        A person's word for a task. False: nobody has this extension, or it is no task that could
        be dialled.
        """
        if self._with_extension(extension) is None:
            return False
        confirmed = await self.store.run(confirm, task, self.now())
        if confirmed:
            self.log.info("task {task}: dial it now, says {who}", task=task, who=extension)
        return confirmed

    async def word(self, extension: str, code: str) -> bool:
        """
        What an operator says of his last talk; he is free for the next call then. False: nobody
        has this extension, he has had no talk lately, or the code means nothing.
        """
        him = self._with_extension(extension)
        word = next((word for word in Disposition if str(word.code) == code), None)
        if him is None or word is None:
            return False
        now = self.now()
        said = await self.store.run(
            words.say, him.id, word, now, self._policy,
        )  # fmt: skip
        if said is None:
            return False
        self.log.info("{attempt}: {word}, says {who}", attempt=said, word=word.value, who=extension)
        self.roster.wraps_up(him.id, now)
        self.on_ended()
        self.on_owed()
        return True

    def _with_extension(self, extension: str) -> Operator | None:
        everybody = self.roster.operators()
        return next((o for o in everybody if extension and o.extension == extension), None)

    async def pause(self, extension: str, *, on: bool) -> bool:
        """No calls for an operator, or calls again; False: nobody has this extension."""
        him = self._with_extension(extension)
        if him is None:
            return False
        if on:
            await self.store.run(pauses.pause, him.id, self.now(), "by phone")
        else:
            await self.store.run(pauses.resume, him.id)
        return True

    async def spool_failed(self, attempt: AttemptId) -> None:
        """Asterisk could not even start it. Counts only if it was never claimed."""
        known = await self.store.run(attempt_queries.load_attempt, attempt)
        if known is not None and known.state == "spooled":
            await self.give_up(attempt, "spoolfail")

    def _log_end(self, attempt: AttemptId, ended: attempt_end.Ended, why: str = "") -> None:
        self.ended(attempt)
        if ended.outcome is not None:
            self.ended_since_start[ended.outcome] += 1
        self.log.info(
            "{attempt}: {outcome} {why}next {next}",
            attempt=attempt,
            outcome=ended.outcome.value if ended.outcome else "",
            why=f"({why}) " if why else "",
            next=ended.next_call,
        )

    def _yes(self, attempt: Attempt) -> Claimed:
        lines = {trunk.name: trunk.lines for trunk in self.config.asterisk.trunks}
        return Claimed(
            attempt,
            self._dialled(attempt.number),
            self.config.asterisk.ring_client,
            attempt.routes,
            tuple(lines.get(route.trunk) for route in attempt.routes),
            self._ring(attempt),
        )

    def _ring(self, attempt: Attempt) -> Ring:
        """The responsible first, then the one held for this call, deputies, anybody free."""
        deputies = deputies_of(attempt, self.config.staff.deputies_by_id)
        everybody = self.roster.operators()
        order = [
            operator.id
            for operator in in_order(
                attempt.responsible, everybody, deputies, self.config.staff.who
            )
            if not operator.paused or operator.reserved_for == attempt.id
        ]
        if attempt.operator in order and order[0] != attempt.operator:
            order.remove(attempt.operator)
            order.insert(1 if order[0] == attempt.responsible else 0, attempt.operator)
        now, known = self.now(), (self.roster.by_id(number) for number in order)
        free = [one for one in known if one is not None and self._may_take(one, attempt)]
        # Who writes up his last talk is disturbed only if nobody else is there.
        extensions = [one.extension for one in sorted(free, key=lambda one: one.wraps_up(now))]
        name, alert = self._look(attempt, "")
        some = tuple(extensions[:MOST_RUNG])
        return Ring(some, self.config.asterisk.ring_operator, name, alert)

    def _look(self, attempt: Attempt, extension: str) -> tuple[str, str | None]:
        """The name that a phone shows, and its Alert-Info; None: the dialplan knows."""
        look = self._looks.of(attempt.purpose, extension)
        name = self._looks.name(look, client=attempt.client, task=attempt.task, title=attempt.title)
        return name, look.alert if self._looks.rings else None

    def _may_take(self, operator: Operator, attempt: Attempt) -> bool:
        """
        Not if he is held for another call; where more are dialled than there are operators, only
        if that other call has reached him.
        """
        other = operator.reserved_for
        if other in (None, attempt.id):
            return True
        ahead = self._live.get(other) if other is not None else None
        dialled = ahead is None or ahead.state in DIALLING
        return self.config.pace.dial_ratio > 1 and dialled

    def _dialled(self, number: str) -> str:
        return dialled(number, self.config.asterisk.number_format)

    def _refresh_while_ringing(self, attempt: Attempt) -> None:
        async def refresh() -> None:
            task = await self.refresh(attempt.task)
            if task is not None:
                self.learn({task.id: task.responsible})

        self._aside(refresh(), attempt.id)

    def _aside(self, work: "Awaitable[None]", attempt: AttemptId) -> None:
        """Do it beside the call; a failure is logged, and the call goes on."""

        async def run() -> None:
            await work

        def failed(failure: Failure) -> None:
            if failure.check(StoreError):
                self.log.error("{attempt}: {error}", attempt=attempt, error=failure.value)
            else:
                self.log.failure("{attempt}: beside the call", failure, attempt=attempt)

        Deferred.fromCoroutine(run()).addErrback(failed)

    def restore(self, attempts: list[Attempt], reserved: Mapping[OperatorId, AttemptId]) -> None:
        """After a start: the attempts that were under way are still our business."""
        self._live = {attempt.id: attempt for attempt in attempts}
        self.roster.set_reserved(reserved)


def _only(task: CallTask, number: str) -> tuple[Phone, ...]:
    digits = number.lstrip("+")
    return tuple(phone for phone in task.phones if phone.number.lstrip("+") == digits)


def dialled(number: str, form: str) -> str:
    """An E.164 number as the carriers want it: "digits", "plus" or "national"."""
    if form == "plus" or not number.startswith("+"):  # a short number is dialled as it is
        return number
    if form == "national":
        return str(phonenumbers.national_significant_number(phonenumbers.parse(number)))
    return number.lstrip("+")
