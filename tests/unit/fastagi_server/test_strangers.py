"""Access to the FastAGI server: a stranger is refused, and cannot disturb the permitted peers."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent, globalLogPublisher
from zope.interface import implementer

from fastagi_server import (
    AgiSession,
    FastAgiServer,
    RateLimitedLog,
    SharedSecret,
    Tickets,
    set_variables,
    tickets,
)
from fastagi_server.testing import FakeAsterisk, environment
from tests.documents import blocks

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """The lines logged during the block."""
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


async def _done(call: AgiSession) -> None:
    await call.batch(set_variables({"DONE": "1"}))


def server(clock: Clock | None = None, **wishes: object) -> FastAgiServer:
    settings = {"secret": SharedSecret("AD_SECRET", SECRET)} | wishes
    return FastAgiServer({"x": _done, "ping": _done}, clock or Clock(), **settings)  # type: ignore[arg-type]


def ask(
    running: FastAgiServer, script: str, *, knows: str | None, dead: bool = False
) -> FakeAsterisk:
    asterisk = FakeAsterisk(running, dead=dead)
    if knows is not None:
        asterisk.globals["AD_SECRET"] = knows
    asterisk.connect(script, "t1-1")
    return asterisk


@pytest.mark.parametrize("dead", [False, True], ids=["living", "hung up"])
def test_our_asterisk_is_answered(dead: bool) -> None:
    assert {"DONE": "1"} == ask(server(), "x", knows=SECRET, dead=dead).variables


@pytest.mark.parametrize("knows", [None, "", "x", SECRET[:-1], SECRET + "0"])
def test_who_does_not_know_the_secret_is_told_nothing(
    knows: str | None, logged: list[LogEvent]
) -> None:
    running = server()
    asterisk = ask(running, "x", knows=knows)
    logs = [formatEvent(event) for event in logged]

    assert ({}, True, 1) == (asterisk.variables, asterisk.failed, running.counters.refused_secret)
    assert ["refused: x: whoever asks does not know the secret (global variable AD_SECRET)"] == logs


def test_the_guide_s_secret() -> None:
    """The server that the library's guide shows."""
    (shown,) = [block for block in blocks("docs/fastagi.md") if "SharedSecret(" in block]
    known = {"hello": _done, "reactor": Clock(), "SharedSecret": SharedSecret}
    namespace: dict[str, Any] = {}
    exec(shown, known | {"FastAgiServer": FastAgiServer}, namespace)
    asterisk = FakeAsterisk(namespace["server"])
    asterisk.connect("hello")
    assert asterisk.failed
    asterisk = FakeAsterisk(namespace["server"])
    asterisk.globals["MY_SECRET"] = "0123456789abcdef"
    asterisk.connect("hello")

    assert {"DONE": "1"} == asterisk.variables


def test_a_health_check_needs_no_secret() -> None:
    assert {"DONE": "1"} == ask(server(), "ping", knows=None).variables


def test_a_script_that_is_not_known_is_not_told_to_strangers_either() -> None:
    running = server()
    ask(running, "nope", knows=None)

    assert (1, 0) == (running.counters.refused_secret, running.counters.unknown_script)


def test_the_secret_is_never_sent_and_no_answer_serves_twice() -> None:
    """An eavesdropper cannot use the proof of one session in another."""
    first, second = (ask(server(), "x", knows=SECRET) for _ in range(2))

    assert first.commands[0] != second.commands[0]
    assert SECRET not in "".join(first.commands)
    assert SECRET not in repr(server().secret)


def silent(running: FastAgiServer) -> StringTransport:
    """A connection that sends nothing."""
    transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 40000))
    session = running.admit("127.0.0.1")
    assert session is not None
    session.makeConnection(transport)
    transport.session = session  # type: ignore[attr-defined]
    return transport


def bring(running: FastAgiServer, script: str, ticket: str, knows: str = "") -> FakeAsterisk:
    asterisk = FakeAsterisk(running)
    asterisk.globals["AD_SECRET"] = knows
    asterisk.connect(script, "t1-1", ticket)
    return asterisk


def test_a_ticket_proves_the_secret_once_without_a_round_trip() -> None:
    issued = Tickets({"x": 1})
    running = server(tickets=issued)
    ticket = issued.issue()
    first, second = (bring(running, "x", ticket) for _ in range(2))

    assert ({"DONE": "1"}, False) == (
        first.variables,
        any("SHA1" in line for line in first.commands),
    )
    assert ({}, True) == (second.variables, second.failed), "whoever has read it in a log"
    assert {"DONE": "1"} == bring(running, "x", ticket, SECRET).variables, "the secret still serves"


@pytest.mark.parametrize("ticket", ["", "0" * 32, "None", "x" * 9000])
def test_no_other_text_is_a_ticket(ticket: str) -> None:
    issued = Tickets({"x": 1})
    issued.issue()
    asterisk = bring(server(tickets=issued), "x", ticket)

    assert ({}, True) == (asterisk.variables, asterisk.failed)


def test_a_ticket_opens_no_other_script() -> None:
    issued = Tickets({"y": 1})

    assert {} == bring(server(tickets=issued), "x", issued.issue()).variables


def test_tickets_of_calls_that_nobody_answers_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "MOST", 3)
    issued = Tickets({"x": 1})
    oldest, *others = (issued.issue() for _ in range(4))
    running = server(tickets=issued)

    assert {} == bring(running, "x", oldest).variables
    assert [{"DONE": "1"}] * 3 == [bring(running, "x", each).variables for each in others]


def test_silent_connections_keep_nobody_out() -> None:
    """
    The oldest connection without a request is closed for a new one. Identified ones stay open.
    """
    answer: Deferred[None] = Deferred()

    async def waits(call: AgiSession) -> None:
        await answer
        await call.batch(set_variables({"DONE": "1"}))

    running = FastAgiServer(
        {"waits": waits, "x": _done},
        Clock(),
        max_sessions=3,
        secret=SharedSecret("AD_SECRET", SECRET),
    )
    ours = ask(running, "waits", knows=SECRET)
    strangers = [silent(running) for _ in range(20)]
    late = ask(running, "x", knows=SECRET)
    answer.callback(None)
    ours.serve()

    assert ({"DONE": "1"}, {"DONE": "1"}) == (ours.variables, late.variables)
    assert [True] * 19 + [False] == [stranger.disconnecting for stranger in strangers]
    assert 0 == running.counters.refused_limit


@pytest.mark.parametrize("data", [b"HANGUP\n", b"100 result=0 Trying...\n", b"x"])
def test_a_stranger_has_no_more_to_say_than_a_proof(data: bytes) -> None:
    """A stream without end would keep other sessions waiting."""
    running = server()
    transport = silent(running)
    session = transport.session  # type: ignore[attr-defined]
    session.dataReceived(environment("x"))
    sent = 0
    while not transport.disconnecting:
        session.dataReceived(data * 1000)
        sent += 1000 * len(data)
        assert sent < 100_000

    assert 1 == running.counters.not_agi


def test_our_asterisk_may_say_as_much_as_it_likes() -> None:
    answers: list[str] = []

    async def long(call: AgiSession) -> None:
        answers.append(await call.get_full("${LONG}"))

    running = FastAgiServer({"x": long}, Clock(), secret=SharedSecret("AD_SECRET", SECRET))
    asterisk = FakeAsterisk(running)
    asterisk.globals["AD_SECRET"] = SECRET
    asterisk.variables["LONG"] = "x" * 60_000
    asterisk.connect("x")

    assert 60_000 == len(answers[0])


def test_a_stranger_s_names_are_cut_in_the_log(logged: list[LogEvent]) -> None:
    running = server()
    ask(running, "y" * 9000, knows=None)

    assert all(len(formatEvent(event)) < 300 for event in logged)
    assert logged


def test_who_speaks_and_proves_nothing_makes_room_too() -> None:
    running = server(max_sessions=2)
    for _ in range(5):
        silent(running).session.dataReceived(environment("x"))  # type: ignore[attr-defined]

    assert {"DONE": "1"} == ask(running, "x", knows=SECRET).variables


@pytest.mark.parametrize(
    ("host", "allow", "let_in"),
    [
        ("::ffff:127.0.0.1", ("127.0.0.0/8",), True),
        ("::ffff:10.0.0.5", ("127.0.0.0/8", "::1/128"), False),
        ("::1", ("127.0.0.0/8", "::1/128"), True),
        ("::ffff:127.0.0.1", ("::1/128",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
    ],
)
def test_an_ipv4_peer_of_a_socket_for_both_is_an_ipv4_peer(
    host: str, allow: tuple[str, ...], let_in: bool
) -> None:
    protocol = server(allow=allow).buildProtocol(IPv6Address("TCP", host, 40000))

    assert let_in is (protocol is not None)


def test_a_stranger_cannot_fill_the_log(logged: list[LogEvent]) -> None:
    clock = Clock()
    running = server(clock, allow=("10.0.0.0/8",))
    for _ in range(1000):
        running.admit("127.0.0.1")
    clock.advance(11)
    running.admit("127.0.0.1")
    logs = [formatEvent(event) for event in logged]

    assert 2 == len(logs)
    assert logs[1].endswith("(and 999 times more since the last such line)")


@pytest.mark.parametrize(
    "answer", [b"510 x\n", b"520-x\n520 x\n", b"200 result=1 (x)\n", b"511 x\n", b""],
    ids=["510", "520", "a wrong proof", "511", "a close"],
)  # fmt: skip
def test_no_answer_to_the_challenge_fills_the_log(answer: bytes, logged: list[LogEvent]) -> None:
    """It causes neither lines without end nor tracebacks."""
    running = server()
    for _ in range(100):
        transport = silent(running)
        session = transport.session  # type: ignore[attr-defined]
        session.dataReceived(environment("x", "\x1b forged"))
        if answer:
            session.dataReceived(answer)
        session.connectionLost()

    assert 100 == running.counters.refused_secret
    assert 1 == len(logged)
    assert "log_failure" not in logged[0]


def test_one_kind_does_not_hide_another(logged: list[LogEvent]) -> None:
    sparing = RateLimitedLog(Logger(), Clock())
    for text in ("a {x}", "a {x}", "b {x}"):
        sparing.warn(text, x=1)

    assert ["a 1", "b 1"] == [formatEvent(event) for event in logged]
