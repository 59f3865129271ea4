"""Limits of the transport: a server in the portal's place cannot fill memory or hold a thread."""

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from twisted.internet import reactor

from bitrix24 import AnswerLost, Request, RequestsTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads a request's head and then calls ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    request = b""
                    while not request.endswith(b"{}"):  # unread data would cause a reset
                        request += peer.recv(65_536)
                    answer(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/rest/1/secret/"
        listener.close()
        thread.join(5)


def ask(address: str, **limits: float) -> bytes:
    transport = RequestsTransport(reactor, **limits)  # type: ignore[arg-type]
    return transport.post(Request("profile", f"{address}profile", {})).body


def whole(body: bytes, *headers: bytes) -> Callable[[socket.socket], None]:
    rows = b"".join(header + b"\r\n" for header in headers)
    length = b"Content-Length: " + str(len(body)).encode()
    return lambda peer: peer.sendall(HEAD + rows + length + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"result": 1}', ()),
        (gzip.compress(b'{"result": 1}'), (b"Content-Encoding: gzip",)),
        (zlib.compress(b'{"result": 1}'), (b"Content-Encoding: deflate",)),
    ],
    ids=["plain", "gzip", "deflate"],
)
def test_an_answer_is_read(body: bytes, headers: tuple[bytes, ...]) -> None:
    with answering(whole(body, *headers)) as address:
        assert b'{"result": 1}' == ask(address)


def drips(start: bytes) -> Callable[[socket.socket], None]:
    def drip(peer: socket.socket) -> None:
        peer.sendall(start)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            peer.sendall(b"x")
            if threading.Event().wait(0.02):
                return

    return drip


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 2", HEAD + b"X-Slow: ", HEAD + b"Content-Length: 100000\r\n\r\n{",
     HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n{"],
    ids=["in the status", "in a header", "in the body", "in a chunk"],
)  # fmt: skip
def test_an_answer_that_drips_has_an_end(start: bytes) -> None:
    """Each byte arrives in time, but the whole answer never would."""
    began = time.monotonic()
    with (
        answering(drips(start)) as address,
        pytest.raises(AnswerLost, match="no end within 1 s") as caught,
    ):
        ask(address, whole=0.6)

    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x" * 3_000_000, ()),
        (gzip.compress(b" " * 200_000_000), (b"Content-Encoding: gzip",)),
        (zlib.compress(b" " * 200_000_000), (b"Content-Encoding: deflate",)),
    ],
    ids=["plain", "gzip", "deflate"],
)
def test_an_answer_without_measure_is_not_kept(body: bytes, headers: tuple[bytes, ...]) -> None:
    """200 KB that unpack to 200 MB are given up at the limit."""
    with answering(whole(body, *headers)) as address, pytest.raises(AnswerLost, match="more than"):
        ask(address, longest=2_000_000)


@pytest.mark.parametrize(
    "headers", [(b"Content-Encoding: br",), (b"Content-Encoding: gzip",)], ids=["unknown", "untrue"]
)
def test_an_encoding_that_is_none(headers: tuple[bytes, ...]) -> None:
    with answering(whole(b'{"result": 1}', *headers)) as address, pytest.raises(AnswerLost):
        ask(address)


def test_a_file_that_cannot_be_read_is_no_trouble_of_the_portal(tmp_path: Path) -> None:
    """Nothing was sent. The error names the file."""
    transport = RequestsTransport(reactor)  # type: ignore[arg-type]
    request = Request("x", "http://127.0.0.1:1/rest/1/s/x", {"FILE": tmp_path / "gone.wav"})

    with pytest.raises(FileNotFoundError):
        transport.post(request)


def test_a_drip_behind_tls_has_an_end(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def drip(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as safe:
            safe.recv(65_536)
            drips(HEAD + b"Content-Length: 100000\r\n\r\n{")(safe)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                drip(listener.accept()[0])

        threading.Thread(target=serve, daemon=True).start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}/rest/1/secret/"
        transport = RequestsTransport(reactor, verify=str(tmp_path / "ca.pem"), whole=0.6)  # type: ignore[arg-type]
        with pytest.raises(AnswerLost, match="no end within 1 s"):
            transport.post(Request("profile", f"{address}profile", {}))


def test_an_answer_that_ends_too_early_is_lost() -> None:
    cut = lambda peer: peer.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")  # noqa: E731
    with answering(cut) as address, pytest.raises(AnswerLost):
        ask(address)
