"""
A client whose phone may have rung is not rung again in that attempt. A redirection to another
number, by a carrier or a phone, is not followed. On the real Asterisk, with a carrier
and a phone that answer as the test sets them.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from autodial.model.ids import TaskId
from autodial.model.outcome import Outcome
from autodial.model.task import Called
from autodial.rules.extension_conflicts import conflicts
from autodial.store import planning, views
from bitrix24.simulator.seed import add_contact, add_task
from demo.rig import Rig
from tests.system import scene
from tests.system.sip_peer import Says, SipPeer

#: Where calls from the carriers arrive: the site's own.
INBOUND = """
[from-carriers](+)
exten => 442079460777,1,Set(DB(moved/followed)=yes)
 same => n,Hangup(21)
"""
MOVED = "Contact: <sip:442079460777@127.0.0.1:{port}>"
#: After these the client's phone may have rung: no other carrier is tried.
RANG = {
    "180, 503": (Says("180 Ringing"), Says("503 Service Unavailable")),
    "180, 408": (Says("180 Ringing"), Says("408 Request Timeout")),
    "180, 500": (Says("180 Ringing"), Says("500 Server Internal Error")),
    "180, 404": (Says("180 Ringing"), Says("404 Not Found")),
    "180 with media, 503": (Says("180 Ringing", session=True), Says("503 Service Unavailable")),
    "183, 502": (Says("183 Session Progress", session=True), Says("502 Bad Gateway")),
    "183 without media, 503": (Says("183 Session Progress"), Says("503 Service Unavailable")),
}
#: These only mean that the carrier is working on the call, or has failed.
NOT_RUNG = {
    "503": (Says("503 Service Unavailable"),),
    "100, 503": (Says("100 Trying"), Says("503 Service Unavailable")),
}


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=("101", "103"),
        operator_rings=0.5,
        operator_talks=1,
        overrides={
            "portal": {"poll": "1s", "walk": "2s"},
            "asterisk": {
                # Where the first one points the peer below listens.
                "trunks": [{"name": "carrier-dead", "lines": 20}, {"name": "carrier1", "lines": 9}],
                "ring_client": 5,
            },
            "retry": {"line_failed": ["1h"], "silent": ["1h"], "forwarded": ["1h"]},
        },
    )
    rig.operator(501, "101")
    rig.exchange.pbx.cli("database put moved followed no")
    scene.add_dialplan(rig.exchange.pbx, "moved", INBOUND)
    rig.start_dialler()
    return rig


@pytest.fixture(scope="module")
def peer(rig: Rig) -> Iterator[SipPeer]:
    with SipPeer(rig.exchange.ports["DEAD_PORT"], rig.exchange.ports["SIP_PORT"]) as peer:
        yield peer


@pytest.fixture
def call(rig: Rig, peer: SipPeer) -> Callable[..., int]:
    """Place a call task whose client's carrier answers as given; returns once it is reported."""
    numbers = iter(range(1000))

    def place(answers: tuple[Says, ...], responsible: int = 501) -> int:
        index = len(peer.answers) % 30  # fates 00 to 02 of the second carrier: it would talk
        number = f"442079460{index:03d}"
        peer.answers[number] = answers
        code = add_contact(rig.portal, f"Клиент {next(numbers)}", ("MOBILE", f"+{number}"))
        past = datetime.now(UTC) - timedelta(minutes=2)
        task = add_task(rig.portal, "x", code, responsible=responsible, deadline=past)
        scene.wait_for_reports(rig, [task])
        return task

    return place


def carriers(rig: Rig, task: int) -> list[str]:
    """The far end's carriers that got a call for this task's client."""
    number = scene.attempts(rig, task)[0].number[1:]
    return [e.task for e in rig.exchange.journal() if e.number == number and e.kind == "client"]


@pytest.mark.parametrize("reply", RANG)
def test_no_other_carrier_is_tried_once_the_phone_may_have_rung(
    rig: Rig, call: Callable[..., int], reply: str
) -> None:
    task = call(RANG[reply])
    (attempt,) = scene.attempts(rig, task)
    known = scene.read(rig, lambda db: planning.load_task(db, TaskId(task)))

    assert ("silent", []) == (attempt.outcome, carriers(rig, task))
    assert known is not None
    (calls,) = known.history.values()
    assert isinstance(calls[0], Called), "it counts as contact"
    assert 1 == known.attempts


@pytest.mark.parametrize("reply", NOT_RUNG)
def test_a_carrier_that_failed_before_is_followed_by_the_next(
    rig: Rig, call: Callable[..., int], reply: str
) -> None:
    task = call(NOT_RUNG[reply])

    assert (Outcome.TALKED, ["1"]) == (scene.outcome(rig, task), carriers(rig, task))


@pytest.mark.parametrize("before", [(), (Says("180 Ringing"),)], ids=["at once", "after ringing"])
def test_a_redirection_of_the_client_s_side_is_not_followed(
    rig: Rig, call: Callable[..., int], before: tuple[Says, ...]
) -> None:
    """It would lead into the site's own inbound context."""
    port = rig.exchange.ports["SIP_PORT"]
    task = call((*before, Says("302 Moved Temporarily", (MOVED.format(port=port),))))

    assert Outcome.FORWARDED is scene.outcome(rig, task)
    assert [] == carriers(rig, task)
    assert "no" == rig.exchange.pbx.cli("database get moved followed").strip().rpartition(" ")[2]


def test_a_phone_that_forwards_is_passed_over_and_named(
    rig: Rig, call: Callable[..., int], peer: SipPeer
) -> None:
    """Neither the tag nor the client's number goes out over a carrier. The next operator talks."""
    rig.operator(503, "103")
    rig.exchange.unregister("103")
    assert 200 == peer.register("103", rig.exchange.phone_secret)
    port = rig.exchange.ports["SIP_PORT"]
    peer.answers["103"] = (Says("302 Moved Temporarily", (MOVED.format(port=port),)),)
    rig.wait(
        lambda: any(
            line.extension == "103" and line.phone == "NOT_INUSE"
            for line in scene.read(rig, views.operator_lines)
        ),
        "the phone to be free",
    )
    task = call((Says("503 Service Unavailable"),), responsible=503)
    (attempt,) = scene.attempts(rig, task)
    named = conflicts(scene.read(rig, views.operator_lines))

    assert ("talked", "101") == (attempt.outcome, attempt.report["operator"])
    assert "forwards" in named[503]
    assert "forwards its calls" in rig.said()
    assert not any(m.user == "442079460777" for m in peer.received)
