"""
The hot path: a listener whose sessions live in an epoll object of their own.

Most of a session's cost is not in its commands but between the kernel and Python. Three things
save there, and nothing else differs from ``reactor.listenTCP``:

* what is said is sent at once; the write buffer is for what the kernel does not take;
* ``SO_RCVLOWAT`` on the listening socket, the mark: Asterisk writes its opening block line by line,
  in some 23 pieces, and the server is woken once for most of them. It is back at 1 with the first
  read, or a reply of a few bytes would never be seen. (A mark as long as the block would be worse:
  Nagle's algorithm holds the last line back until the lines before it are acknowledged, and that is
  delayed until somebody reads.);
* all sessions are one reader of the reactor: its log context and its bookkeeping are paid once for
  a batch of events.

A peer whose opening block is shorter than the mark would not be heard: so the mark of a socket that
has kept silent for ``PATIENCE`` is lifted. Asterisk's block has more than 430 bytes and is there at
once.
"""

import select
import socket
from errno import EAGAIN, ECONNABORTED, EINTR, EWOULDBLOCK
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from fastagi_server.deadlines import Deadlines
from fastagi_server.server import BACKLOG, FastAgiServer
from fastagi_server.session import AgiSession

#: So many bytes of the opening block wake us. Asterisk's 23 lines have more than 430, most of them
#: more than 500.
MARK = 400
#: Seconds after which a socket with less than that in it is heard all the same.
PATIENCE = 0.02
#: Read from a socket at once; a reply may be longer, and then comes in pieces. (Python sets so much
#: aside for each read.)
CHUNK = 4_096
#: Events asked for at once.
BATCH = 64
#: Seconds that a turn may take before the reactor does something else, and that it waits in it for
#: what comes next.
TURN, LINGER = 0.002, 0.001
#: Seconds before connections are accepted again, after none could be (too many open files, mostly).
REST = 0.5
#: What a session may leave unread of what we say before it is closed.
MOST_UNSENT = 1_000_000

#: ``accept()`` of the standard library asks the new socket what it knows of the old one, and wraps
#: it for files and time-outs.
_STREAM = int(socket.SOCK_STREAM)
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_READ, _WRITE = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLOUT
_DONE = Failure(ConnectionDone())
_LOST = Failure(ConnectionLost())
#: Who wanted to connect has gone again, or was accepted by somebody else.
_LATER = frozenset({EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED})


def listen(  # noqa: PLR0913  # as the reactor listens
    reactor: Any,
    server: FastAgiServer,
    port: int,
    interface: str = "127.0.0.1",
    *,
    backlog: int = BACKLOG,
    mark: int = MARK,
    held: socket.socket | None = None,
) -> "Hub":
    """
    Listen as ``reactor.listenTCP`` does, on the hot path. ``mark`` 0: no SO_RCVLOWAT. ``held``: a
    socket that listens already, for a port that another process keeps across our restarts.

    Raises:
        CannotListenError: the address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    listener = held or socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        if held is None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((interface, port))
        if mark:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise CannotListenError(interface, port, error) from error
    hub = Hub(reactor, server, listener, mark)
    hub.start()
    return hub


@implementer(IReadDescriptor)
@define(eq=False)
class Hub:
    """A listening socket and its sessions, one reader of the reactor."""

    log = Logger()

    reactor: Any
    server: FastAgiServer
    listener: socket.socket
    mark: int
    _epoll: select.epoll = field(factory=select.epoll, init=False)
    _lines: dict[int, "Line"] = field(factory=dict, init=False)
    _listening: bool = field(default=True, init=False)
    _resting: IDelayedCall | None = field(default=None, init=False)
    _number: int = field(init=False)
    _family: int = field(init=False)
    #: Lines that have not said as much as the mark.
    marked: "Deadlines[Line]" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.marked = Deadlines(self.reactor, PATIENCE, Line.unmark)
        self._number, self._family = self.listener.fileno(), int(self.listener.family)

    def start(self) -> None:
        self._epoll.register(self.listener, select.EPOLLIN)
        self.reactor.addReader(self)

    def _rest(self) -> None:
        """No further connection can be had for now: the listener would be readable all the time."""
        self._epoll.unregister(self.listener)
        self._resting = self.reactor.callLater(REST, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._epoll.register(self.listener, select.EPOLLIN)

    # What a port of Twisted can do.

    def getHost(self) -> IPv4Address | IPv6Address:
        return _address(self.listener.getsockname())

    def stopListening(self) -> "Deferred[None]":
        """Take no further session; those under way go on."""
        if self._listening:
            self._listening = False
            if self._resting is not None:
                self._resting.cancel()
            else:
                self._epoll.unregister(self.listener)
            self.listener.close()
            self._perhaps_end()
        return succeed(None)

    def _perhaps_end(self) -> None:
        if not self._listening and not self._lines:
            self.reactor.removeReader(self)
            self.marked.stop()
            self._epoll.close()

    # What a reader of the reactor can do.

    def fileno(self) -> int:
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "fastagi"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is stopping."""
        for line in list(self._lines.values()):
            line.lost(_LOST)

    def doRead(self) -> None:
        """
        What has happened, and what happens meanwhile: a turn of the reactor costs more than a look
        for nothing, and a reply comes soon. What is left keeps the epoll object readable.
        """
        lines, poll, seconds = self._lines, self._epoll.poll, self.reactor.seconds
        until = seconds() + TURN
        linger = 0.0
        while not self._epoll.closed:
            events = poll(linger, BATCH)
            linger = LINGER
            for number, event in events:
                line = lines.get(number)
                if line is not None:
                    if event == select.EPOLLIN:  # nearly always
                        line.read()
                    else:
                        line.happened(event)
                elif self._listening and number == self._number:
                    self._accept()
            if not events or seconds() > until:
                return

    def _accept(self) -> None:
        """
        Some connections; if there are more, the listener is still readable. Not one a round:
        sessions that keep us busy would keep the others waiting.
        """
        for _ in range(BATCH):
            try:
                number, peer = self.listener._accept()  # type: ignore[attr-defined]
            except OSError as error:
                if error.errno not in _LATER:
                    self.log.error("FastAGI connections are not accepted: {error}", error=error)
                    self._rest()
                return
            self._begin(number, peer)

    def _begin(self, number: int, peer: Any) -> None:
        connection: Any = socket.SocketType(self._family, _STREAM, 0, number)
        session = self.server.admit(peer[0])
        if session is None:
            connection.close()
            return
        line = Line(self, connection, session, peer)
        self._lines[number] = line
        self._epoll.register(number, _READ)
        if self.mark:
            self.marked.start(line)
        session.makeConnection(line)

    def forget(self, line: "Line") -> None:
        del self._lines[line.number]
        if not self._listening:
            self._perhaps_end()

    def watch(self, line: "Line", events: int) -> None:
        self._epoll.modify(line.number, events)


class Line:
    """One connection: what an ``AgiSession`` needs of a transport."""

    __slots__ = (
        "_closing", "_half_closed", "_hub", "_marked", "_peer", "_received", "_session", "_socket",
        "_unsent", "disconnected", "number",
    )  # fmt: skip

    def __init__(self, hub: Hub, connection: socket.socket, session: AgiSession, peer: Any) -> None:
        self._hub = hub
        self._socket = connection
        self._session: AgiSession | None = session
        self._received = session.dataReceived
        self._peer = peer
        self._marked = hub.mark > 0
        self._unsent = b""
        self._closing = self._half_closed = self.disconnected = False
        self.number = connection.fileno()

    # What a transport of Twisted can do.

    def getPeer(self) -> IPv4Address | IPv6Address:
        return _address(self._peer)

    def write(self, data: bytes) -> None:
        if self.disconnected or self._closing:
            return
        if self._unsent:
            self._keep(data)
            return
        try:
            sent = self._socket.send(data, _AT_ONCE)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read says so, and ends the session
        if sent < len(data):
            self._keep(data[sent:])

    def _keep(self, data: bytes) -> None:
        if not self._unsent:
            self._hub.watch(self, _READ | _WRITE)
        self._unsent += data
        if len(self._unsent) > MOST_UNSENT:
            self.abortConnection()

    def loseWriteConnection(self) -> None:
        """Nothing more will be said; the replies are still read."""
        self._half_closed = True
        if not self._unsent and not self.disconnected:
            self._shut()

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # gone: the next read says so

    def loseConnection(self) -> None:
        """Close once all is sent."""
        self._closing = True
        if not self._unsent:
            self.lost(_DONE)

    def abortConnection(self) -> None:
        """Close now; the other side sees a reset."""
        if not self.disconnected:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.lost(_LOST)

    # What happens on it.

    def happened(self, event: int) -> None:
        if event & _WRITE:
            self._send_more()
        if event & ~_WRITE and not self.disconnected:
            self.read()

    def read(self) -> None:
        try:
            data = self._socket.recv(CHUNK, _AT_ONCE)
            if self._marked:
                self._lift_mark()
                if not data.endswith(b"\n\n"):
                    # To read it lets the rest come, which the other side's kernel held back.
                    data += self._rest()
        except BlockingIOError:
            return
        except OSError:
            self.lost(_LOST)
            return
        if not data:
            self.lost(_DONE)
            return
        try:
            self._received(data)
        except Exception:
            self._hub.log.failure("a FastAGI session")
            self.abortConnection()

    def _rest(self) -> bytes:
        try:
            return self._socket.recv(CHUNK, _AT_ONCE)
        except BlockingIOError:
            return b""

    def _lift_mark(self) -> None:
        self._marked = False
        self._hub.marked.end(self)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def unmark(self, moment: float = 0) -> None:
        """It has kept silent, or has little to say."""
        self._lift_mark()
        self.read()

    def _send_more(self) -> None:
        try:
            sent = self._socket.send(self._unsent, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            self.lost(_LOST)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            return
        if self._closing:
            self.lost(_DONE)
            return
        self._hub.watch(self, _READ)
        if self._half_closed:
            self._shut()

    def lost(self, reason: Failure) -> None:
        """It is over, by whatever way; the session hears of it once."""
        if self.disconnected:
            return
        self.disconnected = True
        if self._marked:
            self._hub.marked.end(self)
        self._socket.close()
        self._hub.forget(self)
        session, self._session = self._session, None
        assert session is not None
        self._received = _nothing_more
        session.connectionLost(reason)


def _nothing_more(data: bytes) -> None:
    """The line is lost; and without a reference back, it goes with its session at once."""


def _address(address: Any) -> IPv4Address | IPv6Address:
    if len(address) == 2:
        return IPv4Address("TCP", *address)
    return IPv6Address("TCP", *address)
