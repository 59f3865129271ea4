"""Carriers, caller ids, and calls beyond the free operators, on a real store."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from autodial.config.rules import PurposeConfig
from autodial.config.sections import CallerIdConfig, TrunkConfig
from autodial.config.settings import Config
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.outcome import Outcome
from autodial.rules.hangup import parse_report
from autodial.rules.rolling_statistics import Answered, PastCalls
from autodial.store import attempt_queries, tasks, views
from tests.integration.conftest import NOON, FakeStore, Now
from tests.integration.house import House, build, variant
from tests.integration.store.test_ledger import bring, phone_of, portal_task

Run = Callable[..., Any]
Make = Callable[..., House]
ONE, TWO = "442079460001", "442079460002"
FIRST, SECOND, THIRD, FOURTH = (AttemptId(f"t{number}-1") for number in range(8017, 8021))
TALKED = parse_report(["dial", "ANSWER", "16", "", "talk", "101", "1000", "1010", "1075", "c"])
MISSED = parse_report(["dial", "ANSWER", "16", "", "NOANSWER", "101", "1000", "", "1020", "c"])


@pytest.fixture
def make(config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path) -> Make:
    def one(**sections: dict[str, Any]) -> House:
        pace = {"calls_per_second": 50.0, **sections.pop("pace", {})}
        return build(variant(config, pace=pace, **sections), store, now, run, tmp_path)

    return one


def numbered(**limits: int) -> dict[str, Any]:
    limit = CallerIdConfig.model_validate({"number": ONE, **limits})
    return {"trunks": (trunk("a", 9, ONE, TWO), trunk("b", 9)), "caller_ids": (limit,)}


def trunk(name: str, lines: int, *numbers: str) -> TrunkConfig:
    return TrunkConfig.model_validate({"name": name, "lines": lines, "caller_ids": numbers})


async def turns(house: House, now: Now, times: int) -> None:
    for _ in range(times):
        await house.dispatcher.turn()
        now.advance(seconds=1)


def shown(house: House) -> list[str]:
    return [attempt.routes[0].caller_id for attempt in house.run(attempt_queries.in_flight)]


@pytest_twisted.ensureDeferred
async def test_a_spent_number_is_not_shown_again_today(make: Make, run: Run, now: Now) -> None:
    """A restart of the dialler changes nothing. After a day the number is shown again."""
    house = make(asterisk=numbered(per_day=1))
    bring(run, portal_task(8018), portal_task(8019))
    await turns(house, now, 3)
    assert [ONE, TWO, TWO] == shown(house)
    again = make(asterisk=numbered(per_day=1))
    again.engine.calls.statistics.recall(run(attempt_queries.past, now(), timedelta(days=1)))
    assert TWO == again.engine.conditions.facts().routes[""][0].caller_id
    now.moment = NOON + timedelta(days=1)
    assert ONE == again.engine.conditions.facts().routes[""][0].caller_id


@pytest_twisted.ensureDeferred
async def test_the_dialplan_is_told_the_number_for_each_carrier(make: Make, now: Now) -> None:
    house = make(asterisk=numbered())
    await turns(house, now, 1)
    variables = house.ask("claim", FIRST, "442079460000", "").variables
    assert ("a:b", f"{ONE}:") == (variables["AD_TRUNKS"], variables["AD_CIDS"])


@pytest_twisted.ensureDeferred
async def test_a_purpose_waits_for_its_own_carrier_while_others_are_dialled(
    config: Config, store: FakeStore, now: Now, run: Run, tmp_path: Path
) -> None:
    debt = PurposeConfig.model_validate(
        {"name": "debt", "tag": "долг", "trunks": ("b",), "caller_ids": (TWO,)}
    )
    trunks = (trunk("a", 9), trunk("b", 1))
    changed = variant(config, asterisk={"trunks": trunks}, pace={"calls_per_second": 50.0})
    house = build(changed.model_copy(update={"purposes": (debt,)}), store, now, run, tmp_path)
    both = [
        tasks.Imported(portal_task(number), (phone_of(number),), purpose="debt")
        for number in (8017, 8018)
    ]
    run(tasks.save_tasks, both, NOON, asked=NOON)
    bring(run, portal_task(8019))
    await turns(house, now, 4)
    routes_of = {attempt.task: attempt.routes for attempt in run(attempt_queries.in_flight)}
    assert {8017, 8019} == set(routes_of)
    assert ("b", TWO) == (routes_of[8017][0].trunk, routes_of[8017][0].caller_id)
    assert ("a", "") == (routes_of[8019][0].trunk, routes_of[8019][0].caller_id)
    assert "no route" == next(line.reason for line in run(views.task_lines) if line.id == 8018)


def strong(make: Make, run: Run, answered: int = 400) -> House:
    """Two clients for each operator, after a day with so many answered calls."""
    house = make(pace={"dial_ratio": 2.0})
    moments = tuple(Answered(at=NOON - timedelta(minutes=n)) for n in range(answered))[::-1]
    house.engine.calls.statistics.recall(PastCalls(answers=moments))
    bring(run, *(portal_task(number) for number in range(8018, 8027)))
    return house


@pytest_twisted.ensureDeferred
async def test_beyond_the_operators_only_as_many_as_the_cap_allows(
    make: Make, run: Run, now: Now
) -> None:
    """Three operators, and a factor of two. Half of 3 % of 150 allows two more calls."""
    house = strong(make, run, answered=150)
    await turns(house, now, 10)
    assert 5 == len(run(attempt_queries.in_flight))
    assert 3 == len(run(attempt_queries.reserved))
    house.engine.calls.statistics.ended(Answered(at=now(), abandoned=True))
    await house.engine.ends.give_up(FIRST, "test")
    await house.engine.ends.give_up(AttemptId("t8021-1"), "test")
    await turns(house, now, 10)
    assert 4 == len(run(attempt_queries.in_flight)), "one was abandoned: one less"


@pytest_twisted.ensureDeferred
async def test_without_a_measured_rate_it_is_one_for_one(make: Make, run: Run, now: Now) -> None:
    house = strong(make, run, answered=0)
    await turns(house, now, 10)
    assert 3 == len(run(attempt_queries.in_flight))


@pytest_twisted.ensureDeferred
async def test_who_answers_first_gets_the_operator_held_for_another(
    make: Make, run: Run, now: Now
) -> None:
    """
    The other client gets no operator, or the one reserved for the first call. No attempt reserves
    two operators.
    """
    house = strong(make, run)
    await turns(house, now, 10)
    dialled = {attempt.id for attempt in run(attempt_queries.in_flight)}
    held = {attempt: who for who, attempt in run(attempt_queries.reserved).items()}
    overdial = sorted(dialled - set(held))[0]
    await house.call_control.claim(overdial)
    ring = house.call_control.whom_to_ring(overdial)
    assert ring is not None and {"101", "102", "103"} == set(ring.extensions)
    house.ask("ringing", overdial, "101")
    now_held = run(attempt_queries.reserved)
    assert overdial == now_held[OperatorId(501)]
    assert 3 == len(now_held)
    assert now_held == {o.id: o.reserved_for for o in house.roster.operators()}

    other = next(a for a in held if a not in now_held.values())
    await house.call_control.claim(other)
    ring = house.call_control.whom_to_ring(other)
    assert ring is not None and "101" not in ring.extensions, "he is being rung"
    house.ask("ringing", other, "102")
    assert other == run(attempt_queries.reserved)[OperatorId(502)]


@pytest_twisted.ensureDeferred
async def test_two_calls_may_swap_their_operators(make: Make, run: Run, now: Now) -> None:
    house = strong(make, run)
    await turns(house, now, 10)
    assert {501: FIRST, 502: SECOND} == {
        who: attempt for who, attempt in run(attempt_queries.reserved).items() if who in (501, 502)
    }
    await house.call_control.claim(FIRST)
    house.ask("ringing", FIRST, "102")
    held = run(attempt_queries.reserved)
    assert (SECOND, FIRST) == (held[OperatorId(501)], held[OperatorId(502)])
    assert held == {o.id: o.reserved_for for o in house.roster.operators()}


@pytest_twisted.ensureDeferred
async def test_one_for_one_nobody_takes_another_s_operator(make: Make, run: Run, now: Now) -> None:
    house = make()
    bring(run, portal_task(8018))
    await turns(house, now, 2)
    await house.call_control.claim(FIRST)
    ring = house.call_control.whom_to_ring(FIRST)
    assert ring is not None and ("101", "103") == ring.extensions


@pytest_twisted.ensureDeferred
async def test_reservations_that_differ_from_the_store_s_are_read_again(
    make: Make, run: Run, now: Now
) -> None:
    house = make()
    bring(run, portal_task(8018))
    await turns(house, now, 1)
    house.roster.set_reserved({})  # as if it had been forgotten
    await turns(house, now, 2)
    assert {501: FIRST, 502: SECOND} == run(attempt_queries.reserved), (
        "the next free one, not the same"
    )


@pytest_twisted.ensureDeferred
async def test_above_the_cap_one_operator_is_kept_free(make: Make, run: Run, now: Now) -> None:
    house = strong(make, run)
    for _ in range(20):
        house.engine.calls.statistics.ended(Answered(at=NOON, abandoned=True))
    await turns(house, now, 10)
    assert 2 == len(run(attempt_queries.in_flight))
    assert "abandoned" in {line.reason for line in run(views.task_lines)}


@pytest_twisted.ensureDeferred
async def test_what_is_measured_survives_a_restart(make: Make, run: Run, now: Now) -> None:
    house = make()
    bring(run, portal_task(8018))
    await turns(house, now, 2)
    for attempt, report in ((FIRST, TALKED), (SECOND, MISSED)):
        await house.call_control.claim(attempt)
        await house.engine.ends.record(attempt, report)
    assert (2, 1) == _answers(house, now)
    again = make()
    again.engine.calls.statistics.recall(run(attempt_queries.past, now(), timedelta(days=1)))
    assert (2, 1) == _answers(again, now)
    assert Outcome.OPERATOR_MISSED.value == run(views.attempt_lines)[-1].outcome


def _answers(house: House, now: Now) -> tuple[int, int]:
    counts = house.engine.calls.statistics.answers(now())
    return counts.answered, counts.abandoned
