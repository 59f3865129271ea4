"""
Any text of the portal, a carrier, a client or a phone stays text on the real Asterisk.

Each hostile text would leave a file of its own (a canary) if anything took it for code.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from autodial.model.outcome import Outcome
from autodial.rules.extension_conflicts import conflicts
from autodial.store import views
from bitrix24.simulator.seed import add_contact, add_operator, add_task
from demo.rig import Rig
from tests.documents import blocks
from tests.system import scene
from tests.system.agi_stub import AgiStub
from tests.system.sip_peer import Says, SipPeer

#: What the peer's carrier does, by the last three digits of the number called.
RINGS, BUSY, REJECTS, MOVED, TRIES, ANSWERS, OTHER = (f"44207946000{n}" for n in range(7))


class Hostile:
    """
    Hostile texts, each with a canary of its own: a file in the directory that Asterisk works in
    (a path would not do: to the parser of expressions a slash is a division).
    """

    def __init__(self, rig: Rig) -> None:
        self._place = rig.exchange.pbx.outside

    def expression(self, name: str) -> str:
        """Ends a quoted string of an expression, calls a function, begins another string."""
        return f"1\" & SHELL(touch$IFS'canary_{name}') & \"1"

    def substitution(self, name: str) -> str:
        """What a text must not be evaluated for."""
        return f"${{SHELL(touch canary_{name})}}"

    def application(self, name: str) -> str:
        """Closes one application's brackets and names another."""
        return f"1):System(touch canary_{name}"

    def texts(self, name: str) -> str:
        return f"{self.expression(name)}{self.substitution(name)}{self.application(name)}"

    def canaries(self) -> list[str]:
        """The canary files that exist: each shows where a text was executed."""
        return sorted(path.name for path in self._place.glob("canary_*"))


@pytest.fixture(scope="module", params=["no", "yes"], ids=["as shipped", "live_dangerously"])
def rig(house: Callable[..., Rig], request: pytest.FixtureRequest) -> Rig:
    rig = house(
        extensions=("101", "102", "103"),
        operator_rings=1,
        operator_talks=1,
        live_dangerously=request.param,
        overrides={
            "portal": {"poll": "1s", "walk": "2s"},
            "asterisk": {
                # Where this one points the peer below listens.
                "trunks": [{"name": "carrier-dead", "lines": 20}],
                "ring_client": 5,
            },
            "retry": {
                outcome: ["1h"]
                for outcome in ("line_failed", "operator_missed", "busy", "silent", "rejected")
            },
        },
    )
    rig.operator(501, "101")
    rig.start_dialler()
    # A site that accepts calls from any address, as for a carrier with many gateways.
    pjsip = rig.exchange.pbx.outside / "etc/pjsip.conf"
    with pjsip.open("a") as stream:
        stream.write("[anonymous](carrier)\ntrust_id_inbound = yes\n")
        stream.write("[103](+)\ntrust_id_inbound = yes\n")
    rig.exchange.pbx.cli("module reload res_pjsip.so")
    return rig


@pytest.fixture(scope="module")
def hostile(rig: Rig) -> Hostile:
    return Hostile(rig)


@pytest.fixture(scope="module")
def peer(rig: Rig, hostile: Hostile) -> Iterator[SipPeer]:
    phrase, ports = hostile.expression, rig.exchange.ports
    moved = f"Contact: <sip:{quote(phrase('302'))}@127.0.0.1:{ports['SIP_PORT']}>"
    reason = f'Reason: Q.850;cause=21;text="{phrase("reason")}"'
    named = f'"{hostile.substitution("pai")}" <sip:{quote(phrase("pai"))}@x>'
    with SipPeer(ports["DEAD_PORT"], ports["SIP_PORT"]) as peer:
        peer.answers = {
            RINGS: (Says(f"180 Ringing{phrase('180')}"),),
            BUSY: (Says(f"486 Busy{phrase('486')}{hostile.application('486')}"),),
            REJECTS: (
                Says(f"603 {phrase('603')}", (reason,)),
            ),
            MOVED: (
                Says("302 Moved", (moved,)),
            ),
            TRIES: (Says(f"100 {phrase('100')}"),),
            ANSWERS: (
                Says(
                    f"200 {phrase('200')}",
                    (
                        f"P-Asserted-Identity: {named}",
                        f"Alert-Info: {hostile.texts('alert')}",
                        f"X-Autodial-Task: {hostile.texts('header')}",
                    ),
                    session=True,
                ),
            ),
            OTHER: (Says("200 OK", session=True),),
            "103": (Says(f"486 {phrase('phone')}"),),
        }  # fmt: skip
        yield peer


def call(rig: Rig, number: str, *, responsible: int, name: str = "Анна", title: str = "x") -> int:
    code = add_contact(rig.portal, name, ("MOBILE", f"+{number}"))
    past = datetime.now(UTC) - timedelta(minutes=2)
    return add_task(rig.portal, title, code, responsible=responsible, deadline=past)


def test_the_canary_is_left_where_a_text_is_executed(rig: Rig, hostile: Hostile) -> None:
    """A control: the same text, in the expression that the dialplan had before."""
    text = hostile.expression("control")
    vulnerable = f'exten => s,1,Set(X={text})\n same => n,NoOp($["${{X}}" = ""])\n'
    scene.add_dialplan(rig.exchange.pbx, "control", f"[control]\n{vulnerable}")
    rig.exchange.pbx.cli("channel originate Local/s@control application Wait 1")
    rig.wait(lambda: hostile.canaries() == ["canary_control"], "the canary")
    (rig.exchange.pbx.outside / "canary_control").unlink()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (RINGS, Outcome.SILENT),
        (BUSY, Outcome.BUSY),
        (REJECTS, Outcome.REJECTED),
        (MOVED, None),
        (TRIES, Outcome.UNREACHABLE),
        (ANSWERS, Outcome.TALKED),
    ],
    ids=["180", "486", "603 and Reason", "302", "100", "200 and its headers"],
)
def test_what_a_carrier_says_is_no_code(
    rig: Rig, hostile: Hostile, peer: SipPeer, number: str, expected: Outcome | None
) -> None:
    task = call(rig, number, responsible=501)
    scene.wait_for_reports(rig, [task])

    assert hostile.canaries() == []
    assert expected in (None, scene.outcome(rig, task))


#: A claim as our server answers it, for a client of the far end who talks.
CLAIM = {
    "AD_ID": "t1-1", "AD_TASK": "1", "AD_NUM": "442079460000", "AD_DTMF": "", "AD_TO": "5",
    "AD_TRUNKS": "carrier1", "AD_CIDS": "", "AD_LINES": "9", "AD_OPS": "101", "AD_OPTO": "5",
    "AD_LANG": "ru", "AD_GO": "1",
}  # fmt: skip


@pytest.fixture
def stub(rig: Rig) -> Iterator[AgiStub]:
    """A stub in the place of our server: the dialplan checks its answers again."""
    with AgiStub() as answering:
        address = f"agi://127.0.0.1:{answering.port}"
        rig.exchange.pbx.cli(f"dialplan set global AD_AGI {address}")
        yield answering
        rig.restore_server()


def drop(rig: Rig, name: str, number: str = "task", **variables: str) -> None:
    """A call file by hand, which ends before this returns."""
    file = rig.exchange.spool / f"{name}.call"
    rows = [f"Channel: Local/{number}@autodial-out/n", "Context: autodial-answered", "Extension: s"]
    rows += ["Priority: 1", "WaitTime: 20", *(f"Setvar: __{k}={v}" for k, v in variables.items())]
    draft = rig.exchange.spool / ".autodial-staging" / name
    draft.write_text("".join(f"{row}\n" for row in rows))
    owner = rig.exchange.spool.stat()
    os.chown(draft, owner.st_uid, owner.st_gid)
    draft.rename(file)
    rig.wait(lambda: not file.exists() and rig.exchange.channels() == 0, "the call to end")


def rung(rig: Rig) -> int:
    return len(rig.exchange.journal())


@pytest.mark.parametrize("name", [name for name in CLAIM if name != "AD_GO"])
@pytest.mark.parametrize("kind", ["expression", "application", "substitution"])
def test_what_a_claim_answers_is_checked_again(
    rig: Rig, hostile: Hostile, stub: AgiStub, name: str, kind: str
) -> None:
    """The server returns a hostile text: nobody is dialled."""
    stub.answers = {"claim": CLAIM | {name: getattr(hostile, kind)("claim")}}
    before = rung(rig)
    drop(rig, f"claim-{name}-{kind}", AD_TASK="1")

    assert ([], before) == (hostile.canaries(), rung(rig))
    assert "claim" in stub.asked


@pytest.mark.parametrize("name", ["AD_OPS", "AD_OPTO"])
@pytest.mark.parametrize("kind", ["expression", "application", "substitution"])
def test_what_a_resolve_answers_is_checked_again(
    rig: Rig, hostile: Hostile, stub: AgiStub, name: str, kind: str
) -> None:
    """No operator is rung; the client hears the sentence."""
    variables = {
        "AD_OPS": "101",
        "AD_OPTO": "5",
        name: getattr(hostile, kind)("resolve"),
        "AD_OK": "1",
    }
    stub.answers = {"claim": CLAIM, "resolve": variables}
    before = rung(rig)
    drop(rig, f"resolve-{name}-{kind}", AD_TASK="1")
    kinds = [entry.kind for entry in rig.exchange.journal()[before:]]

    assert hostile.canaries() == []
    assert ("client" in kinds, "operator" in kinds) == (True, False)


def test_the_stub_s_answers_would_do(rig: Rig, hostile: Hostile, stub: AgiStub) -> None:
    """A control: without a hostile text the same claim and the same resolve lead to a talk."""
    stub.answers = {"claim": CLAIM, "resolve": {"AD_OPS": "101", "AD_OPTO": "5", "AD_OK": "1"}}
    before = rung(rig)
    drop(rig, "control", AD_TASK="1")

    assert {"client", "operator"} <= {entry.kind for entry in rig.exchange.journal()[before:]}


@pytest.mark.parametrize("name", ["AD_TASK", "AD_ID"])
def test_what_a_call_file_by_hand_says_is_no_code(
    rig: Rig, hostile: Hostile, stub: AgiStub, name: str
) -> None:
    """The call is not even claimed."""
    stub.answers = {"claim": CLAIM}
    drop(rig, f"file-{name}", **{"AD_TASK": "1", name: hostile.expression("file")})
    drop(rig, f"number-{name}", number=f"4{hostile.expression('number')}", AD_TASK="1")

    assert ([], []) == (hostile.canaries(), [asked for asked in stub.asked if asked == "claim"])


def test_what_a_portal_user_types_is_no_code(rig: Rig, hostile: Hostile, peer: SipPeer) -> None:
    """An internal number, a client's name and a task's title. A bad internal number is reported."""
    seen = datetime.now(UTC)
    add_operator(rig.portal, 504, hostile.expression("extension"), name="Mallory", seen=seen)
    add_operator(rig.portal, 505, hostile.application("list"), name="Oscar", seen=seen)
    task = call(
        rig, OTHER, responsible=504, name=hostile.texts("name"), title=hostile.texts("title")
    )
    scene.wait_for_reports(rig, [task])

    assert hostile.canaries() == []
    assert Outcome.TALKED is scene.outcome(rig, task)
    assert "101" == scene.attempts(rig, task)[0].report["operator"]
    assert {504, 505} <= {
        who
        for who, wrong in conflicts(scene.read(rig, views.operator_lines)).items()
        if "unusable extension" in wrong
    }


def test_what_an_operator_s_phone_says_is_no_code(
    rig: Rig, hostile: Hostile, peer: SipPeer
) -> None:
    rig.operator(503, "103")
    assert 200 == peer.register("103", rig.exchange.phone_secret)
    task = call(rig, OTHER, responsible=503)
    scene.wait_for_reports(rig, [task])

    assert hostile.canaries() == []
    assert Outcome.TALKED is scene.outcome(rig, task), "the next operator takes it"


def test_what_a_stranger_sends_is_no_code(rig: Rig, hostile: Hostile, peer: SipPeer) -> None:
    """An incoming call from the carrier, with a hostile text in each header."""
    user = quote(hostile.expression("from"))
    shown = f'"{hostile.substitution("from")}" <sip:{user}@127.0.0.1:{peer.port}>'
    headers = (
        f"X-Autodial-Attempt: {hostile.texts('x')}",
        f"Alert-Info: {hostile.texts('alert_in')}",
        f"Subject: {hostile.texts('subject')}",
    )
    # The only answer to a call from outside: our contexts are not reachable.
    for callee in ("442079460000", f"4{quote(hostile.expression('callee'))}"):
        assert 403 == peer.invite(callee, caller=shown, user="stranger", headers=headers)

    assert hostile.canaries() == []


def test_a_code_is_for_the_phone_it_is_keyed_on(rig: Rig, hostile: Hostile, peer: SipPeer) -> None:
    """The caller id that a phone sends does not count, and no keyed text is code."""
    (text,) = [block for block in blocks("dialplan/README.md") if "[from-phones]" in block]
    scene.add_dialplan(rig.exchange.pbx, "codes", text)
    secret = rig.exchange.phone_secret
    assert 200 == peer.register("103", secret)
    claims = 'P-Asserted-Identity: "Operator 101" <sip:101@127.0.0.1>'
    keyed = (
        "*50",
        f"*55{quote(hostile.expression('keyed'))}",
        f"*8{quote(hostile.expression('keyed'))}",
    )
    for code in keyed:
        for caller in ("103", f'"{hostile.substitution("caller")}" <sip:103@127.0.0.1>'):
            peer.invite(code, caller=caller, user="103", password=secret, headers=(claims,))
    rig.wait(lambda: bool(scene.read(rig, scene.paused)), "the pause")
    (who,) = scene.read(rig, scene.paused)
    named = {line.id: line.extension for line in scene.read(rig, views.operator_lines)}

    assert hostile.canaries() == []
    assert "103" == named[who]
