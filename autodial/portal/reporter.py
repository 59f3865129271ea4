"""
The reporter: delivers outbox messages to the portal, in the order they were enqueued.

A message is marked before it is sent, with the time. After a crash or a lost answer a doubtful
message is verified first, so nothing is written twice; and not before the portal can no longer
execute the abandoned request. A temporary failure stops the whole queue for a while; a refusal
makes one message a dead letter for a person, and the queue goes on.

A prompt portal is told one thing at a time. While a request takes long (a slow portal, a large
recording) other attempts' messages are delivered beside it, and cards have a lane of their own.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.outbox_message import MessageKind
from autodial.portal.call_messages import CallMessages
from autodial.portal.line_pool import LinePool
from autodial.portal.task_messages import TaskMessages
from autodial.store import delivery, outbox
from autodial.store.database import Store
from autodial.store.delivery import Done
from autodial.store.outbox import Message, Search, Share
from bitrix24 import (
    AnswerLost,
    AnswerStrange,
    MethodResting,
    Portal,
    PortalClosed,
    PortalDenied,
    PortalError,
    PortalUnavailable,
    QuestionLost,
)

#: Pauses after a temporary failure, in seconds; the last one repeats.
PAUSES = (2.0, 5.0, 15.0, 60.0)
#: After this many unreadable answers a message becomes a dead letter.
STRANGE = 5
#: After this many failed tries of one message, the portal is probed with another request first.
PATIENCE = 4
#: If the portal answers the probe and the message fails again, it is deferred for these times,
#: and the others pass; then it becomes a dead letter.
DEFERRALS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
#: Deferrals of a registration: the portal recognises its repetition for half an hour only.
SOON = (timedelta(minutes=5),) * 8

#: A request under way for so long, in seconds, lets another lane begin.
SLOW = 0.05
#: While a request takes long, seconds from one look for further messages to the next.
LOOKS_APART = 1.0
#: Messages delivered at once: ``BESIDE`` of any kind, and a card of a call in flight.
LANES = outbox.BESIDE + 1


@define(eq=False)
class _Lane:
    """Delivers one message after the other."""

    cards_only: bool
    message: Message | None = None  #: what it delivers now
    since: float = 0.0  #: when that began
    timer: IDelayedCall | None = None  #: when it becomes a slow one


@define(eq=False)
class Reporter:
    """Delivers the messages of one dialler to one portal."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
    clock: IReactorTime
    #: Which messages are ours, if several diallers share the store.
    share: Share = Share.ALL
    lines: LinePool = field(init=False)
    _calls: CallMessages = field(init=False)
    _tasks: TaskMessages = field(init=False)
    not_before: datetime | None = field(default=None, init=False)
    stopping: bool = field(default=False, init=False)
    _troubles: int = field(default=0, init=False)
    #: Unreadable answers, by message; an outage of the portal is not counted here.
    _strange: dict[int, int] = field(factory=dict, init=False)
    #: Failed tries by message, and how often it was deferred.
    _failures: dict[int, int] = field(factory=dict, init=False)
    _deferrals: dict[int, int] = field(factory=dict, init=False)
    _lanes: list[_Lane] = field(factory=list, init=False)
    #: One lane at a time asks for its next message, so that no two get the same.
    _asking: DeferredLock = field(factory=DeferredLock, init=False)
    #: Fires when the last lane of the running turn has ended, with the first error.
    _ended: "Deferred[Failure | None] | None" = field(default=None, init=False)
    _error: Failure | None = field(default=None, init=False)
    _look: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        config, portal, store = self.config, self.portal, self.store
        self.lines = LinePool(config, portal, store)
        self._calls = CallMessages(config, portal, store, self.lines, self.now)
        self._tasks = TaskMessages(config, portal, store, self.roster, self.now)

    def use(self, config: Config) -> None:
        """Take over a new configuration."""
        self.config = config
        for part in (self.lines, self._calls, self._tasks):
            part.use(config)

    async def take_over(self, request: timedelta) -> None:
        """Another dialler has reported until now: wait until its requests have ended."""
        self.lines.forget()
        ends = await self.store.run(outbox.take_over, request)
        if ends is not None and ends > self.now():
            self.not_before = ends

    async def turn(self) -> None:
        """Deliver until the outbox is empty, or until the portal fails."""
        if self.config.pace.shadow or self._pausing():
            return
        ended = self._ended = Deferred()
        self._begin()
        error = await ended
        if error is not None:
            error.raiseException()

    def more(self) -> None:
        """There may be messages to deliver beside those under way, if each of these takes long."""
        if self._ended is None or self.stopping or self._pausing():
            return
        before = self.clock.seconds() - SLOW
        if all(lane.message is not None and lane.since <= before for lane in self._lanes):
            self._begin()

    def _pausing(self) -> bool:
        return self.not_before is not None and self.now() < self.not_before

    def _begin(self) -> None:
        cards_only = sum(not lane.cards_only for lane in self._lanes) == outbox.BESIDE
        if len(self._lanes) < LANES:
            lane = _Lane(cards_only)
            self._lanes.append(lane)
            Deferred.fromCoroutine(self._run(lane)).addBoth(self._end, lane)

    def _end(self, result: Failure | None, lane: _Lane) -> None:
        self._lanes.remove(lane)
        self._error = self._error or result
        if self._look is not None and self._look.active():
            self._look.cancel()
        if self._lanes:
            # Those that go on take long; what is put off may become due meanwhile.
            self._look = self.clock.callLater(LOOKS_APART, self.more)
        elif self._ended is not None:
            ended, self._ended = self._ended, None
            error, self._error = self._error, None
            ended.callback(error)

    async def _run(self, lane: _Lane) -> None:
        message = await self._next(lane)
        while message is not None:
            message = await self._handle(lane, message)

    async def _handle(self, lane: _Lane, message: Message) -> Message | None:
        """Deliver a message, and store what became of it; the next one."""
        suspect = self._failures.get(message.id, 0) >= PATIENCE
        if suspect and not await self._answers(message):
            return None
        lane.since = self.clock.seconds()
        lane.timer = self.clock.callLater(SLOW, self.more)
        try:
            done = await self._deliver(message)
        except (PortalError, ValueError) as error:
            if not await self._failed(message, error, suspect=suspect):
                return None
            following = await self._next(lane)
        else:
            self._failures.pop(message.id, None)
            following = await self._next_after(lane, message, done)
        finally:
            if lane.timer.active():
                lane.timer.cancel()
        self._troubles = 0
        return following

    async def _next(self, lane: _Lane) -> Message | None:
        await self._asking.acquire()
        try:
            lane.message = None
            if not self.stopping and not self._pausing():
                search = self._search(lane)
                lane.message = await self.store.run(outbox.next_message, self.now(), search)
            return lane.message
        finally:
            self._asking.release()

    async def _next_after(self, lane: _Lane, message: Message, done: Done | None) -> Message | None:
        """Store what became of a message. None: it is stored already."""
        if done is None:
            return await self._next(lane)
        await self._asking.acquire()
        try:
            now = self.now()
            if self.stopping or self._pausing():
                await self.store.run(delivery.delivered, message, now, done)
                lane.message = None
            else:
                search = self._search(lane)
                lane.message = await self.store.run(
                    delivery.delivered_and_next, message, done, now, search
                )
        finally:
            self._asking.release()
        self._calls.stored(done)
        return lane.message

    def _search(self, lane: _Lane) -> Search:
        others = (other.message for other in self._lanes if other is not lane)
        return Search(
            late=self.config.portal.executes_within,
            beside=tuple(message for message in others if message is not None),
            cards_only=lane.cards_only,
            share=self.share,
            node=self.config.node.name,
        )

    async def _failed(
        self, message: Message, error: PortalError | ValueError, *, suspect: bool
    ) -> bool:
        """Handle a failure of this message; True: the others go on."""
        match error:
            case QuestionLost():
                # Nothing was written; a doubtful message stays doubtful.
                await self.store.run(delivery.not_sent, message)
            case AnswerLost():
                # It stays "sending": doubtful from now on.
                await self.store.run(delivery.being_sent, message, self.now())
            case PortalUnavailable() | PortalDenied():
                # Denied: the webhook is wrong, not the message. All messages wait for a person.
                await self.store.run(delivery.not_sent, message)
                if isinstance(error, PortalClosed) and not isinstance(error, MethodResting):
                    self._pause(error)  # of all, whichever message was next
                    return False
            case AnswerStrange():
                # An answer of an unknown shape, perhaps to this message alone.
                self._strange[message.id] = self._strange.get(message.id, 0) + 1
                if self._strange[message.id] < STRANGE:
                    self._pause(error)
                    return False
                await self._bury(message, error)
                return True
            case _:
                await self._bury(message, error)
                return True
        return await self._count_failure(message, error, suspect=suspect)

    async def _answers(self, message: Message) -> bool:
        """Does the portal answer at all? If not, this message was not sent."""
        try:
            await self.portal.answers()
        except PortalError as error:
            await self.store.run(delivery.not_sent, message)
            self._pause(error)
            return False
        return True

    async def _count_failure(self, message: Message, error: PortalError, *, suspect: bool) -> bool:
        """
        Count a failure. A message that fails repeatedly, just after the portal has answered
        another request, is deferred and the others pass (True); at last it becomes a dead letter.
        """
        if not suspect or isinstance(error, PortalDenied):
            self._failures[message.id] = self._failures.get(message.id, 0) + 1
            self._pause(error)
            return False
        times = self._deferrals.get(message.id, 0)
        self._deferrals[message.id] = times + 1
        self._failures.pop(message.id, None)
        deferrals = SOON if message.kind is MessageKind.REGISTER and message.doubtful else DEFERRALS
        if times == len(deferrals):
            await self._bury(message, error)
        else:
            self.log.warn(
                "{attempt}: {kind} waits, the others go on: {error}",
                attempt=message.attempt,
                kind=message.kind,
                error=error,
            )
            await self.store.run(delivery.put_off, message, self.now() + deferrals[times])
        return True

    async def _bury(self, message: Message, error: Exception) -> None:
        self.log.error(
            "{attempt}: {kind} is put aside for a person: {error} (autodial outbox)",
            attempt=message.attempt,
            kind=message.kind,
            error=error,
        )
        await self.store.run(delivery.bury, message, str(error), self.now())

    def _pause(self, error: PortalError) -> None:
        if self._pausing():  # another lane has met the same
            self.log.info("portal: {error}", error=error)
            return
        seconds = PAUSES[min(self._troubles, len(PAUSES) - 1)]
        self._troubles += 1
        self.not_before = self.now() + timedelta(seconds=seconds)
        log = self.log.error if isinstance(error, PortalDenied) else self.log.warn
        log("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

    async def _deliver(self, message: Message) -> Done | None:
        if message.kind in CallMessages.KINDS:
            return await self._calls.deliver(message)
        return await self._tasks.deliver(message)
