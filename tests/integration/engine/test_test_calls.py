"""Test calls, as the dialplan asks about them: once, soon, and only the last one asked for."""

from typing import Any

import pytest

from autodial.engine import test_calls as asked_for
from autodial.store import flags, views
from autodial.store.events import story
from tests.integration.conftest import NOON, Now
from tests.integration.house import House

NAME = "test-1234567890"
CALL = asked_for.TestCall(name=NAME, number="+442079460001", extension="101", dry=False, dtmf="12")
END = ("dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "101", "1000", "1010", "1075", "c", "1")


@pytest.fixture
def asked(house: House) -> House:
    """The command has asked for a call."""
    house.run(flags.tell, NOON, flags.TEST_CALL, CALL.stored())
    return house


def events(house: House) -> list[tuple[str, str]]:
    return [(line.kind, line.attempt) for line in house.run(story, 0)]


def test_a_call_from_its_claim_to_its_end(asked: House) -> None:
    claimed: dict[str, Any] = dict(asked.ask("claim", NAME, "", "").variables)
    assert ("1", "442079460001", "12", "101") == (
        claimed["AD_GO"], claimed["AD_NUM"], claimed["AD_DTMF"], claimed["AD_OPS"]
    )  # fmt: skip
    assert "AD_VIA" not in claimed
    answered = asked.ask("resolve", NAME, claimed["AD_KEY"]).variables
    assert ("1", "1", "101") == (answered["AD_OK"], answered["AD_RING"], answered["AD_OPS"])
    assert "1" == asked.ask("result", NAME, *END).variables["AD_ACK"]

    assert [("claimed", NAME), ("answered", NAME), ("ended", NAME)] == events(asked)
    assert [] == asked.run(views.attempt_lines), "in no ledger"
    assert [] == asked.run(views.messages), "nothing for the portal"


def test_a_dry_call_has_no_carrier(asked: House) -> None:
    dry = asked_for.TestCall(name=NAME, number="+10000000000", extension="101", dry=True)
    asked.run(flags.tell, NOON, flags.TEST_CALL, dry.stored())
    claimed = asked.ask("claim", NAME, "", "").variables

    assert ("autodial-test", "10000000000") == (claimed["AD_VIA"], claimed["AD_NUM"])


def test_it_is_dialled_once(asked: House) -> None:
    """Asterisk was killed in the call: it finds the file again."""
    assert "1" == asked.ask("claim", NAME, "", "").variables["AD_GO"]

    assert {"AD_GO": "0"} == asked.ask("claim", NAME, "", "").variables


def test_it_is_dialled_soon_or_never(asked: House, now: Now) -> None:
    """Asterisk was away when it was asked for, and comes back at midnight."""
    now.advance(seconds=asked_for.SOON.total_seconds() + 1)

    assert {"AD_GO": "0"} == asked.ask("claim", NAME, "", "").variables


@pytest.mark.parametrize("name", ["test-0000000000", "test-1234567891"])
def test_another_name_is_refused_and_leaves_no_trace(asked: House, name: str) -> None:
    assert {"AD_GO": "0"} == asked.ask("claim", name, "", "").variables
    assert {} == asked.ask("resolve", name, "x").variables
    assert "1" == asked.ask("result", name, *END).variables["AD_ACK"]

    assert [] == events(asked)


def test_doctor_has_asterisk_ask(house: House) -> None:
    assert {"AD_PONG": "1"} == house.ask("check", "1234567890").variables
    assert (NOON, "1234567890") == house.run(flags.told, flags.CHECKED)
    for number in ("", "12345", "1234567890'); drop", "x" * 500):
        house.ask("check", number)

    assert (NOON, "1234567890") == house.run(flags.told, flags.CHECKED)
