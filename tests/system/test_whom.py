"""Choice of operators on the real Asterisk: deputies, patience, overdial, a site's queue."""

from collections.abc import Callable

import pytest

from autodial.model.outcome import Outcome
from autodial.store import views
from demo.pbx import Entry
from demo.rig import Rig
from tests.documents import blocks
from tests.system import scene

NUMBER = "442079469901"


def rung(rig: Rig, task: int) -> list[Entry]:
    """The operators' phones that got an INVITE about this task, in order."""
    return [e for e in rig.exchange.journal() if e.kind == "operator" and e.task == str(task)]


def reason(rig: Rig, task: int) -> str:
    return next((line.reason for line in scene.read(rig, views.task_lines) if line.id == task), "")


def finish(rig: Rig, task: int) -> views.AttemptLine:
    scene.wait_for_reports(rig, [task])
    scene.assert_house_in_order(rig)
    (attempt,) = scene.attempts(rig, task)
    return attempt


@pytest.fixture(scope="module")
def strict(house: Callable[..., Rig]) -> Rig:
    """Only the responsible and the deputy take a task; the deputy of 101 is 103."""
    rig = house(
        extensions=("101", "102", "103"),
        operator_rings=1,
        operator_talks=2,
        overrides={
            "portal": {"poll": "1s"},
            "staff": {
                "order": ["responsible", "deputies"], "wait_for_responsible": "4s",
                "deputies": {"501": [503]},
            },
            "asterisk": {
                "ring_operator": 5,
                "trunks": [
                    {"name": "carrier1", "lines": 9, "caller_ids": [NUMBER]},
                    {"name": "carrier2", "lines": 9},
                ],
            },
        },
    )  # fmt: skip
    rig.operator(502, "102")
    rig.start_dialler()
    return rig


def test_the_responsible_is_away_so_his_deputy_talks_and_becomes_responsible(strict: Rig) -> None:
    scene.staff(strict, e102="talks", e103="talks")
    task = strict.task("00", responsible=501)
    attempt = finish(strict, task)
    (client,) = [
        e
        for e in strict.exchange.journal()
        if e.kind == "client" and e.number == attempt.number[1:]
    ]

    assert Outcome.TALKED.value == attempt.outcome
    assert ["103"] == [entry.number for entry in rung(strict, task)]
    assert 503 == strict.portal.tasks[task]["RESPONSIBLE_ID"]
    assert NUMBER == client.shown_number, "the number that the carrier's list names"


def test_the_responsible_s_tasks_are_handed_over_and_back(strict: Rig) -> None:
    """While it lasts, the stand-in's phone rings, and the portal's responsible stays."""
    scene.staff(strict, e101="talks", e102="talks")
    scene.autodial(strict, "hand-over", "101", "102", "--until", "2099-01-01T00:00")
    task = strict.task("00", responsible=501)
    assert Outcome.TALKED.value == finish(strict, task).outcome
    assert ["102"] == [entry.number for entry in rung(strict, task)]
    assert 501 == strict.portal.tasks[task]["RESPONSIBLE_ID"]
    scene.autodial(strict, "hand-over", "101", "--back")
    task = strict.task("00", responsible=501)
    assert Outcome.TALKED.value == finish(strict, task).outcome
    assert ["101"] == [entry.number for entry in rung(strict, task)]


def test_the_responsible_is_on_the_phone_and_the_task_waits_for_him(strict: Rig) -> None:
    """
    The responsible is in an ordinary call: for the time of patience nobody is dialled, with a
    reason.
    """
    scene.staff(strict, e101="long", e102="talks")
    strict.exchange.pbx.cli("channel originate PJSIP/101 application Wait 30")
    scene.wait_for_talk(strict, "101")
    task = strict.task("00", responsible=501)
    strict.wait(lambda: reason(strict, task) in ("responsible busy", "not for others"), "a reason")
    assert [] == scene.attempts(strict, task)
    strict.exchange.set_fate("101", "talks")
    strict.exchange.pbx.cli("channel request hangup all")
    assert Outcome.TALKED.value == finish(strict, task).outcome
    assert ["101"] == [entry.number for entry in rung(strict, task)]
    assert 501 == strict.portal.tasks[task]["RESPONSIBLE_ID"]


def test_the_responsible_is_on_the_phone_for_long_and_his_deputy_takes_it(strict: Rig) -> None:
    scene.staff(strict, e101="long", e102="talks", e103="talks")
    strict.exchange.pbx.cli("channel originate PJSIP/101 application Wait 30")
    scene.wait_for_talk(strict, "101")
    task = strict.task("00", responsible=501)
    scene.wait_for_reports(strict, [task])
    strict.exchange.pbx.cli("channel request hangup all")

    assert ["103"] == [entry.number for entry in rung(strict, task)]
    assert 503 == strict.portal.tasks[task]["RESPONSIBLE_ID"]


def test_everybody_logs_out_in_mid_run(strict: Rig) -> None:
    """The call under way is finished. After the next poll nobody is dialled, with a reason."""
    scene.staff(strict, e101="talks")
    first = strict.task("00", responsible=501)
    scene.wait_for_ringing(strict, first)
    strict.logout(501)
    strict.wait(
        lambda: not any(line.online for line in scene.read(strict, views.operator_lines)),
        "the log-out",
    )
    others = [strict.task("00", responsible=501) for _ in range(3)]
    strict.wait(lambda: {reason(strict, t) for t in others} == {"nobody at work"}, "the reason")
    scene.wait_for_reports(strict, [first])

    assert [] == [attempt for task in others for attempt in scene.attempts(strict, task)]
    for task in others:
        with strict.portal.lock:
            strict.portal.tasks[task] |= {"STATUS": 5, "REAL_STATUS": 5}


@pytest.fixture(scope="module")
def strong(house: Callable[..., Rig]) -> Rig:
    """Two clients for each operator, and a cap that is never reached."""
    rig = house(
        extensions=("101", "102"),
        operator_rings=1,
        operator_talks=3,
        overrides={
            "portal": {"poll": "1s"},
            "pace": {
                "dial_ratio": 2.0,
                "abandoned_cap": 0.5,
                "calls_per_second": 10,
                "max_calls": 30,
            },
            "asterisk": {"ring_operator": 5},
        },
    )
    rig.operator(501, "101")
    rig.start_dialler()
    return rig


def test_two_clients_answer_for_one_operator(strong: Rig) -> None:
    """
    One client talks. The other hears the sentence, counts as abandoned, and is called again later.
    """
    scene.staff(strong, e101="talks")
    warm = [strong.task("00", responsible=501) for _ in range(8)]
    scene.wait_for_reports(strong, warm)  # eight answered calls: the cap now allows two beyond
    both = [strong.task("00", responsible=501) for _ in range(2)]
    scene.wait_for_reports(strong, both)
    scene.assert_house_in_order(strong)
    ends = sorted(str(scene.attempts(strong, task)[0].outcome) for task in both)

    assert [Outcome.OPERATOR_MISSED.value, Outcome.TALKED.value] == ends
    (missed,) = [t for t in both if scene.attempts(strong, t)[0].outcome != "talked"]
    line = next(line for line in scene.read(strong, views.task_lines) if line.id == missed)
    assert "not due" == line.reason


def test_the_documented_queue_takes_what_no_operator_takes(strong: Rig) -> None:
    """
    Asterisk's own Queue(), as in the document. The agent who takes the call becomes the
    responsible.
    """
    pbx = strong.exchange.pbx
    (text,) = [block for block in blocks("dialplan/README.md") if "Queue(" in block]
    (pbx.outside / "etc/queues.conf").write_text(
        "[service]\nmembergosub = service-member\nmember => PJSIP/102\n"
    )
    scene.add_dialplan(pbx, "queue", text)
    pbx.cli("module load app_queue.so")
    pbx.cli("dialplan set global AD_QUEUE 600@service")
    try:
        scene.staff(strong, e101="misses", e102="talks")
        with strong.portal.lock:
            strong.portal.users[502]["LAST_ACTIVITY"] = None  # not at work: only the queue rings
        strong.wait(
            lambda: ["101"] == [
                o.extension for o in scene.read(strong, views.operator_lines) if o.online
            ],
            "102 to be away",
        )  # fmt: skip
        task = strong.task("00", responsible=501)
        attempt = finish(strong, task)
    finally:
        pbx.cli("dialplan set global AD_QUEUE ''")

    assert Outcome.TALKED.value == attempt.outcome
    assert "102" == attempt.report["operator"]
    (first,) = rung(strong, task)
    last = [entry for entry in strong.exchange.journal() if entry.kind == "operator"][-1]
    assert ("101", "102") == (first.number, last.number)
    assert (first.shown_number, first.shown_name) == (last.shown_number, last.shown_name)
    assert 502 == strong.portal.tasks[task]["RESPONSIBLE_ID"]
