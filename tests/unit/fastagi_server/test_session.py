"""A session and its server, and their limits for each peer; on a simulated clock."""

from collections.abc import Awaitable, Callable, Generator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from fastagi_server import (
    ActionFailed,
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


def begun(running: FastAgiServer) -> tuple[FakeAsterisk, AgiSession]:
    """A session whose script has begun; Asterisk sends only what the test gives it."""
    asterisk = FakeAsterisk(running)
    session = running.admit("127.0.0.1")
    assert session is not None
    session.makeConnection(asterisk.transport)
    session.dataReceived(environment("x"))
    return asterisk, session


def test_each_command_gets_its_own_answer() -> None:
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        await call.set("NAME", 'Пётр "Первый"')
        results.append(await call.get("NAME"))
        results.append(await call.get("OTHER"))
        results.append(await call.get_full("<${NAME}>"))
        await call.set_many({"A": "1", "B": "2"})
        results.append(await call.execute("NoOp", "x"))

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert results == ['Пётр "Первый"', None, '<Пётр "Первый">', 0]
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
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        with pytest.raises(expected):
            await call.send(line)
        await call.set("A", "1")
        results.append((await call.get("A"), call.hung_up))

    FakeAsterisk(server(script), dead=dead).connect("x")

    assert [("1", dead)] == results


def test_a_batch_is_one_write_and_all_its_replies() -> None:
    """Asterisk postpones a command that comes early, unless our side is closed behind it."""
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        replies = await call.batch(
            command("SET VARIABLE", "A", "1"), b"FROBNICATE\n", set_variables({"B": "2"})
        )
        results.extend(reply.code for reply in replies)
        with pytest.raises(RuntimeError):
            await call.set("C", "3")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert results == [200, 510, 200]
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
    """
    A silent server would hold the channel for ever, so a script that waits too long is cut off.
    """
    clock, ended = Clock(), []

    async def script(call: AgiSession) -> None:
        await Deferred(lambda _: None)

    asterisk = FakeAsterisk(server(script, clock, deadline=5.0))
    asterisk.connect("x")
    clock.advance(4.9)
    ended.append(asterisk.transport.disconnecting)
    clock.advance(0.2)
    ended.append(asterisk.transport.disconnecting)
    asterisk.serve()

    assert ended == [False, True]
    assert asterisk.failed, "the dialplan can tell"


def test_who_does_not_read_what_he_was_told_is_cut_off() -> None:
    """A peer that does not read must not keep the session open for ever."""
    clock = Clock()
    asterisk = FakeAsterisk(server(_waits_for_ever, clock, deadline=5.0))
    asterisk.connect("x")
    clock.advance(5)
    seen = [asterisk.transport.disconnected]
    clock.advance(1)

    assert [*seen, asterisk.transport.disconnected] == [False, True]


async def _waits_for_ever(call: AgiSession) -> None:
    await Deferred(lambda _: None)


def test_a_peer_that_never_speaks_is_cut_off_too() -> None:
    """The limit is shorter than for a running script: Asterisk writes its opening block at once."""
    clock = Clock()
    running = server(_nothing, clock, deadline=5.0, block_deadline=2.0)
    asterisk = FakeAsterisk(running)
    asterisk.connect("x")
    other = FakeAsterisk(running)
    protocol = running.buildProtocol(other.transport.getPeer())
    assert protocol is not None
    protocol.makeConnection(other.transport)
    protocol.dataReceived(environment("x")[:100])
    clock.advance(1.9)
    seen = [other.transport.disconnecting]
    clock.advance(0.2)

    assert [*seen, other.transport.disconnecting] == [False, True]
    assert running.counters.timed_out == 1


@pytest.mark.parametrize(("limit", "cancelled"), [(30.0, True), (None, False)])
def test_a_script_that_goes_on_without_its_session_is_cancelled(
    limit: float | None, cancelled: bool
) -> None:
    """With a limit of None it is not cancelled: some scripts must not stop half-way."""
    clock, ended = Clock(), []

    async def script(call: AgiSession) -> None:
        try:
            await Deferred()
        except CancelledError:
            ended.append(clock.seconds())
            raise

    running = server(script, clock, handler_deadline=limit)
    asterisk = FakeAsterisk(running)
    asterisk.connect("x")
    clock.advance(5)
    asterisk.protocol.connectionLost(Failure(ConnectionResetError()))
    clock.advance(29.9)
    assert ended == []
    clock.advance(0.2)

    assert bool(ended) is cancelled
    assert running.counters.cancelled == int(cancelled)


def test_a_script_that_waits_for_a_reply_is_not_cancelled_but_told() -> None:
    """The script waits for the session, and the session has ended."""
    clock, ended = Clock(), []

    async def script(call: AgiSession) -> None:
        try:
            await call.wait_for_digit()
        except SessionTimeout as error:
            ended.append(error)
            await Deferred.fromCoroutine(_waits_for_ever(call))

    running = server(script, clock, deadline=5.0, handler_deadline=5.0)
    begun(running)
    clock.advance(5)

    assert len(ended) == 1


def test_a_script_may_return_a_deferred_instead_of_being_a_coroutine() -> None:
    gate: Deferred[None] = Deferred()

    def script(call: AgiSession) -> Awaitable[None]:
        return gate

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    seen = [asterisk.transport.disconnecting]
    gate.callback(None)

    assert [*seen, asterisk.transport.disconnecting] == [False, True]


class _Foreign:
    """An awaitable of another event loop."""

    def __await__(self) -> Generator[object, None, None]:
        yield "a future of somebody else's"


def test_what_nobody_here_can_wait_for_is_an_error_of_the_script() -> None:
    async def script(call: AgiSession) -> None:
        with pytest.raises(TypeError, match="somebody else"):
            await _Foreign()
        await call.set("WENT", "on")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert asterisk.variables == {"WENT": "on"}


def test_a_deferred_that_fails_is_an_exception_in_the_script() -> None:
    gate: Deferred[None] = Deferred()
    results: list[str] = []

    async def script(call: AgiSession) -> None:
        try:
            await gate
        except LookupError as error:
            results.append(str(error))
        await call.set("WENT", "on")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    gate.errback(LookupError("no such task"))
    asterisk.serve()

    assert results == ["no such task"]
    assert asterisk.variables == {"WENT": "on"}


def test_a_command_may_be_awaited_by_somebody_else_and_fails_there_too() -> None:
    """A script may run commands through Deferreds, as with addTimeout."""
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        results.append(await Deferred.fromCoroutine(call.get_full("a")))
        results.append(await Deferred.fromCoroutine(call.set("A", "1")))
        with pytest.raises(CallEnded):
            await Deferred.fromCoroutine(call.batch(command("NOOP"), command("NOOP")))
        results.append("told")

    running = server(script)
    _, protocol = begun(running)
    protocol.dataReceived(b"200 result=1 (b)\n")
    protocol.dataReceived(b"200 result=1\n")
    protocol.dataReceived(b"200 result=0\n")
    protocol.connectionLost(Failure(ConnectionResetError()))

    assert results == ["b", None, "told"]


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
        assert asterisk.failed, "the dialplan can tell: AGISTATUS=FAILURE"
        assert asterisk.variables == {}

    assert (running.counters.accepted, running.counters.failed) == (3, 3)


def test_an_unknown_script_is_closed_at_once() -> None:
    running = server(_nothing)
    asterisk = FakeAsterisk(running)
    asterisk.connect("nonsense")

    assert asterisk.transport.disconnecting
    assert asterisk.failed
    assert (running.counters.unknown_script, running.counters.failed) == (1, 0)


@pytest.mark.parametrize(
    ("host", "let_in"),
    [("127.0.0.1", True), ("10.0.0.7", True), ("10.1.0.7", False), ("192.0.2.1", False)],
)
def test_only_allowed_addresses_get_in(host: str, let_in: bool) -> None:
    running = server(_nothing, allow=("127.0.0.0/8", "10.0.0.0/24"))
    protocol = running.buildProtocol(IPv4Address("TCP", host, 40000))

    assert let_in is (protocol is not None)


def test_no_more_sessions_than_the_limit() -> None:
    async def waits(call: AgiSession) -> None:
        await Deferred()

    running = server(waits, max_sessions=2)
    for _ in range(2):
        begun(running)

    assert running.admit("127.0.0.1") is None
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
    assert running.counters.not_agi == 1


def test_a_caller_who_hangs_up_meanwhile_is_noticed() -> None:
    """Commands for a dead channel still work; others are refused, and the replies stay in step."""
    gate: Deferred[None] = Deferred()
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        await call.set("A", "1")
        await gate
        results.append(call.hung_up)
        with pytest.raises(DeadChannel):
            await call.send(b"ANSWER\n")
        results.append(await call.get("A"))

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    asterisk.hang_up()
    gate.callback(None)
    asterisk.serve()

    assert [True, "1"] == results


def test_an_answer_that_nobody_asked_for_ends_the_session() -> None:
    """It would be taken for the answer to the next command."""
    gate: Deferred[None] = Deferred()
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        results.append(call.alive)
        await gate
        results.append(call.alive)
        with pytest.raises(CallEnded):
            await call.get("A")

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")
    asterisk.send(b"200 result=1 (surprise)\n")
    gate.callback(None)

    assert [True, False] == results
    assert asterisk.transport.disconnected


def test_a_batch_of_nothing_says_that_there_is_nothing_more() -> None:
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        results.append((call.running, call.arguments, await call.batch()))
        with pytest.raises(RuntimeError, match="after a batch"):
            await call.batch()

    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x", "t1-1", "")

    assert results == [(True, ("t1-1", ""), [])]
    assert asterisk.transport.half_closed


def test_a_second_command_before_the_reply_is_refused_even_if_the_first_was_not_awaited() -> None:
    """The reply to the first command is not taken for the reply to the second."""
    results: list[object] = []

    async def script(call: AgiSession) -> None:
        first = call.send(command("GET VARIABLE", "A"))
        with pytest.raises(RuntimeError, match="one command at a time"):
            call.send(command("GET VARIABLE", "B"))
        await gate
        results.append((await first).value)

    gate: Deferred[None] = Deferred()
    asterisk = FakeAsterisk(server(script))
    asterisk.variables = {"A": "1", "B": "2"}
    asterisk.connect("x")
    gate.callback(None)

    assert results == ["1"]


def test_a_time_out_behind_a_batch_has_no_way_to_say_so() -> None:
    """Our side of the connection is closed already, so the whole connection is closed."""
    clock = Clock()

    async def script(call: AgiSession) -> None:
        await call.batch(command("NOOP"))

    running = server(script, clock, deadline=5.0)
    asterisk, _ = begun(running)
    clock.advance(5)

    assert asterisk.transport.value() == b"NOOP\n"
    assert asterisk.transport.disconnecting


def test_a_script_that_waits_for_nothing_of_its_own_is_not_cancelled() -> None:
    running = server(_nothing)
    asterisk = FakeAsterisk(running)
    asterisk.connect("x")
    session = asterisk.protocol
    assert isinstance(session, AgiSession)
    session.cancel_script()

    assert running.counters.finished == 1


@given(st.dictionaries(st.sampled_from("ABCD"), st.text(st.characters(exclude_categories=["C"]))))
def test_any_texts_go_to_the_channel_and_back_in_one_round_trip_each(
    values: dict[str, str],
) -> None:
    """Commas, quotes, brackets, backslashes: what is set is what is read."""
    read: list[tuple[str, ...]] = []

    async def script(call: AgiSession) -> None:
        await call.set_many(values)
        read.append(await call.get_many("A", "B", "C", "D"))

    assume(values and sum(map(len, values.values())) < 200)
    asterisk = FakeAsterisk(server(script))
    asterisk.connect("x")

    assert asterisk.variables == values
    assert read == [tuple(values.get(name, "") for name in "ABCD")]


def test_values_that_do_not_come_back_one_for_one_are_refused() -> None:
    failures: list[str] = []

    async def script(call: AgiSession) -> None:
        try:
            await call.get_many("A", "B")
        except ActionFailed as error:
            failures.append(str(error))

    running = server(script)
    _, protocol = begun(running)
    protocol.dataReceived(b"200 result=1 (one)\n")

    assert failures == ["1 values for 2 names: 'one'"]


def test_the_duration_of_a_script_is_counted() -> None:
    clock, waits = Clock(), Deferred[None]()

    async def script(call: AgiSession) -> None:
        await waits

    clock.advance(7)
    running = server(script, clock)
    FakeAsterisk(running).connect("x")
    clock.advance(0.03)
    waits.callback(None)
    counted = running.durations["x"]

    assert {0.05: 1} == {
        bound: count for bound, count in zip(counted.bounds, counted.counts, strict=False) if count
    }
    assert 0.03 == pytest.approx(counted.total)


def test_a_peer_s_names_are_no_durations() -> None:
    """Each would be a series of its own for ever."""

    async def script(call: AgiSession) -> None:
        await call.set("NAME", "x")

    running = server(script)
    for name in ("x", "invented", "../x"):
        FakeAsterisk(running).connect(name)

    assert ["x"] == list(running.durations)
