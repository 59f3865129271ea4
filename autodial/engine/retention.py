"""
Retention: what is older than ``[store] keep`` is deleted in small steps, so that no claim and no
result waits for it, however much there is.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.sections import KeepConfig
from autodial.store.database import Store
from autodial.store.retention import STEPS, Mark, Step

#: Between two looks for what has become too old.
ROUND = timedelta(hours=1)
#: What budgets count.
BUDGETED = ("attempts", "external_calls")


@define(eq=False)
class Retention:
    """One step a turn, from table to table; then nothing for an hour."""

    log = Logger()

    keep: KeepConfig
    store: Store
    now: Callable[[], datetime]
    #: So far back the clients' budgets look: no call is forgotten sooner, whatever is configured.
    looks_back: timedelta = timedelta(0)
    _left: list[tuple[str, Step]] = field(factory=list, init=False)
    _mark: Mark = field(default=None, init=False)
    _next: datetime | None = field(default=None, init=False)

    async def turn(self) -> None:
        """The next step, if one is due."""
        now = self.now()
        if not self._left:
            if self._next is not None and now < self._next:
                return
            self._left = [(kind, step) for kind, steps in STEPS.items() for step in steps]
            self._mark = None
        kind, step = self._left[0]
        kept: timedelta = getattr(self.keep, kind)
        before = now - (max(kept, self.looks_back) if kind in BUDGETED else kept)
        self._mark = await self.store.run(step, before, self._mark)
        if self._mark is None:
            del self._left[0]
            if not self._left:
                self._next = now + ROUND
