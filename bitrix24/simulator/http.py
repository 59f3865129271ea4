"""The simulated portal over HTTP, on threads of its own; loopback unless told otherwise."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from bitrix24.simulator.page import page, state
from bitrix24.simulator.portal import ConnectionDropped, SimulatedPortal


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    portal: SimulatedPortal
    latency: float
    https: bool
    open: set["_Handler"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
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
        body = self._body()
        parts = urlsplit(self.path)
        portal = self.server.portal
        if parts.path in ("/", "/state"):  # for people and tests, no part of the interface
            html = parts.path == "/"
            text = page(portal) if html else json.dumps(state(portal), ensure_ascii=False)
            self._answer(200, text.encode(), "text/html" if html else "application/json")
            return
        kind = self.headers.get("Content-Type", "")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
        time.sleep(self.server.latency)
        try:
            answer = portal.handle(parts.path, parts.query, kind, body, token, self.server.https)
        except ConnectionDropped:
            self.close_connection = True
            return
        html = answer.body.startswith(b"<")
        self._answer(answer.status, answer.body, "text/html" if html else "application/json")

    do_GET = do_POST

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
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

    Leaving it is how a portal goes down: open connections are cut, its memory stays.
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
            with suppress(OSError):  # it may have gone by itself
                handler.connection.shutdown(socket.SHUT_RDWR)
        thread.join()
