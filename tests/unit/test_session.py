"""A session, its server, and what no peer can do to the others; on a clock of our own."""

from collections.abc import Awaitable, Callable

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from fastagi_server import (
    AgiSession,
    CallEnded,
    DeadChannel,
    FastAgiServer,
    SessionTimeout,
    UnknownCommand,
    UsageError,
    command,
    set_variables,
)
from fastagi_server.testing import FakeAsterisk, environment

Script = Callable[[AgiSession], Awaitable[None]]


def server(script: Script, clock: Clock | None = None, **limits: object) -> FastAgiServer:
    return FastAgiServer({"x": script}, clock or Clock(), **limits)  # type: ignore[arg-type]


def test_each_command_gets_its_own_answer() -> None:
    said: list[object] = []

    async def script(call: AgiSession) -> None:
        await call.set("NAME", 'Пётр "Первый"')
        said.append(await call.get("NAME"))
        said.append(await call.get("OTHER"))
        said.append(await call.get_full("<${NAME}>"))
        await call.set_many({"A": "1", "B": "2"})
        said.append(await call.execute("NoOp", "x"))

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert said == ['Пётр "Первый"', None, '<Пётр "Первый">', 0]
    assert (asterisk.variables["A"], asterisk.variables["B"]) == ("1", "2")
    assert asterisk.transport.disconnecting


@pytest.mark.parametrize(
    ("line", "dead", "expected"),
    [
        (b"FROBNICATE\n", False, UnknownCommand),
        (b"SET VARIABLE onlyone\n", False, UsageError),
        (b"ANSWER\n", True, DeadChannel),
    ],
)
def test_a_refusal_is_an_exception_and_the_session_stays_in_step(
    line: bytes, dead: bool, expected: type[Exception]
) -> None:
    said: list[object] = []

    async def script(call: AgiSession) -> None:
        with pytest.raises(expected):
            await call.send(line)
        await call.set("A", "1")
        said.append((await call.get("A"), call.hung_up))

    FakeAsterisk(server(script), dead=dead).connect("x")

    assert [("1", dead)] == said


def test_a_batch_is_one_write_and_all_its_replies() -> None:
    """Asterisk postpones what comes before its turn, unless we close our side behind it."""
    said: list[object] = []

    async def script(call: AgiSession) -> None:
        replies = await call.batch(
            command("SET VARIABLE", "A", "1"), b"FROBNICATE\n", set_variables({"B": "2"})
        )
        said.extend(reply.code for reply in replies)
        with pytest.raises(RuntimeError):
            await call.set("C", "3")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert said == [200, 510, 200]
    assert asterisk.variables == {"A": "1", "B": "2"}


def test_two_commands_at_once_are_our_own_mistake() -> None:
    failures: list[type[BaseException]] = []

    async def script(call: AgiSession) -> None:
        first = Deferred.fromCoroutine(call.get("A"))
        try:
            await call.get("B")
        except RuntimeError as error:
            failures.append(type(error))
        await first

    FakeAsterisk(server(script)).connect("x")

    assert [RuntimeError] == failures


def test_a_session_does_not_outlive_its_deadline() -> None:
    """A silent server would hold the channel for ever; a script that waits too long is cut off."""
    clock, ended = Clock(), []

    async def script(call: AgiSession) -> None:
        await Deferred(lambda _: None)

    asterisk = FakeAsterisk(server(script, clock, deadline=5.0))
    asterisk.connect("x")
    clock.advance(4.9)
    ended.append(asterisk.transport.disconnected)
    clock.advance(0.2)
    ended.append(asterisk.transport.disconnected)

    assert ended == [False, True]


def test_a_peer_that_never_speaks_is_cut_off_too() -> None:
    clock = Clock()
    asterisk = FakeAsterisk(server(_nothing, clock, deadline=5.0))
    protocol = asterisk.server.buildProtocol(asterisk.transport.getPeer())
    assert protocol is not None
    protocol.makeConnection(asterisk.transport)
    clock.advance(5.1)

    assert asterisk.transport.disconnected


async def _nothing(call: AgiSession) -> None:
    pass


def test_waiting_commands_fail_when_the_connection_goes() -> None:
    failures: list[BaseException] = []

    async def script(call: AgiSession) -> None:
        try:
            await call.batch(command("NOOP"), command("NOOP"))
        except CallEnded as error:
            failures.append(error)

    running = server(script)
    asterisk = FakeAsterisk(running)
    session = running.buildProtocol(asterisk.transport.getPeer())
    assert session is not None
    session.makeConnection(asterisk.transport)
    session.dataReceived(environment("x"))
    session.connectionLost(Failure(ConnectionResetError()))

    assert [CallEnded] == [type(failure) for failure in failures]


def test_a_script_that_fails_ends_its_own_session_only() -> None:
    async def script(call: AgiSession) -> None:
        raise ZeroDivisionError

    running = server(script)
    for _ in range(3):
        asterisk = FakeAsterisk(running)
        asterisk.connect("x")
        assert asterisk.transport.disconnecting
        assert asterisk.variables == {}

    assert (running.counters.accepted, running.counters.failed) == (3, 3)


def test_an_unknown_script_is_closed_at_once() -> None:
    running = server(_nothing)
    asterisk = FakeAsterisk(running)
    asterisk.connect("nonsense")

    assert asterisk.transport.disconnecting
    assert running.counters.unknown_script == 1


@pytest.mark.parametrize(
    ("host", "let_in"),
    [("127.0.0.1", True), ("10.0.0.7", True), ("10.1.0.7", False), ("192.0.2.1", False)],
)
def test_only_allowed_addresses_get_in(host: str, let_in: bool) -> None:
    running = server(_nothing, allow=("127.0.0.0/8", "10.0.0.0/24"))
    made = running.buildProtocol(IPv4Address("TCP", host, 40000))

    assert let_in is (made is not None)


def test_no_more_sessions_than_the_limit() -> None:
    running = server(_nothing, max_sessions=2)
    peer = IPv4Address("TCP", "127.0.0.1", 40000)
    made = [running.buildProtocol(peer) for _ in range(3)]

    assert [session is not None for session in made] == [True, True, False]
    assert running.counters.refused_limit == 1


def test_draining_lets_open_sessions_finish_and_no_new_one_in() -> None:
    answer: Deferred[None] = Deferred()

    async def script(call: AgiSession) -> None:
        await answer
        await call.batch(set_variables({"A": "1"}))

    running = server(script)
    asterisk = FakeAsterisk(running)
    asterisk.connect("x")
    drained = running.drain()
    seen = [running.buildProtocol(asterisk.transport.getPeer()) is None, drained.called]
    answer.callback(None)
    asterisk.serve()
    asterisk.protocol.connectionLost(Failure(CallEnded()))

    assert [*seen, drained.called] == [True, False, True]
    assert asterisk.variables == {"A": "1"}


def test_after_a_timeout_the_script_learns_it_is_over() -> None:
    clock, failures = Clock(), []
    gate: Deferred[None] = Deferred()

    async def script(call: AgiSession) -> None:
        await gate
        try:
            await call.get("A")
        except SessionTimeout as error:
            failures.append(error)

    asterisk = FakeAsterisk(server(script, clock, deadline=1.0))
    asterisk.connect("x")
    clock.advance(2)
    gate.callback(None)

    assert len(failures) == 1


def test_garbage_ends_the_session_and_nothing_else() -> None:
    running = server(_nothing)
    asterisk = FakeAsterisk(running)
    session = running.buildProtocol(asterisk.transport.getPeer())
    assert session is not None
    session.makeConnection(asterisk.transport)
    session.dataReceived(b"GET / HTTP/1.0\r\n\r\n")

    assert asterisk.transport.disconnected


def test_a_caller_who_hangs_up_meanwhile_is_noticed() -> None:
    """What works on a dead channel goes on; the rest is refused, and nothing gets out of step."""
    gate: Deferred[None] = Deferred()
    said: list[object] = []

    async def script(call: AgiSession) -> None:
        await call.set("A", "1")
        await gate
        said.append(call.hung_up)
        with pytest.raises(DeadChannel):
            await call.send(b"ANSWER\n")
        said.append(await call.get("A"))

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    asterisk.hang_up()
    gate.callback(None)
    asterisk.serve()

    assert [True, "1"] == said


def test_an_answer_that_nobody_asked_for_ends_the_session() -> None:
    """It would be taken for the next command's."""
    gate: Deferred[None] = Deferred()
    said: list[object] = []

    async def script(call: AgiSession) -> None:
        said.append(call.alive)
        await gate
        said.append(call.alive)
        with pytest.raises(CallEnded):
            await call.get("A")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    asterisk.send(b"200 result=1 (surprise)\n")
    gate.callback(None)

    assert [True, False] == said
    assert asterisk.transport.disconnected
