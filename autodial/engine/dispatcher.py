"""
The dispatcher: reads due tasks, calls ``decide``, and gives call files to Asterisk.

The attempt is on disk before its call file; a crash in between loses a call, never doubles one.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.attempt_ends import AttemptEnds
from autodial.engine.attempt_starts import AttemptStarts, Started
from autodial.engine.conditions import Conditions
from autodial.engine.live_calls import LiveCalls
from autodial.engine.stall_alarm import StallAlarm
from autodial.engine.surroundings import Surroundings
from autodial.engine.turns import Turns
from autodial.model.attempt import Attempt
from autodial.model.ids import TaskId
from autodial.model.task import CallTask
from autodial.rules.dial_decision import decide, general
from autodial.rules.dial_facts import LATER, Decision, Dial, Drop, Facts, Reason, Refusal, Wait
from autodial.rules.dial_rules import GENERAL
from autodial.rules.next_call import NextCall
from autodial.store import attempt_queries, flags, ledger, nodes, pauses
from autodial.store.database import Store
from autodial.store.events import note
from autodial.store.in_force import in_force
from autodial.store.planning import (
    any_ripe,
    due_here,
    due_tasks,
    look_again,
    make_ready,
    save_reasons,
    save_reasons_here,
    save_waiting,
)
from autodial.store.replan import replan
from call_files import CallFile, CallFileError, Spool, SpoolError

#: Tasks read at once in one turn. Mostly the pace allows one call now, and the first task can be
#: dialled; the others wait for the next turn.
PAGES = (1, 4, *[25] * 40)
#: Next calls checked in one turn after a change of the rules: claims and results wait for it.
REPLANNED = 50
#: So short a wait for the pace is not stored as a reason.
MOMENT = timedelta(seconds=1)
#: While all due tasks wait for one reason, it is stored for newly due tasks this often.
STORE_REASON_AGAIN = timedelta(seconds=5)
#: In shadow mode a task that would have been dialled is decided on again after this long.
SHADOW = timedelta(minutes=30)
#: In shadow mode the operator counts as busy for this long.
SHADOW_CALL = timedelta(minutes=2)
#: Reasons that hold for all nodes which share the store, and are stored for all due tasks.
OF_ALL_NODES = frozenset({Reason.PAUSED, Reason.PORTAL_SILENT})
#: What calls of other nodes take, and give back when they end.
OF_CALLS = frozenset({Reason.TRUNKS_FULL, Reason.ABANDONED})
#: After a call file could not be written, the spool is tried this often.
RETRY_SPOOL = timedelta(seconds=15)


@define(eq=False)
class Dispatcher:
    """Places calls."""

    log = Logger()

    config: Config
    store: Store
    calls: LiveCalls
    starts: AttemptStarts
    turns: Turns
    ends: AttemptEnds
    conditions: Conditions
    alarm: StallAlarm
    spool: Spool
    now: Callable[[], datetime]
    around: Surroundings
    #: Called at each change of the rules, before anything is decided by them.
    on_rules: Callable[[Config], None]
    _waiting: tuple[Reason, datetime] | None = field(default=None, init=False)
    _spool_probed: datetime | None = field(default=None, init=False)
    _listed: frozenset[str] | None = field(default=frozenset(), init=False)
    #: The settings file; ``config`` adds the days off by command.
    _settings: Config = field(init=False)
    _days_off: tuple[date, ...] = field(default=(), init=False)  #: by command
    _replan_after: int | None = field(
        default=None, init=False
    )  #: after a change of the rules: checked up to this task
    _followed: int = field(default=0, init=False)  #: how often the rules have changed
    _anew: bool = field(default=False, init=False)  #: decide again on waiting tasks

    def __attrs_post_init__(self) -> None:
        self._settings = self.config

    def use(self, config: Config) -> None:
        """From now on these are the settings; next calls follow."""
        self._settings = config
        self._follow()

    def _follow(self) -> None:
        """The rules have changed: for new decisions, and for postponed calls."""
        before = self.conditions.rules
        self.config = self._settings.but_off(self._days_off)
        self.on_rules(self.config)
        self._anew = True
        now = self.conditions.rules
        if (before.hours, before.limits) != (now.hours, now.limits):
            self._replan_after = 0
            self._followed += 1

    async def turn(self) -> None:
        """Decide on the due tasks and dial those that may be dialled."""
        try:
            await self._turn()
        except Exception:
            self.alarm.failed()
            raise
        finally:
            await self.alarm.look()

    async def _turn(self) -> None:
        now = self.now()
        await self._look_for_store()
        await self.hear()
        ordered = await self.store.run(in_force, now, now.date() - timedelta(days=2))
        self.conditions.all_paused = pauses.EVERYBODY in ordered.paused
        self.calls.roster.set_paused(ordered.paused)
        self.calls.roster.stand_ins = ordered.stand_ins
        self._anew |= ordered.purposes != self.conditions.paused_purposes
        self.conditions.paused_purposes = ordered.purposes
        await self._heed_days_off(ordered.days_off)
        if self._anew:
            self._anew = False
            await self.store.run(look_again, now)
        if not self.config.pace.automatic:
            return  # hand-made call files go through call control, which has the pauses now
        self._try_spool(now)
        facts = self.conditions.facts()
        if facts.do_not_call is not self._listed and facts.do_not_call != self._listed:
            await self.store.run(look_again, now)  # numbers removed from the list wait no longer
        self._listed = facts.do_not_call
        if general(facts, now) is None:
            try:
                if await self._may_decide(now):
                    facts = await self._decide_on_due(now)
            finally:
                await self.turns.give_back()
        await self._wait_together(facts)

    async def _decide_on_due(self, now: datetime) -> Facts:
        """Page by page, until one reason holds for all; the facts after that."""
        facts = self.conditions.facts()
        for page in PAGES:
            if general(facts, self.now()) is not None:
                break
            due = await self._due(now, page)
            facts = await self._decide(due, now)
            if self.turns.over():
                self.around.wake_at(self.now())
                break
            if len(due) < page:
                break
        return facts

    async def _due(self, now: datetime, most: int) -> Sequence[CallTask]:
        since = now - self.conditions.rules.limits.looks_back
        if not self.calls.node:
            return await self.store.run(due_tasks, now, most, since=since)
        return await self.store.run(due_here, now, most, node=self.calls.node, since=since)

    async def _may_decide(self, now: datetime) -> bool:
        """Of several nodes one decides at a time, if there is something due."""
        if self.calls.node:
            if await self.store.run(any_ripe, now):
                await self.store.run(make_ready, now)
            if not await self._due(now, 1):
                self.turns.not_wanted()
                return False
        return await self.turns.take()

    @property
    def waits_for_nodes(self) -> bool:
        """Is nobody dialled for what a call of another node may give back?"""
        return self._waiting is not None and self._waiting[0] in OF_CALLS

    async def hear(self) -> None:
        """What the other nodes that share the store have done since."""
        if self.calls.node:
            news = await self.store.run(nodes.news, self.calls.node, self.calls.seen)
            self.calls.heard(news)

    async def _heed_days_off(self, days: tuple[date, ...]) -> None:
        """The days off by command; next calls that fall on one are postponed."""
        if days != self._days_off:
            self._days_off = days
            self._follow()
            names = ", ".join(map(str, days)) or "none"
            self.log.info("days off by command: {days}", days=names)
        if self._replan_after is None or self.config.pace.shadow:
            return
        limits, hours = self.conditions.rules.limits, self.conditions.rules.hours
        rules = NextCall(limits, hours, self.config.client.jitter)
        followed, now = self._followed, self.now()
        step = await self.store.run(replan, rules, now, self._replan_after, REPLANNED)
        if followed == self._followed:  # else the rules have changed meanwhile: begin again
            self._replan_after = step.after
        if step.moved:
            self.log.info("{count} next calls are put off by the new rules", count=step.moved)
            self.around.on_enqueued()

    def _try_spool(self, now: datetime) -> None:
        """After a call file could not be written: can one be written again?"""
        if self._spool_probed is None or now - self._spool_probed < RETRY_SPOOL:
            return
        try:
            self.spool.probe()
        except SpoolError:
            self._spool_probed = now
            return
        self._spool_probed, self.conditions.spool_ok = None, True
        self.log.info("call files can be written again")

    async def _decide(self, due: Sequence[CallTask], now: datetime) -> Facts:
        """Decide on each of these tasks, until one reason holds for all; the facts after that."""
        reasons: list[tuple[TaskId, str, datetime | None]] = []
        facts = self.conditions.facts()
        for task in due:
            if general(facts, self.now()) is not None or self.turns.over():
                break
            decision = decide(task, facts, self.now())
            if isinstance(decision, Dial) and self.config.pace.shadow:
                decision = await self._only_say(task, decision)
                facts = self.conditions.facts()
            self.alarm.decided(task.id, decision)
            refusal = decision if not isinstance(decision, Dial) else None
            if isinstance(decision, Dial):
                refusal = await self._dial(task, decision)
                facts = self.conditions.facts()
            if refusal is not None:
                reasons.append((task.id, *_reason(refusal)))
        if reasons and self.calls.node:
            await self.store.run(save_reasons_here, self.calls.node, reasons, now)
        elif reasons:
            await self.store.run(save_reasons, reasons, now)
        if reasons:
            facts = self.conditions.facts()
        return facts

    async def _wait_together(self, facts: Facts) -> None:
        """If one reason holds for all, store it for the tasks that are still due."""
        now = self.now()
        wait = general(facts, now)
        self.alarm.decided(None, wait)
        if wait is not None:
            if wait.reason is Reason.PACE:
                self.around.wake_at(wait.until)
                if wait.until - now < MOMENT:
                    return
            # More tasks fall due meanwhile: they get the reason, if not at once.
            if (
                self._waiting is None
                or self._waiting[0] is not wait.reason
                or (now - self._waiting[1] >= STORE_REASON_AGAIN)
            ):
                self._waiting = wait.reason, now
                if not self.calls.node or wait.reason in OF_ALL_NODES:
                    await self.store.run(save_waiting, wait.reason.value, now)
        else:
            self._waiting = None

    async def _look_for_store(self) -> None:
        """Nobody is dialled while the store is not at the path that the next start will open."""
        here = self.store.in_place()
        if here is self.conditions.store_ok:
            return
        self.conditions.store_ok = here
        if here:
            self.log.info("the store is in its place again")
            return
        await self.store.rescue()  # now, too: it may be killed

    async def beat(self) -> None:
        """For commands: record that the dialler runs, and whether Asterisk is connected."""
        pbx = (flags.PBX_UP,) if self.around.pbx_ok() else ()
        await self.store.run(flags.mark, self.now(), flags.ALIVE, *pbx)
        if self.calls.node:
            reason = self._waiting[0].value if self._waiting is not None else ""
            await self.store.run(
                nodes.beat, self.calls.node, self.now(), pbx=bool(pbx), reason=reason
            )

    async def _only_say(self, task: CallTask, decision: Dial) -> Wait:
        """Shadow mode: log what would be dialled; nothing is sent to Asterisk or the portal."""
        call = f"{decision.phone.number} for {decision.operator.name}"
        now = self.now()
        self.log.info("shadow: task {task} would be dialled, {call}", task=task.id, call=call)
        await self.store.run(note, now, task.id, "would be dialled", call)
        # As if the operator were in that call, and the pace had been used.
        self.calls.space_out()
        self.calls.roster.wraps_up(decision.operator.id, now + SHADOW_CALL)
        return Wait(Reason.SHADOW, now + SHADOW)

    async def _dial(self, task: CallTask, decision: Dial) -> Refusal | None:
        """A refusal: of this task alone, as another node was faster."""
        now = self.now()
        try:
            started = await self.starts.start(task, decision)
        except ledger.ClientTaken as taken:
            self.log.info("task {task}: {taken}", task=task.id, taken=taken)
            return Wait(Reason.SAME_CLIENT, now + LATER)
        except ledger.Taken as taken:
            # The reservations in memory differ from the store's: read them again.
            self.log.warn("task {task}: {taken}", task=task.id, taken=taken)
            self.calls.roster.set_reserved(await self.store.run(attempt_queries.reserved))
            return None
        if not isinstance(started, Started):
            self.around.wake_at(now)  # what holds for all tasks is found there
            return started if started is not None and started.reason not in GENERAL else None
        attempt = started.attempt
        try:
            self.spool.submit(self._call_file(attempt))
            self.alarm.submitted(attempt.id)
        except (CallFileError, SpoolError) as error:
            self.log.error("{attempt}: {error}", attempt=attempt.id, error=error)
            await self.ends.give_up(attempt.id, str(error))
            if isinstance(error, SpoolError):
                self._hold_for_spool(now)
            return None
        self.log.info(
            "{attempt}: call file for operator {operator}",
            attempt=attempt.id,
            operator=attempt.extension if started.decision.reserved else "to come",
        )
        return None

    def _hold_for_spool(self, now: datetime) -> None:
        """If no call file can be written at all, stop dialling until one can."""
        try:
            self.spool.probe()
        except SpoolError as error:
            self._spool_probed, self.conditions.spool_ok = now, False
            self.log.error(
                "no call file can be written, and nobody is dialled until one can: {error}",
                error=error,
            )

    def _call_file(self, attempt: Attempt) -> CallFile:
        asterisk = self.config.asterisk
        return CallFile(
            name=attempt.id,
            channel="Local/task@autodial-out/n",
            context="autodial-answered",
            # Everything up to the answer: the claim, and each trunk in turn.
            wait=asterisk.ring_client * len(attempt.routes) + 15,
            caller_id=asterisk.caller_id,
            variables={"__AD_ID": attempt.id},
        )


def _reason(decision: Decision) -> tuple[str, datetime | None]:
    match decision:
        case Wait(reason, until):
            return reason.value, until
        case Drop(reason):
            return reason.value, None
        case _:
            return "dial", None
