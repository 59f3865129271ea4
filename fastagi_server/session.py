"""
One AGI session on a socket: the Twisted shell around the sans-IO codec.

Scripts see coroutines; this file sees bytes, deadlines and lost connections. It never sends a
command before the previous reply was read (Asterisk would postpone it and every later answer
would be off by one), with the one exception that works: a batch followed by a half-close.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred, DeferredList
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
        self._waiting: deque[Deferred[Reply]] = deque()
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
        return _checked(await self._write(line, 1)[0])

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
        # All are waited for, so that the failure of one leaves no other unheard.
        answers: list[tuple[bool, Any]] = await DeferredList(replies, consumeErrors=True)
        for arrived, answer in answers:
            if not arrived:
                answer.raiseException()
        return [answer for _, answer in answers]

    def _may_send(self) -> None:
        if self._gone is not None:
            raise self._gone
        if self._half_closed:
            raise RuntimeError("nothing can be sent after a batch")

    def _write(self, data: bytes, replies: int) -> list[Deferred[Reply]]:
        waiting: list[Deferred[Reply]] = [Deferred() for _ in range(replies)]
        self._waiting.extend(waiting)
        self.transport.write(data)
        return waiting

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
                self._waiting.popleft().callback(event)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._end(CallEnded("the connection was closed"), abort=False)
        self._owner.closed(self)

    def _run(self, script: Script) -> None:
        running = Deferred.fromCoroutine(_as_coroutine(script, self))
        running.addBoth(self._script_ended)

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
            self._waiting.popleft().errback(Failure(self._gone))


async def _as_coroutine(script: Script, session: AgiSession) -> None:
    await script(session)


def _checked(reply: Reply) -> Reply:
    if reply.code == 200:
        return reply
    raise _ERRORS.get(reply.code, CommandFailed)(reply.code, reply.detail)
