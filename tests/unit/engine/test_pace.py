"""The pace: calls a second, also where the dispatcher's turns come late."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from autodial.config.load import parse
from autodial.engine.live_calls import LiveCalls
from autodial.engine.operators import Roster

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def starts(rate: float, lates: Sequence[timedelta]) -> list[datetime]:
    """When calls start if the turns come so late."""
    settings = {
        "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
        "tasks": {"tag": "autodial"},
        "staff": {"departments": [5]},
        "asterisk": {"spool": "/spool", "trunks": [{"name": "c", "lines": 9}]},
        "pace": {"calls_per_second": rate},
    }
    moment = NOON
    calls = LiveCalls(parse(settings, "test"), Roster(), lambda: moment)
    made: list[datetime] = []
    for late in lates:
        made.append(moment)
        calls.space_out()
        assert calls.next_start is not None
        moment = max(moment, calls.next_start + late)
    return made


@pytest.mark.parametrize("rate", [0.5, 8, 19, 100, 200])
def test_turns_that_come_late_do_not_slow_it(rate: float) -> None:
    made = starts(rate, [timedelta(milliseconds=4)] * 200)

    assert (200 - 1) / (made[-1] - made[0]).total_seconds() == pytest.approx(rate, rel=0.01)


@pytest.mark.parametrize("rate", [0.5, 8, 19])
@pytest.mark.parametrize("pause", [timedelta(milliseconds=49), timedelta(minutes=5)], ids=str)
def test_no_second_has_more_calls_for_that(rate: float, pause: timedelta) -> None:
    """A long pause is not made up for."""
    made = starts(rate, ([timedelta(0)] * 25 + [pause]) * 3)
    most = max(
        sum(first <= start < first + timedelta(seconds=1) for start in made) for first in made
    )

    assert most <= int(rate) + 1
