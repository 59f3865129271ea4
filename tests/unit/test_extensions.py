"""What may be an internal number, and what is said of one that may not."""

import pytest

from autodial import texts
from autodial.conflicts import conflicts
from autodial.model import Operator, OperatorId, internal_number
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


def test_two_with_one_unusable_number_hear_both() -> None:
    lines = [operator_line(1, "1,2"), operator_line(2, "1,2")]

    assert {("unusable extension", "shared extension")} == set(conflicts(lines).values())
