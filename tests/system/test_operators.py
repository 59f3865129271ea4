"""The operators' side: what their phones show, and who is rung in which order."""

import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from autodial.model.outcome import Outcome
from autodial.store import views
from demo.pbx import Entry
from demo.rig import Rig
from tests.system import scene

EXTENSIONS = ("101", "102", "103")


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=EXTENSIONS,
        operator_rings=1,
        operator_talks=2,
        overrides={"portal": {"poll": "1s"}, "asterisk": {"ring_operator": 5}},
    )
    rig.operator(501, "101")
    rig.start_dialler()
    return rig


def rung(rig: Rig, task: int) -> list[Entry]:
    """The operators' phones that got an INVITE about this task, in order."""
    return [e for e in rig.exchange.journal() if e.kind == "operator" and e.task == str(task)]


def finish(rig: Rig, task: int) -> views.AttemptLine:
    scene.wait_for_reports(rig, [task])
    scene.assert_house_in_order(rig)
    (attempt,) = scene.attempts(rig, task)
    return attempt


@pytest.mark.parametrize(
    "name",
    [
        "Пётр Селезнёв",
        "Константин Константинопольский-Задунайский-Запорожский, старший",  # over 79 bytes
        'ООО «Рога» "и" \\копыта\\; Co, Ltd.',
        "${SHELL(id)} $[1+1]",
        "строка\nвторая\tтретья",
        "İstanbul 😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
    ],
)
def test_the_phone_shows_the_tag_and_the_client(rig: Rig, name: str) -> None:
    """Cyrillic, below 80 bytes, and never cut within a character."""
    scene.staff(rig, e101="talks")
    task = rig.task("00", responsible=501, name=name)
    attempt = finish(rig, task)
    (entry,) = rung(rig, task)
    shown = entry.shown_name.replace('\\"', '"').replace("\\\\", "\\")  # SIP's own quoting

    assert shown.startswith("АВТОДОЗВОН ")
    assert len(shown.encode()) < 80
    shown.encode("utf-8")  # no half character was sent as an escape
    assert f"АВТОДОЗВОН {' '.join(name.split())}".startswith(shown)
    assert (str(task), attempt.id) == (entry.task, entry.attempt)
    assert attempt.number[1:] == entry.shown_number


def test_the_client_never_sees_the_tag_or_the_operator(rig: Rig) -> None:
    """Neither is in any SIP message to a carrier, from the INVITE to the BYE."""
    scene.staff(rig, e101="talks")
    log = rig.exchange.pbx.outside / "log/full"
    begun = log.stat().st_size
    rig.exchange.pbx.cli("pjsip set logger on")
    task = rig.task("00", responsible=501, name="Тайный Клиент")
    finish(rig, task)
    rig.exchange.pbx.cli("pjsip set logger off")
    text = log.read_bytes()[begun:].decode("utf-8", "replace")
    # A message ends where the log's next line begins.
    messages = [m.partition("\n[20")[0] for m in text.split("<--- Transmitting SIP")[1:]]
    carriers = [rig.exchange.ports[name] for name in ("FAR_PORT_1", "FAR_PORT_2")]
    to_client = [m for m in messages if any(f"127.0.0.1:{p} --->" in m for p in carriers)]
    to_operator = [m for m in messages if "АВТОДОЗВОН" in m]

    assert any("INVITE sip:" in m for m in to_client)
    assert any("INVITE sip:101@" in m for m in to_operator)
    for message in to_client:
        for secret in ("АВТОДОЗВОН", "Operator 101", "sip:101@", "X-Autodial", "Тайный"):
            assert secret not in message


def test_the_next_operator_takes_it_and_becomes_responsible(rig: Rig) -> None:
    """The responsible's phone is busy. A colleague talks and becomes the responsible."""
    scene.staff(rig, e101="busy", e102="talks")
    task = rig.task("00", responsible=501)
    attempt = finish(rig, task)
    stored = rig.portal.tasks[task]
    cards = [(what, user) for what, call, user in rig.portal.cards
             if call == scene.calls_of(rig, attempt.id)[0]["CALL_ID"]]  # fmt: skip

    assert Outcome.TALKED.value == attempt.outcome
    assert [entry.number for entry in rung(rig, task)] == ["101", "102"]
    assert stored["RESPONSIBLE_ID"] == 502
    assert (stored["STATUS"], stored["AUDITORS"]) == (2, []), "no silent delegation"
    assert cards[:3] == [("show", 501), ("hide", 501), ("show", 502)]


@pytest.mark.parametrize(
    ("fate", "words"),
    [
        ("busy", {"BUSY"}),
        ("misses", {"NOANSWER"}),
        # Asterisk 16 heeds the Reason header that comes with a 603, 22 the 603.
        ("rejects", {"CHANUNAVAIL", "NOANSWER"}),
    ],
)
def test_an_operator_who_does_not_take_it(rig: Rig, fate: str, words: set[str]) -> None:
    """The client answered and no operator did: the outcome differs from a client who hung up."""
    scene.staff(rig, e101=fate)
    task = rig.task("00", responsible=501)
    attempt = finish(rig, task)

    assert Outcome.OPERATOR_MISSED.value == attempt.outcome
    assert attempt.report["operator_state"] in words
    assert attempt.report["operator"] == "101"


def test_a_phone_that_goes_away_while_the_client_s_rings(rig: Rig) -> None:
    """The phone is not registered when the client answers: it is skipped without ringing."""
    scene.staff(rig, e101="talks")
    task = rig.task("75", responsible=501)
    scene.wait_for_ringing(rig, task)
    rig.exchange.unregister("101")
    try:
        attempt = finish(rig, task)
    finally:
        rig.exchange.register("101")
        rig.exchange.wait_for_phones()

    assert Outcome.OPERATOR_MISSED.value == attempt.outcome
    assert attempt.report["operator_state"] == "none"
    assert rung(rig, task) == []


def test_an_ordinary_call_of_the_operator_is_respected(rig: Rig) -> None:
    """The operator is in another call when the client answers: a colleague is rung instead."""
    scene.staff(rig, e101="long", e102="talks", e103="misses")
    task = rig.task("75", responsible=501)
    scene.wait_for_ringing(rig, task)
    rig.exchange.pbx.cli("channel originate PJSIP/101 application Wait 30")
    scene.wait_for_talk(rig, "101")
    attempt = scene.attempts(rig, task)[-1]
    scene.wait_for_reports(rig, [task])
    rig.exchange.pbx.cli("channel request hangup all")

    assert [entry.number for entry in rung(rig, task)] == ["102"]
    assert Outcome.TALKED is scene.outcome(rig, task)
    assert rig.portal.tasks[task]["RESPONSIBLE_ID"] == 502
    assert attempt.id == scene.attempts(rig, task)[-1].id


def test_nobody_is_dialled_while_nobody_is_at_work(rig: Rig) -> None:
    """
    All operators log out: dialling stops within one poll, with a reason, and starts again later.
    """
    scene.staff(rig, e101="talks")
    rig.logout(501)
    rig.wait(
        lambda: not any(o.online for o in scene.read(rig, views.operator_lines)), "the log-out"
    )
    task = rig.task("00", responsible=501)
    rig.wait(
        lambda: any(
            line.id == task and line.reason == "nobody at work"
            for line in scene.read(rig, views.task_lines)
        ),
        "the reason",
    )
    assert scene.attempts(rig, task) == []

    scene.staff(rig, e101="talks")
    assert Outcome.TALKED.value == finish(rig, task).outcome


def test_the_responsible_of_the_last_moment_is_rung(rig: Rig) -> None:
    """The responsible changes while the client's phone rings: the new responsible is rung."""
    scene.staff(rig, e101="talks", e102="talks")
    task = rig.task("75", responsible=501)
    scene.wait_for_ringing(rig, task)
    rig.portal.tasks[task]["RESPONSIBLE_ID"] = 502
    attempt = finish(rig, task)

    assert Outcome.TALKED.value == attempt.outcome
    assert rung(rig, task)[0].number == "102"


def test_nobody_hears_silence(rig: Rig) -> None:
    """
    The client answers and no operator does: the client hears ringing, then a sentence; then the
    call ends.
    """
    scene.staff(rig, e101="misses")
    task = rig.task("76", responsible=501)
    finish(rig, task)
    (recording,) = rig.exchange.far.outside.glob("heard-*.wav")
    loud = loudness(recording)

    assert len(loud) >= 6, "five seconds of ringing, then the sentence"
    assert max(loud[:4]) > 200, "no ringing tone while the operator's phone rings"
    assert max(loud[5:]) > 200, "no sentence after the operator did not answer"
    log = (rig.exchange.pbx.outside / "log/full").read_text(encoding="utf-8", errors="replace")
    assert "Playing 'vm-nobodyavail.gsm' (language 'ru')" in log


def loudness(path: Path) -> list[int]:
    """The mean amplitude of each second of 16-bit mono sound."""
    with wave.open(str(path)) as sound:
        rate = sound.getframerate()
        samples = array("h", sound.readframes(sound.getnframes()))
    seconds = [samples[start : start + rate] for start in range(0, len(samples), rate)]
    return [sum(map(abs, second)) // len(second) for second in seconds]
