"""The pure rules: outcomes, states, retry, hours, phones, texts, and the dial decision."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodial import texts
from autodial.model.attempt import Report
from autodial.model.attempt_states import IN_FLIGHT, TRANSITIONS, Event, State, WrongMove, advance
from autodial.model.outcome import EFFECTS, NO_CONTACT, Outcome
from autodial.rules.calling_hours import Hours
from autodial.rules.hangup import outcome_of, parse_report
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import PhoneRules, dialable
from autodial.rules.retry import DEFAULTS, jittered

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday
ALL_DAY = Hours(ZoneInfo("UTC"), ((time(0), time(0)),) * 7)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("claimfail,,21,,,,,,1", Outcome.LINE_FAILED),
        ("refused,,21,,,,,,1", Outcome.WITHDRAWN),
        ("dial,BUSY,17,SIP%20486%20Busy%20Here,,,,,1,carrier1", Outcome.BUSY),
        ("dial,NOANSWER,16,SIP%20180%20Ringing", Outcome.SILENT),
        ("dial,CANCEL,19,SIP%20180%20Ringing", Outcome.SILENT),  # 22
        ("dial,CANCEL,0,SIP%20180%20Ringing", Outcome.SILENT),  # 16
        ("dial,NOANSWER,16,SIP%20100%20Trying", Outcome.UNREACHABLE),
        ("dial,NOANSWER,16,", Outcome.LINE_FAILED),  # no words of the carrier
        ("dial,CHANUNAVAIL,21,SIP%20603%20Decline", Outcome.REJECTED),
        ("dial,CHANUNAVAIL,1,SIP%20404%20Not%20Found", Outcome.BAD_NUMBER),
        ("dial,CONGESTION,34,SIP%20503%20x", Outcome.LINE_FAILED),
        ("dial,CHANUNAVAIL,3,", Outcome.LINE_FAILED),  # the carrier is not registered
        ("dial,CHANUNAVAIL,0,SIP%20180%20Ringing", Outcome.SILENT),  # Asterisk was stopped
        # A Reason header: 22 and 16 differ in status and cause, the words are the same.
        ("dial,NOANSWER,19,SIP%20480%20x", Outcome.UNREACHABLE),
        ("dial,CHANUNAVAIL,27,SIP%20480%20x", Outcome.UNREACHABLE),
        ("dial,ANSWER,16,SIP%20200%20OK,talk,101,1,2,5", Outcome.TALKED),
        ("dial,ANSWER,16,SIP%20200%20OK,ring,101,1,,5", Outcome.CLIENT_LEFT),
        ("dial,ANSWER,16,SIP%20200%20OK,resolve,,1,,5", Outcome.CLIENT_LEFT),
        ("dial,ANSWER,16,SIP%20200%20OK,,,,,5", Outcome.CLIENT_LEFT),
        ("dial,ANSWER,17,SIP%20200%20OK,BUSY,101,1,,5", Outcome.OPERATOR_MISSED),
        ("dial,ANSWER,16,SIP%20200%20OK,none,,1,,5", Outcome.OPERATOR_MISSED),
        ("dial,ANSWER,16,SIP%20200%20OK,agifail,,1,,5", Outcome.OPERATOR_MISSED),
        # Other technologies have no SIP words; the cause decides.
        ("dial,CHANUNAVAIL,1,", Outcome.BAD_NUMBER),
        ("dial,BUSY,17,", Outcome.BUSY),
        ("dial,NOANSWER,20,", Outcome.UNREACHABLE),
        # The phone rang (or early media was sent): the carrier's later words do not change that.
        ("dial,CONGESTION,34,SIP%20503%20x,,,,,1,c,1", Outcome.SILENT),
        ("dial,CHANUNAVAIL,27,SIP%20502%20x,,,,,1,c,1", Outcome.SILENT),
        ("dial,NOANSWER,19,SIP%20480%20x,,,,,1,c,1", Outcome.SILENT),
        ("dial,CHANUNAVAIL,1,SIP%20404%20x,,,,,1,c,1", Outcome.SILENT),
        ("dial,BUSY,17,SIP%20486%20x,,,,,1,c,1", Outcome.BUSY),
        ("dial,CHANUNAVAIL,21,SIP%20603%20x,,,,,1,c,1", Outcome.REJECTED),
        # A redirection that Dial did not follow is BUSY without a final response; the cause
        # may be one of the carrier before.
        ("dial,BUSY,16,,,,,,1,c,", Outcome.FORWARDED),
        ("dial,BUSY,34,SIP%20100%20Trying,,,,,1,c,", Outcome.FORWARDED),
        ("dial,BUSY,16,SIP%20180%20Ringing,,,,,1,c,1", Outcome.FORWARDED),
        ("dial,CHANUNAVAIL,23,SIP%20302%20Moved,,,,,1,c,", Outcome.FORWARDED),  # to a tel: address
        ("dial,ANSWER,16,SIP%20200%20OK,FORWARDED,103,1,,5,c,1", Outcome.OPERATOR_MISSED),
        ("nonsense", Outcome.LINE_FAILED),
        ("", Outcome.LINE_FAILED),
    ],
)
def test_what_asterisk_says_has_one_outcome(fields: str, expected: Outcome) -> None:
    assert expected is outcome_of(parse_report(fields.split(",")))


def test_every_outcome_says_whether_the_client_may_have_heard_us() -> None:
    """
    A possible contact counts. Only an outcome for which no phone rang is certainly no contact.
    """
    assert set(Outcome) == set(EFFECTS)
    assert {Outcome.LINE_FAILED, Outcome.WITHDRAWN} == NO_CONTACT


@given(st.lists(st.text(max_size=12), max_size=12))
def test_any_report_is_an_end(fields: list[str]) -> None:
    """Each report gives one outcome and no exception; a lost report would be a lost attempt."""
    assert outcome_of(parse_report(fields)) in Outcome


def test_talk_time_is_from_the_operator_s_answer() -> None:
    report = parse_report(
        ["dial", "ANSWER", "16", "SIP%20200%20OK", "talk", "101", "1000", "1010", "1075", "c"]
    )

    assert report.talk_seconds == 65
    assert Report(stage="dial").talk_seconds == 0


def test_every_state_has_a_row_and_reaches_the_end() -> None:
    for state in State:
        assert state in TRANSITIONS
        while state is not State.REPORTED:
            event = Event.OUTCOME if state in IN_FLIGHT else Event.REPORT
            state = advance(state, event)


def test_a_second_claim_is_a_wrong_move() -> None:
    with pytest.raises(WrongMove, match="claim while claimed"):
        advance(State.CLAIMED, Event.CLAIM)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_rule_that_ends(outcome: Outcome) -> None:
    """
    Each outcome has a rule for the next call and a limit. Only an outcome without a call has no
    limit.
    """
    assert (outcome is Outcome.WITHDRAWN) is (DEFAULTS[outcome].next_call(1000, NOON) is not None)


def test_waits_follow_each_other() -> None:
    rule = DEFAULTS[Outcome.BUSY]

    assert [
        (rule.next_call(n, NOON) or NOON).timestamp() / 60 - NOON.timestamp() / 60 for n in range(3)
    ] == [20, 60, 180]


OFFICE = Hours(ZoneInfo("Europe/Moscow"), ((time(9), time(20)),) * 5 + (None, None))


@pytest.mark.parametrize(
    ("local", "opens"),
    [
        ("2026-11-23 08:59:59", "2026-11-23 09:00"),
        ("2026-11-23 09:00:00", None),
        ("2026-11-23 19:59:59", None),
        ("2026-11-23 20:00:00", "2026-11-24 09:00"),
        ("2026-11-27 20:00:00", "2026-11-30 09:00"),  # Friday evening: Monday
        ("2026-11-28 12:00:00", "2026-11-30 09:00"),
    ],
)
def test_hours_to_the_second(local: str, opens: str | None) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=OFFICE.zone)
    expected = datetime.fromisoformat(opens).replace(tzinfo=OFFICE.zone) if opens else None

    assert expected == OFFICE.opens(now)


def test_no_hours_at_all_never_open() -> None:
    closed = Hours(ZoneInfo("UTC"), (None,) * 7)

    assert (closed.opens(NOON) or NOON) > NOON


def entry(value: str, kind: str = "WORK", client: str = "Иван") -> Entry:
    return Entry(value, kind, client, "CONTACT", 55)


def test_numbers_as_people_type_them() -> None:
    phones, refused = dialable(
        [
            entry("8 (999) 000-11-22"),
            entry("+7 999 000-11-22 доб. 12", "MOBILE"),
            entry("+44 20 7946 0123", "HOME"),
            entry("+79990001133", "FAX"),
            entry("позвонить жене"),
            entry("112", "OTHER"),
        ],
        PhoneRules(region="RU", order=["MOBILE", "WORK"]),
    )

    assert [phone.number for phone in phones] == ["+79990001122", "+442079460123"]
    assert sorted(
        (number.value for number in refused), key=lambda v: (v[0] == "+", v[0].isdigit())
    ) == ["позвонить жене", "112", "+79990001133"]
    assert all(number.reason for number in refused)


@given(st.text(max_size=200), st.text(max_size=100))
def test_a_caller_s_name_fits_asterisk_whatever_it_is(tag: str, client: str) -> None:
    name = texts.caller_name(f"{tag} {client}")

    assert len(name.encode()) < 80
    assert name.isprintable() or name == ""


def test_the_catalogue_speaks_both_languages() -> None:
    for key, words in texts.CATALOGUE.items():
        assert {"ru", "en"} == set(words), key
    for outcome in Outcome:
        assert texts.text(outcome.value, "ru")


@given(st.text(max_size=20), st.integers(0, 7200))
def test_a_spread_moment_is_later_within_its_width_and_always_the_same(
    key: str, seconds: int
) -> None:
    width = timedelta(seconds=seconds)
    moment = jittered(NOON, width, key)
    assert NOON <= moment <= NOON + width
    assert moment == jittered(NOON, width, key)


def test_a_hundred_clients_are_not_called_in_the_same_minute() -> None:
    moments = {
        jittered(NOON, timedelta(hours=1), f"+4420794600{n:02d}").replace(second=0, microsecond=0)
        for n in range(100)
    }
    assert len(moments) > 30
