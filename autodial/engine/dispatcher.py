"""
The dispatcher: takes tasks that are due, asks ``decide``, and hands call files to Asterisk.

The attempt is on disk before its call file is; a crash in between loses a call, never doubles
one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.call_control import CallControl, dialled
from autodial.engine.do_not_call_list import DoNotCall
from autodial.engine.facts import Known, Rules, facts
from autodial.engine.operators import Roster
from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, TaskId
from autodial.model.task import CallTask
from autodial.rules.dial_decision import decide, general
from autodial.rules.dial_facts import LATER, Decision, Dial, Drop, Facts, Reason, Wait
from autodial.rules.next_call import NextCall
from autodial.store import attempt_queries, days_off, flags, ledger, pauses
from autodial.store.database import Store
from autodial.store.events import note
from autodial.store.replan import replan
from autodial.store.tasks import due_tasks, look_again, save_reasons, save_waiting
from call_files import CallFile, CallFileError, Spool, SpoolError

#: Tasks read at once, and how often in one turn: few of many that are due can be dialled now.
PAGE, PAGES = 25, 40
#: Next calls looked at in one turn after the rules have changed: claims and results wait for it.
REPLANNED = 50
#: While all that is due waits for one thing, tasks that have fallen due are told it this often.
TOLD_AGAIN = timedelta(seconds=5)
#: In shadow mode a task that would have been dialled is looked at again after this long.
SHADOW = timedelta(minutes=30)
#: And so long its operator is taken for busy.
SHADOW_CALL = timedelta(minutes=2)
#: Asterisk takes a call file at once; after so long it does not.
UNTAKEN = timedelta(minutes=1)
#: After one that could not be written, it is tried again this often.
RETRY_SPOOL = timedelta(seconds=15)
#: A task that waits is looked at again sooner than this: what is older is over.
STALE = timedelta(minutes=2)
#: What keeps a task that is due, though it is neither the client's nor the task's doing.
STALLING = frozenset(
    {
        Reason.PBX_SILENT, Reason.PORTAL_SILENT, Reason.TRUNKS_FULL, Reason.RULES_UNREADABLE,
        Reason.SPOOL_REFUSES, Reason.STORE_MOVED, Reason.DIALPLAN,
        Reason.NOT_FOR_OTHERS, Reason.NO_ROUTE,
    }
)  # fmt: skip


@define(eq=False)
class Dispatcher:
    """Places calls. ``pbx_ok`` and ``portal_seen`` are asked at each turn."""

    log = Logger()

    config: Config
    store: Store
    roster: Roster
    spool: Spool
    now: Callable[[], datetime]
    pbx_ok: Callable[[], bool]
    portal_seen: Callable[[], datetime | None]
    wake_at: Callable[[datetime], None]
    dialplan_ok: Callable[[], bool] = lambda: True
    call_control: CallControl = field(init=False)
    do_not_call: DoNotCall = field(init=False)
    stopping: bool = field(default=False, init=False)
    _waiting: tuple[Reason, datetime] | None = field(default=None, init=False)
    _stalling_since: datetime | None = field(default=None, init=False)
    _alarmed: bool = field(default=False, init=False)
    #: Why tasks that are due were not dialled when they were looked at last; None: all of them.
    _held_up: dict[TaskId | None, tuple[str, datetime]] = field(factory=dict, init=False)
    #: Why call files could not be written when that was tried last, and when; None: they can.
    _spool_refuses: tuple[str, datetime] | None = field(default=None, init=False)
    #: The store's file is where it was opened, when that was looked at last.
    _store_ok: bool = field(default=True, init=False)
    _files: dict[AttemptId, datetime] = field(factory=dict, init=False)  #: call files not claimed
    _listed: frozenset[str] | None = field(default=frozenset(), init=False)
    _all_paused: bool = field(default=False, init=False)
    _paused_purposes: frozenset[str] = field(default=frozenset(), init=False)
    _told: Config = field(init=False)  #: what the file says; ``config`` has the days off besides
    _days_off: tuple[date, ...] = field(default=(), init=False)  #: that somebody has named
    _replan_after: int | None = field(default=None, init=False)  #: rules are new; up to this task
    _followed: int = field(default=0, init=False)  #: how often they were
    _anew: bool = field(default=False, init=False)  #: what waits is to be looked at anew
    _rules: Rules = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._told = self.config
        self._read_rules()
        self.do_not_call = DoNotCall(self.config.rules.do_not_call, self.config.phones.region)

    def use(self, config: Config) -> None:
        """From now on this is what the file says; next calls follow."""
        old, self._told = self._told, config
        # (The list it has stays where it is the same: it knows what the file held before.)
        list_of = (config.rules.do_not_call, config.phones.region)
        if (old.rules.do_not_call, old.phones.region) != list_of:
            self.do_not_call = DoNotCall(*list_of)
        self._follow()

    def _follow(self) -> None:
        """The rules have changed: for what is decided from now on, and for what was put off."""
        before = self._rules
        self.config = self._told.but_off(self._days_off)
        self._read_rules()
        self.call_control.use(self.config)
        self._anew = True
        now = self._rules
        if (before.hours, before.limits) != (now.hours, now.limits):
            self._replan_after = 0
            self._followed += 1

    def _read_rules(self) -> None:
        self._rules = Rules.of(self.config)

    def facts(self) -> Facts:
        """All that a decision may know, as of now."""
        now, calls = self.now(), self.call_control
        known = Known(
            operators=self.roster.operators(),
            live=calls.live(),
            do_not_call=self.do_not_call.numbers(),
            portal_seen=self.portal_seen(),
            pbx_ok=self.pbx_ok(),
            paused=self.stopping or self._all_paused,
            paused_purposes=self._paused_purposes,
            answers=calls.recent.by_purpose(now),
            in_a_day=calls.recent.in_a_day(now),
            started=calls.started,
            next_start=calls.next_start,
            store_ok=self._store_ok,
            spool_ok=self._spool_refuses is None,
            dialplan_ok=self.dialplan_ok(),
        )
        return facts(self.config, self._rules, known, now)

    async def turn(self) -> None:
        """Look at what is due and dial what may be dialled."""
        try:
            await self._turn()
        except Exception:
            self._held_up[None] = "error, see the log", self.now()
            raise
        finally:
            await self._watch_for_a_stall(self.facts())

    async def _turn(self) -> None:
        now = self.now()
        await self._look_for_store()
        paused = await self.store.run(pauses.paused, now)
        self._all_paused = pauses.EVERYBODY in paused
        self.roster.set_paused(paused)
        held = await self.store.run(pauses.paused_purposes, now)
        self._anew |= held != self._paused_purposes
        self._paused_purposes = held
        await self._heed_days_off()
        if self._anew:
            self._anew = False
            await self.store.run(look_again, now)
        if not self.config.pace.automatic:
            return  # hand-made call files ask call control, which now knows of the pauses
        self._try_spool(now)
        facts = self.facts()
        if facts.do_not_call != self._listed:
            self._listed = facts.do_not_call
            await self.store.run(look_again, now)  # who was taken off the list waits no longer
        for _ in range(PAGES):
            if general(self.facts(), self.now()) is not None:
                break
            since = now - self._rules.limits.looks_back
            found = await self.store.run(due_tasks, now, PAGE, since=since)
            await self._look(found, now)
            if len(found) < PAGE:
                break
        await self._wait_together(self.facts())

    async def _heed_days_off(self) -> None:
        """Days off that somebody has named, or taken back; next calls that fall on one follow."""
        days = await self.store.run(days_off.named, self.now().date() - timedelta(days=2))
        if days != self._days_off:
            self._days_off = days
            self._follow()
            said = ", ".join(map(str, days)) or "none"
            self.log.info("days off by command: {days}", days=said)
        if self._replan_after is None or self.config.pace.shadow:
            return
        rules = NextCall(self._rules.limits, self._rules.hours, self.config.client.jitter)
        followed, now = self._followed, self.now()
        step = await self.store.run(replan, rules, now, self._replan_after, REPLANNED)
        if followed == self._followed:  # else they have changed meanwhile: from the beginning
            self._replan_after = step.after
        if step.moved:
            self.log.info("{count} next calls are put off by the new rules", count=step.moved)
            self.call_control.on_owed()

    def _try_spool(self, now: datetime) -> None:
        """After a call file that could not be written: can one be written again?"""
        if self._spool_refuses is None or now - self._spool_refuses[1] < RETRY_SPOOL:
            return
        try:
            self.spool.probe()
        except SpoolError as error:
            self._spool_refuses = str(error), now
            return
        self._spool_refuses = None
        self.log.info("call files can be written again")

    async def _look(self, found: Sequence[CallTask], now: datetime) -> None:
        """Decide on each of these tasks, until something stands in the way of all."""
        looks: list[tuple[TaskId, str, datetime | None]] = []
        facts = self.facts()
        for task in found:
            if general(facts, self.now()) is not None:
                break
            decision = decide(task, facts, self.now())
            if isinstance(decision, Dial) and self.config.pace.shadow:
                decision = await self._only_say(task, decision)
                facts = self.facts()
            self._hold_up(task.id, decision)
            if isinstance(decision, Dial):
                await self._dial(task, decision)
                facts = self.facts()
            else:
                looks.append((task.id, *_reason(decision)))
        if looks:
            await self.store.run(save_reasons, looks, now)

    async def _wait_together(self, facts: Facts) -> None:
        """What is still due waits for the same thing, if for anything."""
        now = self.now()
        wait = general(facts, now)
        self._hold_up(None, wait)
        if wait is not None:
            if wait.reason is Reason.PACE:
                self.wake_at(wait.until)
            # Tasks fall due meanwhile: they are to say why they wait, if not at once.
            if (
                self._waiting is None
                or self._waiting[0] is not wait.reason
                or (now - self._waiting[1] >= TOLD_AGAIN)
            ):
                self._waiting = wait.reason, now
                await self.store.run(save_waiting, wait.reason.value, now)
        else:
            self._waiting = None

    @property
    def stalled(self) -> bool:
        """Tasks are due, operators free, and nothing was dialled for too long."""
        return self._alarmed

    async def _look_for_store(self) -> None:
        """Nobody is dialled while the store is not where the next start will look for it."""
        here = self.store.in_place()
        if here is self._store_ok:
            return
        self._store_ok = here
        if here:
            self.log.info("the store is in its place again")
            return
        self.log.error(
            "{path} is not the file that was opened: it was moved, deleted or replaced. Nobody is"
            " dialled. Stop the dialler, which saves all it knows in {path}.rescued; put that back"
            " with 'autodial restore {path}.rescued', and start again",
            path=self.config.store.path,
        )
        await self.store.rescue()  # now, too: it may be killed

    async def beat(self) -> None:
        """For commands that ask the store: the dialler runs, and whether Asterisk is there."""
        pbx = (flags.PBX_UP,) if self.pbx_ok() else ()
        await self.store.run(flags.mark, self.now(), flags.ALIVE, *pbx)

    async def _only_say(self, task: CallTask, decision: Dial) -> Wait:
        """Shadow mode: say what would be dialled, and leave Asterisk and the portal alone."""
        said = f"{decision.phone.number} for {decision.operator.name}"
        now = self.now()
        self.log.info("shadow: task {task} would be dialled, {said}", task=task.id, said=said)
        await self.store.run(note, now, task.id, "would be dialled", said)
        # As if he were in that call, and the pace had been used: the next one is for the next.
        self.call_control.next_start = now + timedelta(
            seconds=1 / self.config.pace.calls_per_second
        )
        self.roster.wraps_up(decision.operator.id, now + SHADOW_CALL)
        return Wait(Reason.SHADOW, now + SHADOW)

    async def _watch_for_a_stall(self, facts: Facts) -> None:
        """Tasks are due, operators are free, and nobody's phone rings: somebody should know."""
        now = self.now()
        self._held_up = {
            task: (why, at) for task, (why, at) in self._held_up.items() if now - at < STALE
        }
        waits = [why for why, _ in self._held_up.values()]
        if not any(operator.free(now) for operator in facts.operators):
            waits = []
        spooled = {a.id for a in self.call_control.live() if a.state == State.SPOOLED.value}
        self._files = {name: at for name, at in self._files.items() if name in spooled}
        waits += ["call file not taken" for at in self._files.values() if now - at > UNTAKEN]
        since, rang = self._stalling_since, self.call_control.last_claim
        if not waits or (since is not None and rang is not None and rang > since):
            if since is not None:
                await self.store.run(flags.clear, flags.STALLED)
            self._stalling_since = now if waits else None
            self._alarmed = False
            return
        self._stalling_since = since or now
        if now - self._stalling_since >= self.config.pace.stall_after:
            self._stalling_since, self._alarmed = now, True
            self.log.error(
                "stalled: tasks are due and operators free, and nothing was dialled for"
                " {minutes:.0f} minutes: {reasons}",
                minutes=self.config.pace.stall_after.total_seconds() / 60,
                reasons=", ".join(f"{reason} {n}" for reason, n in Counter(waits).most_common()),
            )
            await self.store.run(flags.mark, now, flags.STALLED)

    def _hold_up(self, task: TaskId | None, decision: Decision | None) -> None:
        """Remember of a task (None: of all) whether it waits for what is nobody's doing."""
        if isinstance(decision, Wait) and decision.reason in STALLING:
            self._held_up[task] = decision.reason.value, self.now()
        else:
            self._held_up.pop(task, None)

    async def _dial(self, task: CallTask, decision: Dial) -> None:
        now = self.now()
        try:
            attempt = await self.store.run(
                ledger.open_attempt, task, decision, now, lease=self.call_control.lease()
            )
        except ledger.ClientTaken as taken:
            self.log.info("task {task}: {taken}", task=task.id, taken=taken)
            later = now + LATER
            await self.store.run(save_reasons, [(task.id, Reason.SAME_CLIENT.value, later)], now)
            return
        except ledger.Taken as taken:
            # What we believed of the reservations is not what the store holds: ask it.
            self.log.warn("task {task}: {taken}", task=task.id, taken=taken)
            self.roster.set_reserved(await self.store.run(attempt_queries.reserved))
            return
        self.call_control.opened(attempt, held=decision.held)
        try:
            self.spool.submit(self._call_file(attempt))
            self._files[attempt.id] = now
        except (CallFileError, SpoolError) as error:
            self.log.error("{attempt}: {error}", attempt=attempt.id, error=error)
            await self.call_control.give_up(attempt.id, str(error))
            if isinstance(error, SpoolError):
                self._hold_for_spool(now)
            return
        self.log.info(
            "{attempt}: call file for operator {operator}",
            attempt=attempt.id,
            operator=attempt.extension if decision.held else "to come",
        )

    def _hold_for_spool(self, now: datetime) -> None:
        """What one call file was refused for, the others would be, too: nobody else is tried."""
        try:
            self.spool.probe()
        except SpoolError as error:
            self._spool_refuses = str(error), now
            self.log.error(
                "no call file can be written, and nobody is dialled until one can: {error}",
                error=error,
            )

    def _call_file(self, attempt: Attempt) -> CallFile:
        asterisk = self.config.asterisk
        number = dialled(attempt.number, asterisk.number_format)
        return CallFile(
            name=attempt.id,
            channel=f"Local/{number}@autodial-out/n",
            context="autodial-answered",
            # Everything up to the answer: the claim, and each carrier in turn.
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
