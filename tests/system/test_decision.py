"""Rules of the decision on the real Asterisk: a pause, a confirmation, one client of two tasks."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from autodial.model.ids import TaskId
from autodial.model.outcome import Outcome
from autodial.model.task import CallTask
from autodial.store import planning, views
from demo.rig import Rig
from tests.documents import blocks
from tests.system import scene
from tests.system.sip_peer import SipPeer


@pytest.fixture(scope="module")
def rig(house: Callable[..., Rig]) -> Rig:
    rig = house(
        extensions=("101", "102"),
        operator_rings=1,
        operator_talks=2,
        overrides={
            "portal": {"poll": "1s", "walk": "2s"},
            "purposes": [{"name": "advertising", "tag": "реклама", "confirm": True}],
        },
    )
    rig.operator(501, "101")
    rig.operator(502, "102")
    rig.start_dialler()
    return rig


@pytest.fixture
def paused(rig: Rig) -> Iterator[Callable[[], None]]:
    """Keeps everybody from being dialled until this is called."""
    scene.autodial(rig, "pause")
    ended = []

    def resume() -> None:
        scene.autodial(rig, "resume")
        ended.append(True)

    yield resume
    if not ended:
        resume()


def reason(rig: Rig, task: int) -> str:
    return next((line.reason for line in scene.read(rig, views.task_lines) if line.id == task), "")


def load(task: int, db: sa.Connection) -> CallTask | None:
    return planning.load_task(db, TaskId(task))


def talked(rig: Rig, task: int) -> views.AttemptLine:
    scene.wait_for_reports(rig, [task])
    scene.assert_house_in_order(rig)
    (attempt,) = scene.attempts(rig, task)
    assert Outcome.TALKED.value == attempt.outcome
    return attempt


def test_a_pause_holds_everything_and_says_so(rig: Rig, paused: Callable[[], None]) -> None:
    task = rig.task("00", responsible=501)
    rig.wait(lambda: reason(rig, task) == "paused", "the reason")
    assert [] == scene.attempts(rig, task)
    assert "the dialler is paused" in scene.autodial(rig, "why", str(task))
    assert "paused" in scene.autodial(rig, "status")
    paused()
    talked(rig, task)


def test_advertising_waits_for_a_person_s_word(rig: Rig, paused: Callable[[], None]) -> None:
    task = rig.task("00", responsible=501)
    with rig.portal.lock:
        rig.portal.tasks[task]["TAGS"].append("реклама")
        rig.portal.tasks[task]["CHANGED_DATE"] = datetime.now(UTC)

    def imported() -> bool:
        known = scene.read(rig, partial(load, task))
        return known is not None and known.needs_confirmation

    rig.wait(imported, "the purpose")
    paused()
    rig.wait(lambda: reason(rig, task) == "confirm", "the reason")
    assert [] == scene.attempts(rig, task)
    scene.autodial(rig, "call-now", str(task))
    talked(rig, task)


def test_one_client_of_two_tasks_is_called_for_one_at_a_time(
    rig: Rig, paused: Callable[[], None]
) -> None:
    both = [rig.task("00", responsible=operator) for operator in (501, 502)]
    with rig.portal.lock:
        first, second = (rig.portal.tasks[task] for task in both)
        second["UF_CRM_TASK"] = first["UF_CRM_TASK"]
        second["CHANGED_DATE"] = datetime.now(UTC)

    def imported() -> bool:
        known = [scene.read(rig, partial(load, task)) for task in both]
        numbers = {task.phones[0].number for task in known if task is not None and task.phones}
        return None not in known and len(numbers) == 1

    rig.wait(imported, "both tasks with one number")
    paused()
    for task in both:
        scene.wait_for_reports(rig, [task])
    one, other = sorted((scene.attempts(rig, task)[0] for task in both), key=lambda a: a.spooled_at)
    assert one.ended_at is not None
    assert one.ended_at <= other.spooled_at
    assert [Outcome.TALKED.value] * 2 == [one.outcome, other.outcome]


def test_the_documented_codes_of_operators(rig: Rig) -> None:
    """Keyed on the phone of extension 101: a pause, its end, and codes for a task."""
    (text,) = [block for block in blocks("dialplan/README.md") if "autodial-codes" in block]
    scene.add_dialplan(rig.exchange.pbx, "codes", text)
    ports, secret = rig.exchange.ports, rig.exchange.phone_secret

    def key(code: str) -> None:
        with SipPeer(ports["DEAD_PORT"], ports["SIP_PORT"]) as phone:
            assert 200 == phone.invite(code, caller="101", user="101", password=secret)

    def paused() -> bool:
        return bool(scene.read(rig, scene.paused))

    def known() -> bool:
        return "101" in {operator.extension for operator in scene.read(rig, views.operator_lines)}

    # Until the staff has been read from the portal a code is refused with a tone. Only 101 is at
    # work: a phone is in use while a code is keyed on it, and the call would go to another.
    scene.staff(rig, e101="talks")
    rig.wait(known, "the staff")
    key("*50")
    rig.wait(paused, "the pause")
    key("*51")
    rig.wait(lambda: not paused(), "its end")
    scene.autodial(rig, "pause")
    task = rig.task("00", responsible=501)
    later = (datetime.now(UTC) + timedelta(hours=3)).replace(second=0, microsecond=0)
    with rig.portal.lock:
        rig.portal.tasks[task] |= {"DEADLINE": later, "CHANGED_DATE": datetime.now(UTC)}

    def put_off() -> bool:
        known = scene.read(rig, partial(load, task))
        return known is not None and known.due == later

    rig.wait(put_off, "the task, due in three hours")
    scene.autodial(rig, "resume")
    key(f"*55{task}")
    attempt = talked(rig, task)
    key("*82")
    rig.wait(lambda: f"{attempt.id}.2]" in str(rig.portal.comments.get(task)), "his word")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    rig.wait(lambda: rig.portal.tasks[task]["DEADLINE"] > later, "the new deadline")
    assert abs(rig.portal.tasks[task]["DEADLINE"] - tomorrow) < timedelta(minutes=3)
    key("*8251500")
    friday = partial(at_three_on_friday, rig, task)
    rig.wait(friday, "Friday at three")


def at_three_on_friday(rig: Rig, task: int) -> bool:
    here = rig.portal.tasks[task]["DEADLINE"].astimezone(ZoneInfo("Europe/Moscow"))
    return (5, 15, 0) == (here.isoweekday(), here.hour, here.minute)
