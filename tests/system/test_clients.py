"""Every behaviour of a client, on a real Asterisk over real SIP: each has the right outcome."""

from collections.abc import Callable

import pytest

from autodial.model.outcome import Outcome
from demo.rig import Rig
from tests.system import scene

#: The code of the behaviour (demo/far/extensions.conf), the expected outcome, and the carrier's
#: words that prove it.
FATES = {
    "talks": ("00", Outcome.TALKED, "SIP 200 OK"),
    "busy 486": ("40", Outcome.BUSY, "SIP 486 Busy Here"),
    "rings out": ("44", Outcome.SILENT, "SIP 180 Ringing"),
    "100 Trying only": ("46", Outcome.UNREACHABLE, "SIP 100 Trying"),
    "rejected 403": ("48", Outcome.REJECTED, "SIP 403 Forbidden"),
    "declined 603": ("49", Outcome.REJECTED, "SIP 603 Decline"),
    "off 480": ("50", Outcome.UNREACHABLE, "SIP 480 Temporarily Unavailable"),
    "wrong number 404": ("52", Outcome.BAD_NUMBER, "SIP 404 Not Found"),
    "changed 410": ("53", Outcome.BAD_NUMBER, "SIP 410 Gone"),
    "incomplete 484": ("54", Outcome.BAD_NUMBER, "SIP 484 Address Incomplete"),
    "congestion 503": ("55", Outcome.LINE_FAILED, "SIP 503 Service Unavailable"),
    "failure 500": ("56", Outcome.LINE_FAILED, "SIP 500 Server Internal Error"),
    "codecs 488": ("57", Outcome.LINE_FAILED, "SIP 488 Not Acceptable Here"),
    "time-out 408": ("58", Outcome.LINE_FAILED, "SIP 408 Request Timeout"),
    "carrier 1 down": ("60", Outcome.TALKED, "SIP 200 OK"),
    "carrier 1 down, busy": ("62", Outcome.BUSY, "SIP 486 Busy Here"),
    "hangs up at once": ("70", Outcome.CLIENT_LEFT, "SIP 200 OK"),
    "hangs up while it rings": ("72", Outcome.CLIENT_LEFT, "SIP 200 OK"),
    "talks, hangs up first": ("74", Outcome.TALKED, "SIP 200 OK"),
    "answers late": ("75", Outcome.TALKED, "SIP 200 OK"),
}
#: Phrases of older PJSIP libraries (Asterisk 18.10 of Ubuntu 22.04).
ELSEWHERE = {"SIP 500 Server Internal Error": "SIP 500 Internal Server Error"}
OPERATORS = tuple(str(number) for number in range(101, 113))


@pytest.fixture(scope="module")
def ran(house: Callable[..., Rig]) -> tuple[Rig, dict[str, int]]:
    """All at once, with twelve operators; then everything was reported."""
    # Phones ring two seconds: longer than the patience of the client who hangs up meanwhile.
    rig = house(extensions=OPERATORS, operator_rings=2, operator_talks=2, impatience=1)
    for number, extension in enumerate(OPERATORS, 500):
        rig.operator(number, extension)
    tasks = {
        name: rig.task(fate, responsible=500 + place % len(OPERATORS))
        for place, (name, (fate, _, _)) in enumerate(FATES.items())
    }
    rig.start_dialler()
    scene.wait_for_reports(rig, tasks.values())
    return rig, tasks


@pytest.mark.parametrize("name", FATES)
def test_one_attempt_one_outcome(ran: tuple[Rig, dict[str, int]], name: str) -> None:
    rig, tasks = ran
    _, expected, words = FATES[name]
    attempts = scene.attempts(rig, tasks[name])

    assert [expected.value] == [attempt.outcome for attempt in attempts]
    assert attempts[0].report["tech"] in (words, ELSEWHERE.get(words))


@pytest.mark.parametrize("name", FATES)
def test_the_deadline_is_put_off_by_the_rule(ran: tuple[Rig, dict[str, int]], name: str) -> None:
    """
    Busy, silent, off or a failure: put off by the rule of the outcome. A talk puts nothing off.
    """
    rig, tasks = ran
    ended = scene.attempts(rig, tasks[name])[0].ended_at
    assert ended is not None
    moved = [row for row in rig.portal.history if row["task"] == tasks[name]]
    hours = {
        Outcome.BUSY: 1 / 3, Outcome.SILENT: 2, Outcome.UNREACHABLE: 3, Outcome.REJECTED: 4,
        Outcome.CLIENT_LEFT: 1, Outcome.LINE_FAILED: 1 / 12,
    }  # fmt: skip
    expected = hours.get(FATES[name][1])

    if expected is None:
        assert [row for row in moved if row["field"] == "DEADLINE"] == []
    else:
        (row,) = [row for row in moved if row["field"] == "DEADLINE"]
        late = (row["to"] - ended).total_seconds() - expected * 3600
        assert -60 <= late <= 0, "the portal cuts a deadline to the minute"


def test_fail_over_happens_inside_one_attempt(ran: tuple[Rig, dict[str, int]]) -> None:
    """Carrier 1 fails and carrier 2 connects. A client who was reached is not called again."""
    rig, tasks = ran
    (attempt,) = scene.attempts(rig, tasks["carrier 1 down"])
    carriers = [e.task for e in rig.exchange.journal() if e.number == attempt.number[1:]
                and e.kind == "client"]  # fmt: skip
    reached = ("busy 486", "rings out", "100 Trying only", "rejected 403", "off 480", "talks")
    numbers = [scene.attempts(rig, tasks[name])[0].number[1:] for name in reached]

    assert carriers == ["1", "2"]
    assert attempt.report["trunk"] == "carrier2"
    assert [1] * len(numbers) == [scene.dialled(rig).count(number) for number in numbers]


def test_nothing_is_left_behind(ran: tuple[Rig, dict[str, int]]) -> None:
    scene.assert_house_in_order(ran[0])


def test_the_portal_files_each_talk_under_its_client(ran: tuple[Rig, dict[str, int]]) -> None:
    rig, tasks = ran
    (attempt,) = scene.attempts(rig, tasks["talks"])
    (call,) = scene.calls_of(rig, attempt.id)
    task = rig.portal.tasks[tasks["talks"]]

    assert ("CONTACT", task["UF_CRM_TASK"][0]) == (
        call["CRM_ENTITY_TYPE"], f"C_{call['CRM_ENTITY_ID']}",
    )  # fmt: skip
    assert call["PORTAL_NUMBER"] == "autodial"
    assert rig.portal.lines["autodial"] == "АВТОДОЗВОН"
    assert 1 <= call["CALL_DURATION"] <= 5
    assert int(call["CALL_FAILED_CODE"]) == 200


def test_no_missed_calls_light_up(ran: tuple[Rig, dict[str, int]]) -> None:
    rig, _ = ran

    assert [row for row in rig.portal.statistics if row["MISSED"]] == []


def test_warnings_and_errors_are_absent_from_the_log(ran: tuple[Rig, dict[str, int]]) -> None:
    """A run without trouble logs no warning and no error."""
    rig, _ = ran
    lines = [
        s for s in rig.said().splitlines() if "#warn" in s or "#error" in s or "Traceback" in s
    ]

    assert lines == []
