"""
One AGI session on a socket: the Twisted shell around the sans-IO codec.

Scripts use coroutines; this file handles bytes, deadlines and lost connections. It never sends a
command before the previous reply was read (Asterisk would postpone it and every later answer
would be off by one). The one exception that works is a batch followed by a half-close.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from inspect import iscoroutine
from typing import Any, NoReturn
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
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
from fastagi_server.wire import COMMON, AgiWire, Environment, Reply

_ERRORS: dict[int, type[CommandFailed]] = {510: UnknownCommand, 511: DeadChannel, 520: UsageError}

Script = Callable[["AgiSession"], Awaitable[None]]


#: Read by Asterisk in place of a command: AGISTATUS becomes FAILURE. After a mere close it would be
#: SUCCESS, and a dialplan could not tell a failed script from one that sent nothing.
FAILURE = b"failure\n"


class SessionOwner(Shape):
    """Receives the events of a session: the server, or a test."""

    unauthenticated_bytes: int | None

    def started(self, session: "AgiSession") -> Script: ...
    def finished(self, session: "AgiSession", failure: Failure | None) -> None: ...
    def spoke_otherwise(self, session: "AgiSession", error: WireError) -> None: ...
    def closed(self, session: "AgiSession") -> None: ...


class _Pending:
    """
    Commands in flight, and what waits for their replies: a script that the session itself steps, at
    no further cost; or a Deferred, where other code runs the coroutine.
    """

    __slots__ = ("awaited", "count", "failure", "replies", "waiter")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Reply] = []
        self.awaited = False
        self.failure: CallEnded | None = None
        self.waiter: Deferred[None] | None = None

    def __await__(self) -> "Generator[Any, Any, list[Reply]]":
        if self.failure is None and len(self.replies) < self.count:
            yield from self._arrival()
        if self.failure is not None:
            raise self.failure
        return self.replies

    def _arrival(self) -> "Generator[Any, Any, None]":
        # ``_step`` marks this as awaited and resumes it after the replies. Twisted's runner of
        # coroutines sends back at once whatever is not a Deferred: then it gets one.
        if (yield self) is self:
            self.waiter = Deferred()
            yield from self.waiter.__await__()


class _PendingOne(_Pending):
    """A single command: its reply, or the error in it."""

    __slots__ = ()

    def __init__(self) -> None:
        self.count = 1
        self.replies = []
        self.awaited = False
        self.failure = self.waiter = None

    def __await__(self) -> "Generator[Any, Any, Reply]":  # type: ignore[override]
        if not self.replies and self.failure is None and (yield self) is self:
            self.waiter = Deferred()
            yield from self.waiter.__await__()
        if self.failure is not None:
            raise self.failure
        reply = self.replies[0]
        if reply.code != 200:
            raise _ERRORS.get(reply.code, CommandFailed)(reply.code, reply.detail)
        return reply


class AgiSession(Commands, Protocol):
    """
    A call, as a script sees it.

    ``environment`` is the opening block; ``hung_up`` becomes true once the caller has hung up. The
    session is closed when the script returns or fails, and by its owner after its deadline. The
    commands are in ``Commands``.
    """

    transport: ITCPTransport
    environment: Environment

    def __init__(self, owner: SessionOwner) -> None:
        self._owner = owner
        self._wire = AgiWire()
        self._pending: _Pending | None = None
        self._script: Coroutine[Any, Any, None] | None = None
        self._awaited: Deferred[Any] | None = None
        self._half_closed = False
        self._gone: CallEnded | None = None
        self.hung_up = False
        self.authenticated = False  #: set by the owner once the peer has proved the secret
        self.began = 0.0  #: set by the owner when the script is started
        #: Bytes that it may still send before it is authenticated; None: no limit.
        self._left = owner.unauthenticated_bytes

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the dialplan passed after the address: ``AGI(agi://host/script,one,two)``."""
        return self.environment.arguments

    @property
    def opened(self) -> bool:
        """Has the environment been received?"""
        return self._wire.opened

    @property
    def running(self) -> bool:
        """Is a script running?"""
        return self._script is not None

    def argument(self, position: int) -> str:
        """The argument at ``position`` (from 0), or an empty string."""
        arguments = self.environment.arguments
        return arguments[position] if position < len(arguments) else ""

    @property
    def alive(self) -> bool:
        """Can a command still be sent? False once the connection is closed or timed out."""
        return self._gone is None

    def send(self, line: bytes) -> Awaitable[Reply]:
        """
        Send one encoded command; await its own reply.

        Raises:
            CommandFailed: Asterisk refused it (510, 511, 520).
            CallEnded: the connection closed, or the deadline passed, before the answer.
        """
        if self._pending is not None or self._half_closed or self._gone is not None:
            self._must_not_send()
        pending = self._pending = _PendingOne()
        self.transport.write(line)
        return pending

    async def batch(self, *lines: bytes) -> list[Reply]:
        """
        Send the last commands of the session in one write and read all their replies.

        The sending side is closed after them: only then does Asterisk execute the commands it has
        buffered. Nothing can be sent afterwards. Refusals are returned, not raised:
        the other commands have run.
        """
        if self._pending is not None or self._half_closed or self._gone is not None:
            self._must_not_send()
        pending = self._pending = _Pending(len(lines))
        self.transport.write(b"".join(lines))
        self._half_closed = True
        self.transport.loseWriteConnection()
        return await pending

    def _must_not_send(self) -> NoReturn:
        if self._gone is not None:
            raise self._gone
        if self._half_closed:
            raise RuntimeError("nothing can be sent after a batch")
        raise RuntimeError("one command at a time: wait for the reply, or use batch()")

    def dataReceived(self, data: bytes) -> None:
        wire, pending = self._wire, self._pending
        if pending is not None and wire.between_lines and pending.count == 1:
            known = COMMON.get(data)
            if known is not None:
                # The answer to most commands, and most commands are awaited by the script itself.
                pending.replies.append(known)
                self._pending = None
                if pending.awaited:
                    self._step(None)
                else:
                    self._go_on(pending)
                return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0 and not self.authenticated:
                # An unauthenticated peer has only the block and one reply to send.
                self._owner.spoke_otherwise(self, WireError("too many bytes before authentication"))
                self.transport.abortConnection()
                self._end(CallEnded("too many bytes before authentication"))
                return
        try:
            for event in wire.receive(data):
                if type(event) is Reply:
                    self._answered(event)
                elif type(event) is Environment:
                    self.environment = event
                    self._run(self._owner.started(self))
                else:
                    self.hung_up = True
        except WireError as error:
            self._owner.spoke_otherwise(self, error)
            self.transport.abortConnection()
            self._end(CallEnded(str(error)))

    def _answered(self, reply: Reply) -> None:
        pending = self._pending
        if pending is None:
            raise WireError(f"an unexpected reply: {reply.code} {reply.detail}")
        pending.replies.append(reply)
        if len(pending.replies) == pending.count:
            self._pending = None
            self._go_on(pending)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._end(CallEnded("the connection was closed"))
        self._owner.closed(self)

    def _run(self, script: Script) -> None:
        awaitable = script(self)
        self._script = awaitable if iscoroutine(awaitable) else _as_coroutine(awaitable)
        self._step(None)

    def _go_on(self, pending: _Pending) -> None:
        """The replies are complete, or will never come."""
        if pending.awaited:
            self._step(None)
        elif pending.waiter is not None:
            pending.waiter.callback(None)

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
            if isinstance(waits, _Pending):
                waits.awaited = True
                return
            if isinstance(waits, Deferred):
                # A Deferred that has its result is not yielded: awaiting it continues at once.
                self._awaited = waits
                waits.addBoth(self._fired)
                return
            value = Failure(TypeError(f"a script can await commands and Deferreds: {waits!r}"))

    def _fired(self, result: object) -> None:
        self._awaited = None
        self._step(result)

    def _script_ended(self, failure: Failure | None) -> None:
        self._script = None
        self._owner.finished(self, failure)
        if failure is not None and self._gone is None and not self._half_closed:
            self.transport.write(FAILURE)
        self.transport.loseConnection()

    # Called by the owner.

    def time_out(self, seconds: float) -> None:
        """The deadline has passed and the caller waits in silence. The dialplan goes on."""
        if self._gone is None and not self._half_closed:
            self.transport.write(FAILURE)
        self.transport.loseConnection()
        self._end(SessionTimeout(f"no end after {seconds:g} s"))

    def abort(self) -> None:
        """Close it at once; unsent bytes are lost."""
        self.transport.abortConnection()

    def cancel_script(self) -> None:
        """Cancel what the script awaits, if that is a Deferred of its own."""
        if self._awaited is not None:
            self._awaited.cancel()

    def _end(self, reason: CallEnded) -> None:
        if self._gone is None:
            self._gone = reason
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.failure = self._gone
            self._go_on(pending)


async def _as_coroutine(script: Awaitable[None]) -> None:
    await script
