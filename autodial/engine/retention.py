"""
Retention: rows older than ``[store] keep`` are deleted in small steps, so that claims and results
do not wait for it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.sections import KeepConfig
from autodial.store.database import Store
from autodial.store.retention import STEPS, Mark, Step

#: The time between two rounds over all tables.
ROUND = timedelta(hours=1)
#: The tables that the contact limits count in.
BUDGETED = ("attempts", "external_calls")


@define(eq=False)
class Retention:
    """One step a turn, table by table; then nothing for ``ROUND``."""

    log = Logger()

    keep: KeepConfig
    store: Store
    now: Callable[[], datetime]
    #: The span of the contact limits: no call within it is deleted, whatever is configured.
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
