"""
HTTP to the portal: ``requests`` in a few threads of its own, so that the reactor never waits.

One connection per thread, no redirects (a redirect would send the secret elsewhere). Every request
has a total time limit, because a portal that sends a byte now and then passes any read timeout.
Every answer has a size limit, counted uncompressed.
"""

import os
import socket
import threading
import time
import zlib
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

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
THREADS = 4

#: Seconds for a whole request, and the upload speed by which the limit is extended, in bytes a
#: second (a recording has up to 54 MB).
WHOLE, SLOWEST = 90.0, 100_000
#: Longest answer, in bytes, uncompressed: 2,500 tasks with their clients have about three million,
#: and more are not requested at once. Parsing ten million as JSON takes a second.
LONGEST = 10_000_000
#: Bytes of one read from a connection.
CHUNK = 65_536

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "autodial24"}
#: TLS errors before anything was sent. Any other may occur after the request.
_HANDSHAKE = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL")


class _Pool(ThreadPool):
    """Threads that do not keep the process alive."""

    class threadFactory(threading.Thread):  # the name is ThreadPool's
        def __init__(self, **options: Any) -> None:
            super().__init__(daemon=True, **options)


class _Exchange:
    """One request in flight, and its connection, so that it can be cut off."""

    def __init__(self, seconds: float) -> None:
        self.connection: urllib3.connection.HTTPConnection | None = None
        self.ends = time.monotonic() + seconds
        self.over = False  #: the time limit has passed

    def cut(self) -> None:
        """The time limit has passed: the reading thread gets the end of the connection."""
        self.over = True
        carrier = self.connection.sock if self.connection is not None else None
        if carrier is not None:
            # Through a copy of the descriptor: shutting down a TLS socket drops its session.
            with suppress(OSError), socket.socket(fileno=os.dup(carrier.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)


class _Watch:
    """Cuts off requests whose time limit has passed; one thread for all of them."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._running: set[_Exchange] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self, exchange: _Exchange) -> None:
        self._running.add(exchange)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    watch = threading.Thread(target=self._watch, name="bitrix24 watch", daemon=True)
                    watch.start()
                    self._thread = watch

    def end(self, exchange: _Exchange) -> None:
        self._running.discard(exchange)

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._step):
            now = time.monotonic()
            for exchange in self._running.copy():
                if now > exchange.ends:
                    self.end(exchange)
                    exchange.cut()


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
    _watch: _Watch = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._watch = _Watch(min(1.0, self.whole / 20))

    def start(self) -> None:
        self._pool = _Pool(0, self.threads, name="bitrix24")
        self._pool.start()

    def stop(self) -> None:
        """
        Accept no more requests. Requests in flight are not awaited: a portal may take half a minute
        to answer, and their senders treat them as unanswered.
        """
        self._watch.stop()
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
        seconds = self.whole + len(body or b"") / SLOWEST
        exchange = _here.exchange = _Exchange(seconds)
        self._watch.start(exchange)
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
            self._watch.end(exchange)
        if exchange.over:  # an answer cut among its headers looks complete
            raise AnswerLost(f"{request.method}: no end within {seconds:.0f} s")
        return answer

    def _ask(self, request: Request, body: bytes | None) -> requests.Response:
        headers = dict(_HEADERS)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if request.key:
            headers[KEY] = request.key
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        method = "GET" if body is None else "POST"
        prepared = requests.Request(method, request.url, headers=headers, data=body).prepare()
        # Without a session: that would follow redirects, keep the portal's cookies, and send the
        # secret to a proxy of the environment.
        return self._adapter().send(prepared, stream=True, timeout=self.timeout, verify=self.verify)

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

    def _adapter(self) -> HTTPAdapter:
        if not hasattr(self._local, "adapter"):
            self._local.adapter = _Adapter()
        adapter = self._local.adapter
        assert isinstance(adapter, HTTPAdapter)
        return adapter


def _failure(request: Request, error: Exception) -> str:
    cause = cause_of(error) or type(error).__name__
    return f"{request.method}: {urlsplit(request.url).netloc.rpartition('@')[2]}: {cause}"
