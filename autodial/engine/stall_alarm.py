"""An alarm while tasks are due, operators are free, and nothing is dialled."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.engine.conditions import Conditions
from autodial.engine.live_calls import LiveCalls
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, TaskId
from autodial.rules.dial_facts import Decision, Reason, Wait
from autodial.store import flags
from autodial.store.database import Store

#: Asterisk takes a call file at once; after this long it counts as not taken.
UNTAKEN = timedelta(minutes=1)
#: Older decisions are ignored: a waiting task is decided on again sooner.
STALE = timedelta(minutes=2)
#: Reasons to wait that come neither from the task nor from its client.
STALLING = frozenset(
    {
        Reason.PBX_SILENT, Reason.PORTAL_SILENT, Reason.TRUNKS_FULL, Reason.RULES_UNREADABLE,
        Reason.SPOOL_REFUSES, Reason.STORE_MOVED, Reason.DIALPLAN,
        Reason.NOT_FOR_OTHERS, Reason.NO_ROUTE,
    }
)  # fmt: skip


@define(eq=False)
class StallAlarm:
    """Fed by the dispatcher, checked after each of its turns."""

    log = Logger()

    store: Store
    calls: LiveCalls
    conditions: Conditions
    now: Callable[[], datetime]
    on: bool = field(default=False, init=False)
    _since: datetime | None = field(default=None, init=False)
    #: Why due tasks were not dialled at their last decision; key None: all of them.
    _waiting: dict[TaskId | None, tuple[str, datetime]] = field(factory=dict, init=False)
    _files: dict[AttemptId, datetime] = field(factory=dict, init=False)  #: call files not claimed

    def decided(self, task: TaskId | None, decision: Decision | None) -> None:
        """Record a decision on a task (None: on all due tasks)."""
        if isinstance(decision, Wait) and decision.reason in STALLING:
            self._waiting[task] = decision.reason.value, self.now()
        else:
            self._waiting.pop(task, None)

    def failed(self) -> None:
        """The dispatcher's turn raised an error."""
        self._waiting[None] = "error, see the log", self.now()

    def submitted(self, attempt: AttemptId) -> None:
        """A call file is in the spool."""
        self._files[attempt] = self.now()

    async def look(self) -> None:
        now, waits = self.now(), self._waits()
        since, rang = self._since, self.calls.last_claim
        if not waits or (since is not None and rang is not None and rang > since):
            if since is not None:
                await self.store.run(flags.clear, flags.STALLED)
            self._since = now if waits else None
            self.on = False
            return
        self._since = since or now
        after = self.conditions.config.pace.stall_after
        if now - self._since >= after:
            self._since, self.on = now, True
            self.log.error(
                "stalled: tasks are due and operators free, and nothing was dialled for"
                " {minutes:.0f} minutes: {reasons}",
                minutes=after.total_seconds() / 60,
                reasons=", ".join(f"{reason} {n}" for reason, n in Counter(waits).most_common()),
            )
            await self.store.run(flags.mark, now, flags.STALLED)

    def _waits(self) -> list[str]:
        """Why tasks are not dialled: one text for each waiting task or untaken call file."""
        now = self.now()
        self._waiting = {
            task: (why, at) for task, (why, at) in self._waiting.items() if now - at < STALE
        }
        spooled = {a.id for a in self.calls.own() if a.state is State.SPOOLED}
        self._files = {name: at for name, at in self._files.items() if name in spooled}
        waits = [why for why, _ in self._waiting.values()]
        if not any(operator.free(now) for operator in self.calls.roster.operators()):
            waits = []
        return waits + ["call file not taken" for at in self._files.values() if now - at > UNTAKEN]
