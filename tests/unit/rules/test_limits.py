"""Limits for a client: local hours, holidays and budgets, to the minute."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from threading import Thread
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodial.config.rules import ClientConfig
from autodial.model.task import Called
from autodial.rules import contact_limits
from autodial.rules.calling_hours import HORIZON, Calendar, Hours, Usual, _public, opens_everywhere
from autodial.rules.contact_limits import DAY, HOUR, MONTH, WEEK, DayHours, Limits, Place
from autodial.rules.next_call import best_allowed, first_allowed
from autodial.rules.time_zones import named, of_number

MINUTE = timedelta(minutes=1)
RUSSIA = Calendar(country="RU")
MOSCOW, VLADIVOSTOK = "+74950000000", "+74232000000"
KALININGRAD, MOBILE = "+74012000000", "+79160000000"
LONDON = "+442079460000"


def preset(name: str, country: str = "RU") -> Limits:
    config = ClientConfig.model_validate({"preset": name})
    return config.limits(Calendar(country=country), "Europe/Moscow")


def at(text: str, zone: str = "Europe/Moscow") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("name", "number", "zone", "minutes"),
    [
        # 23.11.2026 is a Monday, 28.11. a Saturday, 4.11. a public holiday
        ("ru-230fz", MOSCOW, "Europe/Moscow", {
            "2026-11-23T07:59": False, "2026-11-23T08:00": True, "2026-11-23T21:59": True,
            "2026-11-23T22:00": False, "2026-11-28T08:59": False, "2026-11-28T09:00": True,
            "2026-11-28T19:59": True, "2026-11-28T20:00": False, "2026-11-04T08:59": False,
            "2026-11-04T09:00": True, "2026-11-04T20:00": False,
        }),
        ("ru-230fz", VLADIVOSTOK, "Asia/Vladivostok", {
            "2026-11-23T07:59": False, "2026-11-23T08:00": True, "2026-11-23T21:59": True,
            "2026-11-23T22:00": False,
        }),
        # in summer Kaliningrad has no summer time, though its neighbours have
        ("ru-230fz", KALININGRAD, "Europe/Kaliningrad", {
            "2026-07-06T07:59": False, "2026-07-06T08:00": True, "2026-07-06T22:00": False,
        }),
        ("courtesy", LONDON, "Europe/London", {
            "2026-11-23T08:59": False, "2026-11-23T09:00": True, "2026-11-23T19:59": True,
            "2026-11-23T20:00": False, "2026-11-28T09:59": False, "2026-11-28T10:00": True,
            "2026-11-28T18:00": False,
        }),
        ("us-ftc", "+12125550100", "America/New_York", {
            "2026-11-23T07:59": False, "2026-11-23T08:00": True, "2026-11-23T20:59": True,
            "2026-11-23T21:00": False, "2026-11-28T08:00": True,
        }),
        ("uk-ofcom", LONDON, "Europe/London", {
            "2026-11-23T20:59": True, "2026-11-23T21:00": False, "2026-11-28T08:59": False,
            "2026-11-28T09:00": True, "2026-11-28T17:00": False,
        }),
        ("none", LONDON, "Europe/London", {"2026-11-23T00:00": True, "2026-11-28T23:59": True}),
    ],
)  # fmt: skip
def test_hours_of_a_preset_to_the_minute(
    name: str, number: str, zone: str, minutes: dict[str, bool]
) -> None:
    limits = preset(name)
    results = {text: limits.opens(number, "", at(text, zone)) is None for text in minutes}
    assert minutes == results


@pytest.mark.parametrize(
    ("name", "calls", "rests"),
    [
        ("ru-230fz", ["2026-11-23T12:00"], {"2026-11-24T11:59": False, "2026-11-24T12:00": True}),
        ("ru-230fz", ["2026-11-23T12:00", "2026-11-25T12:00"],
         {"2026-11-26T13:00": False, "2026-11-30T11:59": False, "2026-11-30T12:00": True}),
        ("ru-230fz", [f"2026-11-{day:02d}T12:00" for day in (1, 2, 8, 9, 15, 16, 22, 23)],
         {"2026-11-30T13:00": False, "2026-12-02T11:59": False, "2026-12-02T12:00": True}),
        ("courtesy", ["2026-11-23T12:00"], {"2026-11-23T12:59": False, "2026-11-23T13:00": True}),
        ("courtesy", ["2026-11-23T09:00", "2026-11-23T11:00", "2026-11-23T13:00"],
         {"2026-11-24T08:59": False, "2026-11-24T09:00": True}),
        ("us-ftc", [f"2026-11-{day:02d}T12:00" for day in range(16, 23)],
         {"2026-11-23T11:59": False, "2026-11-23T12:00": True}),
        ("none", ["2026-11-23T12:00"] * 50, {"2026-11-23T12:00": True}),
    ],
)  # fmt: skip
def test_budgets_of_a_preset_to_the_minute(
    name: str, calls: list[str], rests: dict[str, bool]
) -> None:
    limits = preset(name)
    had = [Called(at(text)) for text in calls]
    assert rests == {text: limits.rested(LONDON, "", had, at(text)) is None for text in rests}


def test_a_number_rests_after_a_call_that_nobody_took() -> None:
    limits = preset("uk-ofcom")
    start = at("2026-11-23T12:00", "Europe/London")
    assert limits.rested(LONDON, "", [Called(start)], start + timedelta(minutes=1)) is None
    until = limits.rested(LONDON, "", [Called(start, abandoned=True)], start + timedelta(hours=71))
    assert start + timedelta(hours=72) == until


@given(
    st.lists(st.integers(0, 20 * 24 * 60), max_size=40),
    st.integers(0, 22 * 24 * 60),
)
def test_the_moment_that_a_budget_names_is_the_first_that_it_allows(
    minutes: list[int], now: int
) -> None:
    limits, start = preset("courtesy"), at("2026-11-01T00:00")
    calls = [Called(start + timedelta(minutes=minute)) for minute in minutes if minute <= now]
    moment = start + timedelta(minutes=now)
    until = limits.rested(LONDON, "", calls, moment)
    if until is not None:
        assert until > moment
        assert limits.rested(LONDON, "", calls, until) is None
        assert limits.rested(LONDON, "", calls, until - timedelta(seconds=1)) is not None


@given(st.data())
def test_no_window_ever_holds_more_than_its_budget(data: st.DataObject) -> None:
    """Calls that the budget allows never exceed it, at any moment."""
    limits, now = preset("ru-230fz"), at("2026-11-01T00:00")
    calls: list[Called] = []
    for gap in data.draw(st.lists(st.integers(1, 60 * 60), min_size=5, max_size=60)):
        now += timedelta(minutes=gap)
        if limits.rested(LONDON, "", calls, now) is None:
            calls.append(Called(now))
    moments = [call.at for call in calls]
    for span, most in limits.per:
        for first in moments:
            assert sum(first <= one < first + span for one in moments) <= most
    assert all(later - earlier >= DAY for earlier, later in pairwise(moments))


def test_a_mobile_number_of_a_country_with_eleven_zones_is_called_when_all_of_them_may_be() -> None:
    limits = preset("ru-230fz")
    assert limits.opens(MOBILE, "", at("2026-11-23T12:59")) is None, "21:59 in Kamchatka"
    assert limits.opens(MOBILE, "", at("2026-11-23T13:00")) is not None, "22:00 there"
    assert limits.opens(MOBILE, "", at("2026-11-23T09:00")) is None, "8:00 in Kaliningrad"
    assert limits.opens(MOBILE, "", at("2026-11-23T08:59")) is not None
    opening = limits.opens(MOBILE, "", at("2026-11-23T15:00"))
    assert at("2026-11-24T09:00") == opening
    one = ClientConfig.model_validate({"preset": "ru-230fz", "ambiguous_zone": "Europe/Moscow"})
    assert one.limits(RUSSIA, "Europe/Moscow").opens(MOBILE, "", at("2026-11-23T15:00")) is None


def test_the_crm_knows_better_than_the_numbering_plan() -> None:
    limits = preset("ru-230fz")
    late = at("2026-11-23T15:00")
    assert limits.opens(MOBILE, "Europe/Moscow", late) is None
    assert limits.opens(MOSCOW, "Asia/Vladivostok", late) is not None
    assert limits.opens(MOSCOW, "nonsense", late) is None, "then the plan counts"


def test_a_number_that_nobody_can_place_is_taken_for_ours() -> None:
    limits = preset("ru-230fz")
    assert limits.opens("0611", "", at("2026-11-23T21:59")) is None
    assert limits.opens("0611", "", at("2026-11-23T22:00")) is not None


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Europe/Moscow", "Europe/Moscow"), (" Asia/Tomsk ", "Asia/Tomsk"), ("UTC+3", "Etc/GMT-3"),
        ("utc-5", "Etc/GMT+5"), ("МСК+4", "Etc/GMT-7"), ("мск", "Etc/GMT-3"), ("GMT", "UTC"),
        ("GMT+05:00", "Etc/GMT-5"), ("", None), ("../etc/passwd", None), ("Moscow", None),
        ("UTC+25", None), ("UTC+5:30", None), ("Europe", None), ("UTC+-3", None), ("UTC+³", None),
        ("МСК--1", None), ("UTC:30", None),
    ],
)  # fmt: skip
def test_zones_as_people_write_them(text: str, zone: str | None) -> None:
    match = named(text)
    assert zone == (match.key if match else None)


def test_zones_of_numbers() -> None:
    assert ["Europe/Kaliningrad"] == [zone.key for zone in of_number(KALININGRAD)]
    assert {"Europe/Moscow", "Asia/Kamchatka"} < {zone.key for zone in of_number(MOBILE)}
    assert "Asia/Almaty" not in {zone.key for zone in of_number(MOBILE)}
    assert () == of_number("0611")


OFFICE = ((time(9), time(18)),) * 5 + (None, None)


def test_public_holidays_and_moved_days() -> None:
    """In 2025 Monday 3 November was a day off, and Saturday 1 November a working day for it."""
    hours = Hours(ZoneInfo("Europe/Moscow"), OFFICE, calendar=RUSSIA, holiday=None)
    assert hours.opens(at("2025-11-01T10:00")) is None
    assert at("2025-11-05T09:00") == hours.opens(at("2025-11-03T10:00"))
    assert at("2027-01-11T09:00") == hours.opens(at("2026-12-31T10:00"))


def test_a_site_s_own_days_are_stronger() -> None:
    own = Calendar(
        country="RU",
        days_off=frozenset({date(2026, 11, 23)}),
        working_days=frozenset({date(2026, 11, 4), date(2026, 11, 28)}),
    )
    hours = Hours(ZoneInfo("Europe/Moscow"), OFFICE, calendar=own, holiday=None)
    assert at("2026-11-24T09:00") == hours.opens(at("2026-11-23T10:00"))
    assert hours.opens(at("2026-11-04T10:00")) is None
    assert hours.opens(at("2026-11-28T10:00")) is None, "a Saturday that is worked"


def test_a_holiday_can_have_hours_of_its_own_or_the_usual() -> None:
    short = Hours(ZoneInfo("Europe/Moscow"), OFFICE, calendar=RUSSIA, holiday=(time(12), time(15)))
    assert short.opens(at("2026-11-04T12:00")) is None
    assert at("2026-11-04T12:00") == short.opens(at("2026-11-04T09:00"))
    usual = Hours(ZoneInfo("Europe/Moscow"), OFFICE, calendar=RUSSIA, holiday=Usual.USUAL)
    assert usual.opens(at("2026-11-04T09:00")) is None


def test_quiet_periods_to_the_minute() -> None:
    hours = Hours(
        ZoneInfo("Europe/Moscow"), OFFICE,
        quiet=((time(13), time(14)), (time(8), time(9, 30)), (time(17, 30), time(19))),
    )  # fmt: skip
    for text, opens in {
        "09:29": "09:30", "09:30": None, "12:59": None, "13:00": "14:00", "13:59": "14:00",
        "14:00": None, "17:29": None,
    }.items():  # fmt: skip
        expected = None if opens is None else at(f"2026-11-23T{opens}")
        assert expected == hours.opens(at(f"2026-11-23T{text}")), text
    assert at("2026-11-24T09:30") == hours.opens(at("2026-11-23T17:30"))


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_the_clock_s_changes_shift_nothing(day: str) -> None:
    """In Berlin, on the days when an hour is missing or comes twice."""
    hours = Hours(ZoneInfo("Europe/Berlin"), ((time(9), time(20)),) * 7)
    assert hours.opens(at(f"{day}T08:59", "Europe/Berlin")) is not None
    assert hours.opens(at(f"{day}T09:00", "Europe/Berlin")) is None
    assert hours.opens(at(f"{day}T20:00", "Europe/Berlin")) is not None
    night = Hours(ZoneInfo("Europe/Berlin"), ((time(2, 30), time(3, 30)),) * 7)
    opening = night.opens(at(f"{day}T00:00", "Europe/Berlin"))
    assert opening is not None and night.opens(opening) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    st.lists(st.sampled_from(("Europe/Berlin", "Asia/Kamchatka", "America/New_York")), min_size=1),
)
def test_an_opening_is_open_everywhere(moment: datetime, names: list[str]) -> None:
    hours = preset("courtesy").hours_in
    zones = [Place(ZoneInfo(name)) for name in names]
    now = moment.replace(tzinfo=UTC)
    opening = opens_everywhere(hours, zones, now)
    if opening is None:
        assert all(hours(zone).opens(now) is None for zone in zones)
    elif opening < now + HORIZON:
        assert opening > now
        assert all(hours(zone).opens(opening) is None for zone in zones)


@pytest.mark.parametrize(
    ("name", "first", "last"), [("ru-230fz", "09:00", "13:00"), ("courtesy", "10:00", "11:00")]
)
def test_the_hours_for_a_russian_mobile_that_the_documents_name(
    name: str, first: str, last: str
) -> None:
    limits = preset(name)
    opening = limits.opens(MOBILE, "", at("2026-11-23T00:00"))
    assert at(f"2026-11-23T{first}") == opening
    end = at(f"2026-11-23T{last}")
    assert limits.opens(MOBILE, "", end - timedelta(minutes=1)) is None
    assert limits.opens(MOBILE, "", end) is not None


@pytest.mark.parametrize(
    ("by_rule", "number", "best"),
    [
        ("2026-11-23T15:00", MOSCOW, "2026-11-23T18:00"),  # three hours later people are home
        ("2026-11-23T13:59", MOSCOW, "2026-11-23T13:59"),  # four hours and a minute are too many
        ("2026-11-23T18:30", MOSCOW, "2026-11-23T18:30"),
        ("2026-11-23T20:30", MOSCOW, "2026-11-24T12:00"),  # the evening is over: at noon, not at 9
        ("2026-11-23T08:30", VLADIVOSTOK, "2026-11-23T11:00"),  # by the client's clock: at six
        ("2026-11-27T20:30", MOSCOW, "2026-11-28T12:00"),  # a Saturday, from 10 on
    ],
)
def test_a_next_call_goes_to_when_he_is_likely_to_answer(
    by_rule: str, number: str, best: str
) -> None:
    config = ClientConfig.model_validate({"best_hours": ["12:00-13:00", "18:00-20:00"]})
    limits = config.limits(RUSSIA, "Europe/Moscow")
    always = Hours(ZoneInfo("Europe/Moscow"), ((time(0), time(0)),) * 7)
    assert at(best) == best_allowed(limits, always, (number, ""), at(by_rule))


def test_without_best_hours_it_is_the_first_allowed_moment() -> None:
    limits = preset("courtesy")
    always = Hours(ZoneInfo("Europe/Moscow"), ((time(0), time(0)),) * 7)
    late = at("2026-11-23T20:30")
    assert at("2026-11-24T09:00") == best_allowed(limits, always, (MOSCOW, ""), late)
    assert at("2026-11-24T09:00") == first_allowed(limits, always, (MOSCOW, ""), late)


def test_a_zone_that_nobody_can_read_is_not_taken_for_none() -> None:
    """
    The site sets one zone for numbers of many zones. It does not apply if the CRM names another.
    """
    one = ClientConfig.model_validate({"preset": "ru-230fz", "ambiguous_zone": "Europe/Moscow"})
    limits = one.limits(Calendar(country="RU"), "Europe/Moscow")
    number = "+79990001122"  # a mobile number rings anywhere in Russia

    assert len(limits.places(number, "")) == 1
    assert len(limits.places(number, "Екатеринбург")) > 5


@pytest.mark.parametrize(
    ("day", "open_at_noon"), [(20, False), (21, False), (22, True), (26, True)]
)
def test_the_weekend_is_the_country_s_own(day: int, open_at_noon: bool) -> None:
    """In Israel Friday and Saturday are the weekend, and Sunday is a working day."""
    calendar = Calendar(country="IL")
    limits = Limits(
        hours=DayHours.alike((time(9), time(20)), None),
        calendar=calendar,
        default_zone=ZoneInfo("UTC"),
    )
    noon = datetime(2026, 11, day, 12, tzinfo=ZoneInfo("UTC"))

    assert (limits.opens("+97225551234", "UTC", noon) is None) is open_at_noon


def test_a_sunday_of_work_is_not_a_moved_day_in_israel() -> None:
    week = (*[(time(9), time(17))] * 4, None, None, (time(10), time(12)))
    hours = Hours(ZoneInfo("UTC"), week, calendar=Calendar(country="IL"))

    assert hours.span(date(2026, 11, 22)) == (time(10), time(12))


def test_where_a_client_may_be_is_remembered_for_so_many_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact_limits, "REMEMBERED", 2)
    utc = ZoneInfo("UTC")
    limits = Limits(hours=DayHours.alike(None, None), default_zone=utc)
    numbers = ["+442079460000", "+97225551234", "+12025550123", "+442079460001", "+442079460000"]
    fresh = [Limits(hours=limits.hours, default_zone=utc).places(number, "") for number in numbers]

    assert fresh == [limits.places(number, "") for number in numbers]
    assert fresh[0] != fresh[1]
    assert len(limits._known_places) <= 2
    assert limits.places(numbers[0], "Asia/Tokyo") != fresh[0], "by the CRM's zone, too"


def test_a_thread_has_holidays_of_its_own() -> None:
    """
    A shared list, filled while two threads read it, would show a holiday as a working day to one of
    them.
    """
    mine = _public("RU")
    theirs: list[object] = []
    thread = Thread(target=lambda: theirs.append(_public("RU")))
    thread.start()
    thread.join()

    assert mine is _public("RU")
    assert theirs[0] is not mine


@given(
    calls=st.lists(
        st.builds(
            Called,
            st.integers(0, 60 * 24 * 80).map(lambda n: at("2026-11-23T12:00") - n * MINUTE),
            st.booleans(),
        ),
        max_size=12,
    ),
    limits=st.builds(
        lambda per, minimum_interval, after: Limits(
            hours=DayHours.alike(None, None), default_zone=ZoneInfo("UTC"), per=per,
            minimum_interval=minimum_interval, after_abandoned=after,
        ),
        st.lists(
            st.tuples(st.sampled_from([HOUR, DAY, WEEK, MONTH]), st.integers(1, 4)), max_size=3
        ),
        st.integers(0, 60 * 24 * 40).map(lambda n: n * MINUTE),
        st.integers(0, 60 * 24 * 40).map(lambda n: n * MINUTE),
    ),
)  # fmt: skip
def test_what_is_older_than_the_limits_look_back_counts_in_none(
    calls: list[Called], limits: Limits
) -> None:
    now = at("2026-11-23T12:00")
    recent = [call for call in calls if call.at > now - limits.looks_back]

    assert limits.rested(LONDON, "", calls, now) == limits.rested(LONDON, "", recent, now)
