"""Real sockets: the FastAGI server with other AGI clients, and the client of Asterisk's manager."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EMFILE, ENOSPC
from functools import partial
from hashlib import md5
from socket import SO_LINGER, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, create_connection, socket
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from asterisk.agi import AGI
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver

from autodial.errors import PbxError
from autodial.pbx.ami import Ami, client_service
from fastagi_server import (
    AgiSession,
    FastAgiServer,
    NotWell,
    check,
    command,
    listen,
    ping,
    set_variables,
)
from fastagi_server.testing import environment
from fastagi_server.transport import AgiConnection

ensure = pytest_twisted.ensureDeferred
#: Twisted's reactor has no type until it is installed.
reactor: Any = installed


async def _batch(call: AgiSession) -> None:
    await call.batch(
        command("SET VARIABLE", "CALLERID(name)", 'АВТОДОЗВОН "x"'), set_variables({"AD_OK": "1"})
    )


async def _long(call: AgiSession) -> None:
    for _ in range(3_000):
        await call.set("A", "x" * 900)


async def _wide(call: AgiSession) -> None:
    """Send more than the kernel buffers, then half-close."""
    size = int(call.argument(0))
    await call.batch(*(set_variables({f"A{n}": "x" * 900}) for n in range(size // 900)))


async def _stuck(call: AgiSession) -> None:
    await Deferred(lambda _: None)


@contextmanager
def listening(held: socket | None = None, **limits: Any) -> Iterator[tuple[FastAgiServer, int]]:
    """A server on a free port."""
    scripts = {"batch": _batch, "stuck": _stuck, "long": _long, "wide": _wide, "ping": ping}
    server = FastAgiServer(scripts, reactor, **limits)
    port = listen(reactor, server, 0, held=held)
    try:
        yield server, port.getHost().port
    finally:
        port.stopListening()


def _talk(port: int, script: str) -> bytes:
    """Asterisk's side, blocking: connect, answer each line, read to the end."""
    with create_connection(("127.0.0.1", port), 5) as peer:
        peer.settimeout(5)
        peer.sendall(environment(script))
        output = b""
        with suppress(ConnectionResetError):  # the server cuts off a session so
            while data := peer.recv(4096):
                output += data
                peer.sendall(b"200 result=1\n" * data.count(b"\n"))
        return output


@ensure
async def test_the_batch_is_one_write_and_a_half_close() -> None:
    with listening() as (_, port):
        output = await deferToThread(_talk, port, "batch")

    assert output.count(b"\n") == 2
    assert output.startswith(b"SET VARIABLE")


@ensure
async def test_a_session_that_hangs_is_cut_off_and_another_is_served() -> None:
    with listening(deadline=0.3) as (_, port):
        stuck = deferToThread(_talk, port, "stuck")
        served = await deferToThread(_talk, port, "batch")
        assert await stuck == b"failure\n"

    assert b"AD_OK=1" in served


@ensure
async def test_a_burst_of_connections_is_not_dropped() -> None:
    """Asterisk gives up a connection after two seconds, so a short queue would lose calls."""

    def burst(port: int) -> int:
        peers = [create_connection(("127.0.0.1", port), 1.5) for _ in range(300)]
        for peer in peers:
            peer.close()
        return len(peers)

    with listening() as (_, port):
        assert await deferToThread(burst, port) == 300


@ensure
async def test_a_server_s_health_is_asked_by_its_own_protocol() -> None:
    """The request that a monitoring program sends, and each possible failure."""

    def asked(address: str) -> str:
        try:
            return f"{check(address, 0.5):.3f}"
        except NotWell as error:
            return str(error)

    with listening(deadline=1.0) as (server, port):
        well = await deferToThread(asked, f"agi://127.0.0.1:{port}/ping")
        unknown = await deferToThread(asked, f"agi://127.0.0.1:{port}/nothing")
        stuck = await deferToThread(asked, f"agi://127.0.0.1:{port}/stuck")
        server.max_sessions = 0
        refused = await deferToThread(asked, f"agi://127.0.0.1:{port}/ping")
    gone = await deferToThread(asked, f"agi://127.0.0.1:{port}/ping")

    assert float(well) < 0.5
    assert "there is none of this name" in unknown
    assert "no answer within 0.5 s" in stuck
    assert "closed without a word" in refused or "cut off" in refused
    assert "is it running?" in gone or "cut off" in gone  # the port closes shortly
    assert "is not an address" in asked("http://127.0.0.1/")


@ensure
async def test_when_no_connection_can_be_had_the_server_rests_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Too many open files: logged once, and the peer is served later."""
    tries: list[int] = []

    def no_more(self: socket) -> None:
        tries.append(1)
        raise OSError(EMFILE, "Too many open files")

    with listening() as (_, port):
        monkeypatch.setattr(socket, "accept", no_more)
        served = deferToThread(_talk, port, "batch")
        while not tries:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.2)
        monkeypatch.undo()
        assert b"AD_OK=1" in await served

    assert len(tries) == 1


@ensure
async def test_a_short_block_is_heard_soon_and_not_at_the_deadline() -> None:
    """A hand-written peer sends less than Asterisk does, and waits."""

    def short(port: int) -> bytes:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(b"agi_network_script: ping\n\n")
            return peer.recv(100)

    with listening(block_deadline=3.0) as (server, port):
        assert b"AGI_PONG" in await deferToThread(short, port)
        assert server.counters.timed_out == 0


@ensure
async def test_a_peer_that_stops_reading_does_not_keep_its_session() -> None:
    """The commands stay in the kernel's buffers. The session is cut off all the same."""

    def deaf(port: int, over: Event) -> None:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(environment("long"))
            over.wait(10)

    over = Event()
    with listening(deadline=0.3) as (server, port):
        waiting = deferToThread(deaf, port, over)
        while server.counters.timed_out == 0 or server.sessions:
            await deferLater(reactor, 0.02)
        over.set()
        await waiting

    assert server.counters.timed_out == 1


def small_buffers() -> socket:
    """A listening socket whose connections have small send buffers."""
    listener = socket()
    listener.setsockopt(SOL_SOCKET, SO_SNDBUF, 10_000)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@ensure
async def test_what_the_kernel_does_not_take_at_once_is_sent_before_the_half_close() -> None:
    def slow(port: int) -> bytes:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(environment("wide", "900000"))
            commands = b"".join(iter(partial(peer.recv, 65536), b""))  # until the half-close
            peer.sendall(b"200 result=1\n" * commands.count(b"\n"))
            return commands

    with listening(held=small_buffers()) as (server, port):
        commands = await deferToThread(slow, port)
        while server.sessions:
            await deferLater(reactor, 0.01)

    assert 1000 == commands.count(b"\n")
    assert commands.endswith(b"\n")
    assert 1 == server.counters.finished, "every reply was read after the half-close"


@ensure
async def test_what_was_written_is_sent_before_the_close() -> None:
    """The deadline comes while the peer still reads."""

    def slow(port: int) -> bytes:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(environment("wide", "900000"))
            while not server.counters.timed_out:
                Event().wait(0.01)
            return b"".join(iter(partial(peer.recv, 65536), b""))

    with listening(held=small_buffers(), deadline=0.1) as (server, port):
        assert 1000 == (await deferToThread(slow, port)).count(b"\n")


@ensure
async def test_a_peer_that_reads_nothing_fills_no_memory() -> None:
    def deaf(port: int, over: Event) -> None:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            peer.sendall(environment("wide", "9000000"))
            over.wait(10)

    over = Event()
    with listening(held=small_buffers()) as (server, port):
        waiting = deferToThread(deaf, port, over)
        while not server.counters.failed:
            await deferLater(reactor, 0.01)
        assert 0 == server.sessions
        over.set()
        await waiting


@ensure
async def test_a_fault_with_one_connection_does_not_close_the_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as (_, port):
        admit = FastAgiServer.admit
        faults = iter([ValueError("a fault of ours")])

        def once(self: FastAgiServer, host: str) -> AgiSession | None:
            for fault in faults:
                raise fault
            return admit(self, host)

        monkeypatch.setattr(FastAgiServer, "admit", once)
        assert b"" == await deferToThread(_talk, port, "batch")
        assert b"AD_OK=1" in await deferToThread(_talk, port, "batch")


@ensure
async def test_a_connection_that_cannot_be_watched_leaves_no_session_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel's limit of watched sockets, for one connection."""
    with listening() as (server, port):
        watch = reactor.addReader
        limits = iter([OSError(ENOSPC, "no space left")])

        def once(reader: object) -> None:
            if isinstance(reader, AgiConnection):
                for limit in limits:
                    raise limit
            watch(reader)

        monkeypatch.setattr(reactor, "addReader", once)
        assert b"" == await deferToThread(_talk, port, "batch")
        assert 0 == server.sessions
        assert b"AD_OK=1" in await deferToThread(_talk, port, "batch")


@ensure
async def test_a_reset_ends_the_session_only() -> None:
    def reset(port: int) -> None:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(environment("long"))
            peer.recv(10)
            peer.setsockopt(SOL_SOCKET, SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with listening() as (server, port):
        await deferToThread(reset, port)
        while server.sessions or not server.counters.failed:
            await deferLater(reactor, 0.01)
        assert b"AD_OK=1" in await deferToThread(_talk, port, "batch")


@ensure
async def test_a_short_block_that_is_no_agi_is_closed_and_the_next_one_is_read() -> None:
    """Both take the wait for the low-water mark."""

    def strange(port: int, block: bytes) -> bytes:
        with create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(block)
            with suppress(ConnectionResetError):
                return peer.recv(100)
        return b""

    with listening(block_deadline=3.0) as (server, port):
        first = deferToThread(strange, port, b"GET / HTTP/1.1\n\n")
        second = deferToThread(strange, port, b"agi_network_script: ping\n\n")
        assert b"" == await first
        assert b"AGI_PONG" in await second
        assert 1 == server.counters.not_agi


@ensure
async def test_it_listens_on_ipv6_and_a_taken_port_is_an_error() -> None:
    server = FastAgiServer({"ping": ping}, reactor)
    port = listen(reactor, server, 0, "::1")
    try:
        number = port.getHost().port
        assert await deferToThread(check, f"agi://[::1]:{number}/ping")
        with pytest.raises(CannotListenError):
            listen(reactor, server, number, "::1")
    finally:
        await port.stopListening()


def test_pyst2_reads_the_environment_as_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same block, read by the parser of pyst2."""
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pyst2 installs its own handler
    block = environment("claim", "t1-1", "442079460000").decode()
    theirs = AGI(stdin=io.StringIO(block), stdout=io.StringIO(), stderr=io.StringIO()).env

    assert (
        theirs["agi_arg_1"], theirs["agi_arg_2"], theirs["agi_network_script"],
    ) == ("t1-1", "442079460000", "claim")  # fmt: skip


#: A channel's row without its variables, as Asterisk 16 and 22 write it.
ROW = """Event: CoreShowChannel
ActionID: {id}
Channel: Local/1@autodial-out-1;2
ChannelState: 6
ChannelStateDesc: Up
CallerIDNum: {caller}
CallerIDName: <unknown>
ConnectedLineNum: <unknown>
ConnectedLineName: <unknown>
Language: ru
AccountCode:
Context: autodial-out
Exten: 1
Priority: 20
Uniqueid: 1795702652.1
Linkedid: 1795702652.0
{variables}Application: Dial
ApplicationData: PJSIP/1@carrier1
Duration: 00:00:10
BridgeId:

""".replace("\n", "\r\n")
LIST = "Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n"
END = "Event: {of}Complete\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: {items}\r\n\r\n"


class _Manager(LineReceiver):
    """A manager server that answers the dialler's actions in badly split packets."""

    transport: ITCPTransport
    #: The site's own variable, beside the dialler's.
    channel_variables = "ChanVariable: SITE=x\r\nChanVariable: AD_ID=t8017-1\r\n"
    caller = "442079460000"
    delimiter = b"\r\n"

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._message: dict[str, str] = {}

    def connectionMade(self) -> None:
        self.transport.write(b"Asterisk Call Manager/11.0.0\r\n")

    def lineReceived(self, line: bytes) -> None:
        if line:
            key, _, value = line.decode().partition(": ")
            self._message[key] = value
            return
        message, self._message = self._message, {}
        number = message["ActionID"]
        row = ROW.format(id=number, caller=self.caller, variables=self.channel_variables)
        answer = {
            "Challenge": "Response: Success\r\nActionID: {id}\r\nChallenge: 136529784\r\n\r\n",
            "Login": self._login(message),
            "DeviceStateList": LIST
            + "Event: DeviceStateChange\r\nActionID: {id}\r\nDevice: PJSIP/101\r\n"
            + "State: NOT_INUSE\r\n\r\n"
            + END.replace("{of}", "DeviceStateList"),
            "CoreShowChannels": LIST + row + END.replace("{of}", "CoreShowChannels"),
            "DBGetTree": LIST
            + "Event: DBGetTreeResponse\r\nKey: /autodial/t8017-2\r\n"
            + "Val: dial,BUSY,17\r\nActionID: {id}\r\n\r\n"
            + END.replace("{of}", "DBGetTree"),
            "Getvar": self._variable(message),
        }[message["Action"]]
        data = answer.format(id=number, items=1).encode()
        for start in range(0, len(data), 7):
            self.transport.write(data[start : start + 7])

    def _login(self, message: dict[str, str]) -> str:
        key = md5(f"136529784{self._secret}".encode()).hexdigest()
        if message.get("AuthType") == "MD5" and message.get("Key") == key:
            return "Response: Success\r\nActionID: {id}\r\n\r\n"
        return "Response: Error\r\nActionID: {id}\r\nMessage: Authentication failed\r\n\r\n"

    def _variable(self, message: dict[str, str]) -> str:
        if "Channel" not in message:
            assert message.get("Variable", "DEVICE_STATE(PJSIP/101)") == "DEVICE_STATE(PJSIP/101)"
            return "Response: Success\r\nActionID: {id}\r\nVariable: x\r\nValue: RINGING\r\n\r\n"
        if message.get("Channel", "").endswith(";2"):
            return "Response: Success\r\nActionID: {id}\r\nVariable: AD_RES\r\nValue: \r\n\r\n"
        return "Response: Error\r\nActionID: {id}\r\nMessage: No such channel\r\n\r\n"


@ensure
async def test_the_manager_client_logs_in_looks_and_reconnects() -> None:
    devices: list[tuple[str, str]] = []
    ups: list[Deferred[None]] = [Deferred(), Deferred()]
    waiting = iter(ups)
    downs: list[int] = []
    ami = Ami(
        reactor, "autodial", "s3cret",
        on_device=lambda extension, state: devices.append((extension, state)),
        on_up=lambda: next(waiting).callback(None),
        on_down=lambda: downs.append(1),
    )  # fmt: skip
    managers: list[_Manager] = []

    def build() -> _Manager:
        managers.append(_Manager("s3cret"))
        return managers[-1]

    factory = Factory.forProtocol(build)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    service = client_service(endpoint, ami, reactor)
    service.startService()
    try:
        await ups[0]
        assert {"t8017-1": ("Local/1@autodial-out-1;2",)} == await ami.channels()
        assert ("", None) == (await ami.report("Local/1;2"), await ami.report("Local/9"))
        with pytest.raises(PbxError, match="cannot hold"):
            await ami.report("Local/1\r\nAction: Logoff")
        assert await ami.kept_reports() == {"t8017-2": "dial,BUSY,17"}
        assert [("101", "NOT_INUSE")] == devices
        for device in ("PJSIP/101", 'PJSIP/1" & "1', "PJSIP/102)", "Local/5"):
            event = f"Event: DeviceStateChange\r\nDevice: {device}\r\nState: BUSY\r\n\r\n"
            managers[0].transport.write(event.encode())
        assert "" == await ami.report("Local/1;2")
        await deferLater(reactor, 0.05)
        assert [("101", "NOT_INUSE"), ("101", "RINGING")] == devices, "events of Asterisk itself"
        devices.pop()
        managers[0].channel_variables = ""
        with pytest.raises(PbxError, match="channelvars"):
            await ami.channels()
        managers[0].caller = "1\r\n\r\nEvent: DeviceStateChange\r\nPrivilege: call,all\r\n"
        managers[0].caller += "Device: PJSIP/101\r\nState: BUSY\r\n\r\nX: "
        with pytest.raises(PbxError, match="a damaged row"):
            await ami.channels()
        assert [("101", "NOT_INUSE")] == devices, "an injected event is not taken for an event"
        managers[0].transport.abortConnection()
        await ups[1]
        assert downs == [1]
    finally:
        stopped = service.stopService()
        if stopped is not None:
            await stopped
        await port.stopListening()


@ensure
@pytest.mark.parametrize("challenge", ["", "Challenge: \r\n", "Challenge: 1\r\n"])
async def test_an_answer_without_a_challenge_is_told_nothing(challenge: str) -> None:
    """The hash would depend on the secret alone, and could be brute-forced offline."""
    lines: list[bytes] = []

    class Impostor(LineReceiver):
        transport: ITCPTransport

        def lineReceived(self, line: bytes) -> None:
            lines.append(line)
            if line.startswith(b"ActionID"):
                answer = f"Response: Success\r\n{line.decode()}\r\n{challenge}\r\n"
                self.transport.write(answer.encode())

    port = reactor.listenTCP(0, Factory.forProtocol(Impostor), interface="127.0.0.1")
    ami = Ami(reactor, "u", "s3cret", lambda *_: None, lambda: None, lambda: None)
    link = await TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(
        ami.factory()
    )
    while not ami.refused:
        await deferLater(reactor, 0.01)
    await port.stopListening()

    assert link is not None
    assert not any(line.startswith((b"Key", b"Secret")) for line in lines)


def test_the_secret_is_in_no_text() -> None:
    ami = Ami(reactor, "autodial", "s3cret", lambda *_: None, lambda: None, lambda: None)

    assert "s3cret" not in repr(ami)
