"""The simulated day: the production planner on a fake clock. A seed gives the same day."""

from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from multiprocessing import get_context
from zoneinfo import ZoneInfo

import pytest

from autodial.config.load import parse
from autodial.config.settings import Config
from autodial.model.ended_call import Call
from autodial.model.outcome import ANSWERED, Outcome
from autodial.rules.hangup import outcome_of
from autodial.simulation import day as simulate
from autodial.simulation.behaviour import CallerBehaviour, replayed
from autodial.simulation.day import Day, Simulation
from autodial.store import views

MOSCOW = ZoneInfo("Europe/Moscow")
MORNING, EVENING = (datetime(2026, 11, 23, hour, tzinfo=MOSCOW) for hour in (9, 20))


def config(**sections: dict[str, object]) -> Config:
    settings = {
        "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
        "tasks": {"tag": "autodial"},
        "staff": {"departments": [5]},
        "asterisk": {"spool": "/nowhere", "trunks": [{"name": "carrier1", "lines": 30}]},
        "pace": {"calls_per_second": 5.0},
    }
    return parse({**settings, **sections}, "test")


def day(
    seed: int = 1, operators: int = 3, tasks: int = 40, end: datetime = EVENING,
    behaviour: CallerBehaviour | None = None, **sections: dict[str, object],
) -> Day:  # fmt: skip
    it = Simulation(
        config(**sections), behaviour or CallerBehaviour(), seed, tasks, operators, MORNING, end
    )
    return it.run()


def test_one_seed_is_one_day_and_another_is_another() -> None:
    assert day(seed=1) == day(seed=1)
    assert day(seed=1) != day(seed=2)


def test_every_attempt_ends_once_and_every_task_is_accounted_for() -> None:
    result = day()
    assert result.tasks == 40
    assert 0 < result.talked <= result.finished <= result.tasks
    known = {outcome.value for outcome in Outcome} | {"spooled", "claimed", "answered"}
    assert set(result.attempts) <= known
    assert result.answers.answered >= result.talked + result.answers.abandoned
    assert 0 < result.busy < 1
    assert [a for _, _, a in result.points] == sorted(a for _, _, a in result.points)


def test_more_operators_finish_earlier_and_are_less_busy() -> None:
    few, many = (day(operators=n, tasks=150, end=MORNING.replace(hour=11)) for n in (1, 8))
    assert many.busy < few.busy
    assert many.talked > few.talked


def test_limits_hold_in_the_simulated_day_too() -> None:
    """With one call a day by the client's clock there are never more attempts than tasks."""
    result = day(client={"preset": "ru-230fz"})
    assert sum(result.attempts.values()) <= result.tasks


def strong(seed: int, **pace: float) -> Day:
    """Two hours of three operators, with twice as many calls wanted."""
    behaviour = CallerBehaviour(answered={}, otherwise=0.6, talk=tuple(range(30, 90)))
    wanted: dict[str, object] = {
        "calls_per_second": 5.0,
        "max_calls": 60,
        "dial_ratio": 2.0,
        **pace,
    }
    until = MORNING.replace(hour=11)
    return day(seed, 3, 300, until, behaviour, pace=wanted, client={"preset": "none"})


def test_the_abandoned_rate_stays_under_its_cap() -> None:
    """With more calls than operators, the cap limits the rate. The bench runs thirty days."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        days = list(pool.map(partial(strong, abandoned_cap=0.05), range(3)))
        free = list(pool.map(partial(strong, abandoned_cap=0.5), range(1)))
    assert all(one.answers.answered > 100 for one in days)
    assert max(one.answers.rate for one in days) <= 0.05
    assert sum(one.overdial for one in days) >= 10, "calls beyond the operators were placed"
    assert min(one.answers.rate for one in free) > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_one_call_for_one_operator_abandons_few(seed: int) -> None:
    """1:1 dialling: a call is abandoned only if the client hangs up or no operator answers."""
    result = day(seed=seed, tasks=60, operators=5)
    assert result.answers.rate < 0.1


def test_a_day_out_of_the_ledger_is_replayed_with_its_own_calls() -> None:
    """Each task starts at its real time, and its first call ends as it did, with any behaviour."""
    wanted: dict[str, dict[str, object]] = {
        "client": {"preset": "none"}, "pace": {"calls_per_second": 5.0, "max_calls": 60}
    }  # fmt: skip
    was = Simulation(config(**wanted), CallerBehaviour(), 1, 60, 2, MORNING, EVENING)
    was.run()
    tasks = replayed(was.ask(partial(views.calls_between, start=MORNING, end=EVENING)))
    deaf = CallerBehaviour(answered={}, otherwise=0.0)
    again = Simulation(config(**wanted), deaf, 2, len(tasks), 6, MORNING, EVENING, tasks)
    again.run()
    calls: dict[int, list[Call]] = {}
    for number, call in again.ask(partial(views.calls_between, start=MORNING, end=EVENING)):
        calls.setdefault(number, []).append(call)

    assert len(calls) == len(tasks) == 60
    for number, task in enumerate(tasks, 1):
        first, then = task.calls[0], calls[number][0]
        assert timedelta(0) <= then.claimed - task.due < timedelta(minutes=15)
        if first.outcome in ANSWERED:
            assert then.outcome in ANSWERED
        else:
            assert then.outcome is first.outcome
        if first.outcome is then.outcome is Outcome.TALKED:
            assert first.talk_seconds == then.talk_seconds


def test_a_simulated_end_is_what_it_is_meant_to_be() -> None:
    assert {outcome: outcome for outcome in simulate._UNANSWERED} == {
        outcome: outcome_of(report) for outcome, report in simulate._UNANSWERED.items()
    }
