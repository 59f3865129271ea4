"""
One dialler among several that share a store: who leads, and what each knows of the others.

The one that leads reads the portal and tells it of all calls. The others take the staff and the
portal's last answer from the store. Each keeps its own Asterisk in order.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version

from attrs import define, field
from twisted.logger import Logger

from autodial.engine.engine import Engine
from autodial.portal.importer import Importer
from autodial.portal.reporter import Reporter
from autodial.store import attempt_queries, nodes
from autodial.store.listener import Listener
from autodial.store.locks import node_lock
from autodial.store.nodes import Topic
from autodial.store.shared_store import SharedStore

#: How long one request to the portal may take, at most: what the leader before had under way ends
#: by then.
REQUEST = timedelta(seconds=45)


#: From one look at what the leader has read to the next, if nobody tells of news.
FOLLOW = timedelta(seconds=10)


@define(eq=False)
class Sharing:
    """The part of a dialler that knows of other nodes."""

    log = Logger()

    store: SharedStore
    engine: Engine
    importer: Importer
    reporter: Reporter
    now: Callable[[], datetime]
    wake: Callable[[Topic], None]  #: the services that this concerns
    listener: Listener = field(init=False)
    _led: bool = field(default=False, init=False)
    #: When what the leader has read is taken from the store, if nobody tells of news before.
    _follow_at: datetime | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.listener = Listener(
            self.store.place, self.store.reactor, self.store.session_name, self.wake
        )

    @property
    def node(self) -> str:
        return self.store.place.node

    @property
    def leads(self) -> bool:
        """
        Does this node work for all? Only once it has taken over: the one before may have requests
        under way.
        """
        return self._led and self.store.leads

    async def start(self) -> None:
        """Once the store is open, before anything is dialled."""
        program = version("autodial24")
        await self.store.run(nodes.started, self.node, node_lock(self.node), program, self.now())
        self.engine.roster.set_elsewhere(await self.store.run(nodes.phones_elsewhere, self.node))
        self.listener.start()

    async def lead_or_follow(self) -> None:
        """One look: does this node lead now? If not, it follows."""
        leads = await self.store.lead()
        if leads and not self._led:
            self.log.info("this node leads: it reads the portal, and tells it of all calls")
            await self.importer.restore()
            await self.reporter.take_over(REQUEST)
            self._led = True
            self.wake(Topic.IMPORTED)
            self.wake(Topic.MESSAGES)
        elif self._led and not leads:
            self.log.warn("another node leads")
        self._led = leads
        if not leads and (self._follow_at is None or self._follow_at <= self.now()):
            self._follow_at = self.now() + FOLLOW
            await self.importer.follow()

    def told(self) -> None:
        """The leader has read the portal: look into the store at the next turn."""
        self._follow_at = None

    async def exchange_phones(self) -> None:
        """Tell the others of the phones at our Asterisk, and learn of theirs."""
        roster = self.engine.roster
        await self.store.run(nodes.save_phones, self.node, dict(roster.phones() or {}))
        roster.set_elsewhere(await self.store.run(nodes.phones_elsewhere, self.node))

    async def remember(self) -> None:
        """After a new session: others may have worked for us, or the end of a change is unknown."""
        self._led = False
        calls = self.engine.calls
        memory = await self.store.run(nodes.memory, self.now(), calls.statistics.over)
        calls.remember(memory)
        wrap_up = self.engine.config.staff.wrap_up
        talks = await self.store.run(attempt_queries.last_talks, self.now() - wrap_up)
        for operator, at in talks.items():
            self.engine.roster.wraps_up(operator, at + wrap_up)
