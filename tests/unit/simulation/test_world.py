"""A simulated day's clients and operators, measured from the ledger's calls."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from autodial.model.ended_call import Call
from autodial.model.outcome import Outcome
from autodial.simulation.behaviour import CallerBehaviour, TooFewCalls, measured

MOSCOW = ZoneInfo("Europe/Moscow")
TEN = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # by the call centre's clock
SECOND = timedelta(seconds=1)


def call(
    outcome: Outcome, at: datetime = TEN, rings: int = 8, waits: int = 4, talks: int = 60
) -> Call:
    answered = at + rings * SECOND
    is_talk, left = outcome is Outcome.TALKED, outcome is Outcome.CLIENT_LEFT
    return Call(
        outcome=outcome, claimed=at, answered=answered if is_talk or left else None,
        talked=answered + waits * SECOND if is_talk else None,
        ended=answered + (waits + talks * is_talk) * SECOND,
        talk_seconds=talks if is_talk else None,
    )  # fmt: skip


def test_shares_and_spans_are_those_of_the_calls() -> None:
    calls = [call(Outcome.TALKED)] * 60 + [call(Outcome.SILENT)] * 90 + [call(Outcome.BUSY)] * 30
    calls += [call(Outcome.TALKED, TEN + timedelta(hours=1), rings=9)] * 60
    calls += [call(Outcome.LINE_FAILED)] * 500  # no information about the clients
    behaviour = measured(calls, MOSCOW)
    assert {10: 60 / 180, 11: 1.0} == behaviour.answered
    assert 120 / 240 == behaviour.otherwise
    assert {Outcome.SILENT: 90, Outcome.BUSY: 30} == behaviour.unanswered
    assert {8.0, 9.0} == set(behaviour.rings)
    assert {60.0} == set(behaviour.talk) and {4.0} == set(behaviour.picks_up)
    assert 0.0 == behaviour.misses
    assert CallerBehaviour().patience == behaviour.patience, "nobody has left: it cannot be told"


def test_few_calls_of_an_hour_say_nothing_of_it() -> None:
    late = TEN + timedelta(hours=9)
    calls = [call(Outcome.SILENT)] * 200 + [call(Outcome.TALKED, late)] * 19
    assert {10} == set(measured(calls, MOSCOW).answered)
    calls += [call(Outcome.TALKED, late)]
    assert {10, 19} == set(measured(calls, MOSCOW).answered)


def test_too_few_calls_are_refused() -> None:
    with pytest.raises(TooFewCalls, match="199 of 200"):
        measured([call(Outcome.SILENT)] * 199, MOSCOW)
    measured([call(Outcome.SILENT)] * 200, MOSCOW)


def test_who_was_served_counts_for_patience_too() -> None:
    """Drawn with a patience of 60 s and served after 4 s: the estimate is within twenty percent."""
    random, calls = Random(1), []
    for _ in range(20_000):
        leaves = CallerBehaviour(patience=60.0).leaves_after(random)
        left = leaves < 4
        outcome = Outcome.CLIENT_LEFT if left else Outcome.TALKED
        answered = TEN + 8 * SECOND
        served = None if left else answered + 4 * SECOND
        calls.append(
            Call(
                outcome=outcome,
                claimed=TEN,
                answered=answered,
                talked=served,
                ended=answered + min(leaves, 4.0) * SECOND,
                talk_seconds=None,
            )
        )
    assert measured(calls, MOSCOW).patience == pytest.approx(60, rel=0.2)
