"""
The hot path: a listener whose sessions live in an epoll object of their own.

Most of a session's cost is not in its commands but between the kernel and Python. Three things
save there, and nothing else differs from ``reactor.listenTCP``:

* what is said is sent at once; the write buffer is for what the kernel does not take;
* ``SO_RCVLOWAT`` on the listening socket: Asterisk writes its opening block line by line, in some
  23 pieces, and the server is woken once for all of them. It is back at 1 with the first read, or
  a reply of a few bytes would never be seen;
* all sessions are one reader of the reactor: its log context and its bookkeeping are paid once for
  a batch of events.

A peer whose opening block is shorter than the mark, and who then waits, is not heard before it
closes, or its deadline does. Asterisk's block has more than 500 bytes.
"""

import select
import socket
from errno import EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EWOULDBLOCK
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from fastagi_server.server import BACKLOG, FastAgiServer

#: So many bytes of the opening block wake us. Asterisk's shortest has more than 500.
MARK = 256
#: Read from a socket at once; a reply may be longer, and then comes in pieces.
CHUNK = 65_536
#: Events handled before the reactor may do something else.
BATCH = 64
#: What a session may leave unread of what we say before it is closed.
MOST_UNSENT = 1_000_000

_READ, _WRITE = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLOUT
_DONE = Failure(ConnectionDone())
_LOST = Failure(ConnectionLost())
_LATER = frozenset({EAGAIN, EWOULDBLOCK, EINTR})
#: The listening socket is well, though it could not accept this time.
_PASSING = frozenset({*_LATER, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM})


def listen(
    reactor: Any,
    server: FastAgiServer,
    port: int,
    interface: str = "127.0.0.1",
    *,
    backlog: int = BACKLOG,
    mark: int = MARK,
) -> "Hub":
    """
    Listen as ``reactor.listenTCP`` does, on the hot path. ``mark`` 0: no SO_RCVLOWAT.

    Raises:
        CannotListenError: the address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
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

    def start(self) -> None:
        self._epoll.register(self.listener, select.EPOLLIN)
        self.reactor.addReader(self)

    # What a port of Twisted can do.

    def getHost(self) -> IPv4Address | IPv6Address:
        return _address(self.listener.getsockname())

    def stopListening(self) -> "Deferred[None]":
        """Take no further session; those under way go on."""
        if self._listening:
            self._listening = False
            self._epoll.unregister(self.listener)
            self.listener.close()
            self._perhaps_end()
        return succeed(None)

    def _perhaps_end(self) -> None:
        if not self._listening and not self._lines:
            self.reactor.removeReader(self)
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
        """A batch of what has happened; what is left keeps the epoll object readable."""
        lines = self._lines
        for number, event in self._epoll.poll(0, BATCH):
            line = lines.get(number)
            if line is not None:
                line.happened(event)
            elif self._listening and number == self.listener.fileno():
                self._accept()

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                connection, peer = self.listener.accept()
            except OSError as error:
                if error.errno not in _PASSING:
                    self.log.failure("accepting FastAGI connections")
                elif error.errno not in _LATER:
                    self.log.warn("a FastAGI connection was not accepted: {error}", error=error)
                return
            connection.setblocking(False)
            session: Any = self.server.buildProtocol(_address(peer))
            if session is None:
                connection.close()
                continue
            line = Line(self, connection, session, peer)
            self._lines[line.number] = line
            self._epoll.register(line.number, _READ)
            session.makeConnection(line)

    def forget(self, line: "Line") -> None:
        self._lines.pop(line.number, None)
        self._perhaps_end()

    def watch(self, line: "Line", events: int) -> None:
        self._epoll.modify(line.number, events)


class Line:
    """One connection: what an ``AgiSession`` needs of a transport."""

    __slots__ = (
        "_closing", "_half_closed", "_hub", "_marked", "_peer", "_session", "_socket", "_unsent",
        "disconnected", "number",
    )  # fmt: skip

    def __init__(self, hub: Hub, connection: socket.socket, session: Any, peer: Any) -> None:
        self._hub = hub
        self._socket = connection
        self._session = session
        self._peer = peer
        self._marked = bool(hub.mark)
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
            sent = self._socket.send(data)
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
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.lost(_LOST)
            return
        if not data:
            self.lost(_DONE)
            return
        if self._marked:
            self._marked = False
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        try:
            self._session.dataReceived(data)
        except Exception:
            self._hub.log.failure("a FastAGI session")
            self.abortConnection()

    def _send_more(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
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
        self._hub.forget(self)
        self._socket.close()
        self._session.connectionLost(reason)


def _address(address: Any) -> IPv4Address | IPv6Address:
    if len(address) == 2:
        return IPv4Address("TCP", *address)
    return IPv6Address("TCP", *address)
