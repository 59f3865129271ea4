"""Starting attempts: decided and written; decided again if another node was faster."""

from collections.abc import Callable
from datetime import datetime

from attrs import define, evolve, frozen

from autodial.engine.conditions import Conditions
from autodial.engine.live_calls import LiveCalls
from autodial.model.attempt import Attempt
from autodial.model.task import CallTask, Phone
from autodial.rules.dial_decision import decide
from autodial.rules.dial_facts import Dial, Drop, Reason, Refusal
from autodial.store import ledger
from autodial.store.database import Store

#: How often a task is decided on, if other nodes start and end calls meanwhile.
TRIES = 5


@frozen
class Started:
    """An attempt that was written, and the decision behind it."""

    attempt: Attempt
    decision: Dial


@define(eq=False)
class AttemptStarts:
    """For the dispatcher, and for hand-made call files."""

    store: Store
    calls: LiveCalls
    conditions: Conditions
    now: Callable[[], datetime]

    async def start(
        self, task: CallTask, decision: Dial, *, claimed: bool = False, number: str = ""
    ) -> Started | Refusal | None:
        """
        Write the attempt; its call may start then. ``number``: of the task's, the one to dial.

        Returns a refusal if another node has used up what the decision counted on, or called the
        client; None if other nodes were faster each time.

        Raises:
            ledger.Taken: see ``ledger.open_attempt``.
        """
        for _ in range(TRIES):
            try:
                attempt = await self.store.run(
                    ledger.open_attempt, task, decision, self.now(), lease=self.calls.lease(),
                    claimed=claimed, node=self.calls.node, seen=self.calls.seen,
                )  # fmt: skip
            except ledger.Stale:
                fresh = await self._afresh(task)
            else:
                self.calls.opened(attempt, reserve=decision.reserved)
                return Started(attempt, decision)
            if fresh is None:
                return Drop(Reason.CLOSED)
            task = evolve(fresh, phones=only(fresh, number)) if number else fresh
            again = decide(task, self.conditions.facts(), self.now())
            if not isinstance(again, Dial):
                return again
            decision = again
        return None

    async def _afresh(self, task: CallTask) -> CallTask | None:
        """The task, after what other nodes have done; None: it is gone."""
        since = self.now() - self.conditions.rules.limits.looks_back
        news, fresh = await self.store.run(
            ledger.afresh, task.id, self.calls.node, self.calls.seen, since
        )
        self.calls.heard(news)
        return fresh


def only(task: CallTask, number: str) -> tuple[Phone, ...]:
    """Of a task's phones the one with this number, in digits with or without a plus."""
    digits = number.lstrip("+")
    return tuple(phone for phone in task.phones if phone.number.lstrip("+") == digits)
