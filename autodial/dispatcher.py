"""
The dispatcher: takes tasks that are due, asks ``decide``, and hands call files to Asterisk.

The attempt is on disk before its call file is; a crash in between loses a call, never doubles
one.
"""

from collections.abc import Callable
from datetime import datetime

from attrs import define, field
from twisted.logger import Logger

from autodial.config import Config
from autodial.decide import Decision, Dial, Drop, Facts, Reason, Wait, decide
from autodial.desk import Desk, dialled
from autodial.do_not_call import DoNotCall
from autodial.model import Attempt, CallTask
from autodial.roster import Roster
from autodial.store import ledger
from autodial.store.database import Store
from autodial.store.tasks import due_tasks, save_reasons, save_waiting
from call_files import CallFile, CallFileError, Spool, SpoolError

#: Tasks looked at in one turn.
PAGE = 200
#: What stands in the way of every task alike: once met, the others need not be looked at.
GENERAL = frozenset(
    {
        Reason.PORTAL_SILENT,
        Reason.PBX_SILENT,
        Reason.NOBODY_AT_WORK,
        Reason.OPERATORS_BUSY,
        Reason.TRUNKS_FULL,
        Reason.PACE,
    }
)


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
    desk: Desk = field(init=False)
    do_not_call: DoNotCall = field(init=False)
    stopping: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.do_not_call = DoNotCall(self.config.rules.do_not_call, self.config.phones.region)

    def facts(self) -> Facts:
        """All that a decision may know, as of now."""
        pace, now = self.config.pace, self.now()
        return Facts(
            operators=self.roster.operators(),
            deputies=self.config.staff.deputies_by_id,
            do_not_call=self.do_not_call.numbers(),
            hours=self.config.hours.hours,
            portal_ok=self._portal_ok(now),
            pbx_ok=self.pbx_ok(),
            paused=self.stopping,
            calls=self.desk.calls,
            max_calls=pace.max_calls,
            trunks=self._trunks(),
            next_start=self.desk.next_start,
        )

    def _portal_ok(self, now: datetime) -> bool:
        portal, seen = self.config.portal, self.portal_seen()
        if seen is None:
            return False
        # Three polls without an answer are silence; "continue" bears with it for a while.
        patience = portal.silent_after if portal.when_silent == "continue" else 3 * portal.poll
        return now - seen < patience

    def _trunks(self) -> tuple[str, ...]:
        """Carriers with a free line, each call's first choice in turn, the rest for fail-over."""
        use = self.desk.trunk_use()
        free = [t for t in self.config.asterisk.trunks if use.get(t.name, 0) < t.lines]
        return tuple(trunk.name for trunk in free)

    async def turn(self) -> None:
        """Look at what is due and dial what may be dialled."""
        if not self.config.pace.automatic:
            return
        now = self.now()
        looks: list[tuple[CallTask, Decision]] = []
        facts = self.facts()
        for task in await self.store.run(due_tasks, now, PAGE):
            decision = decide(task, facts, self.now())
            if isinstance(decision, Wait) and decision.reason in GENERAL:
                await self.store.run(save_waiting, decision.reason.value, now)
                if decision.reason is Reason.PACE:
                    self.wake_at(decision.until)
                break
            looks.append((task, decision))
            if isinstance(decision, Dial):
                await self._dial(task, decision)
                facts = self.facts()
        others = [(t.id, *_reason(d)) for t, d in looks if not isinstance(d, Dial)]
        if others:
            await self.store.run(save_reasons, others, now)

    async def _dial(self, task: CallTask, decision: Dial) -> None:
        now = self.now()
        try:
            attempt = await self.store.run(
                ledger.open_attempt, task, decision, now, lease=self.desk.lease()
            )
        except ledger.Taken as taken:
            self.log.warn("task {task}: {taken}", task=task.id, taken=taken)
            return
        self.desk.opened(attempt)
        try:
            self.spool.submit(self._call_file(attempt))
        except (CallFileError, SpoolError) as error:
            self.log.error("{attempt}: {error}", attempt=attempt.id, error=error)
            await self.desk.give_up(attempt.id, str(error))
            return
        self.log.info(
            "{attempt}: call file for operator {operator}",
            attempt=attempt.id,
            operator=attempt.extension,
        )

    def _call_file(self, attempt: Attempt) -> CallFile:
        asterisk = self.config.asterisk
        number = dialled(attempt.number, asterisk.number_format)
        return CallFile(
            name=attempt.id,
            channel=f"Local/{number}@autodial-out/n",
            context="autodial-answered",
            # Everything up to the answer: the claim, and each carrier in turn.
            wait=asterisk.ring_client * len(attempt.trunks) + 15,
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
