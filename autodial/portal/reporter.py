"""
The reporter: delivers outbox messages to the portal, in the order they were enqueued.

A message is marked before it is sent, with the time. After a crash or a lost answer a doubtful
message is verified first, so nothing is written twice; and not before the portal can no longer
execute the abandoned request. A temporary failure stops the whole queue for a while; a refusal
makes one message a dead letter for a person, and the queue goes on.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import define, field
from twisted.logger import Logger

from autodial.config.settings import Config
from autodial.engine.operators import Roster
from autodial.model.outbox_message import MessageKind
from autodial.portal.call_messages import CallMessages
from autodial.portal.line_pool import LinePool
from autodial.portal.task_messages import TaskMessages
from autodial.store import delivery, outbox
from autodial.store.database import Store
from autodial.store.delivery import Done
from autodial.store.outbox import Message
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


@define(eq=False)
class Reporter:
    """Delivers the messages of one dialler to one portal."""

    log = Logger()

    config: Config
    portal: Portal
    store: Store
    roster: Roster
    now: Callable[[], datetime]
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
    _portal_answers: bool = field(default=False, init=False)

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

    async def turn(self) -> None:
        """Deliver until the outbox is empty, or until the portal fails."""
        if self.config.pace.shadow or (self.not_before and self.now() < self.not_before):
            return
        message = await self._next()
        while message is not None:
            suspect = self._failures.get(message.id, 0) >= PATIENCE
            if suspect and not await self._answers(message):
                return
            try:
                done = await self._deliver(message)
            except (PortalError, ValueError) as error:
                if not await self._failed(message, error, suspect=suspect):
                    return
                message = await self._next()
            else:
                self._failures.pop(message.id, None)
                message = await self._next_after(message, done)
            self._troubles = 0

    async def _next(self) -> Message | None:
        if self.stopping:
            return None
        late = self.config.portal.executes_within
        return await self.store.run(outbox.next_message, self.now(), late)

    async def _next_after(self, message: Message, done: Done | None) -> Message | None:
        """Store what became of a message. None: it is stored already."""
        if done is None:
            return await self._next()
        late = self.config.portal.executes_within
        if self.stopping:
            await self.store.run(delivery.delivered, message, self.now(), done)
            following = None
        else:
            following = await self.store.run(
                delivery.delivered_and_next, message, done, self.now(), late
            )
        self._calls.stored(done)
        return following

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
        self._portal_answers = True
        return True

    async def _count_failure(self, message: Message, error: PortalError, *, suspect: bool) -> bool:
        """
        Count a failure. A message that fails repeatedly, just after the portal has answered
        another request, is deferred and the others pass (True); at last it becomes a dead letter.
        """
        answered, self._portal_answers = self._portal_answers, False
        if not (suspect and answered) or isinstance(error, PortalDenied):
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
        seconds = PAUSES[min(self._troubles, len(PAUSES) - 1)]
        self._troubles += 1
        self.not_before = self.now() + timedelta(seconds=seconds)
        log = self.log.error if isinstance(error, PortalDenied) else self.log.warn
        log("portal: {error}; again in {seconds} s", error=error, seconds=seconds)

    async def _deliver(self, message: Message) -> Done | None:
        if message.kind in CallMessages.KINDS:
            return await self._calls.deliver(message)
        return await self._tasks.deliver(message)
