"""
One AGI session on a socket: the Twisted shell around the sans-IO codec.

Scripts see coroutines; this file sees bytes, deadlines and lost connections. It never sends a
command before the previous reply was read (Asterisk would postpone it and every later answer
would be off by one), with the one exception that works: a batch followed by a half-close.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from inspect import iscoroutine
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from fastagi_server.commands import Commands
from fastagi_server.errors import (
    CallEnded,
    CommandFailed,
    DeadChannel,
    SessionTimeout,
    UnknownCommand,
    UsageError,
    WireError,
)
from fastagi_server.wire import AgiWire, Environment, Hangup, Reply

_ERRORS: dict[int, type[CommandFailed]] = {510: UnknownCommand, 511: DeadChannel, 520: UsageError}

Script = Callable[["AgiSession"], Awaitable[None]]


class SessionOwner(Shape):
    """Who is told about a session's life: the server, or a test."""

    def started(self, session: "AgiSession") -> Script: ...
    def finished(self, session: "AgiSession", failure: Failure | None) -> None: ...
    def closed(self, session: "AgiSession") -> None: ...


class _Asked:
    """
    Commands on their way, and what waits for their replies: a script that the session itself
    steps, at no further cost; or a Deferred, where somebody else runs the coroutine.
    """

    __slots__ = ("awaited", "count", "failure", "replies", "told")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Reply] = []
        self.awaited = False
        self.failure: CallEnded | None = None
        self.told: Deferred[None] | None = None

    def __await__(self) -> "Generator[Any, Any, list[Reply]]":
        waits = self.failure is None and len(self.replies) < self.count
        # The session's own step takes note, and comes back when it is over. Twisted's runner of
        # coroutines gives back at once what is no Deferred: then it gets one.
        if waits and (yield self) is self:
            self.told = Deferred()
            yield from self.told.__await__()
        if self.failure is not None:
            raise self.failure
        return self.replies


class AgiSession(Commands, Protocol):
    """
    A call, as a script sees it.

    ``environment`` is what Asterisk said at the start; ``hung_up`` becomes true once the caller
    has gone. The session is closed when the script returns, fails, or outlives ``deadline``. What
    can be asked of Asterisk is in ``Commands``.
    """

    log = Logger()
    transport: ITCPTransport
    environment: Environment

    def __init__(self, clock: IReactorTime, owner: SessionOwner, deadline: float) -> None:
        self._clock = clock
        self._owner = owner
        self._deadline = deadline
        self._wire = AgiWire()
        self._waiting: deque[_Asked] = deque()
        self._script: Coroutine[Any, Any, None] | None = None
        self._half_closed = False
        self._gone: CallEnded | None = None
        self._timer: IDelayedCall | None = None
        self.hung_up = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the dialplan passed after the address: ``AGI(agi://host/script,one,two)``."""
        return self.environment.arguments

    def argument(self, position: int) -> str:
        """The argument at ``position`` (from 0), or an empty string."""
        return self.arguments[position] if position < len(self.arguments) else ""

    @property
    def alive(self) -> bool:
        """Can an answer still be sent? False once the connection has gone or timed out."""
        return self._gone is None

    async def send(self, line: bytes) -> Reply:
        """
        Send one encoded command and wait for its own reply.

        Raises:
            CommandFailed: Asterisk refused it (510, 511, 520).
            CallEnded: the connection went, or the deadline passed, before the answer.
        """
        self._may_send()
        if self._waiting:
            raise RuntimeError("one command at a time: wait for the reply, or use batch()")
        return _checked((await self._write(line, 1))[0])

    async def batch(self, *lines: bytes) -> list[Reply]:
        """
        Send the last commands of the session in one write and read all their replies.

        The sending side is closed behind them: only then does Asterisk work through commands
        it has buffered. Nothing can be sent afterwards. Refusals are returned, not raised:
        the other commands have run all the same.
        """
        self._may_send()
        replies = self._write(b"".join(lines), len(lines))
        self._half_closed = True
        self.transport.loseWriteConnection()
        return await replies

    def _may_send(self) -> None:
        if self._gone is not None:
            raise self._gone
        if self._half_closed:
            raise RuntimeError("nothing can be sent after a batch")

    def _write(self, data: bytes, replies: int) -> _Asked:
        asked = _Asked(replies)
        self._waiting.append(asked)
        self.transport.write(data)
        return asked

    def connectionMade(self) -> None:
        self._timer = self._clock.callLater(self._deadline, self._timed_out)

    def dataReceived(self, data: bytes) -> None:
        try:
            events = self._wire.receive(data)
            for event in events:
                self._handle(event)
        except WireError as error:
            self.log.warn("session closed: {error}", error=error)
            self._end(CallEnded(str(error)), abort=True)

    def _handle(self, event: Environment | Reply | Hangup) -> None:
        match event:
            case Environment():
                self.environment = event
                self._run(self._owner.started(self))
            case Hangup():
                self.hung_up = True
            case _:
                if not self._waiting:
                    raise WireError(f"a reply nobody waits for: {event.code} {event.detail}")
                asked = self._waiting[0]
                asked.replies.append(event)
                if len(asked.replies) == asked.count:
                    self._waiting.popleft()
                    self._go_on(asked)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._end(CallEnded("the connection was closed"), abort=False)
        self._owner.closed(self)

    def _run(self, script: Script) -> None:
        made = script(self)
        self._script = made if iscoroutine(made) else _as_coroutine(made)
        self._step(None)

    def _go_on(self, asked: _Asked) -> None:
        """Its replies are there, or will never be."""
        if asked.told is not None:
            asked.told.callback(None)
        elif asked.awaited:
            self._step(None)

    def _step(self, value: object) -> None:
        """
        Run the script until it waits: for replies, which come back here by themselves, or for a
        Deferred of its own.
        """
        script = self._script
        assert script is not None
        while True:
            try:
                if isinstance(value, Failure):
                    waits = value.throwExceptionIntoGenerator(script)
                else:
                    waits = script.send(value)
            except StopIteration:
                self._script_ended(None)
                return
            except BaseException:
                self._script_ended(Failure())
                return
            if isinstance(waits, _Asked):
                waits.awaited = True
                return
            if not isinstance(waits, Deferred):
                value = Failure(TypeError(f"a script can await commands and Deferreds: {waits!r}"))
                continue
            fired: list[object] = []
            later: list[bool] = []

            def got(result: object, fired: list[object], later: list[bool]) -> None:
                if later:
                    self._step(result)
                else:
                    fired.append(result)

            waits.addBoth(got, fired, later)
            if not fired:
                later.append(True)
                return
            value = fired[0]

    def _script_ended(self, result: Failure | None) -> None:
        self._owner.finished(self, result if isinstance(result, Failure) else None)
        self.transport.loseConnection()

    def _timed_out(self) -> None:
        self._end(SessionTimeout(f"no end after {self._deadline:g} s"), abort=True)

    def _end(self, reason: CallEnded, *, abort: bool) -> None:
        if self._gone is None:
            self._gone = reason
        if abort:
            self.transport.abortConnection()
        while self._waiting:
            asked = self._waiting.popleft()
            asked.failure = self._gone
            self._go_on(asked)


async def _as_coroutine(script: Awaitable[None]) -> None:
    await script


def _checked(reply: Reply) -> Reply:
    if reply.code == 200:
        return reply
    raise _ERRORS.get(reply.code, CommandFailed)(reply.code, reply.detail)
