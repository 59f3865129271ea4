"""The simulated portal over HTTP, on threads of its own; loopback unless told otherwise."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from bitrix24.simulator.portal import ConnectionDropped, SimulatedPortal


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    portal: SimulatedPortal
    open: set["_Handler"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self)

    def finish(self) -> None:
        self.server.open.discard(self)
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        kind = self.headers.get("Content-Type", "")
        try:
            answer = self.server.portal.handle(parts.path, parts.query, kind, body)
        except ConnectionDropped:
            self.close_connection = True
            return
        self.send_response(answer.status)
        html = answer.body.startswith(b"<")
        self.send_header("Content-Type", "text/html" if html else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the path holds the secret."""


@contextmanager
def serve(portal: SimulatedPortal, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """
    Serve until the block is left; yields the webhook's address.

    Leaving it is how a portal goes down: open connections are cut, its memory stays.
    """
    server = _Server((host, port), _Handler)
    server.portal = portal
    server.open = set()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/rest/{portal.user_id}/{portal.secret}"
    finally:
        server.shutdown()
        server.server_close()
        for handler in tuple(server.open):
            handler.close_connection = True
            with suppress(OSError):  # it may have gone by itself
                handler.connection.shutdown(socket.SHUT_RDWR)
        thread.join()
