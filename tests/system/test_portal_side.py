"""What reaches the portal besides deadlines and comments: recordings, notices, statuses, tones."""

import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from autodial.store import views
from bitrix24.simulator.event_bodies import event_body, task_updated
from bitrix24.simulator.presence import log_in, log_out
from bitrix24.simulator.seed import add_contact, add_task
from demo.pbx import free_ports
from demo.rig import Rig
from tests.system import scene

TOKEN = "token-of-the-outgoing-webhook"


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    """A dialler that records, notifies, closes tasks, and listens for events."""
    rig = house(
        extensions=("101", "102"),
        record=True,
        overrides={
            "portal": {"notify": True},
            "tasks": {"when_talked": "complete"},
            "events": {"port": free_ports(1)[0], "token": TOKEN},
        },
    )
    rig.portal.log_logins = rig.portal.log_logouts = True
    rig.operator(501, "101")
    log_in(rig.portal, 501)
    rig.start_dialler()
    return rig


def test_a_talk_leaves_a_recording_a_notice_and_a_closed_task(rig: Rig) -> None:
    task = rig.task("81", responsible=501)
    scene.wait_for_reports(rig, [task])
    (attempt,) = scene.attempts(rig, task)
    (call,) = scene.calls_of(rig, attempt.id)
    name, sound = rig.portal.recordings[call["CALL_ID"]]
    (notice,) = [row for row in rig.portal.notices if attempt.id in row["TAG"]]

    assert f"{attempt.id}.wav" == name
    assert (b"RIFF", b"WAVE") == (sound[:4], sound[8:12])
    assert len(sound) > 8000, "half a second of 16 kB/s"
    assert any(sound[44:]), "the client's tone is on it"
    assert list(rig.exchange.recordings.iterdir()) == [], "deleted once the portal has it"
    assert notice["USER_ID"] == 501
    assert f"/tasks/task/view/{task}/]Позвонить" in notice["MESSAGE"]
    assert rig.portal.tasks[task]["STATUS"] == 5


def test_an_extension_is_sent_as_tones_before_the_operator_s_phone_rings(rig: Rig) -> None:
    code = add_contact(rig.portal, "ООО «Автомат»", ("WORK", "+44 20 7946 0800 доб. 42"))
    past = datetime.now(UTC) - timedelta(minutes=2)
    task = add_task(rig.portal, "Добавочный", code, responsible=501, deadline=past)
    scene.wait_for_reports(rig, [task])
    events = [(e.kind, e.number) for e in rig.exchange.journal() if e.kind in ("tones", "operator")]

    assert ("tones", "42") in events
    assert "talked" == scene.attempts(rig, task)[-1].outcome


def test_an_event_makes_the_dialler_look_at_once(rig: Rig) -> None:
    """An event with a wrong token is refused."""
    count = len(rig.portal.requests)
    port = rig.settings["events"]["port"]

    def post(token: str) -> int:
        body = event_body("OnTaskUpdate", task_updated(8017), token, datetime.now(UTC))
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", body, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert 403 == post("guess")
    assert 200 == post(TOKEN)
    rig.wait(lambda: len(rig.portal.requests) > count, "a poll")


def test_a_logout_is_believed_at_once(rig: Rig) -> None:
    """The portal shows the operator as online for another 24 minutes; its event log is newer."""
    log_out(rig.portal, 501)

    def seen() -> views.OperatorLine:
        return scene.read(rig, views.operator_lines)[0]

    rig.wait(lambda: not seen().online, "the logout")
    assert seen().last_logout is not None
    assert seen().phone == "NOT_INUSE"
    log_in(rig.portal, 501)
    rig.wait(lambda: seen().online, "the login")
