"""Valid internal numbers, and the messages about invalid ones."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from autodial import texts
from autodial.engine.operators import Roster
from autodial.model.ids import OperatorId, internal_number
from autodial.model.operator import DEVICE_STATES, Operator
from autodial.rules.extension_conflicts import conflicts
from autodial.store.presence import StaffRow
from tests.unit.lines import operator_line

USABLE = ("101", "sip-101", "anna.k", "A_1", "1" * 40)
HOSTILE = (
    '1" & SHELL(id) & "1', "1):System(id", "1,2", "1&2", "1:2", "1/2", "1 2", "1\n2", "${X}",
    "$[1]", "1" * 41, "1^2",
    "доб1", "１０１", "101\n", "1;2",
)  # fmt: skip


@pytest.mark.parametrize("number", USABLE)
def test_an_internal_number_is_used_as_it_is(number: str) -> None:
    assert number == internal_number(number)


@pytest.mark.parametrize("number", HOSTILE)
def test_what_is_none_is_never_rung_and_is_named(number: str) -> None:
    operator = Operator(id=OperatorId(1), name="x", extension=number, online=True)

    assert ("", False) == (operator.extension, operator.at_work)
    assert {1: ("unusable extension",)} == conflicts([operator_line(1, number)])
    assert texts.text("unusable extension", "ru") != texts.text("unusable extension", "en")


def test_planner_and_dialplan_go_by_one_table_of_device_states() -> None:
    """No client is dialled for an operator whom the dialplan would skip."""
    dialplan = (Path(__file__).parents[3] / "dialplan/autodial.conf").read_text()
    rung = re.findall(r'"\$\{DEVICE_STATE\([^)]*\)\}" = "([A-Z_]+)"', dialplan)
    now = datetime.now(UTC)
    free = {
        state
        for state in DEVICE_STATES
        if Operator(id=OperatorId(1), name="x", extension="101", online=True, phone=state).free(now)
    }

    assert 9 == len(DEVICE_STATES), "as many as Asterisk has"
    assert set(rung) == free


def test_a_phone_that_asterisk_does_not_know_is_off() -> None:
    unknown = Operator(id=OperatorId(1), name="x", extension="101", online=True, phone="UNKNOWN")

    assert ("phone off", False) == (unknown.state(datetime.now(UTC)), unknown.at_work)
    assert evolve(unknown, phone=None).at_work, "without a manager nobody can say"


def test_of_some_phones_known_the_others_cannot_ring() -> None:
    roster = Roster()
    rows = [StaffRow(id=OperatorId(n), name="x", extension=f"10{n}", online=True) for n in (1, 2)]
    roster.set_staff(rows)
    assert [None, None] == [one.phone for one in roster.operators()], "nothing is known yet"
    roster.set_phone("101", "NOT_INUSE")

    assert ["NOT_INUSE", "UNKNOWN"] == [one.phone for one in roster.operators()]
    assert ("102",) == roster.not_told()


def test_asked_and_told_of_no_phone_at_all_none_can_ring() -> None:
    """
    The endpoints are in a database, and Asterisk has just started: each endpoint is queried first.
    """
    roster = Roster()
    roster.set_staff([StaffRow(id=OperatorId(1), name="x", extension="101", online=True)])
    roster.ask_phones()
    assert ["UNKNOWN"] == [one.phone for one in roster.operators()]
    roster.forget_phones()

    assert [None] == [one.phone for one in roster.operators()]


def test_a_device_that_becomes_an_operator_s_phone_is_asked_for() -> None:
    """Its state has changed since Asterisk listed it, and nobody asked: it was no phone of ours."""
    roster = Roster()
    roster.set_staff([StaffRow(id=OperatorId(1), name="x", extension="101", online=True)])
    for extension in ("101", "102", "carrier1"):
        roster.set_phone(extension, "UNAVAILABLE")
    assert [True, False, False] == [roster.heeds(name) for name in ("101", "102", "carrier1")]
    both = [StaffRow(id=OperatorId(n), name="x", extension=f"10{n}", online=True) for n in (1, 2)]
    roster.set_staff(both)

    assert ("102",) == roster.not_told()
    assert ["UNAVAILABLE", "UNKNOWN"] == [one.phone for one in roster.operators()]


def test_a_phone_that_forwards_is_a_conflict() -> None:
    line = evolve(operator_line(1, "101"), forwards=datetime.now(UTC))

    assert {1: ("forwards",)} == conflicts([line])


def test_two_with_one_unusable_number_hear_both() -> None:
    lines = [operator_line(1, "1,2"), operator_line(2, "1,2")]

    assert {("unusable extension", "shared extension")} == set(conflicts(lines).values())
