"""Failures in the middle of a call: still one outcome and one report for each attempt."""

from collections.abc import Callable, Iterator

import pytest

from autodial.model.outcome import Outcome
from autodial.store import views
from demo.rig import Rig
from tests.system import scene

EXTENSIONS = ("101", "102")


@pytest.fixture(scope="module")
def shared_rig(house: Callable[..., Rig]) -> Rig:
    return house(
        extensions=EXTENSIONS,
        operator_rings=0.5,
        operator_talks=3,
        grace=8,
        overrides={"portal": {"poll": "1s"}},
    )


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    """A running dialler with one operator at work; the ledger is checked afterwards."""
    if shared_rig.dialler is None:
        shared_rig.operator(501, "101")
        shared_rig.start_dialler()
    scene.staff(shared_rig, e101="talks")
    yield shared_rig
    scene.assert_house_in_order(shared_rig)


def kept(rig: Rig, attempt: str) -> bool:
    """Does AstDB hold a report of this attempt?"""
    return f"/autodial/{attempt}" in rig.exchange.pbx.cli("database show autodial")


def only_attempt(rig: Rig, task: int) -> views.AttemptLine:
    (attempt,) = scene.attempts(rig, task)
    return attempt


def times_dialled(rig: Rig, task: int) -> int:
    return scene.dialled(rig).count(scene.attempts(rig, task)[0].number[1:])


def test_server_down_at_the_claim(rig: Rig) -> None:
    """Nobody is dialled. The report stays in AstDB and is swept when the server is back."""
    rig.cut_off_server()
    try:
        task = rig.task("00", responsible=501)
        rig.wait(lambda: bool(scene.attempts(rig, task)), "the call file")
        attempt = only_attempt(rig, task)
        rig.wait(lambda: kept(rig, attempt.id), "the report in AstDB")
    finally:
        rig.restore_server()
    scene.wait_for_reports(rig, [task])
    attempt = only_attempt(rig, task)

    assert Outcome.LINE_FAILED.value == attempt.outcome
    assert attempt.report["stage"] == "claimfail"
    assert times_dialled(rig, task) == 0


def test_server_dead_when_the_client_answers(rig: Rig) -> None:
    """The operator of the claim is rung, with the tag, and the talk is not lost."""
    task = rig.task("75", responsible=501, name="Фёдор")
    scene.wait_for_ringing(rig, task)
    rig.kill_dialler()
    attempt = only_attempt(rig, task)
    rig.wait(lambda: kept(rig, attempt.id), "the report in AstDB")
    (entry,) = [
        e for e in rig.exchange.journal() if e.kind == "operator" and e.attempt == attempt.id
    ]
    assert (entry.number, entry.shown_name) == ("101", "АВТОДОЗВОН Фёдор")

    rig.start_dialler()
    scene.wait_for_reports(rig, [task])
    assert Outcome.TALKED.value == only_attempt(rig, task).outcome
    assert times_dialled(rig, task) == 1


def test_server_dies_in_mid_talk(rig: Rig) -> None:
    """The talk goes on undisturbed, and is reported once."""
    task = rig.task("00", responsible=501)
    scene.wait_for_talk(rig, "101")
    rig.kill_dialler()
    attempt = only_attempt(rig, task)
    rig.wait(lambda: kept(rig, attempt.id), "the report in AstDB")
    rig.start_dialler()
    scene.wait_for_reports(rig, [task])
    ended = only_attempt(rig, task)

    assert Outcome.TALKED.value == ended.outcome
    assert ended.talk_seconds is not None and 2 <= ended.talk_seconds <= 5
    # What was swept is deleted in Asterisk with the next answer.
    later = rig.task("00", responsible=501)
    scene.wait_for_reports(rig, [later])
    assert not kept(rig, attempt.id)


def test_server_restarts_while_the_client_s_phone_rings(rig: Rig) -> None:
    """An upgrade during a call: the new process knows the call and answers its requests."""
    task = rig.task("75", responsible=501)
    scene.wait_for_ringing(rig, task)
    rig.stop_dialler()
    rig.start_dialler()
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED.value == only_attempt(rig, task).outcome
    assert times_dialled(rig, task) == 1


def test_server_frozen_when_the_client_answers(rig: Rig) -> None:
    """
    The server accepts the connection and sends nothing. The client hangs up, and the channel ends.
    """
    task = rig.task("79", responsible=501)
    scene.wait_for_ringing(rig, task)
    number = only_attempt(rig, task).number[1:]
    rig.freeze_dialler()
    try:
        rig.wait(
            lambda: any(
                e.kind == "client-end" and e.number == number for e in rig.exchange.journal()
            ),
            "the client to hang up",
        )
    finally:
        rig.thaw_dialler()
    scene.wait_for_reports(rig, [task])

    assert Outcome.CLIENT_LEFT.value == only_attempt(rig, task).outcome


def test_asterisk_is_stopped_while_a_client_s_phone_rings(rig: Rig) -> None:
    task = rig.task("44", responsible=501)
    scene.wait_for_ringing(rig, task)
    rig.exchange.pbx.stop()
    rig.exchange.pbx.start()
    rig.exchange.wait_for_phones()
    scene.wait_for_reports(rig, [task])
    attempt = only_attempt(rig, task)

    # Which leg the shutdown hangs up first is chance: CHANUNAVAIL, or CANCEL as of a WaitTime.
    assert attempt.outcome in (Outcome.LINE_FAILED.value, Outcome.SILENT.value)
    assert "dial" == attempt.report["stage"]
    assert 1 == times_dialled(rig, task)


def test_asterisk_is_stopped_in_mid_talk(rig: Rig) -> None:
    scene.staff(rig, e101="long")
    task = rig.task("00", responsible=501)
    scene.wait_for_talk(rig, "101")
    rig.exchange.pbx.stop()
    rig.exchange.pbx.start()
    rig.exchange.wait_for_phones()
    scene.wait_for_reports(rig, [task])

    assert Outcome.TALKED.value == only_attempt(rig, task).outcome
    assert times_dialled(rig, task) == 1


def test_a_long_talk_is_left_alone(rig: Rig) -> None:
    """The reconciler sweeps several times: a call with a living channel is not lost."""
    scene.staff(rig, e101="long")
    task = rig.task("00", responsible=501)
    scene.wait_for_reports(rig, [task])
    attempt = only_attempt(rig, task)

    assert Outcome.TALKED.value == attempt.outcome
    assert attempt.talk_seconds is not None and attempt.talk_seconds > 20


def test_no_leg_outlives_the_limit(rig: Rig) -> None:
    """AD_MAX ends a talk after five seconds, and the talk is reported."""
    scene.staff(rig, e101="long")
    rig.exchange.pbx.cli("dialplan set global AD_MAX 5")
    try:
        task = rig.task("00", responsible=501)
        scene.wait_for_reports(rig, [task])
    finally:
        rig.exchange.pbx.cli("dialplan set global AD_MAX 600")
    attempt = only_attempt(rig, task)

    assert Outcome.TALKED.value == attempt.outcome
    assert attempt.talk_seconds is not None and attempt.talk_seconds <= 7


@pytest.mark.parametrize("first", ["carrier-dead", "carrier-unknown"])
def test_a_carrier_that_is_off(house: Callable[..., Rig], first: str) -> None:
    """No host answers, or the endpoint does not exist: the other carrier takes the call."""
    trunks = [
        {"name": first, "lines": 3, "caller_ids": ["442079469901"]},
        {"name": "carrier2", "lines": 3},
    ]
    rig = house(extensions=("101",), overrides={"asterisk": {"trunks": trunks}})
    rig.operator(501, "101")
    rig.start_dialler()
    task = rig.task("00", responsible=501)
    scene.wait_for_reports(rig, [task])
    attempt = only_attempt(rig, task)

    assert Outcome.TALKED.value == attempt.outcome
    assert "carrier2" == attempt.report["trunk"]
    (client,) = [entry for entry in rig.exchange.journal() if entry.kind == "client"]
    assert "442079469902" == client.shown_number, "not the first carrier's number"
    scene.assert_house_in_order(rig)


@pytest.mark.parametrize("moment", ["client's phone rings", "talk"])
def test_asterisk_is_killed(rig: Rig, moment: str) -> None:
    """
    Asterisk gets kill -9 and is started again: nobody is dialled twice, and the attempt ends as
    lost.
    """
    scene.staff(rig, e101="long")
    task = rig.task("44" if moment != "talk" else "00", responsible=501)
    if moment == "talk":
        scene.wait_for_talk(rig, "101")
    else:
        scene.wait_for_ringing(rig, task)
    rig.exchange.pbx.kill()
    rig.exchange.pbx.start()
    rig.exchange.wait_for_phones()
    scene.wait_for_reports(rig, [task])

    assert Outcome.LOST.value == only_attempt(rig, task).outcome
    assert times_dialled(rig, task) == 1


def test_portal_down_for_the_whole_run(rig: Rig) -> None:
    """By this rule dialling goes on. All is told later, once, and each attempt's in its order."""
    rig.logout(501)
    scene.staff(rig)
    tasks = [rig.task(fate, responsible=501) for fate in ("75", "40", "52", "00", "48", "50")]
    rig.wait(
        lambda: set(tasks) <= {line.id for line in scene.read(rig, views.task_lines)}, "the import"
    )
    # They become due for an operator at the moment when the portal goes down.
    rig.operator(501, "101")
    rig.wait(lambda: bool(scene.attempts(rig, tasks[0])), "the first call")
    rig.portal_down()
    rig.wait(
        lambda: all(scene.outcome(rig, task) is not None for task in tasks), "all the outcomes"
    )
    during = sum(len(rig.portal.comments.get(task, [])) for task in tasks)
    rig.portal_up()
    scene.wait_for_reports(rig, tasks)
    told: dict[str, list[views.MessageLine]] = {}
    for message in scene.read(rig, views.messages):  # in the order in which they were enqueued
        told.setdefault(message.attempt, []).append(message)

    assert during < len(tasks)
    assert len(told) >= len(tasks)
    for messages in told.values():
        assert {message.state for message in messages} == {"delivered"}
        moments = [message.done_at for message in messages if message.done_at is not None]
        assert moments == sorted(moments), messages
    scene.assert_house_in_order(rig)


def test_a_silent_portal_can_stop_the_dialling(house: Callable[..., Rig]) -> None:
    """By the other rule nobody is dialled after three polls without an answer."""
    rig = house(
        extensions=("101",),
        overrides={"portal": {"poll": "1s", "when_silent": "stop"}},
    )
    rig.operator(501, "101", "misses")
    rig.start_dialler()
    scene.staff(rig, e101="misses")
    first = rig.task("44", responsible=501)
    scene.wait_for_state(rig, first, "claimed")
    second = rig.task("00", responsible=501)
    rig.wait(
        lambda: second in {line.id for line in scene.read(rig, views.task_lines)}, "the import"
    )
    rig.portal_down()
    rig.wait(
        lambda: any(
            line.id == second and line.reason == "portal silent"
            for line in scene.read(rig, views.task_lines)
        ),
        "the reason",
    )
    assert scene.attempts(rig, second) == []
    rig.portal_up()
    scene.wait_for_reports(rig, [first, second])
