"""How many calls, over which carriers, with which numbers shown: both sides of each limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from autodial.model.attempt import Attempt
from autodial.model.attempt_states import State
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator
from autodial.model.outcome import Outcome
from autodial.model.trunk import NumberLimit, PurposeRoutes, Route, Trunk
from autodial.rules.capacity import capacity
from autodial.rules.pacing import EVERY, Answers, Pacing, abandoned, late
from autodial.rules.rolling_statistics import Answered, PastCalls, RollingStatistics
from autodial.rules.trunk_choice import Routing, Use

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ONE, TWO = "442079460001", "442079460002"
ROUTING = Routing(
    trunks=(
        Trunk(name="a", lines=2, caller_ids=(ONE, TWO)),
        Trunk(name="b", lines=1, minimum_interval=timedelta(seconds=2)),
    ),
    limits={ONE: NumberLimit(calls=1, per_day=3)},
    purposes={"debt": PurposeRoutes(trunks=("b",), caller_ids=(ONE,))},
)


def test_a_carrier_without_a_line_is_passed_over() -> None:
    free = ROUTING.free(Use(lines={"a": 1}), NOON)
    assert (Route("a", ONE), Route("b")) == free[""]
    assert (Route("b"),) == ROUTING.free(Use(lines={"a": 2}), NOON)[""]


def test_a_carrier_s_own_pace() -> None:
    for second, free in ((1, False), (2, True)):
        use = Use(started={"b": NOON - timedelta(seconds=second)})
        assert (Route("b") in ROUTING.free(use, NOON)[""]) is free


@pytest.mark.parametrize(
    ("use", "shown"),
    [
        (Use(), ONE),
        (Use(in_a_day={ONE: 2, TWO: 2}), ONE),
        (Use(in_a_day={ONE: 2, TWO: 1}), TWO),  # the number shown least
        (Use(in_a_day={ONE: 3, TWO: 9}), TWO),  # its limit for the day is reached
        (Use(shown={ONE: 1}), TWO),  # it is in a call
    ],
)
def test_numbers_are_shown_in_turn_and_within_their_limits(use: Use, shown: str) -> None:
    assert Route("a", shown) == ROUTING.free(use, NOON)[""][0]


def test_a_purpose_has_carriers_and_numbers_of_its_own() -> None:
    assert (Route("b", ONE),) == ROUTING.free(Use(), NOON)["debt"]
    assert () == ROUTING.free(Use(shown={ONE: 1}), NOON)["debt"]
    assert () == ROUTING.free(Use(lines={"b": 1}), NOON)["debt"]


def test_the_common_number_is_named_only_where_it_is_counted() -> None:
    """Otherwise it would override the dialplan's own number for the carrier."""
    trunks = (Trunk(name="a", lines=1),)
    assert (Route("a"),) == Routing(trunks=trunks, common=TWO).free(Use(), NOON)[""]
    counted = Routing(trunks=trunks, common=TWO, limits={TWO: NumberLimit(per_day=1)})
    assert (Route("a", TWO),) == counted.free(Use(), NOON)[""]
    assert () == counted.free(Use(in_a_day={TWO: 1}), NOON)[""]


ANNA = Operator(id=OperatorId(1), name="Анна", extension="101", online=True, phone="NOT_INUSE")
ATTEMPT = Attempt(
    id=AttemptId("t1-1"), task=TaskId(1), number="+442079460000", dtmf="", operator=ANNA.id,
    extension="101", client="", title="", responsible=ANNA.id, routes=(Route("a", ONE),),
    state=State.CLAIMED, generation=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "answered", "abandoned", "dialling", "unheld", "more"),
    [
        (1.0, 9999, 0, 0, 0, 0),  # one for one: never
        (2.0, 0, 0, 0, 0, 0),  # nothing measured yet
        (2.0, 66, 0, 4, 0, 0),  # half of 3 % of 66 is less than one
        (2.0, 67, 0, 4, 0, 1),
        (2.0, 67, 1, 4, 0, 0),  # used up
        (2.0, 67, 0, 4, 1, 0),  # would be exceeded if this call were abandoned
        (2.0, 9999, 0, 4, 0, 4),  # 8 for 4 operators
        (2.0, 9999, 0, 8, 0, 0),
        (1.5, 9999, 0, 4, 0, 2),
    ],
)
def test_calls_beyond_the_operators_only_under_the_cap(
    ratio: float, answered: int, abandoned: int, dialling: int, unheld: int, more: int
) -> None:
    power = Pacing(ratio=ratio)
    answers = Answers(answered=answered, abandoned=abandoned)
    assert more == power.overdial(answers, operators=4, dialling=dialling, unheld=unheld)


def test_above_the_cap_somebody_is_kept_free() -> None:
    assert 0 == Pacing().reserve_operators(Answers(answered=100, abandoned=3))
    assert 1 == Pacing().reserve_operators(Answers(answered=100, abandoned=4))
    assert 0 == Pacing().reserve_operators(Answers(answered=99, abandoned=50)), "too few to say"


@pytest.mark.parametrize(
    ("outcome", "seconds", "lost"),
    [
        (Outcome.OPERATOR_MISSED, 0, True),
        (Outcome.CLIENT_LEFT, 1, False),
        (Outcome.CLIENT_LEFT, 2, True),
        (Outcome.TALKED, 60, False),
    ],
)
def test_who_was_abandoned(outcome: Outcome, seconds: int, lost: bool) -> None:
    assert lost is abandoned(outcome, NOON, NOON + timedelta(seconds=seconds))


def test_who_left_nobody_knows_when_counts_as_abandoned() -> None:
    assert abandoned(Outcome.CLIENT_LEFT, None, NOON)


def test_what_is_old_no_longer_counts() -> None:
    statistics = RollingStatistics(timedelta(hours=1))
    hour, day = timedelta(hours=1), timedelta(days=1)
    statistics.recall(
        PastCalls(
            (Answered(at=NOON - hour, abandoned=True), Answered(at=NOON)),
            ((NOON - day, ONE), (NOON, ONE)),
        )
    )
    assert Answers(answered=1, abandoned=0) == statistics.answers(NOON)
    assert {ONE: 1} == statistics.in_a_day(NOON)
    statistics.ended(Answered(at=NOON, abandoned=True, late=True))
    statistics.shown(NOON, ONE)
    statistics.shown(NOON, "")
    assert Answers(answered=2, abandoned=1, late=1) == statistics.answers(NOON)
    assert {ONE: 2} == statistics.in_a_day(NOON)
    assert Answers() == statistics.answers(NOON + hour)


@pytest.mark.parametrize(
    ("state", "phone", "overdial"),
    [
        ("claimed", "NOT_INUSE", 1),  # the operator will take one of the two
        ("answered", "NOT_INUSE", 0),  # the operator is being rung
        ("answered", "INUSE", 0),
        ("claimed", "INUSE", 0),  # the operator has made another call
    ],
)
def test_who_could_take_a_client_counts(state: str, phone: str, overdial: int) -> None:
    held = evolve(ANNA, reserved_for=ATTEMPT.id, phone=phone)
    calls = (evolve(ATTEMPT, state=State(state)),)
    result = capacity(
        Pacing(ratio=2.0), ROUTING, live=calls, own=calls, operators=(held,),
        answers={"": Answers(answered=999)}, in_a_day={}, started={}, now=NOON,
    )  # fmt: skip
    assert {EVERY: overdial} == result["overdial"]
    assert 1 == result["calls"]
    assert Route("a", TWO) == result["routes"][""][0], "the other number: this one is in a call"


@pytest.mark.parametrize(
    ("outcome", "answered", "talked", "waited"),
    [
        (Outcome.TALKED, 0, 1, False),
        (Outcome.TALKED, 0, 2, True),  # the client talked, after a wait
        (Outcome.TALKED, 0, None, True),  # unknown
        (Outcome.TALKED, None, 1, True),
        (Outcome.OPERATOR_MISSED, 0, None, True),
        (Outcome.CLIENT_LEFT, 0, None, True),
        (Outcome.SILENT, None, None, False),
    ],
)
def test_who_had_no_operator_within_two_seconds(
    outcome: Outcome, answered: int | None, talked: int | None, waited: bool
) -> None:
    def moment(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOON + timedelta(seconds=seconds)

    assert waited is late(outcome, moment(answered), moment(talked), NOON + timedelta(minutes=1))
    assert waited or not abandoned(outcome, moment(answered), moment(60)), "a part of them"


def test_the_cap_is_on_what_the_law_counts() -> None:
    answers = Answers(answered=1000, abandoned=1, late=20)
    mine, theirs = Pacing(ratio=2.0), Pacing(ratio=2.0, in_two_seconds=True)
    assert 4 == mine.overdial(answers, operators=4, dialling=4, unheld=0)
    assert 0 == theirs.overdial(answers, operators=4, dialling=4, unheld=0)
    assert 0 == theirs.reserve_operators(evolve(answers, late=900)), "nobody helps who only waits"


def test_where_the_cap_is_by_purpose_each_has_its_own() -> None:
    busy = evolve(ATTEMPT, purpose="debt")
    answers = {"debt": Answers(answered=1000, abandoned=15), "service": Answers(answered=1000)}
    rest: dict[str, Any] = {"in_a_day": {}, "started": {}, "now": NOON}
    staff = (evolve(ANNA, reserved_for=ATTEMPT.id),)
    for power, more in (
        (Pacing(ratio=3.0), {EVERY: 2}),
        (Pacing(ratio=3.0, by_purpose=True), {"debt": 0, "service": 2}),
    ):
        result = capacity(
            power, ROUTING, live=(busy,), own=(busy,), operators=staff, answers=answers, **rest
        )
        assert more == result["overdial"]
