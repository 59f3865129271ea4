"""
Limits of every HTTP port: bytes, time, and connections.

No page needs a large body or a long connection, and the same reactor serves the calls. A body is
refused by its Content-Length before it is read; without one, at the first byte over the limit.
"""

from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

#: Longest body, in bytes; an event of the portal has about 1,000.
MAX_BODY = 65_536
#: Longest life of a connection, and longest silence on it, in seconds.
LIFETIME, SILENCE = 30.0, 10.0
#: Concurrent connections; a further one is closed.
MAX_CONNECTIONS = 100

_TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedRequest(Request):
    """A request whose body is refused if it is too large."""

    channel: HTTPChannel
    _refused = False
    _received = 0

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > MAX_BODY:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MAX_BODY:
            self._refuse()
        elif not self._refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._refused:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        if not self._refused:
            self._refused = True
            transport = self.channel.transport
            assert transport is not None  # the connection is made
            transport.write(_TOO_LARGE)
            self.channel.loseConnection()


class _OneRequest(HTTPChannel):
    """A channel that serves one request: no pipelining, no keep-alive."""

    def headerReceived(self, line: bytes) -> bool:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value.strip()) > 10:
            transport = self.transport
            assert transport is not None  # the connection is made
            transport.write(_TOO_LARGE)
            self.loseConnection()
            return False
        return bool(super().headerReceived(line))

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        return False


class Page(Resource):
    """One address. It serves its ``methods`` (HEAD as GET); any other gets 405."""

    isLeaf = True
    methods: tuple[str, ...]

    def render(self, request: Request) -> Any:
        if request.method.decode("latin-1") in self.methods:
            return super().render(request)
        request.setResponseCode(405)
        request.setHeader(b"Allow", ", ".join(self.methods).encode())
        return b"405\n"


class Root(Resource):
    """The root. An unknown path gets a short 404."""

    def getChild(self, path: bytes, request: Request) -> IResource:
        return notFound(message="")


class _Connection(ProtocolWrapper):
    """A connection that is closed after ``LIFETIME``."""

    _end: IDelayedCall | None = None

    def connectionMade(self) -> None:
        factory = self.factory
        assert isinstance(factory, BoundedPort)
        self._end = factory.clock.callLater(LIFETIME, self.abortConnection)
        super().connectionMade()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self._end is not None and self._end.active():
            self._end.cancel()
        super().connectionLost(reason)


class BoundedPort(WrappingFactory):
    """A site behind the limits."""

    protocol = _Connection
    noisy = False

    def __init__(self, root: IResource, clock: IReactorTime) -> None:
        self.clock = clock
        site = Site(root, requestFactory=BoundedRequest, timeout=SILENCE)
        site.displayTracebacks = False
        site.protocol = _OneRequest  # type: ignore[method-assign, assignment]  # as Twisted does
        super().__init__(site)

    def buildProtocol(self, addr: IAddress | None) -> ProtocolWrapper:
        if len(self.protocols) >= MAX_CONNECTIONS:
            return None  # type: ignore[return-value]  # Twisted closes it
        return super().buildProtocol(addr)
