"""
HTTP to the portal: ``requests`` in a few threads of its own, so that the reactor never waits.

One session per thread (sessions are not safe to share), no redirects (a redirect would send the
secret elsewhere). Every request has a total time limit, because a portal that sends a byte now and
then passes any read timeout. Every answer has a size limit, counted uncompressed.
"""

import os
import socket
import threading
import zlib
from contextlib import suppress
from typing import Any

import requests
import urllib3
from attrs import define, field
from requests.adapters import HTTPAdapter
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from bitrix24.causes import cause_of
from bitrix24.errors import AnswerLost, PortalUnavailable
from bitrix24.wire import KEY, Answer, Request, read_ahead

#: Seconds to connect, and to wait for the answer. A loaded box needs several for a batch.
CONNECT, READ = 5.0, 30.0
#: Requests in flight at once. The cloud blocks an address that sends too many.
THREADS = 3

#: Seconds for a whole request, and the upload speed by which the limit is extended, in bytes a
#: second (a recording has up to 54 MB).
WHOLE, SLOWEST = 90.0, 100_000
#: Longest answer, in bytes, uncompressed: 2,500 tasks with their clients have about three million,
#: and more are not requested at once. Parsing ten million as JSON takes a second.
LONGEST = 10_000_000
#: Bytes of one read from a connection.
CHUNK = 65_536

#: TLS errors before anything was sent. Any other may occur after the request.
_HANDSHAKE = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL")


class _Pool(ThreadPool):
    """Threads that do not keep the process alive."""

    class threadFactory(threading.Thread):  # the name is ThreadPool's
        def __init__(self, **options: Any) -> None:
            super().__init__(daemon=True, **options)


class _Exchange:
    """One request in flight, and its connection, so that it can be cut off."""

    def __init__(self) -> None:
        self.connection: urllib3.connection.HTTPConnection | None = None
        self.over = False  #: the time limit has passed

    def cut(self) -> None:
        """The time limit has passed: the reading thread gets the end of the connection."""
        self.over = True
        carrier = self.connection.sock if self.connection is not None else None
        if carrier is not None:
            # Through a copy of the descriptor: shutting down a TLS socket drops its session.
            with suppress(OSError), socket.socket(fileno=os.dup(carrier.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)


_here = threading.local()  #: ``exchange``: this thread's request


class _Carrier:
    """A connection that registers itself as the carrier of the thread's request."""

    def request(self, *args: Any, **options: Any) -> None:
        _here.exchange.connection = self
        if _here.exchange.over:  # connecting took too long: nothing to cut later
            raise TimeoutError("the time limit has passed")
        super().request(*args, **options)  # type: ignore[misc]  # urllib3's, mixed in below


class _Http(_Carrier, urllib3.connection.HTTPConnection):
    pass


class _Https(_Carrier, urllib3.connection.HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """The same adapter, with our connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


@define(eq=False)
class RequestsTransport:
    """Sends requests from a bounded pool. ``verify`` is True or the path of a CA file."""

    reactor: IReactorFromThreads
    verify: bool | str = True
    timeout: tuple[float, float] = (CONNECT, READ)
    whole: float = WHOLE
    longest: int = LONGEST
    threads: int = THREADS
    _pool: ThreadPool = field(init=False)
    _local: threading.local = field(factory=threading.local, init=False)

    def start(self) -> None:
        self._pool = _Pool(0, self.threads, name="bitrix24")
        self._pool.start()

    def stop(self) -> None:
        """
        Accept no more requests. Requests in flight are not awaited: a portal may take half a minute
        to answer, and their senders treat them as unanswered.
        """
        threading.Thread(target=self._pool.stop, name="bitrix24 end", daemon=True).start()

    async def __call__(self, request: Request) -> Answer:
        """
        Send one request and return the answer, whatever its status.

        Raises:
            PortalUnavailable: not sent. AnswerLost: sent, and no answer.
        """
        return await deferToThreadPool(self.reactor, self._pool, self.post, request)

    def post(self, request: Request) -> Answer:
        """
        The same, in the calling thread.

        Also raises:
            OSError: a file among the parameters cannot be read; nothing was sent.
        """
        body = request.body() if request.params is not None else None
        try:
            answer = self._exchange(request, body)
        # Their texts contain the address, whose path is the secret: only the type is shown.
        except requests.exceptions.SSLError as error:
            if any(name in repr(error) for name in _HANDSHAKE):
                raise PortalUnavailable(_failure(request, error)) from None
            raise AnswerLost(_failure(request, error)) from None
        except (requests.ConnectTimeout, requests.exceptions.InvalidURL) as error:
            raise PortalUnavailable(_failure(request, error)) from None
        except requests.ConnectionError as error:
            if "NewConnectionError" in repr(error) or "NameResolution" in repr(error):
                raise PortalUnavailable(_failure(request, error)) from None
            raise AnswerLost(_failure(request, error)) from None
        except requests.RequestException as error:
            raise AnswerLost(_failure(request, error)) from None
        except (OSError, urllib3.exceptions.HTTPError, zlib.error) as error:
            raise AnswerLost(_failure(request, error)) from None
        return answer

    def _exchange(self, request: Request, body: bytes | None) -> Answer:
        exchange = _here.exchange = _Exchange()
        seconds = self.whole + len(body or b"") / SLOWEST
        watch = threading.Timer(seconds, exchange.cut)
        watch.daemon = True
        watch.start()
        try:
            with self._ask(request, body) as response:
                if response.is_redirect:
                    raise PortalUnavailable(
                        f"{request.method}: redirected; check the portal's address"
                    )
                answer = read_ahead(
                    response.status_code,
                    self._read(request, response),
                    # Another request's key proves nothing.
                    request.key if response.headers.get(KEY) == request.key else "",
                )
        except Exception:
            if not exchange.over:
                raise
        finally:
            watch.cancel()
        if exchange.over:  # an answer cut among its headers looks complete
            raise AnswerLost(f"{request.method}: no end within {seconds:.0f} s")
        return answer

    def _ask(self, request: Request, body: bytes | None) -> requests.Response:
        session = self._session()
        settings: dict[str, Any] = {
            "timeout": self.timeout, "allow_redirects": False, "stream": True,
        }  # fmt: skip
        if body is None:
            return session.get(request.url, **settings)
        headers = {"Content-Type": "application/json"}
        if request.key:
            headers[KEY] = request.key
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        return session.post(request.url, data=body, headers=headers, **settings)

    def _read(self, request: Request, response: requests.Response) -> bytes:
        """The uncompressed body, up to the size limit."""
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "", "gzip", "deflate"):
            raise AnswerLost(f"{request.method}: an answer encoded as {encoding[:20]!r}")
        inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
        pieces, size = [], 0
        while data := response.raw.read1(CHUNK, decode_content=False):
            while data:
                piece = inflate.decompress(data, CHUNK) if inflate else data
                data = inflate.unconsumed_tail if inflate else b""
                pieces.append(piece)
                size += len(piece)
                if size > self.longest:
                    raise AnswerLost(f"{request.method}: an answer of more than {size} bytes")
        return b"".join(pieces)

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.verify = self.verify
            session.trust_env = False  # a proxy of the environment must not see the secret
            session.headers["Accept-Encoding"] = "gzip, deflate"
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter())
            self._local.session = session
        session = self._local.session
        assert isinstance(session, requests.Session)
        return session


def _failure(request: Request, error: Exception) -> str:
    cause = cause_of(error)
    return f"{request.method}: {type(error).__name__}" + (f": {cause}" if cause else "")
