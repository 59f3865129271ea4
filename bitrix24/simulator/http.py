"""The simulated portal over HTTP, in threads of its own; on loopback by default."""

import json
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bitrix24.simulator.page import page, state
from bitrix24.simulator.placements import frame
from bitrix24.simulator.portal import ConnectionDropped, SimulatedPortal
from bitrix24.wire import KEY

#: Connections at once.
MAX_CONNECTIONS = 500
#: Longest body: a recording of 40 MB in base64, with a margin. Seconds for a whole body, and of
#: silence on a connection. Longest line of a chunked body, and most lines of its trailer.
MAX_BODY, LIFETIME, SILENCE, LINE, TRAILERS = 80_000_000, 120.0, 60.0, 1024, 50


def _number(text: str, base: int) -> int:
    if not re.fullmatch("[0-9a-fA-F]{1,12}", text.strip()):
        raise _Refused(400)
    try:
        return int(text, base)
    except ValueError:
        raise _Refused(400) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    portal: SimulatedPortal
    latency: float
    https: bool
    open: set["_Handler"]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects during its request is not an error of the portal."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Above the limit a connection is closed; each has a thread of its own."""
        return len(self.open) < MAX_CONNECTIONS


class _Refused(Exception):
    """A body that is not read; the answer is this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self)

    def finish(self) -> None:
        self.server.open.discard(self)
        with suppress(OSError):  # the peer may have gone
            super().finish()

    def do_POST(self) -> None:
        try:
            body = self._body()
        except _Refused as refused:
            self.close_connection = True
            self._answer(refused.status, b"", "text/plain")
            return
        parts = urlsplit(self.path)
        portal = self.server.portal
        if parts.path in ("/", "/state"):  # for people and tests, not part of the interface
            html = parts.path == "/"
            text = page(portal) if html else json.dumps(state(portal), ensure_ascii=False)
            self._answer(200, text.encode(), "text/html" if html else "application/json")
            return
        if parts.path == "/application" and portal.application_address:
            host = self.headers.get("Host", "")
            text = frame(portal, host, dict(parse_qsl(parts.query)), https=self.server.https)
            self._answer(200, text.encode(), "text/html")
            return
        kind = self.headers.get("Content-Type", "")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        time.sleep(self.server.latency)
        try:
            key = self.headers.get(KEY, "")
            https = self.server.https
            answer = portal.handle(parts.path, parts.query, kind, body, token, https, key)
        except ConnectionDropped:
            self.close_connection = True
            return
        html = answer.body.startswith(b"<")
        kind = "text/html" if html else "application/json"
        self._answer(answer.status, answer.body, kind, answer.key)

    do_GET = do_HEAD = do_POST

    def _body(self) -> bytes:
        """
        Raises:
            _Refused: too large, too slow, or unreadable.
        """
        self._until = time.monotonic() + LIFETIME
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(_number(self.headers.get("Content-Length") or "0", 10))
        body = b""
        while size := _number(self.rfile.readline(LINE).partition(b";")[0].decode("latin-1"), 16):
            if len(body) + size > MAX_BODY:
                raise _Refused(413)
            body += self._read(size)
            self.rfile.readline(LINE)
        for _ in range(TRAILERS):
            if not self.rfile.readline(LINE).strip():
                return body
        raise _Refused(400)

    def _read(self, size: int) -> bytes:
        if size > MAX_BODY:
            raise _Refused(413)
        pieces = []
        while size:
            piece = self.rfile.read1(size)
            if not piece:
                raise _Refused(400)
            if time.monotonic() > self._until:
                raise _Refused(408)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _answer(self, status: int, body: bytes, kind: str, key: str = "") -> None:
        self.send_response(status)
        if key:
            self.send_header(KEY, key)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the path holds the secret."""


@contextmanager
def serve(
    portal: SimulatedPortal,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency: float = 0.0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """
    Serve until the block is left; yields the webhook's address. ``latency`` is in seconds.

    Leaving the block simulates an outage: open connections are closed, the data stays.
    """
    server = _Server((host, port), _Handler)
    server.portal = portal
    server.latency = latency
    server.https = tls is not None
    server.open = set()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://{host}:{server.server_port}/rest/{portal.user_id}/{portal.secret}"
    finally:
        server.shutdown()
        server.server_close()
        for handler in tuple(server.open):
            handler.close_connection = True
            with suppress(OSError):  # it may be closed already
                handler.connection.shutdown(socket.SHUT_RDWR)
        thread.join()
