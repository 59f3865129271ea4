"""
Each command gets its own answer or an exception. A model of Asterisk's side
adds lines, refuses commands, cuts its bytes anywhere, and disconnects at any moment.
"""

from collections.abc import Iterator
from typing import Any

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from fastagi_server import AgiError, AgiSession, CommandFailed, FastAgiServer, Reply, command
from fastagi_server.session import FAILURE
from fastagi_server.testing import environment

DEADLINE = 5.0
#: Parts of a typed name: brackets, quotes, words of the protocol itself.
NAMES = st.sampled_from(("x", "a) (b", '"', "HANGUP", "200 result=1 (y)", "520 x", "№", "", "\\"))


@define
class Asked:
    """One command: what it was, and what the script got."""

    number: int
    answer: Reply | BaseException | None = None


@define(eq=False)
class Other:
    """The other end of the wire: replies in the order of the commands, each with its number."""

    pending: list[int] = field(factory=list)  #: commands read, and not yet answered
    seen: bytes = b""

    def read(self, data: bytes) -> None:
        self.seen += data
        *lines, self.seen = self.seen.split(b"\n")
        for line in lines:
            if line == FAILURE.rstrip():
                return  # the session is over
            self.pending.append(int(line.rpartition(b"n")[2].rstrip(b'"')))


def replies(number: int, kind: str, name: str) -> bytes:
    """Possible answers of Asterisk to command ``number``."""
    mine = f"n{number}"
    text = {
        "value": f"200 result=1 ({name}{mine})\n",
        "plain": f"200 result={number}\n",
        "unset": f"200 result=0 {mine}\n",
        "dead": f"511 Command Not Permitted on a dead channel {mine}\n",
        "unknown": f"510 Invalid or unknown command {mine}\n",
        "usage": f"520-Invalid command syntax.\nHANGUP\n200 result=1 (no)\n{mine}\n520 End.\n",
        "trying": f"100 result=0 Trying...\n200 result=0 {mine}\n",
    }[kind]
    return text.encode()


class InStep(RuleBasedStateMachine):
    """One session."""

    @initialize(early=st.booleans(), cut=st.integers(0, 600))
    def connect(self, early: bool, cut: int) -> None:
        self.clock = Clock()
        self.asked: list[Asked] = []
        self.wanted: Deferred[None] = Deferred()
        self.other = Other()
        self.wire = b""  #: written by Asterisk, not yet arrived
        self.whole: dict[int, bytes] = {}  #: each answer's bytes, by command
        self.arrived = b""
        self.gone = False
        server = FastAgiServer({"x": self._script}, self.clock, deadline=DEADLINE)
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 40000))
        built: Any = server.buildProtocol(self.transport.getPeer())
        self.session = built
        self.session.makeConnection(self.transport)
        block = environment("x", "a b") + b"HANGUP\n" * early
        self.session.dataReceived(block[:cut])
        self.session.dataReceived(block[cut:])

    async def _script(self, call: AgiSession) -> None:
        while True:
            await self.wanted
            self.wanted = Deferred()
            mine = Asked(len(self.asked))
            self.asked.append(mine)
            try:
                mine.answer = await call.send(command("GET VARIABLE", f"n{mine.number}"))
            except AgiError as error:
                mine.answer = error

    def _waits(self) -> bool:
        return bool(self.asked) and self.asked[-1].answer is None

    @precondition(lambda self: not self._waits())
    @rule()
    def ask(self) -> None:
        wanted = self.wanted
        wanted.callback(None)
        self.other.read(self.transport.value())
        self.transport.clear()

    @precondition(lambda self: self.other.pending and not self.gone)
    @rule(
        kind=st.sampled_from(("value", "plain", "unset", "dead", "unknown", "usage", "trying")),
        name=NAMES, before=st.booleans(), after=st.booleans(),
    )  # fmt: skip
    def answers(self, kind: str, name: str, before: bool, after: bool) -> None:
        """With HANGUP lines between the answers, where Asterisk puts them."""
        number = self.other.pending.pop(0)
        self.whole[number] = replies(number, kind, name)
        self.wire += b"HANGUP\n" * before + self.whole[number] + b"HANGUP\n" * after

    @precondition(lambda self: not self.gone)
    @rule(size=st.integers(1, 300))
    def arrives(self, size: int) -> None:
        """Deliver ``size`` of the written bytes, in one piece or one by one."""
        data, self.wire = self.wire[:size], self.wire[size:]
        if data:
            self.session.dataReceived(data)
            self.arrived += data

    @precondition(lambda self: not self.gone)
    @rule()
    def arrives_byte_by_byte(self) -> None:
        while self.wire:
            self.arrives(1)

    @precondition(lambda self: not self.gone)
    @rule(reason=st.sampled_from((ConnectionDone, ConnectionLost)))
    def closes(self, reason: type[Exception]) -> None:
        self.gone = True
        self.session.connectionLost(Failure(reason()))

    @precondition(lambda self: not self.gone)
    @rule()
    def time_passes(self) -> None:
        self.clock.advance(DEADLINE)
        assert not self._waits(), "nobody waits beyond the deadline"
        self.gone = True
        self.session.connectionLost(Failure(ConnectionDone()))

    @invariant()
    def each_command_has_its_own_answer_or_an_exception(self) -> None:
        for one in self.asked:
            if isinstance(one.answer, Reply):
                text = f"{one.answer.result} {one.answer.value} {one.answer.detail}"
                assert f"n{one.number}" in text or one.answer.result == str(one.number)
            elif isinstance(one.answer, CommandFailed):
                assert f"n{one.number}" in one.answer.detail
            elif one.answer is not None:
                assert self.gone, f"{one.answer!r} while Asterisk was there"

    @invariant()
    def what_has_arrived_is_known_at_once(self) -> None:
        for one in self.asked:
            if self.whole.get(one.number, b"\0") in self.arrived:
                assert one.answer is not None


def hostile() -> Iterator[bytes]:
    """Bytes that are not AGI, some of them similar to it."""
    yield b"200 result=1 (first line\nsecond)\n"  # a newline in a value
    yield b"200 result=1 (first line\n200 result=1 (n0)\n"  # made to look like an answer
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    yield b"\xff\xfe\n"
    yield b"x" * 70_000
    yield b"520-" + b"x\n" * 300


def test_what_is_no_answer_ends_the_session_with_an_exception() -> None:
    for reply in hostile():
        machine: Any = InStep()
        machine.connect(False, 10)
        machine.ask()
        machine.session.dataReceived(reply)
        (asked,) = machine.asked
        assert isinstance(asked.answer, AgiError), reply[:40]
        assert machine.transport.disconnecting or machine.transport.disconnected, reply[:40]


TestInStep = InStep.TestCase
TestInStep.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, derandomize=True
)
