"""Limits of the HTTP ports: a client cannot fill memory, hold a connection, or see a traceback."""

import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread

from autodial import http_limits
from autodial.portal.event_webhook import event_site
from bitrix24.simulator import SimulatedPortal, serve

reactor: Any = installed
ensure = pytest_twisted.ensureDeferred
TOKEN = "simulated2token"


@pytest.fixture
def hook() -> Iterator[tuple[int, list[bool]]]:
    """The hook's port, and a list with one entry for each requested poll."""
    woken: list[bool] = []
    site = event_site(TOKEN, lambda: woken.append(True), reactor)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    yield port.getHost().port, woken
    pytest_twisted.blockon(port.stopListening())
    for visit in tuple(site.protocols):
        visit.abortConnection()


def say(port: int, *pieces: bytes, most: int = 200_000_000) -> tuple[bytes, int]:
    """Send the pieces. Return the answer, and how many bytes could be sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.settimeout(20)
        try:
            for piece in pieces:
                while sent < most:
                    sent += peer.send(piece[:65_536])
                    if len(piece) <= 65_536:
                        break
            answer = b""
            while data := peer.recv(4096):
                answer += data
        except OSError:
            answer = b""
        return answer, sent


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@ensure
async def test_a_large_body_is_refused_by_its_length(hook: tuple[int, list[bool]]) -> None:
    """The answer comes before any of the body is sent."""
    answer, _ = await deferToThread(say, hook[0], HEAD + b"Content-Length: 150000000\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


@ensure
@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Content-Length: 150000000\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    ],
    ids=["announced", "chunked"],
)
async def test_a_flood_is_not_kept(hook: tuple[int, list[bool]], head: bytes) -> None:
    """150 MB are offered: little is read, and none is kept."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, sent = await deferToThread(say, hook[0], head, b"x" * 70_000, most=150_000_000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert sent < 20_000_000
    assert grown < 30_000, "kilobytes"
    assert not hook[1]


@ensure
@pytest.mark.parametrize("method", ["HEAD", "GET", "PUT", "DELETE", "TRACE", "OPTIONS", "X"])
async def test_other_methods_are_answered(hook: tuple[int, list[bool]], method: str) -> None:
    head = f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer, _ = await deferToThread(say, hook[0], head)

    assert answer.partition(b" ")[2][:3] in (b"405", b"501")


@ensure
@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
        HEAD + b"X: y\r\n" * 1000 + b"\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 5\r\n\r\n--x--",
    ],
)
async def test_what_is_not_http_ends(hook: tuple[int, list[bool]], request_: bytes) -> None:
    """With a refusal or a closed connection, and without an error in the log."""
    answer, _ = await deferToThread(say, hook[0], request_)

    assert b"Traceback" not in answer
    assert answer[9:12] in (b"", b"400", b"403", b"413", b"500")
    assert not hook[1]


@ensure
async def test_a_connection_serves_one_request(hook: tuple[int, list[bool]]) -> None:
    """Hundreds of requests in one packet would be hundreds of log lines."""
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    answer, _ = await deferToThread(say, hook[0], one * 300)

    assert 1 == answer.count(b"HTTP/1.1 ")


@ensure
async def test_a_visit_has_an_end(
    hook: tuple[int, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that arrives byte by byte is cut off at the time limit."""
    monkeypatch.setattr(http_limits, "LIFETIME", 0.5)

    def drip(port: int) -> int:
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
            peer.settimeout(0.05)
            for count in range(1000):
                try:
                    peer.sendall(b"x")
                    if not peer.recv(1):
                        return count
                except TimeoutError:
                    continue
                except OSError:
                    return count
        return 1000

    assert await deferToThread(drip, hook[0]) < 100


@ensure
async def test_so_many_connections_and_no_more(
    hook: tuple[int, list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_limits, "MAX_CONNECTIONS", 3)

    def crowd(port: int) -> int:
        peers = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(5)]
        closed = 0
        for peer in peers:
            peer.settimeout(0.5)
            try:
                closed += peer.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                closed += 1
        for peer in peers:
            peer.close()
        return closed

    assert 2 == await deferToThread(crowd, hook[0])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 999999999999", b"413"),
        (b"Content-Length: -5", b"400"),
        (b"Content-Length: five", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffffff", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\n-1", b"400"),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x\r\n" * 60, b"400"),
        (b"Content-Length: 0", b"200"),
    ],
)
def test_the_simulated_portal_has_limits_too(head: bytes, status: bytes) -> None:
    with serve(SimulatedPortal()) as address:
        port = int(address.split(":")[2].partition("/")[0])
        request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n\r\n"

        assert say(port, request)[0][9:12] == status


def test_the_simulated_portal_answers_head_without_a_body() -> None:
    with serve(SimulatedPortal()) as address:
        port = int(address.split(":")[2].partition("/")[0])
        answer, _ = say(port, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert (b"200", b"") == (answer[9:12], answer.partition(b"\r\n\r\n")[2])
