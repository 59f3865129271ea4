"""How long a client who has answered waits until an operator's phone rings, as it is counted."""

from itertools import count

import pytest

from autodial.engine.ring_delay import BOUNDS
from autodial.model.ids import AttemptId
from tests.integration.house import House


def answered(house: House) -> AttemptId:
    """A call whose client has answered; the phone 101 is about to ring."""
    house.roster.set_phone("101", "NOT_INUSE")
    house.roster.set_phone("102", "NOT_INUSE")
    attempt = house.dial()
    house.ask("claim", attempt, "442079460000", "")
    house.ask("resolve", attempt)
    return attempt


def counted(house: House) -> dict[float, int]:
    """How many calls there are, by the bound of their bucket."""
    bounds = (*BOUNDS, float("inf"))
    counts = zip(bounds, house.roster.ring_delay.histogram.counts, strict=True)
    return {bound: number for bound, number in counts if number}


@pytest.fixture(autouse=True)
def clock(house: House) -> None:
    """Every look at the clock finds it 30 ms later."""
    ticks = count()
    house.roster.ring_delay.clock = lambda: next(ticks) * 0.03


def test_from_the_answer_to_the_ringing(house: House) -> None:
    answered(house)
    house.roster.set_phone("101", "RINGING")

    assert {0.05: 1} == counted(house)
    assert 0.03 == pytest.approx(house.roster.ring_delay.histogram.total)


def test_a_call_counts_once(house: House) -> None:
    """The operator does not pick up, and the next one's phone rings: that is another wait."""
    attempt = answered(house)
    house.roster.set_phone("101", "RINGING")
    house.roster.set_phone("101", "NOT_INUSE")
    house.ask("ringing", attempt, "102")
    house.roster.set_phone("102", "RINGING")

    assert {0.05: 1} == counted(house)


def test_the_first_phone_that_rings_counts(house: House) -> None:
    """101 went out of reach meanwhile: the client waited until 102 rang."""
    attempt = answered(house)
    house.ask("ringing", attempt, "102")
    house.roster.set_phone("102", "RINGING")

    assert {0.05: 1} == counted(house)


def test_phones_that_ring_for_others_do_not_count(house: House) -> None:
    answered(house)
    house.roster.set_phone("102", "RINGING")
    house.roster.set_phone("101", "INUSE")

    assert {} == counted(house)


def test_a_call_that_has_ended_is_forgotten(house: House) -> None:
    attempt = answered(house)
    house.ask("result", attempt, "dial", "ANSWER", "16", "")
    house.roster.set_phone("101", "RINGING")

    assert {} == counted(house)


def test_after_a_reconnection_the_moment_is_unknown(house: House) -> None:
    """The phone rings for some time when Asterisk's manager is back."""
    answered(house)
    house.roster.forget_phones()
    house.roster.set_phone("101", "RINGING")

    assert {} == counted(house)
