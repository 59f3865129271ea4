"""Processes of this host and callers cannot disturb the dialler."""

import re
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha1
from urllib.parse import quote

import pytest

from autodial.model.outcome import Outcome
from autodial.store import views
from demo.rig import Rig
from fastagi_server.testing import environment
from tests.system import scene
from tests.system.sip_peer import SipPeer

#: Each call makes 150 requests, one after the other; unanswered, it would end after 30 s.
ASKING = """
[asking]
exten => s,1,Answer()
 same => n,Set(N=0)
 same => n(again),Set(AD_PONG=)
 same => n,AGI(${AD_AGI}/ping)
 same => n,Set(GROUP(asked)=${AGISTATUS}${AD_PONG})
 same => n,Set(DB(asked/${UNIQUEID}x${N})=${AGISTATUS}${AD_PONG})
 same => n,Set(N=$[${N} + 1])
 same => n,Wait(0.05)
 same => n,GotoIf($[${N} < 150]?again)
 same => n,Hangup()
"""


def ask(rig: Rig, script: str, *arguments: str, secret: str = "") -> bytes:
    """One AGI session by hand: requests are answered as by Asterisk; returns all lines received."""
    received = b""
    with socket.create_connection(("127.0.0.1", rig.port), 5) as peer:
        peer.settimeout(10)
        peer.sendall(environment(script, *arguments))
        while data := peer.recv(4096):
            received += data
            for nonce in re.findall(rb"SHA1\(([0-9a-f]+)\$", data):
                proof = sha1(nonce + secret.encode()).hexdigest()
                peer.sendall(f"200 result=1 ({proof})\n".encode())
            peer.sendall(b"200 result=0\n" * data.count(b'EXEC "MSet"'))
    return received


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=("101", "102"),
        operator_talks=4,
        overrides={
            "portal": {"poll": "1s", "walk": "2s"},
            "fastagi": {"max_sessions": 50, "deadline": "20s"},
        },
    )
    rig.operator(501, "101")
    rig.hold_port()
    rig.start_dialler()
    return rig


def test_a_stranger_s_questions_change_nothing(rig: Rig) -> None:
    """
    Each script is requested by another process of this host, for an attempt under way and an
    operator.
    """
    task = rig.task("78", responsible=501)
    scene.wait_for_talk(rig, "101")
    attempt = scene.attempts(rig, task)[0]
    forged = ("dial", "ANSWER", "16", "SIP 200 OK", "talk", "101", "1", "2", "3", "carrier1")
    for script, arguments in {
        "claim": (attempt.id, "", ""),
        "resolve": (attempt.id,),
        "ringing": (attempt.id, "102"),
        "result": (attempt.id, *forged),
        "spoolfail": (attempt.id, "0"),
        "pause": ("101",),
        "disposition": ("101", "9"),
        "call-now": ("101", str(task)),
        "nonsense": (),
    }.items():
        for secret in ("", "0" * 64):
            assert ask(rig, script, *arguments, secret=secret).endswith(b"failure\n")
    assert ("answered", frozenset()) == (scene.state(rig, task), scene.read(rig, scene.paused))
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)
    assert 1 == scene.dialled(rig).count(attempt.number[1:])
    assert rig.exchange.agi_secret not in rig.said()


def test_an_end_is_not_believed_while_the_call_goes_on(rig: Rig) -> None:
    """
    The report comes from a client with the secret, as after a mistake in a site's own dialplan.
    """
    task = rig.task("78", responsible=501)
    scene.wait_for_talk(rig, "101")
    attempt = scene.attempts(rig, task)[0]
    reply = ask(rig, "result", attempt.id, "dial", "BUSY", "17", secret=rig.exchange.agi_secret)
    state = scene.state(rig, task)
    scene.wait_for_reports(rig, [task])
    attempts = scene.attempts(rig, task)

    assert (b"AD_ACK" in reply, state) == (False, "answered")
    assert [Outcome.TALKED.value] == [one.outcome for one in attempts]
    assert 1 == scene.dialled(rig).count(attempt.number[1:])
    scene.assert_house_in_order(rig)


def test_silent_connections_keep_no_call_out(rig: Rig) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", rig.port), 5))
        task = rig.task("00", responsible=501)
        scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)


def test_a_caller_s_number_forges_nothing_in_the_manager_s_stream(rig: Rig) -> None:
    """The caller's number holds line ends and forged fields, while a talk goes on."""
    pjsip = rig.exchange.pbx.outside / "etc/pjsip.conf"
    with pjsip.open("a") as stream:
        stream.write("[anonymous](carrier)\n")
    rig.exchange.pbx.cli("module reload res_pjsip.so")
    waits = "[from-carriers]\nexten => wait,1,Answer()\n same => n,Wait(30)\n"
    scene.add_dialplan(rig.exchange.pbx, "waits", waits)
    forged = (
        "1\r\n\r\nEvent: DeviceStateChange\r\nPrivilege: call,all\r\nDevice: PJSIP/102\r\n"
        "State: NOT_INUSE\r\n\r\nEvent: CoreShowChannelsComplete\r\nActionID: 3\r\n"
        "EventList: Complete\r\nListItems: 0\r\n\r\n"
    )
    ports = rig.exchange.ports
    task = rig.task("78", responsible=501)
    scene.wait_for_talk(rig, "101")
    with SipPeer(ports["DEAD_PORT"], ports["SIP_PORT"]) as peer:
        peer.invite("wait", caller=f"<sip:{quote(forged)}@127.0.0.1>", user="x")
        rig.wait(lambda: "nothing is given up by this list" in rig.said(), "the damage to be seen")
    named = {line.extension: line.phone for line in scene.read(rig, views.operator_lines)}
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED is scene.outcome(rig, task)
    assert "102" not in named, "no such operator; and nobody made one"


def test_no_call_is_refused_while_the_dialler_restarts(rig: Rig) -> None:
    """The port is held as by systemd: connections wait in its queue."""
    pbx = rig.exchange.pbx
    scene.add_dialplan(pbx, "asking", ASKING)
    for _ in range(10):
        pbx.cli("channel originate Local/s@asking application Wait 600")
    for _ in range(2):
        rig.stop_dialler()
        with pytest.raises(OSError, match="in use"), socket.socket() as impostor:
            impostor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            impostor.bind(("127.0.0.1", rig.port))
        rig.start_dialler()
    task = rig.task("00", responsible=501)
    scene.wait_for_reports(rig, [task])
    rig.wait(lambda: pbx.cli("database show asked").count("/asked/") >= 1500, "all the questions")
    answers = re.findall(r"/asked/\S+\s*: (\S+)", pbx.cli("database show asked"))

    assert {"SUCCESS1"} == set(answers)
    assert Outcome.TALKED is scene.outcome(rig, task)


def test_what_the_dialler_leaves_in_the_queue_is_answered_by_the_next(rig: Rig) -> None:
    rig.stop_dialler()
    with socket.create_connection(("127.0.0.1", rig.port), 5) as waiting:
        waiting.sendall(environment("ping"))
        assert [] == select.select([waiting], [], [], 0)[0]
        began = time.monotonic()
        rig.start_dialler()
        waiting.settimeout(10)
        assert b"AD_PONG" in waiting.recv(4096)
    assert time.monotonic() - began < 30
