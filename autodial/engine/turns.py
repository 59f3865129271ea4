"""
Of the nodes that share a store one decides whom to dial at a time: nodes that decide at once mostly
make each other's decisions void (``ledger.Stale``). A dialler that is alone decides always.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import random

from attrs import define, field

from autodial.engine.live_calls import LiveCalls
from autodial.engine.surroundings import Surroundings
from autodial.store import nodes
from autodial.store.database import Store
from autodial.store.locks import stop_deciding

#: How long a node decides until it is another's turn.
TURN = timedelta(seconds=0.2)
#: While another decides, this one asks again so much later, or up to twice that.
AGAIN = timedelta(seconds=0.03)
#: How long it lets others go first: the one whose turn it is may hang.
PATIENCE = timedelta(seconds=3)


@define(eq=False)
class Turns:
    """This node's turns to decide."""

    store: Store
    calls: LiveCalls
    now: Callable[[], datetime]
    around: Surroundings
    _begun: datetime | None = field(default=None, init=False)  #: this node's turn; None: it is not
    _wanted: datetime | None = field(default=None, init=False)  #: a turn, in vain, since then

    async def take(self) -> bool:
        """May this node decide now? If not, the dispatcher is woken to ask again."""
        now, node = self.now(), self.calls.node
        if not node:
            return True
        self._begun = now  # (also if the answer is lost)
        news, mine = await self.store.run(nodes.turn_to_decide, node, self.calls.seen)
        self.calls.heard(news)
        self._begun = now if mine else None
        self._wanted = None if mine else self._wanted or now
        if self._wanted is None or now - self._wanted > PATIENCE:
            return True
        self.around.wake_at(now + AGAIN * (1 + random()))
        return False

    def over(self) -> bool:
        """Has this node decided for so long that others should?"""
        return self._begun is not None and self.now() - self._begun > TURN

    def not_wanted(self) -> None:
        """There is nothing to decide."""
        self._wanted = None

    async def give_back(self) -> None:
        if self._begun is not None:
            self._begun = None
            await self.store.run(stop_deciding)
