"""
The number as typed, its time zone, its days off, and the calling hours of the law: the whole way
from a field of the CRM to the real decision, on both sides of each boundary.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from autodial.config import legal_notes
from autodial.config.load import parse
from autodial.config.rules import CalendarConfig, ClientConfig
from autodial.config.settings import Config
from autodial.errors import ConfigError
from autodial.model.task import Called, Phone
from autodial.rules import regions, time_zone_data, time_zones
from autodial.rules.calling_hours import Hours
from autodial.rules.dial_decision import decide
from autodial.rules.dial_facts import LATER, Decision, Dial, Drop, Reason, Wait
from autodial.rules.numbering_plan import SPECIAL
from autodial.rules.phone_fields import Entry
from autodial.rules.phone_numbers import PhoneRules, dialable, numbers_in
from tests.unit.rules.test_decide import ALL_DAY, FACTS, NOON, TASK
from tests.unit.rules.test_zones import CODES

LONG_AGO = datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC"))


def phone(typed: str, region: str, zone: str = "") -> Phone:
    """As the importer reads it."""
    entry = Entry(typed, "MOBILE", "Иван", "CONTACT", 5, zone)
    phones, refused = dialable([entry], PhoneRules(region=region, special=tuple(SPECIAL)))
    assert not refused, refused
    return phones[0]


def decided(
    at: datetime,
    typed: str,
    preset: str,
    region: str = "RU",
    *,
    zone: str = "",
    calendar: Mapping[str, Any] | None = None,
    calls: tuple[Called, ...] = (),
    **settings: Any,
) -> Decision:
    """The real decision on a task with this one number; the site works day and night."""
    house = CalendarConfig.model_validate({"country": region, **(calendar or {})}).calendar
    client = ClientConfig.model_validate({"preset": preset, **settings})
    number = phone(typed, region, zone)
    limits = client.limits(house, "Europe/Moscow")
    facts = evolve(FACTS, limits=limits, hours=Hours(ZoneInfo("UTC"), (ALL_DAY,) * 7))
    history = {number.number: calls}
    return decide(evolve(TASK, due=LONG_AGO, phones=(number,), history=history), facts, at)


def allowed(*args: Any, **kwargs: Any) -> bool:
    decision = decided(*args, **kwargs)
    assert isinstance(decision, Dial) or decision.reason in (Reason.CLIENT_HOURS, Reason.BUDGET)
    return isinstance(decision, Dial)


def at(text: str, zone: str = "Europe/Moscow") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("code", "hours"), [(code, hours) for hours, some in CODES.items() for code in some.split()]
)
def test_a_russian_code_is_called_by_its_own_clock(code: str, hours: int) -> None:
    """Under 230-FZ, on a working day in winter: from 8:00 to 22:00 local time."""
    midnight = datetime(2026, 1, 27, tzinfo=ZoneInfo("UTC")) - timedelta(hours=hours)
    results = {
        minutes: allowed(midnight + timedelta(minutes=minutes), f"8 ({code}) 221-23-45", "ru-230fz")
        for minutes in (479, 480, 1319, 1320)
    }
    assert {479: False, 480: True, 1319: True, 1320: False} == results


#: Area code and exchange, and from when to when it may be called under the FTC's rule and its
#: state's, by the clock of New York on a Tuesday in summer.
EXCHANGES = {
    "New York 212 555": ("08:00", "21:00"),
    "Florida, Miami 305 555": ("08:00", "20:00"),
    "Florida, Tallahassee 850 224": ("09:00", "20:00"),  # Pensacola's clock is an hour behind
    "Florida, Pensacola 850 432": ("09:00", "20:00"),
    "Florida, overlay 448 555": ("09:00", "20:00"),
    "Kentucky, Louisville 502 555": ("10:00", "21:00"),
    "Kentucky, Bowling Green 270 782": ("11:00", "21:00"),
    "Kentucky, overlay 364 555": ("11:00", "21:00"),
    "Tennessee, Chattanooga 423 756": ("09:00", "21:00"),
    "Indiana, Gary 219 882": ("09:00", "21:00"),
    "Indiana, Evansville 812 424": ("09:00", "21:00"),
    "Indiana, overlay 930 555": ("09:00", "21:00"),
    "Michigan, Marquette 906 226": ("09:00", "21:00"),
    "Illinois, Chicago 312 555": ("09:00", "22:00"),
    "Texas, Houston 713 555": ("10:00", "22:00"),
    "Texas, El Paso 915 532": ("11:00", "23:00"),
    "Oklahoma 405 555": ("09:00", "21:00"),
    "Kansas, Wichita 316 555": ("09:00", "22:00"),
    "Kansas, Goodland 785 899": ("10:00", "22:00"),
    "Nebraska, North Platte 308 532": ("10:00", "22:00"),
    "South Dakota 605 334": ("11:00", "22:00"),
    "North Dakota 701 223": ("10:00", "22:00"),
    "Colorado, Denver 303 555": ("10:00", "23:00"),
    "Idaho, Boise 208 336": ("11:00", "23:00"),
    "Oregon, Bend 541 382": ("11:00", "22:00"),
    "Arizona, Phoenix 602 253": ("11:00", "24:00"),
    "Arizona, Flagstaff 928 774": ("11:00", "23:00"),  # the Navajo Nation has summer time
    "California, Los Angeles 213 555": ("11:00", "24:00"),
    "Washington, Seattle 206 555": ("11:00", "23:00"),
    "Alaska, Anchorage 907 276": ("13:00", "25:00"),
    "Hawaii 808 536": ("14:00", "27:00"),
}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_american_exchange_is_called_by_all_clocks_of_its_code(exchange: str) -> None:
    number = f"+1 {exchange[-7:]} 0147"
    opens, closes = (int(text[:2]) * 60 for text in EXCHANGES[exchange])
    # (From UTC: minutes that a clock skips or repeats are not tested here.)
    midnight = datetime(2026, 7, 14, 4, tzinfo=ZoneInfo("UTC"))
    results = {
        minutes: allowed(midnight + timedelta(minutes=minutes), number, "us-ftc", "US")
        for minutes in (opens - 1, opens, closes - 1, closes)
    }
    assert {opens - 1: False, opens: True, closes - 1: True, closes: False} == results


#: Number, day, and whether calls at 21:00 local time are allowed under 230-FZ. On days off it
#: is not.
RUSSIAN_DAYS = [
    ("Kazan", "8 843 200-00-00", "2026-03-20", False),
    ("Kazan, the day before", "8 843 200-00-00", "2026-03-19", True),
    ("Kazan, Kurban-bayram", "8 843 200-00-00", "2026-05-27", False),
    ("Kazan, Constitution day", "8 843 200-00-00", "2026-11-06", False),
    ("Kazan, a workday", "8 843 200-00-00", "2026-11-05", True),
    ("Kazan, no day is moved off a Sunday", "8 843 200-00-00", "2026-08-31", True),
    ("Naberezhnye Chelny", "8 8552 30-00-00", "2026-03-20", False),
    ("Ufa", "8 347 200-00-00", "2026-03-20", False),
    ("Ufa, Republic day moved off a Sunday", "8 347 200-00-00", "2026-10-12", False),
    ("Ufa, the day after", "8 347 200-00-00", "2026-10-13", True),
    ("Makhachkala, two days", "8 8722 60-00-00", "2026-03-19", False),
    ("Grozny", "8 8712 20-00-00", "2026-04-16", False),
    ("Maykop, Radonitsa given on a Monday", "8 8772 50-00-00", "2026-04-20", False),
    ("Saratov, Radonitsa", "8 8452 20-00-00", "2026-04-21", False),
    ("Saratov, Radonitsa of a year without an act", "8 8452 20-00-00", "2028-04-25", False),
    ("Elista", "8 84722 2-00-00", "2026-02-18", False),
    ("Gorno-Altaysk, moved off a Saturday", "8 38822 2-00-00", "2026-02-24", False),
    ("Vladikavkaz, Uastyrdzhi", "8 8672 50-00-00", "2028-11-20", False),
    ("Vladikavkaz, the week after", "8 8672 50-00-00", "2028-11-27", True),
    ("Ulan-Ude", "8 3012 20-00-00", "2026-02-18", False),
    ("Kyzyl", "8 39422 2-00-00", "2026-07-24", False),
    ("Yakutsk", "8 4112 20-00-00", "2026-04-27", False),
    ("Kazan in a year without an act: the computed day", "8 843 200-00-00", "2027-03-09", False),
    ("and the day after", "8 843 200-00-00", "2027-03-10", False),
    ("but not two days after", "8 843 200-00-00", "2027-03-11", True),
    ("Moscow", "8 495 200-00-00", "2026-03-20", True),
    ("Yekaterinburg", "8 343 200-00-00", "2026-03-20", True),
    ("Russia's own holiday", "8 495 200-00-00", "2026-06-12", False),
]


@pytest.mark.parametrize(("number", "day", "evening"), [row[1:] for row in RUSSIAN_DAYS])
def test_a_region_has_days_off_of_its_own(number: str, day: str, evening: bool) -> None:
    zone = time_zones.of_number(phone(number, "RU").number)[0].key
    assert evening is allowed(at(f"{day}T21:00", zone), number, "ru-230fz")
    assert allowed(at(f"{day}T19:59", zone), number, "ru-230fz"), "before 20:00 on any day"


def test_a_mobile_number_may_be_in_any_region_unless_the_site_or_the_crm_says() -> None:
    """
    It is 8:15 in Moscow, and a day off in Chechnya only. The region of a mobile number is unknown.
    """
    mobile, morning, workday = "8 916 200-00-00", "2026-04-16T09:00", "2026-04-15T09:00"

    assert allowed(at(workday), mobile, "ru-230fz")
    assert allowed(at(morning), mobile, "ru-230fz"), "9:00 in Grozny as well"
    early = at("2026-04-16T08:30")
    for settings, free in (
        ({}, False),
        ({"zone": "Europe/Moscow"}, False),
        ({"zone": "МСК"}, False),
        ({"zone": "RU-CE"}, False),
        ({"zone": "ru-ta"}, True),
        ({"zone": "Europe/Moscow", "regions": []}, True),
        ({"ambiguous_zone": "Europe/Moscow"}, False),
        ({"ambiguous_zone": "Europe/Moscow", "regions": []}, True),
        ({"ambiguous_zone": "Europe/Moscow", "regions": ["RU-CE"]}, False),
    ):
        assert free is allowed(early, mobile, "ru-230fz", **settings), settings
    assert allowed(early, "8 495 200-00-00", "ru-230fz")


def test_the_crm_s_zone_moves_a_landline_out_of_its_region() -> None:
    """A number of Kazan with the zone of Vladivostok in the CRM: the hours are Vladivostok's."""
    evening = at("2026-03-20T21:00", "Asia/Vladivostok")
    assert allowed(evening, "8 843 200-00-00", "ru-230fz", zone="Asia/Vladivostok")
    assert not allowed(at("2026-03-20T21:00"), "8 843 200-00-00", "ru-230fz", zone="UTC+3")


def test_a_region_s_days_can_be_named() -> None:
    own = {"days_off_in": {"RU-TA": ["2026-09-02"]}}
    evening = at("2026-09-02T21:00")
    assert allowed(evening, "8 843 200-00-00", "ru-230fz")
    assert not allowed(evening, "8 843 200-00-00", "ru-230fz", calendar=own)
    assert allowed(evening, "8 495 200-00-00", "ru-230fz", calendar=own)


#: A day, and whether calls at 18:00 in London are allowed by "courtesy" (not on days off).
BRITISH_DAYS = [
    ("2026-08-31", (), False),  # England, Wales, Northern Ireland
    ("2026-08-24", (), True),
    ("2026-04-06", (), False),  # Easter Monday
    ("2026-11-30", (), False),  # Saint Andrew: the number does not say that it is not in Scotland
    ("2026-11-30", ("GB-ENG",), True),
    ("2026-08-31", ("GB-SCT",), True),
    ("2026-08-31", ("GB-ENG",), False),
]


@pytest.mark.parametrize(("day", "where", "evening"), BRITISH_DAYS)
def test_bank_holidays_of_the_parts_of_britain(
    day: str, where: tuple[str, ...], evening: bool
) -> None:
    settings = {"regions": where} if where else {}
    number = "020 7946 0123"
    assert evening is allowed(
        at(f"{day}T18:00", "Europe/London"), number, "courtesy", "GB", **settings
    )


def test_a_house_in_england_has_england_s_bank_holidays() -> None:
    england = CalendarConfig.model_validate({"country": "GB", "subdivision": "ENG"}).calendar
    assert england.holiday(date(2026, 8, 31))
    assert not england.holiday(date(2026, 11, 30))
    assert not CalendarConfig.model_validate({"country": "GB"}).calendar.holiday(date(2026, 8, 31))


def test_a_client_abroad_has_the_holidays_of_his_own_country() -> None:
    """A Russian site and a number in Kazakhstan: Nauryz is a day off, Russia Day is not."""
    almaty = "+7 727 250-00-00"
    assert not allowed(at("2026-03-23T19:00", "Asia/Almaty"), almaty, "courtesy")
    assert allowed(at("2026-06-12T19:00", "Asia/Almaty"), almaty, "courtesy")
    # Nobody's holidays, if the site has none.
    none = {"country": ""}
    assert allowed(at("2026-03-23T19:00", "Asia/Almaty"), almaty, "courtesy", calendar=none)


def called(*moments: str, talked: bool = False) -> tuple[Called, ...]:
    return tuple(Called(at(one, "America/New_York"), talked=talked) for one in moments)


#: Preset, number, earlier calls, the last refused and the first allowed minute (New York).
BUDGETS = {
    "Regulation F, seven in seven days": (
        "us-debt", "212 555 0147", called(*(f"2026-07-{day:02d}T12:00" for day in range(6, 13))),
        "2026-07-13T11:59", "2026-07-13T12:00",
    ),
    "Regulation F, seven days after a talk": (
        "us-debt", "212 555 0147", called("2026-07-06T12:00", talked=True),
        "2026-07-13T11:59", "2026-07-13T12:00",
    ),
    "Florida, three in a day": (
        "us-ftc", "305 555 0147", called(*(f"2026-07-13T{hour}:00" for hour in (12, 14, 16))),
        "2026-07-14T11:59", "2026-07-14T12:00",
    ),
    "Oklahoma, three in a day": (
        "us-ftc", "405 555 0147", called(*(f"2026-07-13T{hour}:00" for hour in (12, 14, 16))),
        "2026-07-14T11:59", "2026-07-14T12:00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUDGETS)
def test_an_american_budget_to_the_minute(name: str) -> None:
    preset, number, calls, no, yes = BUDGETS[name]
    for text, may in ((no, False), (yes, True)):
        moment = at(text, "America/New_York")
        assert may is allowed(moment, f"+1 {number}", preset, "US", calls=calls)


def test_what_a_state_forbids_binds_no_other() -> None:
    calls = called(*(f"2026-07-13T{hour}:00" for hour in (12, 14, 16)))
    moment = at("2026-07-13T19:30", "America/New_York")
    assert allowed(moment, "+1 212 555 0147", "us-ftc", "US", calls=calls)
    assert not allowed(moment, "+1 305 555 0147", "us-ftc", "US", calls=calls)
    # An attempt without a talk puts off no call for a week.
    assert allowed(moment, "+1 212 555 0147", "us-debt", "US", calls=calls)


def test_no_calls_on_sundays_and_holidays_where_a_state_says_so() -> None:
    for day, number, may in (
        ("2026-07-12", "+1 801 555 0147", False),  # Utah, a Sunday
        ("2026-07-11", "+1 801 555 0147", True),  # a Saturday
        ("2026-07-24", "+1 801 555 0147", False),  # Pioneer Day, Utah's own
        ("2026-07-24", "+1 212 555 0147", True),
        ("2026-07-11", "+1 401 555 0147", True),  # Rhode Island, a Saturday at noon
        ("2026-07-12", "+1 401 555 0147", False),
    ):
        noon = at(f"{day}T12:30", "America/Denver" if "801" in number else "America/New_York")
        assert may is allowed(noon, number, "us-ftc", "US"), (day, number)


def test_a_site_s_days_off_are_stronger_than_the_preset_s_sundays() -> None:
    sunday = at("2026-07-12T12:00", "Europe/London")
    assert not allowed(sunday, "020 7946 0123", "uk-ofcom", "GB")
    assert allowed(sunday, "020 7946 0123", "uk-ofcom", "GB", days_off="10:00-16:00")
    parts = {"GB-SCT": {"workdays": "10:00-12:00"}}
    settings = {"parts": parts, "days_off": "10:00-16:00", "regions": ["GB-SCT"]}
    assert not allowed(sunday, "020 7946 0123", "uk-ofcom", "GB", **settings)


def test_every_movable_day_is_told_or_computed_for_every_year() -> None:
    """No year raises an error, and each has the days that a law names."""
    for year in (*range(2024, 2045), 2101, 2500):
        for code, one in regions.subjects().items():
            days = one.off(year)
            assert all(day.year in (year, year + 1) for day in days), (code, year)
            assert len(days) >= len(one.days) + (len(one.standing) if year < 2100 else 0)


def test_a_reason_to_wait_names_when_it_ends() -> None:
    decision = decided(at("2026-03-20T21:00"), "8 843 200-00-00", "ru-230fz")
    assert Wait(Reason.CLIENT_HOURS, at("2026-03-21T09:00")) == decision


def wishes(**sections: Any) -> Config:
    return parse(
        {
            "portal": {"webhook": "http://127.0.0.1/rest/1/simulated0secret/"},
            "tasks": {"tag": "autodial"},
            "staff": {"departments": [5]},
            "asterisk": {"spool": "/nowhere", "trunks": [{"name": "carrier1", "lines": 9}]},
            **sections,
        },
        "test",
    )


def test_own_figures_are_named() -> None:
    config = wishes(client={"preset": "ru-230fz", "per_day": 3, "attempts": 9})
    (own,) = [
        one for one in legal_notes.notes(config, NEW, date(2026, 11, 27)) if one.key == "law.own"
    ]
    assert "ru-230fz: client.per_day" == own.detail


NEW = time_zone_data.ZoneData(version="2026c", package=True, system="2025b")


@pytest.mark.parametrize(
    ("sections", "keys"),
    [
        ({}, {"zones.used", "law.consent"}),
        ({"rules": {"consent_field": "UF_CRM_CONSENT"}}, {"zones.used"}),
        (
            {
                "phones": {"region": "GB"},
                "client": {"preset": "uk-ofcom"},
                "pace": {"dial_ratio": 1.5},
            },
            {"zones.used", "law.no harbour"},
        ),
        (
            {
                "phones": {"region": "US"},
                "client": {"preset": "us-ftc"},
                "pace": {"dial_ratio": 1.5},
            },
            {"zones.used", "law.harbour"},
        ),
        ({"phones": {"region": "US"}, "client": {"preset": "us-ftc"}}, {"zones.used"}),
        (
            {
                "phones": {"region": "US"},
                "client": {"preset": "us-ftc", "parts": {"US-FL": {"per_day": 9}}},
                "pace": {"abandoned": "by nobody"},
            },
            {"zones.used", "law.own"},
        ),
    ],
)
def test_what_no_figure_can_say_is_said(sections: dict[str, Any], keys: set[str]) -> None:
    notes = legal_notes.notes(wishes(**sections), NEW, date(2026, 11, 27))
    assert keys == {one.key for one in notes}
    assert all(one.sentence("ru") != one.sentence("en") for one in notes)


def test_tables_that_have_ended_say_so() -> None:
    keys = {one.key for one in legal_notes.notes(wishes(), NEW, date(2027, 1, 2))}
    assert {"zones.old", "law.consent", "law.days"} == keys


def test_a_preset_brings_what_its_law_says_of_abandoned_calls() -> None:
    power = wishes(client={"preset": "us-ftc"}).pace.pacing
    assert (True, True, timedelta(days=30), 0.03) == (
        power.in_two_seconds, power.by_purpose, power.over, power.cap,
    )  # fmt: skip
    own = wishes(client={"preset": "us-ftc"}, pace={"abandoned_over": "1d"}).pace.pacing
    assert timedelta(days=1) == own.over, "what the site says is stronger"
    assert not wishes().pace.pacing.in_two_seconds


#: A line of the do-not-call list, a field of the CRM that it blocks, and one that it does not; an
#: empty field: the line is no number, and the gate closes.
LISTED = [
    ("+79161234567", "8 916 123-45-67", "8 916 123-45-68"),
    ("8 (916) 123-45-67", "+7 916 1234567", "+7 916 1234568"),
    ("79161234567 # просил", "89161234567 Иван", "89161234568 Иван"),
    ("9161234567", "8-916-123-45-67", "8-916-123-45-76"),
    ("89161234567; 89031234567", "8 903 123-45-67", "8 903 123-45-68"),
    ("8 916 123-45-67 Иван 8 903 123-45-67 Пётр", "8 903 123-45-67", "8 903 123-45-68"),
    ("+8 (495) 255-44-50", "8 495 255-44-50", "8 495 255-44-51"),
    ("0044 20 7946 0123", "+442079460123", "+442079460124"),
    ("8~10 44 20 7946 0123", "00 44 20 7946 0123", "00 44 20 7946 0124"),
    ("380441234567", "+380 44 123-45-67", "+380 44 123-45-68"),
    ("８９１６１２３４５６７", "8 916 123 45 67", "8 916 123 45 68"),
    ("+7 495 123-45-67 доб. 12", "8 495 123-45-67", "8 495 123-45-68"),
    ("тел. 8 495 123-45-67 (секретарь)", "8 495 123-45-67", "8 495 123-45-68"),
    ("255-44-50", "", ""),
    ("2026-01-01;79161234567", "", ""),
    ("+84952554450", "", ""),
    ("Иванов", "", ""),
    ("112", "", ""),
    ("0611", "", ""),
    ("8916123456", "", ""),
    ("79161234567 79161234568 7916", "", ""),
]


@pytest.mark.parametrize(("line", "stopped", "not_stopped"), LISTED)
def test_a_line_of_the_list_stops_whom_it_means(line: str, stopped: str, not_stopped: str) -> None:
    numbers = numbers_in(line.partition("#")[0].strip(), "RU")
    facts = evolve(FACTS, do_not_call=numbers)
    if not stopped:
        assert Wait(Reason.RULES_UNREADABLE, NOON + LATER) == decide(TASK, facts, NOON)
        return
    for typed, stops in ((stopped, True), (not_stopped, False)):
        decision = decide(evolve(TASK, phones=(phone(typed, "RU"),)), facts, NOON)
        assert stops is (isinstance(decision, Wait) and decision.reason is Reason.DO_NOT_CALL)


#: What people type, the region of the site, and the number dialled; empty: none.
TYPED = [
    ("RU", "8 (916) 123-45-67", ("+79161234567",)),
    ("RU", "+8 (495) 255-44-50", ("+74952554450",)),
    ("RU", "+8 (863) 255-44-50", ("+78632554450",)),
    ("RU", "+84952554450", ()),
    ("RU", "8 916 123-45-67 Иван 8 903 123-45-67 Пётр", ("+79161234567", "+79031234567")),
    ("RU", "8 495 123-45-67;ext=123", ("+74951234567",)),
    ("RU", "8 495 123-45-67 доб 1234 или 5678", ()),
    ("RU", "8 495 123-45-67 добавочный - 123", ("+74951234567",)),
    ("RU", "8 495 123-45-67 доп 12", ("+74951234567",)),
    ("RU", "8 495 123-45-67 тон. 12", ("+74951234567",)),
    ("RU", "8 495 123-45-67p12", ("+74951234567",)),
    ("RU", "8\t495\t123-45-67", ("+74951234567",)),
    ("RU", "380441234567", ("+380441234567",)),
    ("RU", "375291234567", ("+375291234567",)),
    ("RU", "998901234567", ("+998901234567",)),
    ("RU", "996312123456", ("+996312123456",)),
    ("RU", "00 44 20 7946 0123", ("+442079460123",)),
    ("RU", "доб. 12", ()),
    ("RU", "8 800 FLOWERS", ()),
    ("RU", "8 112", ()),
    ("RU", "104", ()),
    ("RU", "04", ()),
    ("RU", "0611", ("0611",)),
    ("GB", "020 7946 0123", ("+442079460123",)),
    ("GB", "0044 20 7946 0123 ext 4", ("+442079460123",)),
    ("GB", "999", ()),
    ("US", "(212) 555-0147 x12", ("+12125550147",)),
    ("US", "1-800-FLOWERS", ()),
    ("KZ", "8 (727) 250-00-00", ("+77272500000",)),
]


@pytest.mark.parametrize(("region", "typed", "numbers"), TYPED)
def test_the_number_dialled_is_the_number_meant(
    region: str, typed: str, numbers: tuple[str, ...]
) -> None:
    rules = PhoneRules(region=region, short="allow", special=tuple(SPECIAL))
    phones, refused = dialable([Entry(typed, "MOBILE", "Иван", "CONTACT", 5)], rules)
    dialled = [
        decide(evolve(TASK, phones=phones, attempts=n), FACTS, NOON)
        for n in range(max(1, len(numbers)))
    ]
    if not numbers:
        assert [Drop(Reason.NO_PHONE)] == dialled
        assert refused, "and the reason is kept"
        return
    assert list(numbers) == [one.phone.number for one in dialled if isinstance(one, Dial)]


def test_the_site_s_clock_is_no_help_where_a_number_cannot_be() -> None:
    """``ambiguous_zone`` applies to numbers that may be where the site is, and not to Sydney."""
    morning = at("2026-07-14T10:00")
    settings = {"ambiguous_zone": "Europe/Moscow", "regions": []}
    assert allowed(morning, "8 916 200-00-00", "courtesy", **settings)
    night = at("2026-07-14T19:30")
    assert not allowed(night, "+61 412 345 678", "courtesy", **settings)
    assert not allowed(night, "+7 701 200 00 00", "courtesy", **settings)
    florida = at("2026-07-14T01:00", "America/New_York")
    honolulu = {"ambiguous_zone": "Pacific/Honolulu"}
    assert not allowed(florida, "+1 850 224 0147", "us-ftc", "US", **honolulu)


def test_a_part_of_a_country_in_the_crm_brings_its_clock() -> None:
    """The number is of New York; the client has moved to Hawaii, or to Australia."""
    number, morning = "+1 212 555 0147", at("2026-07-14T08:30", "America/New_York")
    assert allowed(morning, number, "us-ftc", "US")
    assert not allowed(morning, number, "us-ftc", "US", zone="US-HI")
    assert allowed(at("2026-07-14T08:30", "Pacific/Honolulu"), number, "us-ftc", "US", zone="US-HI")
    moved = {"zone": "AU-NSW", "ambiguous_zone": "Europe/Moscow"}
    assert not allowed(at("2026-07-14T19:00"), "8 916 200-00-00", "courtesy", **moved)
    # Another name of a country is not read here: then the number's own rules hold.
    evening = at("2026-07-14T20:30", "America/New_York")
    assert not allowed(evening, "+1 305 555 0147", "us-ftc", "US", zone="USA-FL")


@pytest.mark.parametrize(
    ("when", "zone", "number", "region", "preset", "settings"),
    [
        ("2027-07-04T12:00", "America/Chicago", "+1 601 555 0147", "US", "us-ftc", {}),
        ("2027-07-04T10:30", "America/Chicago", "+1 713 555 0147", "US", "us-ftc", {}),
        ("2026-03-08T12:00", "Europe/Moscow", "8 495 200-00-00", "RU", "courtesy",
         {"sunday": "off"}),
        ("2026-03-15T12:00", "Europe/Moscow", "8 495 200-00-00", "RU", "courtesy",
         {"sunday": "off", "calendar": {"days_off": ["2026-03-15"]}}),
    ],
)  # fmt: skip
def test_a_holiday_opens_no_sunday(
    when: str, zone: str, number: str, region: str, preset: str, settings: dict[str, Any]
) -> None:
    assert not allowed(at(when, zone), number, preset, region, **settings)


def test_a_day_off_of_the_house_never_opens_it() -> None:
    hours = wishes(
        hours={"holiday": "10:00-14:00"}, calendar={"days_off": ["2026-11-28", "2026-11-27"]}
    ).when
    assert None is hours.span(date(2026, 11, 28)), "a Saturday, closed as ever"
    assert ("10:00", "14:00") == tuple(
        f"{one:%H:%M}" for one in hours.span(date(2026, 11, 27)) or ()
    )


def test_a_key_of_a_part_replaces_no_other() -> None:
    evening = at("2026-07-14T20:30", "America/New_York")
    parts = {"US-FL": {"per_day": 2}, "us-ny": {"workdays": "09:00-18:00"}}
    assert not allowed(evening, "+1 305 555 0147", "us-ftc", "US", parts=parts)
    assert not allowed(evening, "+1 212 555 0147", "us-ftc", "US", parts=parts), "in any letters"
    assert allowed(evening, "+1 212 555 0147", "us-ftc", "US")


def test_regions_may_be_written_in_any_letters() -> None:
    own = {"days_off_in": {"ru-ta": ["2026-09-02"]}, "country": "RU", "subdivision": "ta"}
    evening = at("2026-09-02T21:00")
    assert not allowed(evening, "8 843 200-00-00", "ru-230fz", calendar=own)
    assert not allowed(evening, "8 916 200-00-00", "ru-230fz", calendar=own, regions=["ru-ta "],
                       ambiguous_zone="Europe/Moscow")  # fmt: skip
    assert CalendarConfig.model_validate(own).calendar.holiday(date(2026, 11, 6))


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"client": {"parts": 5}}, "client.parts"),
        ({"client": {"parts": {"US-FL": 5}}}, "client.parts"),
        ({"client": {"parts": {"XX-YY": {}}}}, "client.parts"),
        ({"client": {"preset": "x" * 5000}}, "client.preset"),
        ({"client": {"preset": ["courtesy"]}}, "client.preset"),
        ({"client": 5}, "client"),
        ({"pace": 5}, "pace"),
        ({"client": {"regions": ["RU-MOW"]}}, "client.regions"),
        ({"calendar": {"country": "RUS"}}, "calendar.country"),
        ({"calendar": {"country": "GB", "subdivision": "EN"}}, "ENG"),
        ({"calendar": {"days_off_in": {"RU-TA": "soon"}}}, "calendar.days_off_in"),
        ({"phones": {"countries": ["UK"]}}, "phones.countries"),
        ({"rules": {"consent_value": "45"}}, "rules"),
        ({"purposes": [{"name": "", "tag": "x"}]}, "purposes"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(sections: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        wishes(**sections)


def test_a_saturday_of_which_something_is_said_is_off_everywhere() -> None:
    """In Hong Kong Saturday is a working day; in Israel Sunday is."""
    noon = at("2026-11-21T12:00", "Asia/Hong_Kong")
    assert allowed(noon, "+852 2123 4567", "courtesy", "HK")
    assert not allowed(noon, "+852 2123 4567", "courtesy", "HK", saturday="off")
    sunday = at("2026-11-22T12:00", "Asia/Jerusalem")
    assert not allowed(sunday, "+972 2 555 1234", "courtesy", "IL", sunday="off")


def test_a_number_of_a_whole_continent_has_an_hour_in_its_country() -> None:
    """A toll-free number follows all clocks of the United States, with Hawaii and Alaska."""
    assert allowed(at("2026-07-14T15:00", "America/New_York"), "+1 800 555 0147", "us-ftc", "US")
    assert not allowed(
        at("2026-07-14T12:00", "America/New_York"), "+1 800 555 0147", "us-ftc", "US"
    )
