"""The dial decision, rule by rule: without a call and its reason, and with a call."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from autodial import texts
from autodial.config.rules import ClientConfig
from autodial.model.ids import AttemptId, OperatorId, TaskId
from autodial.model.operator import Operator
from autodial.model.task import Called, CallTask, Phone
from autodial.model.trunk import Route
from autodial.rules.calling_hours import Calendar, Hours
from autodial.rules.contact_limits import DAY, DayHours, Limits
from autodial.rules.dial_decision import decide, explain
from autodial.rules.dial_facts import SOON, Dial, Drop, Facts, Reason, Wait, Who
from autodial.rules.operator_choice import in_order, standing_in
from autodial.rules.pacing import EVERY

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday
MINUTE = timedelta(minutes=1)
ONE = Phone("+442079460000", "Иван", "CONTACT", 5)
TWO = Phone("+442079460001", "Мария", "CONTACT", 6)
ANNA = Operator(id=OperatorId(1), name="Анна", extension="101", online=True, phone="NOT_INUSE")
BORIS = Operator(id=OperatorId(2), name="Борис", extension="102", online=True, phone="NOT_INUSE")
ALL_DAY = (time(0), time(0))
FREE = Limits(hours=DayHours.alike(ALL_DAY, ALL_DAY), default_zone=ZoneInfo("UTC"))
TASK = CallTask(
    id=TaskId(8017), title="Позвонить", responsible=ANNA.id, due=NOON, phones=(ONE, TWO)
)
FACTS = Facts(
    operators=(ANNA, BORIS),
    deputies={},
    do_not_call=frozenset(),
    hours=Hours(ZoneInfo("UTC"), (ALL_DAY,) * 7),
    limits=FREE,
    portal_ok=True,
    pbx_ok=True,
    paused=False,
    calls=0,
    max_calls=10,
    routes={"": (Route("carrier1"),)},
    next_start=None,
)
BOTH = {ONE.number, TWO.number}


def called(*moments: datetime) -> dict[str, tuple[Called, ...]]:
    return dict.fromkeys(BOTH, tuple(Called(moment) for moment in moments))


#: Reason, task and facts, and the smallest change that allows the call.
RULES: list[tuple[Reason, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (Reason.CLOSED, {"open": False}, {}, {"open": True}),
    (Reason.FINISHED, {"closed_reason": "talked"}, {}, {"closed_reason": ""}),
    (Reason.NO_PHONE, {"phones": ()}, {}, {"phones": (ONE,)}),
    (Reason.NO_DEADLINE, {"due": None}, {}, {"due": NOON}),
    (Reason.ENOUGH, {"attempts": 3}, {"limits": evolve(FREE, attempts=3)}, {"attempts": 2}),
    (Reason.IN_PROGRESS, {"in_progress": True}, {}, {"in_progress": False}),
    (Reason.NOT_DUE, {"due": NOON + MINUTE}, {}, {"due": NOON}),
    (Reason.CONFIRM, {"needs_confirmation": True}, {}, {"confirmed": True}),
    (Reason.PAUSED, {}, {"paused": True}, {"paused": False}),
    (Reason.RULES_UNREADABLE, {}, {"do_not_call": None}, {"do_not_call": frozenset()}),
    (
        Reason.DO_NOT_CALL, {}, {"do_not_call": frozenset(BOTH)},
        {"do_not_call": frozenset({ONE.number})},
    ),
    (Reason.DO_NOT_CALL, {"do_not_call": True}, {}, {"do_not_call": False}),
    (
        Reason.DO_NOT_CALL, {"phones": (evolve(ONE, do_not_call=True),)}, {}, {"phones": (ONE,)},
    ),
    (
        Reason.NO_CONSENT, {"phones": (evolve(ONE, no_consent=True),)}, {}, {"phones": (ONE,)},
    ),
    (Reason.WRONG_NUMBER, {"wrong": frozenset(BOTH)}, {}, {"wrong": frozenset({ONE.number})}),
    (
        Reason.SAME_CLIENT, {"called_now": frozenset(BOTH)}, {},
        {"called_now": frozenset({TWO.number})},
    ),
    (
        Reason.CLIENT_HOURS, {},
        {"limits": evolve(FREE, hours=DayHours.alike((time(12, 1), time(20)), ALL_DAY))},
        {"limits": evolve(FREE, hours=DayHours.alike((time(12), time(20)), ALL_DAY))},
    ),
    (
        Reason.CLIENT_HOURS, {"phones": (evolve(ONE, zone="UTC+8"),)},
        {"limits": evolve(FREE, hours=DayHours.alike((time(9), time(20)), ALL_DAY))},
        {"phones": (evolve(ONE, zone="UTC+7"),)},
    ),
    (
        Reason.BUDGET, {"history": called(NOON - DAY + MINUTE)},
        {"limits": evolve(FREE, per=((DAY, 1),))},
        {"history": called(NOON - DAY)},
    ),
    (
        Reason.BUDGET, {"history": called(NOON - timedelta(minutes=59))},
        {"limits": evolve(FREE, minimum_interval=timedelta(hours=1))},
        {"history": called(NOON - timedelta(minutes=60))},
    ),
    (
        Reason.HOURS, {}, {"hours": Hours(ZoneInfo("UTC"), ((time(12, 1), time(20)),) * 7)},
        {"hours": Hours(ZoneInfo("UTC"), ((time(12), time(20)),) * 7)},
    ),
    (Reason.PORTAL_SILENT, {}, {"portal_ok": False}, {"portal_ok": True}),
    (Reason.PBX_SILENT, {}, {"pbx_ok": False}, {"pbx_ok": True}),
    (Reason.DIALPLAN, {}, {"dialplan_ok": False}, {"dialplan_ok": True}),
    (Reason.STORE_MOVED, {}, {"store_ok": False}, {"store_ok": True}),
    (Reason.SPOOL_REFUSES, {}, {"spool_ok": False}, {"spool_ok": True}),
    (
        Reason.NOBODY_AT_WORK, {}, {"operators": (evolve(ANNA, online=False),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.NOBODY_AT_WORK, {}, {"operators": (evolve(ANNA, phone="UNAVAILABLE"),)},
        {"operators": (evolve(ANNA, phone=None),)},
    ),
    (
        Reason.NOBODY_AT_WORK, {}, {"operators": (evolve(ANNA, phone="UNKNOWN"),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.NOBODY_AT_WORK, {}, {"operators": (evolve(ANNA, phone="INVALID"),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.OPERATORS_BUSY, {}, {"operators": (evolve(ANNA, phone="INUSE"),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.OPERATORS_BUSY, {}, {"operators": (evolve(ANNA, reserved_for=AttemptId("t1-1")),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.OPERATORS_BUSY, {}, {"operators": (evolve(ANNA, paused=True),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.OPERATORS_BUSY, {}, {"operators": (evolve(ANNA, wraps_until=NOON + MINUTE),)},
        {"operators": (evolve(ANNA, wraps_until=NOON),)},
    ),
    (
        Reason.RESPONSIBLE_BUSY, {},
        {"operators": (evolve(ANNA, phone="INUSE"), BORIS), "wait_for_responsible": MINUTE},
        {"wait_for_responsible": timedelta(0)},
    ),
    (
        Reason.NOT_FOR_OTHERS, {},
        {"operators": (evolve(ANNA, phone="INUSE"), BORIS), "order": (Who.RESPONSIBLE,)},
        {"deputies": {ANNA.id: (BORIS.id,)}, "order": (Who.RESPONSIBLE, Who.DEPUTIES)},
    ),
    (Reason.TRUNKS_FULL, {}, {"calls": 10}, {"calls": 9}),
    (Reason.TRUNKS_FULL, {}, {"routes": {"": ()}}, {"routes": {"": (Route("c"),)}}),
    (
        Reason.NO_ROUTE, {"purpose": "debt"}, {"routes": {"": (Route("c"),), "debt": ()}},
        {"routes": {"": (), "debt": (Route("c"),)}},
    ),
    (
        Reason.ABANDONED, {},
        {"operators": (ANNA, evolve(BORIS, phone="INUSE")), "reserve_operators": 1},
        {"reserve_operators": 0},
    ),
    (Reason.PACE, {}, {"next_start": NOON + MINUTE}, {"next_start": NOON}),
    (
        Reason.OTHER_NODE, {}, {"operators": (evolve(ANNA, elsewhere=True), BORIS)},
        {"operators": (ANNA, BORIS)},
    ),
    (
        Reason.OTHER_NODE, {},
        {"operators": (evolve(ANNA, elsewhere=True), BORIS), "order": (Who.RESPONSIBLE,)},
        {"operators": (evolve(ANNA, elsewhere=True, phone="INUSE"), BORIS), "order": tuple(Who)},
    ),
    (
        Reason.NOBODY_AT_WORK, {}, {"operators": (evolve(ANNA, elsewhere=True),)},
        {"operators": (ANNA,)},
    ),
    (
        Reason.OPERATORS_BUSY, {},
        {"operators": (evolve(ANNA, elsewhere=True), evolve(BORIS, phone="INUSE"))},
        {"operators": (evolve(ANNA, elsewhere=True, phone="INUSE"), BORIS)},
    ),
]  # fmt: skip


MOSCOW = ZoneInfo("Europe/Moscow")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=MOSCOW)


def by_preset(name: str, **settings: Any) -> Limits:
    wishes = ClientConfig.model_validate({"preset": name, **settings})
    return wishes.limits(Calendar(country="RU", days_off=(date(2026, 11, 25),)), "Europe/Moscow")


SPAN = (time(9), time(20))
RUSSIA = Hours(MOSCOW, (*[SPAN] * 5, None, None), calendar=Calendar(country="RU"), holiday=None)
WORKED = Calendar(working_days=(date(2026, 11, 28),))
QUIET = Hours(MOSCOW, (ALL_DAY,) * 7, quiet=((time(13), time(14)),))
#: Calendar, presets and budgets through the real decision: the facts, the last refused minute and
#: the first allowed one.
CALENDAR: dict[str, tuple[Reason, dict[str, Any], str, str, tuple[str, ...]]] = {
    "a public holiday": (
        Reason.HOURS, {"hours": RUSSIA}, "2026-11-04T19:59", "2026-11-05T09:00", (),
    ),
    "a weekend that is worked": (
        Reason.HOURS, {"hours": evolve(RUSSIA, calendar=WORKED)},
        "2026-11-28T08:59", "2026-11-28T09:00", (),
    ),
    "a quiet period": (Reason.HOURS, {"hours": QUIET}, "2026-11-23T13:59", "2026-11-23T14:00", ()),
    "a quiet period begins": (
        Reason.HOURS, {"hours": QUIET}, "2026-11-23T13:00", "2026-11-23T12:59", (),
    ),
    "230-FZ, a workday's morning": (
        Reason.CLIENT_HOURS, {"limits": by_preset("ru-230fz")},
        "2026-11-23T07:59", "2026-11-23T08:00", (),
    ),
    "230-FZ, a workday's evening": (
        Reason.CLIENT_HOURS, {"limits": by_preset("ru-230fz")},
        "2026-11-23T22:00", "2026-11-23T21:59", (),
    ),
    "230-FZ, a site's own day off": (
        Reason.CLIENT_HOURS, {"limits": by_preset("ru-230fz")},
        "2026-11-25T08:59", "2026-11-25T09:00", (),
    ),
    "230-FZ, a day": (
        Reason.BUDGET, {"limits": by_preset("ru-230fz")},
        "2026-11-24T11:59", "2026-11-24T12:00", ("2026-11-23T12:00",),
    ),
    "230-FZ, a week": (
        Reason.BUDGET, {"limits": by_preset("ru-230fz")},
        "2026-11-30T11:59", "2026-11-30T12:00", ("2026-11-23T12:00", "2026-11-25T12:00"),
    ),
    "230-FZ, a month": (
        Reason.BUDGET, {"limits": by_preset("ru-230fz")},
        "2026-11-01T11:59", "2026-11-01T12:00",
        tuple(f"2026-10-{day:02d}T12:00" for day in (1, 2, 8, 9, 15, 16, 22, 23)),
    ),
    "an hour": (
        Reason.BUDGET, {"limits": by_preset("none", per_hour=2)},
        "2026-11-23T12:59", "2026-11-23T13:00", ("2026-11-23T12:00", "2026-11-23T12:30"),
    ),
    "FTC, the evening": (
        Reason.CLIENT_HOURS, {"limits": by_preset("us-ftc")},
        "2026-11-23T21:00", "2026-11-23T20:59", (),
    ),
    "Ofcom, the rest after an abandoned call": (
        Reason.BUDGET, {"limits": by_preset("uk-ofcom")},
        "2026-11-26T11:59", "2026-11-26T12:00", ("!2026-11-23T12:00",),
    ),
    "courtesy, the morning": (
        Reason.CLIENT_HOURS, {"limits": by_preset("courtesy")},
        "2026-11-23T08:59", "2026-11-23T09:00", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALENDAR)
def test_calendars_and_presets_through_the_real_decision(name: str) -> None:
    reason, so, no, yes, calls = CALENDAR[name]
    had = tuple(Called(at(call.lstrip("!")), call.startswith("!")) for call in calls)
    phone = evolve(ONE, zone="Europe/Moscow")
    task = evolve(TASK, due=at("2026-10-01T00:00"), phones=(phone,), history={phone.number: had})
    facts = evolve(FACTS, **so)
    refusal = decide(task, facts, at(no))

    assert isinstance(refusal, Wait)
    assert refusal.reason is reason
    assert isinstance(decide(task, facts, at(yes)), Dial)


def test_a_number_that_is_never_dialled_does_not_hide_when_the_other_one_is() -> None:
    """The do-not-call list gives no time: the task waits for the budget of the other number."""
    limits = evolve(FREE, per=((7 * DAY, 1),))
    history = {TWO.number: (Called(NOON - DAY),)}
    task, facts = evolve(TASK, history=history), evolve(FACTS, limits=limits)
    listed = evolve(facts, do_not_call=frozenset({ONE.number}))

    assert decide(evolve(task, phones=(ONE, TWO)), listed, NOON) == Wait(
        Reason.BUDGET, NOON + 6 * DAY
    )


def _both(change: dict[str, Any], task: CallTask, facts: Facts) -> tuple[CallTask, Facts]:
    """A change concerns the task or the facts."""
    of_task = {k: v for k, v in change.items() if hasattr(task, k)}
    of_facts = {k: v for k, v in change.items() if not hasattr(task, k)}
    if "do_not_call" in of_task and not isinstance(of_task["do_not_call"], bool):
        of_facts["do_not_call"] = of_task.pop("do_not_call")
    return evolve(task, **of_task), evolve(facts, **of_facts)


@pytest.mark.parametrize(("reason", "of_task", "of_facts", "least"), RULES)
def test_a_rule_holds_on_one_side_and_not_on_the_other(
    reason: Reason, of_task: dict[str, Any], of_facts: dict[str, Any], least: dict[str, Any]
) -> None:
    task, facts = evolve(TASK, **of_task), evolve(FACTS, **of_facts)
    refused = decide(task, facts, NOON)
    assert isinstance(refused, Wait | Drop)
    assert reason is refused.reason
    if isinstance(refused, Wait):
        assert refused.until > NOON

    assert isinstance(decide(*_both(least, task, facts), NOON), Dial)


def test_every_reason_is_tried_above_and_has_its_sentences() -> None:
    assert set(Reason) - {Reason.SHADOW} == {reason for reason, *_ in RULES}
    for reason in Reason:
        for language in ("ru", "en"):
            assert texts.text(reason.value, language)
            assert texts.text(f"change.{reason.value}", language)


@pytest.mark.parametrize(("reason", "of_task", "of_facts", "least"), RULES)
def test_the_trace_ends_at_the_rule_that_holds(
    reason: Reason, of_task: dict[str, Any], of_facts: dict[str, Any], least: dict[str, Any]
) -> None:
    looks = explain(evolve(TASK, **of_task), evolve(FACTS, **of_facts), NOON)
    held = [look for look in looks if look.refusal is not None]
    assert reason in {look.reason for look in held}
    assert all(look.detail in BOTH for look in held[:-1]), "only numbers are refused before"
    assert len(looks) >= len(held)


def test_beyond_the_free_operators_a_call_is_nobody_s_yet() -> None:
    talking = tuple(evolve(one, phone="INUSE") for one in (ANNA, BORIS))
    decision = decide(TASK, evolve(FACTS, operators=talking, overdial={EVERY: 1}), NOON)
    assert Dial(ONE, talking[0], (Route("carrier1"),), reserved=False) == decision
    paused = (evolve(talking[0], paused=True), talking[1])
    decision = decide(TASK, evolve(FACTS, operators=paused, overdial={EVERY: 1}), NOON)
    assert isinstance(decision, Dial) and BORIS.id == decision.operator.id
    free = decide(TASK, evolve(FACTS, overdial={EVERY: 1}), NOON)
    assert isinstance(free, Dial) and free.reserved, "who is free is held, as ever"


def test_a_call_beyond_the_operators_is_of_a_purpose_that_may() -> None:
    talking = tuple(evolve(one, phone="INUSE") for one in FACTS.operators)
    facts = evolve(FACTS, operators=talking, overdial={"debt": 0, "service": 1})
    decisions = {
        purpose: decide(evolve(TASK, purpose=purpose), facts, NOON)
        for purpose in ("debt", "service", "")
    }

    assert isinstance(decisions["service"], Dial)
    assert [Reason.OPERATORS_BUSY] * 2 == [decisions[p].reason for p in ("debt", "")]  # type: ignore[union-attr]


def test_who_is_kept_free_is_not_held_for_a_call_that_may_be_placed_ahead() -> None:
    """One purpose has used up its cap. The other may be dialled, without a reserved operator."""
    facts = evolve(
        FACTS, operators=(evolve(ANNA, phone="INUSE"), BORIS), reserve_operators=1,
        overdial={"debt": 0, "service": 3},
    )  # fmt: skip
    service = decide(evolve(TASK, purpose="service"), facts, NOON)
    debt = decide(evolve(TASK, purpose="debt"), facts, NOON)

    assert isinstance(service, Dial) and not service.reserved
    assert Wait(Reason.ABANDONED, NOON + SOON) == debt
    spare = decide(evolve(TASK, purpose="debt"), evolve(facts, reserve_operators=0), NOON)
    assert isinstance(spare, Dial) and spare.reserved


def test_whom_the_task_names_comes_before_whom_the_configuration_names() -> None:
    carol = evolve(BORIS, id=OperatorId(3), extension="103")
    facts = evolve(
        FACTS, operators=(BORIS, carol), deputies={ANNA.id: (BORIS.id,)},
        order=(Who.RESPONSIBLE, Who.DEPUTIES),
    )  # fmt: skip
    for named, first in (((), BORIS), ((carol.id,), carol), ((OperatorId(99),), BORIS)):
        decision = decide(evolve(TASK, own_deputies=named), facts, NOON)
        assert isinstance(decision, Dial) and first == decision.operator


def test_a_stand_in_takes_the_tasks_as_if_they_were_his() -> None:
    """Also where nobody but the responsible may; and a task waits for him, not for the other."""
    only = evolve(FACTS, order=(Who.RESPONSIBLE,), stand_ins={ANNA.id: BORIS.id})
    decision = decide(TASK, only, NOON)
    assert isinstance(decision, Dial) and BORIS == decision.operator
    busy = evolve(BORIS, phone="INUSE")
    waits = evolve(
        only, operators=(ANNA, busy), order=tuple(Who), wait_for_responsible=timedelta(hours=1)
    )
    decision = decide(TASK, waits, NOON)
    assert isinstance(decision, Wait) and Reason.RESPONSIBLE_BUSY is decision.reason


def test_whoever_stands_in_may_have_handed_over_himself() -> None:
    """His own tasks and those that he took; two who stand in for each other swap."""
    a, b, c = ANNA.id, BORIS.id, OperatorId(77)
    assert [c, c, c] == [standing_in(one, {a: b, b: c}) for one in (a, b, c)]
    assert [b, a] == [standing_in(one, {a: b, b: a}) for one in (a, b)]
    assert a == standing_in(a, {})


def test_one_operator_alone_is_never_kept_free() -> None:
    decision = decide(TASK, evolve(FACTS, operators=(ANNA,), reserve_operators=1), NOON)
    assert isinstance(decision, Dial)


def test_nothing_against_it_is_a_call_of_the_next_number_in_turn() -> None:
    for attempts, phone in ((0, ONE), (1, TWO), (2, ONE)):
        task = evolve(TASK, attempts=attempts)
        assert Dial(phone, ANNA, (Route("carrier1"),)) == decide(task, FACTS, NOON)
    held = evolve(TASK, wrong=frozenset({ONE.number}))
    for attempts in range(3):
        decision = decide(evolve(held, attempts=attempts), FACTS, NOON)
        assert isinstance(decision, Dial) and TWO == decision.phone


def test_of_several_numbers_the_one_that_frees_first_says_when() -> None:
    limits = evolve(FREE, minimum_interval=timedelta(hours=2))
    calls = {ONE.number: (Called(NOON - MINUTE),), TWO.number: (Called(NOON - 30 * MINUTE),)}
    decision = decide(evolve(TASK, history=calls), evolve(FACTS, limits=limits), NOON)
    assert Wait(Reason.BUDGET, NOON + 90 * MINUTE) == decision


def test_a_task_waits_for_its_own_operator_no_longer_than_it_should() -> None:
    facts = evolve(
        FACTS, operators=(evolve(ANNA, phone="INUSE"), BORIS), wait_for_responsible=2 * MINUTE
    )
    for minutes, expected in (
        (0, Reason.RESPONSIBLE_BUSY),
        (1, Reason.RESPONSIBLE_BUSY),
        (2, None),
    ):
        decision = decide(TASK, facts, NOON + minutes * MINUTE)
        if expected is None:
            assert isinstance(decision, Dial) and BORIS == decision.operator
        else:
            assert isinstance(decision, Wait) and expected is decision.reason
    away = evolve(facts, operators=(evolve(ANNA, online=False), BORIS))
    assert isinstance(decide(TASK, away, NOON), Dial), "nobody waits for an absent person"


def test_order_is_a_site_s_choice() -> None:
    vera = evolve(ANNA, id=OperatorId(3), extension="103")
    staff, deputies = {one.id: one for one in (ANNA, BORIS, vera)}, {ANNA.id: (vera.id,)}
    for order, expected in (
        (tuple(Who), ["101", "103", "102"]),
        ((Who.ANYBODY,), ["102"]),
        ((Who.DEPUTIES, Who.RESPONSIBLE), ["103", "101"]),
        ((), []),
    ):
        ordered = in_order(ANNA.id, staff, deputies, order)
        assert expected == [staff[who].extension for who in ordered]


@given(
    st.lists(st.integers(-3000, 0), max_size=6),
    st.sampled_from(["", "UTC+8", "Asia/Kamchatka"]),
    st.integers(0, 23),
    st.booleans(),
)
def test_what_is_dialled_was_allowed(minutes: list[int], zone: str, hour: int, away: bool) -> None:
    """For any facts: never outside the client's hours, over the budget, or without an operator."""
    now = NOON.replace(hour=hour)
    limits = evolve(
        FREE,
        hours=DayHours.alike((time(9), time(20)), ALL_DAY),
        per=((DAY, 2),),
        minimum_interval=timedelta(hours=1),
    )
    calls = called(*(now + minute * MINUTE for minute in minutes))
    task = evolve(TASK, due=now, history=calls, phones=(evolve(ONE, zone=zone),))
    facts = evolve(FACTS, limits=limits, operators=(evolve(ANNA, online=not away),))
    decision = decide(task, facts, now)
    if isinstance(decision, Dial):
        assert limits.opens(ONE.number, zone, now) is None
        recent = [one for one in calls[ONE.number] if one.at > now - DAY]
        assert len(recent) < 2 and all(now - one.at >= limits.minimum_interval for one in recent)
        assert decision.operator.at_work
    elif isinstance(decision, Wait):
        assert decision.until > now


def test_of_those_who_take_any_task_one_who_is_here_comes_first() -> None:
    """Who is at another node is rung by that node, for tasks that are due as well."""
    staff = evolve(BORIS, elsewhere=True), ANNA
    nobody_s = evolve(TASK, responsible=OperatorId(77))
    decision = decide(nobody_s, evolve(FACTS, operators=staff), NOON)

    assert isinstance(decision, Dial) and ANNA.id == decision.operator.id
