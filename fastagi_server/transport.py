"""
The transport of FastAGI sessions: each connection is a reader of the reactor.

As ``reactor.listenTCP``, with half the system calls (29 instead of 52 a session of six commands):

* a command is sent at once; the write buffer is for what the kernel does not accept;
* the listening socket has a low-water mark (SO_RCVLOWAT): Asterisk writes its opening block line by
  line, in 23 pieces, and the server is woken once for most of them. The first read resets it
  to 1. (A mark as long as the block would be slower: Nagle's algorithm delays the last line until
  the lines before it are acknowledged, and that waits until they are read.) A block shorter than
  the mark is read after ``LIFT`` seconds.

CPU of a session, median of 5 rounds in turns (``bench/fastagi``), as a multiple of one thread of C:
six commands 1.18, half-closed 0.95; Twisted's own transport 1.58 and 1.62.
"""

import socket
from errno import EAGAIN, ECONNABORTED, EINTR, EWOULDBLOCK
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IReadWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from fastagi_server.deadlines import Deadlines
from fastagi_server.server import BACKLOG, FastAgiServer
from fastagi_server.session import AgiSession

#: Bytes of the opening block that wake the server. Asterisk's has 430 at least, mostly over 500.
LOW_WATER = 400
#: Seconds after which a connection with fewer bytes than that is read.
LIFT = 0.02
#: Bytes of one read (Python allocates as many), and connections accepted in one turn.
CHUNK, ACCEPTS = 4_096, 64
#: Seconds before connections are accepted again after an error (too many open files, mostly).
PAUSE = 0.5
#: Unsent bytes above which a connection is closed: its peer does not read.
MAX_UNSENT = 1_000_000

_NOW = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 seconds
_DONE, _LOST = Failure(ConnectionDone()), Failure(ConnectionLost())
#: Errors of accept() that concern one peer only.
_ONE_PEER = frozenset({EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED})


def listen(
    reactor: Any,
    server: FastAgiServer,
    port: int,
    interface: str = "127.0.0.1",
    *,
    held: socket.socket | None = None,
) -> "AgiPort":
    """
    Listen as ``reactor.listenTCP`` does. ``held`` is an already listening socket, for a port that
    another process keeps open across restarts.

    Raises:
        CannotListenError: the address is in use, or not an address of this host.
    """
    listener = held or socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET)
    try:
        listener.setblocking(False)
        if held is None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((interface, port))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, LOW_WATER)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(interface, port, error) from error
    return AgiPort(reactor, server, listener)


@implementer(IReadDescriptor)
class AgiPort:
    """A listening socket."""

    log = Logger()

    def __init__(self, reactor: Any, server: FastAgiServer, listener: socket.socket) -> None:
        self.reactor, self._server, self._listener = reactor, server, listener
        self._paused: IDelayedCall | None = None
        #: Connections that have received fewer bytes than the low-water mark.
        self.unread = Deadlines[AgiConnection](reactor, LIFT, AgiConnection.lift)
        self.fileno = listener.fileno
        reactor.addReader(self)

    def logPrefix(self) -> str:
        return "fastagi"

    def getHost(self) -> IPv4Address | IPv6Address:
        return _address(self._listener.getsockname())

    def stopListening(self) -> "Deferred[None]":
        """Accept no further connection; open sessions continue."""
        if self._paused is not None and self._paused.active():
            self._paused.cancel()
        self.reactor.removeReader(self)
        self._listener.close()
        return succeed(None)

    def connectionLost(self, reason: Failure) -> None:
        self._listener.close()

    def doRead(self) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, peer = self._listener.accept()
            except OSError as error:
                if error.errno not in _ONE_PEER:
                    self.log.error("FastAGI connections are not accepted: {error}", error=error)
                    self.reactor.removeReader(self)
                    self._paused = self.reactor.callLater(PAUSE, self.reactor.addReader, self)
                return
            session = None
            try:
                session = self._server.admit(peer[0])
                if session is None:
                    connection.close()
                else:
                    AgiConnection(self, connection, session, peer)
            except Exception:  # of one connection only: the port goes on listening
                self.log.failure("a FastAGI connection")
                connection.close()
                if session is not None:
                    session.connectionLost(_LOST)


@implementer(IReadWriteDescriptor)
class AgiConnection:
    """One connection, as the transport of an ``AgiSession``."""

    __slots__ = ("_closing", "_data_received", "_half_closed", "_low_water", "_peer", "_port",
                 "_session", "_socket", "_unsent", "disconnected", "fileno")  # fmt: skip

    def __init__(self, port: AgiPort, sock: socket.socket, session: AgiSession, peer: Any) -> None:
        self._port, self._socket, self._session, self._peer = port, sock, session, peer
        self._data_received, self.fileno = session.dataReceived, sock.fileno
        self._closing = self._half_closed = self.disconnected = False
        self._low_water, self._unsent = True, b""
        session.makeConnection(self)
        port.reactor.addReader(self)
        port.unread.start(self)

    #: Called for each event: a method in C.
    logPrefix = "fastagi".__str__

    def getPeer(self) -> IPv4Address | IPv6Address:
        return _address(self._peer)

    def write(self, data: bytes) -> None:
        if self.disconnected or self._closing:
            return
        if self._unsent:
            self._buffer(data)
            return
        try:
            sent = self._socket.send(data, _NOW)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the next read reports it and ends the session
        if sent < len(data):
            self._port.reactor.addWriter(self)
            self._buffer(data[sent:])

    def _buffer(self, data: bytes) -> None:
        self._unsent += data
        if len(self._unsent) > MAX_UNSENT:
            self.abortConnection()

    def doWrite(self) -> None:
        try:
            sent = self._socket.send(self._unsent, _NOW)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.connectionLost(_LOST)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._port.reactor.removeWriter(self)
            if self._closing:
                self.connectionLost(_DONE)
            elif self._half_closed:
                self.loseWriteConnection()

    def loseWriteConnection(self) -> None:
        """Close the sending side once everything is sent; replies are still read."""
        self._half_closed = True
        if not self._unsent and not self.disconnected:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                return  # the next read reports it

    def loseConnection(self) -> None:
        """Close once everything is sent."""
        self._closing = True
        if not self._unsent:
            self.connectionLost(_DONE)

    def abortConnection(self) -> None:
        """Close now; the peer sees a reset."""
        if not self.disconnected:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.connectionLost(_LOST)

    def doRead(self) -> None:
        try:
            data = self._socket.recv(CHUNK, _NOW)
            if self._low_water:
                self._lift()
                if not data.endswith(b"\n\n"):
                    # After the first read the peer's kernel sends the rest, which it had delayed.
                    data += self._more()
        except BlockingIOError:
            return
        except OSError:
            self.connectionLost(_LOST)
            return
        if data:
            self._data_received(data)
        else:
            self.connectionLost(_DONE)

    def _more(self) -> bytes:
        try:
            return self._socket.recv(CHUNK, _NOW)
        except BlockingIOError:
            return b""

    def _lift(self) -> None:
        self._low_water = False
        self._port.unread.end(self)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def lift(self, moment: float = 0) -> None:
        """Fewer bytes than the low-water mark came in ``LIFT`` seconds: read them."""
        self._lift()
        try:
            self.doRead()
        except Exception:
            self._port.log.failure("a FastAGI session")
            self.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """End the connection; the session is notified once."""
        if self.disconnected:
            return
        self.disconnected = True
        if self._low_water:
            self._port.unread.end(self)
        self._port.reactor.removeReader(self)
        if self._unsent:
            self._port.reactor.removeWriter(self)
        self._socket.close()
        session = self._session
        del self._session, self._data_received  # no cycle: both are freed at once
        session.connectionLost(reason)


def _address(address: Any) -> IPv4Address | IPv6Address:
    family = IPv4Address if len(address) == 2 else IPv6Address
    return family("TCP", *address)
