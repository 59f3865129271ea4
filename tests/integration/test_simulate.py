"""The simulated day: the production planner on a fake clock, the same for the same seed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from autodial.config import Config, parse
from autodial.model import Outcome
from autodial.simulate import Day, Simulation, World

MOSCOW = ZoneInfo("Europe/Moscow")
MORNING, EVENING = (datetime(2026, 11, 23, hour, tzinfo=MOSCOW) for hour in (9, 20))


def config(**sections: dict[str, object]) -> Config:
    said = {
        "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
        "tasks": {"tag": "autodial"},
        "staff": {"departments": [5]},
        "asterisk": {"spool": "/nowhere", "trunks": [{"name": "carrier1", "lines": 30}]},
        "pace": {"calls_per_second": 5.0},
    }
    return parse({**said, **sections}, "test")


def day(seed: int = 1, operators: int = 3, tasks: int = 40, **sections: dict[str, object]) -> Day:
    it = Simulation(config(**sections), World(), seed, tasks, operators, MORNING, EVENING)
    return it.run()


def test_one_seed_is_one_day_and_another_is_another() -> None:
    assert day(seed=1) == day(seed=1)
    assert day(seed=1) != day(seed=2)


def test_every_attempt_ends_once_and_every_task_is_accounted_for() -> None:
    made = day()
    assert made.tasks == 40
    assert 0 < made.talked <= made.finished <= made.tasks
    known = {outcome.value for outcome in Outcome} | {"spooled", "claimed", "answered"}
    assert set(made.attempts) <= known
    assert made.answered == made.talked + made.abandoned
    assert 0 < made.busy < 1
    assert [a for _, _, a in made.points] == sorted(a for _, _, a in made.points)


def test_more_operators_finish_earlier_and_are_less_busy() -> None:
    few, many = day(operators=1, tasks=80), day(operators=8, tasks=80)
    assert many.busy < few.busy
    assert many.talked >= few.talked


def test_limits_hold_in_the_simulated_day_too() -> None:
    """Once a day by the client's own clock: never more attempts than tasks."""
    made = day(client={"preset": "ru-230fz"})
    assert sum(made.attempts.values()) <= made.tasks


@pytest.mark.parametrize("seed", range(3))
def test_one_call_for_one_operator_abandons_few(seed: int) -> None:
    """1:1 dialling: only those are lost who do not wait, or whose operator lets it ring out."""
    made = day(seed=seed, tasks=60, operators=5)
    assert made.abandoned_rate < 0.15
