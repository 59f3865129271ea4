"""Numbers as people type them: dialled rightly, or refused with a reason."""

import re
import time
from typing import Literal

import phonenumbers
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from autodial.rules.numbering_plan import SPECIAL
from autodial.rules.phone_fields import Entry, in_ascii, split_extension
from autodial.rules.phone_numbers import PhoneRules, dialable, numbers_in
from autodial.texts import CATALOGUE

RULES = PhoneRules(region="RU", order=("MOBILE", "WORK"))


def entry(value: str, kind: str = "WORK", client: str = "Иван") -> Entry:
    return Entry(value, kind, client, "CONTACT", 55)


def read(value: str, rules: PhoneRules = RULES, kind: str = "WORK") -> tuple[str, str]:
    """The number and its extension; or the reason, and the value as it was typed."""
    phones, refused = dialable([entry(value, kind)], rules)
    if phones:
        return phones[0].number, phones[0].dtmf
    return refused[0].reason, refused[0].value


@pytest.mark.parametrize(
    ("typed", "number", "extension"),
    [
        ("8 (999) 000-11-22", "+79990001122", ""),
        ("9990001122", "+79990001122", ""),
        ("+7-999-000-11-22", "+79990001122", ""),
        ("8\t999\t000-11-22", "+79990001122", ""),
        ("8\u00a0999\u2009000\u201011\u201122", "+79990001122", ""),
        ("\u202a+7 999 000-11-22\u202c", "+79990001122", ""),
        ("тел: 8 999 000 11 22", "+79990001122", ""),
        ("8 999 000 11 22 (жена)", "+79990001122", ""),
        ("+7\u00a0999\u00a0000\u00a011\u00a022", "+79990001122", ""),
        ("+79990001122 доб. 12", "+79990001122", "12"),
        ("+79990001122 доб.12", "+79990001122", "12"),
        ("+79990001122, доб 4455", "+79990001122", "4455"),
        ("+79990001122 добавочный: 7", "+79990001122", "7"),
        ("+79990001122 вн. 305", "+79990001122", "305"),
        ("+79990001122#12", "+79990001122", "12"),
        ("+79990001122,,12", "+79990001122", "12"),
        ("+79990001122;12", "+79990001122", "12"),
        ("+79990001122 ext 12", "+79990001122", "12"),
        ("+79990001122x12", "+79990001122", "12"),
        ("+44 20 7946 0123", "+442079460123", ""),
        ("0044 20 7946 0123", "+442079460123", ""),
        ("8~10 44 20 7946 0123", "+442079460123", ""),
        ("810442079460123", "+442079460123", ""),
        ("8-10-44-20-7946-0123 доб. 9", "+442079460123", "9"),
        ("+79990001122 (доб. 12)", "+79990001122", "12"),
        ("+79990001122 (доб 12)", "+79990001122", "12"),
        ("+79990001122 доб. 12 Иван", "+79990001122", "12"),
        ("+79990001122 доб.12, Иван", "+79990001122", "12"),
        ("+79990001122 добавочный номер 12", "+79990001122", "12"),
        ("8-999-000-11-22 (Иван, до 18:00)", "+79990001122", ""),
        ("8 999 000-11-22, 1234568", "+79990001122", ""),
        ("8 999 000-11-22; 654321", "+79990001122", ""),
        ("8 999 000-11-22 с 9 до 18", "+79990001122", ""),
        ("+79990001122;ext=123", "+79990001122", "123"),
        ("+79990001122 добавочный - 123", "+79990001122", "123"),
        ("+79990001122 доп. 45", "+79990001122", "45"),
        ("+79990001122 д. 45", "+79990001122", "45"),
        ("+79990001122 тон. 45", "+79990001122", "45"),
        ("+79990001122p45", "+79990001122", "45"),
        ("+79990001122 ww 45", "+79990001122", "45"),
        # Words within names, and houses, are no extensions.
        ("8 999 000-11-22 Антон 12", "+79990001122", ""),
        ("8 999 000-11-22 Добрынин", "+79990001122", ""),
        ("8 999 000-11-22 Next Level", "+79990001122", ""),
        ("8 999 000-11-22 ул. Ленина д. 45", "+79990001122", ""),
        ("380 50 123-45-67", "+380501234567", ""),
        ("375291234567", "+375291234567", ""),
        ("998 90 123 45 67", "+998901234567", ""),
        ("996700123456", "+996700123456", ""),
        ("00 44 20 7946 0123", "+442079460123", ""),
        ("442079460123", "+442079460123", ""),
        ("\t8 999 000-11-22\t", "+79990001122", ""),
        ("84952554450", "+74952554450", ""),  # the site's country first
        ("+7 (моб) 999 000-11-22", "+79990001122", ""),
        ("8 моб. 999 000-11-22", "+79990001122", ""),
    ],
)
def test_it_is_dialled(typed: str, number: str, extension: str) -> None:
    assert (number, extension) == read(typed)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("+8 (495) 255-44-50", "+74952554450"),
        ("+8 (863) 255-44-50", "+78632554450"),
        ("+ 8 999 000-11-22", "+79990001122"),
        ("+8-999-000-11-22 доб. 5", "+79990001122"),
        ("+84952554450", "phone.unclear"),  # as many digits as a Moscow number has
        ("+88632554450", "phone.unclear"),
        ("+84 24 3825 2916", "+842438252916"),  # Hanoi: no Russian number is written so
        ("+44 20 7946 0123", "+442079460123"),
    ],
)
def test_an_eight_behind_a_plus_is_never_another_country(typed: str, expected: str) -> None:
    assert expected == read(typed)[0]


@pytest.mark.parametrize("region", ["GB", "US", "DE"])
def test_where_no_trunk_prefix_could_be_a_country_all_is_as_written(region: str) -> None:
    assert "+84952554450" == read("+84952554450", PhoneRules(region=region))[0]


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("+7 809 123-45-67", "premium"), ("8 (809) 123-45-67", "premium"),
        ("+870 773 111 632", "non-geographic"), ("+881 612 345 678", "non-geographic"),
        ("+44 70 1234 5678", "personal"),
    ],
)  # fmt: skip
def test_special_numbers_are_dialled_only_where_named(typed: str, kind: str) -> None:
    assert "phone.special" == read(typed)[0]
    others = tuple(name for name in SPECIAL if name != kind)
    assert "phone.special" == read(typed, PhoneRules(region="RU", special=others))[0]
    assert read(typed, PhoneRules(region="RU", special=(kind,)))[0].startswith("+")


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("0044 20 7946 0123", {"+442079460123"}),
        ("89161234567; 89031234567", {"+79161234567", "+79031234567"}),
        ("79161234567", {"+79161234567"}),
        ("+7 809 123-45-67", {"+78091234567"}),
        ("+8 (495) 255-44-50", {"+74952554450"}),
        ("255-44-50", None), ("2026-01-01;79161234567", None), ("Иванов", None), ("112", None),
        ("+84952554450", None), ("79161234567; 12345", None),
    ],
)  # fmt: skip
def test_a_list_is_read_as_the_crm_is(line: str, numbers: set[str] | None) -> None:
    """A line that is not only a valid number closes the gate; no part of a line is ignored."""
    assert numbers == numbers_in(line, "RU")


@given(
    st.lists(st.from_regex(r"(\+7|8|7|\+44|0044|810)[ -]?\(?[0-9]{3}\)?[ -]?[0-9]{3}[ -]?[0-9]{4}",
                           fullmatch=True), min_size=1, max_size=2),
    st.sampled_from([", ", "; ", " или ", "/"]),
)  # fmt: skip
def test_list_and_crm_agree_on_every_spelling(typed: list[str], between: str) -> None:
    text = between.join(typed)
    rules = PhoneRules(region="RU", special=tuple(SPECIAL))
    phones, refused = dialable([entry(text)], rules)
    numbers = None if refused or not phones else {phone.number for phone in phones}
    assert numbers == numbers_in(text, "RU")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("спросить у Ани", "phone.empty"),
        ("", "phone.empty"),
        ("доб. 12", "phone.extension"),
        ("49-51-23 доб. 4567", "phone.short"),
        ("912-34-56 каб. 305", "phone.unreadable"),
        ("905-11-22 с 9 до 18", "phone.unreadable"),
        ("912-34-56/123", "phone.unreadable"),
        ("912-34-56 - 123", "phone.unreadable"),
        ("911 или 912-34-56", "phone.unreadable"),
        ("+", "phone.empty"),
        ("-0-", "phone.unreadable"),
        ("+7 000 000 00 00", "phone.impossible"),
        ("+44 20 79", "phone.impossible"),
        ("1234567", "phone.impossible"),
        ("+79990001122 доб 1234 или 5678", "phone.extension"),
        ("+79990001122 доб. отдела продаж", "phone.extension"),
        ("891612345678", "phone.unclear"),
        ("795255445012", "phone.unclear"),
        ("495 255-44-50 12", "phone.unclear"),
        ("(495) 255-44-50 123", "phone.unclear"),
        ("495255445012", "phone.unclear"),
        ("495 255-44-50 255-44-51", "phone.unclear"),
        ("351 212-34-56 78", "phone.unclear"),
        ("916 212 34 56 12", "phone.unclear"),
        ("961 212-34-56 1", "phone.unclear"),
        ("8 459 255-44-50", "phone.impossible"),
        ("8 210 123-45-67", "phone.impossible"),
        ("8 563 123-45-67", "phone.impossible"),
        ("9 8 916 123-45-67", "phone.unclear"),
        ("8 343 212 34 5О", "phone.unreadable"),
        ("СНИЛС 123-456-789 00", "phone.impossible"),
        ("0611", "phone.short"),
        ("112", "phone.emergency"),
        ("01", "phone.emergency"),
    ],
)
def test_it_is_refused_with_a_reason(typed: str, reason: str) -> None:
    assert (reason, typed) == read(typed)
    assert set(CATALOGUE[reason]) == {"ru", "en"}


@pytest.mark.parametrize("kind", ["FAX", "PAGER"])
def test_a_fax_is_not_for_talking(kind: str) -> None:
    assert "phone.fax" == read("+79990001122", kind=kind)[0]


def test_countries_and_short_numbers_by_rule() -> None:
    """An emergency number is never dialled, whatever the rule."""
    own = PhoneRules(region="RU", countries=("RU", "KZ"), short="allow")

    assert "phone.abroad" == read("+442079460123", own)[0]
    assert "+79990001122" == read("89990001122", own)[0]
    assert ("0611", "") == read("0611", own)
    assert "phone.emergency" == read("112", own)[0]


@pytest.mark.parametrize(
    "typed",
    ["112", "１１２", "١١٢", "112,,1", "1 1 2", "1-1-2", "+112", "(112)", "112#1", "1121", "911",
     "9-1-1", "01", "０１", "0 1", "103", "тел. 112", "112 доб. 5", "112;ext=1", "8112",
     "\uff0b112"],
)  # fmt: skip
def test_no_spelling_of_an_emergency_number_is_dialled(typed: str) -> None:
    """The check is on the number as dialled: with digits of any script and with any sign."""
    own = PhoneRules(region="RU", short="allow")
    phones, _ = dialable([entry(typed)], own)

    assert [] == [p.number for p in phones if re.match(r"\+?(112|911|0?[1-4]$|10[1-4])", p.number)]


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("＋７ ９９９ ０００-１１-２２", "+79990001122"),
        ("٨٩٩٩٠٠٠١١٢٢", "+79990001122"),
        ("０６１１", "0611"),
    ],
)
def test_digits_of_other_scripts_are_dialled_as_digits(typed: str, number: str) -> None:
    assert number == read(typed, PhoneRules(region="RU", short="allow"))[0]


@pytest.mark.parametrize(
    ("region", "typed"),
    [
        *(("RU", typed) for typed in ("04", "104", "0-4", "040", "001", "004", "901", "904", "8112",
                                      "8 112", "7112", "00911", "0911", "9112", "0112", "007112")),
        *((one, typed) for one in ("KZ", "UA", "BY") for typed in ("104", "0104", "04", "01")),
        ("US", "988"), ("GB", "101"),
        *(("GB", typed) for typed in ("18000", "141999", "141 999", "141112", "0112", "0999",
                                      "1999", "8999", "1470999", "9112")),
    ],
)  # fmt: skip
def test_what_may_lead_to_an_emergency_service_is_not_dialled(region: str, typed: str) -> None:
    """
    With a prefix for an outside line, a trunk or a withheld number, and services that the library
    lacks.
    """
    phones, refused = dialable([entry(typed)], PhoneRules(region=region, short="allow"))

    assert ([], 1) == ([phone.number for phone in phones], len(refused))


@pytest.mark.parametrize("typed", ["8 800", "8-916", "8 916 12", "7 495 25", "8 495"])
def test_a_part_of_a_number_is_no_short_number(typed: str) -> None:
    assert "phone.unclear" == read(typed, PhoneRules(region="RU", short="allow"))[0]


@pytest.mark.parametrize(
    ("region", "typed", "number"),
    [
        ("US", "810 683 4002", "+18106834002"),  # Flint, and not Russia's international prefix
        ("US", "336-222-3333 4", ""),
        ("KZ", "8 10 44 20 7946 0123", "+442079460123"),
        ("RU", "992123456789", "+992123456789"),
        ("RU", "998 90 123-45-67", "+998901234567"),
        ("RU", "442079460123", "+442079460123"),
        ("RU", "79161234567.0", "+79161234567"),
        ("RU", "8_916_123_45_67", "+79161234567"),
        ("RU", "8 +7 916 123-45-67", "+79161234567"),
        ("RU", "1) 8 495 255-44-50", "+74952554450"),
    ],
)
def test_what_stands_around_a_number_or_is_left_off(region: str, typed: str, number: str) -> None:
    reading = read(typed, PhoneRules(region=region))[0]
    assert number == (reading if reading.startswith("+") else "")


@pytest.mark.parametrize("typed", ["0611", "0890", "5555", "300"])
def test_other_short_numbers_are_dialled_where_allowed(typed: str) -> None:
    assert typed == read(typed, PhoneRules(region="RU", short="allow"))[0]


@pytest.mark.parametrize(
    "typed",
    [
        "1234567 доб" + " " * 5000 + "x",
        "," * 5000,
        "(" * 5000,
        "1" * 5000,
        "\t8 " * 900,
        "не" + " " * 20_000,
        "не" + "_" * 20_000,
        "чёрн" * 5000,
        "звон" * 5000,
        "не хоч" * 3000,
    ],
)
def test_a_long_field_is_not_read_for_long(typed: str) -> None:
    """The patterns would take seconds, and calls would wait."""
    began = time.monotonic()
    dialable([entry(typed)] * 20, RULES)

    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "typed",
    ["0611,,1", "06*11", "0611p1", "06,11", "+0611", "доб. 12", "доб 1204", "8 800 FLOWERS",
     "8-800-ЦВЕТЫ", "1-800-FLOWERS", "900 (Сбербанк)", "каб. 305", "8 499 FLOWERS", "ext 12",
     "8 10 4"],
)  # fmt: skip
def test_a_short_number_with_other_signs_is_not_guessed(typed: str) -> None:
    assert read(typed, PhoneRules(region="RU", short="allow"))[0].startswith("phone.")


def test_one_number_of_two_clients_is_one_phone_and_mobiles_come_first() -> None:
    phones, refused = dialable(
        [
            entry("+44 20 7946 0001", "WORK", "Анна"),
            entry("8 999 000 11 22", "WORK", "Анна"),
            entry("+79990001122", "MOBILE", "Борис"),
            entry("нет", "HOME", "Вера"),
        ],
        RULES,
    )

    assert [("+79990001122", "Борис"), ("+442079460001", "Анна")] == [
        (phone.number, phone.client) for phone in phones
    ]
    assert [("нет", "Вера", "phone.empty")] == [(r.value, r.client, r.reason) for r in refused]


@given(st.text(max_size=40), st.sampled_from(["MOBILE", "FAX", "X"]))
def test_whatever_is_typed_is_either_digits_or_refused(text: str, kind: str) -> None:
    phones, refused = dialable([entry(text, kind)], PhoneRules(region="RU", short="allow"))

    assert 1 == len(phones) + len(refused)
    for phone in phones:
        assert phone.number.removeprefix("+").isdigit() and phone.number.isascii()
        assert phone.dtmf == "" or (phone.dtmf.isdigit() and phone.dtmf.isascii())


@given(
    st.from_regex(r"\+7999[0-9]{7}", fullmatch=True), st.from_regex("[0-9]{1,6}", fullmatch=True)
)
def test_an_extension_never_changes_the_number(number: str, extension: str) -> None:
    for way in ("{} доб. {}", "{}#{}", "{},,{}", "{} ext.{}", "{} x{}"):
        assert (number, extension) == split_extension(way.format(number, extension))


@pytest.mark.parametrize(
    "typed",
    [
        "89990001122, 89990001133", "8 999 000 11 22; 8 999 000 11 33", "89990001122/89990001133",
        "+79990001122 или 8 999 000-11-33", "8 (999) 000-11-22\n8 (999) 000-11-33",
        "+79990001122 и +79990001133",
    ],
)  # fmt: skip
def test_several_numbers_in_one_field_are_all_dialled(typed: str) -> None:
    phones, refused = dialable([entry(typed)], RULES)
    assert (["+79990001122", "+79990001133"], ()) == ([p.number for p in phones], refused)


@pytest.mark.parametrize(
    "typed",
    [
        "8 999 000 11 22 Иван 8 999 000 11 33 Пётр", "Иван 89990001122 Пётр 89990001133",
        "8(999)0001122 жена, 8(999)0001133 муж", "+79990001122 моб. +79990001133 раб.",
        "8 999 000-11-22 - 8 999 000-11-33", "8 999 000-11-22 – 8 999 000-11-33",
        "8 999 000-11-22 Иван - 8 999 000-11-33 Пётр", "8 999 000-11-22 (8 999 000-11-33 жена)",
        "8 999 000-11-22 (жена - 8 999 000-11-33)",
        '8 999 000-11-22 "Иван" 8 999 000-11-33 "Пётр"',
    ],
)  # fmt: skip
def test_numbers_behind_names_do_not_vanish(typed: str) -> None:
    phones, refused = dialable([entry(typed)], RULES)
    assert (["+79990001122", "+79990001133"], ()) == ([p.number for p in phones], refused)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("8 999 000-11-22 не звонить", False), ("8 999 000-11-22 (НЕ ЗВОНИТЬ!)", False),
        ("8 999 000-11-22 - просил не беспокоить", False), ("8 999 000-11-22, do not call", False),
        ("89990001122 Иван, 89990001133 не звонить", False), ("8 999 000-11-22 don't call", False),
        ("8 999 000-11-22 звонить после 12", True), ("8 999 000-11-22 Незвана", True),
        ("8 999 000-11-22 Отказов Пётр", True), ("8 999 000-11-22 стоп-кран", False),
        *(
            (f"8 999 000-11-22 {remark}", False)
            for remark in (
                "не надо звонить", "не нужно звонить", "звонить нельзя", "не-звонить", "не_звонить",
                "не зво\u00adнить", "нe звонить", "не тревожить", "не связываться", "без звонков",
                "не хочет звонков", "звонки запрещены", "чёрный список", "СТОП", "отозвал согласие",
                "отписался", "do-not-call", "do not contact", "don`t call", "no calls", "opt out",
                "stop calling", "unsubscribed", "doesn't want calls",
            )
        ),
    ],
)  # fmt: skip
def test_a_remark_that_he_wants_no_calls_is_heeded(typed: str, wanted: bool) -> None:
    phones, _ = dialable([entry(typed)], RULES)
    assert phones and {not wanted} == {phone.do_not_call for phone in phones}


def test_a_remark_without_a_number_is_about_all_of_its_client() -> None:
    """
    The remark is in its own field, behind a fax number, in a field too long to read, or behind
    blanks.
    """
    other = entry("8 999 000-11-33", client="Пётр")
    other = evolve(other, entity_id=56)
    for kind, text in (
        ("WORK", "НЕ ЗВОНИТЬ"), ("FAX", "8 999 000-11-44 не звонить"),
        ("WORK", "8 999 000-11-44 " + "слово " * 30 + "не звонить"),
        ("WORK", "8 999 000-11-44" + " " * 2000 + "не звонить"),
    ):  # fmt: skip
        phones, _ = dialable([entry("8 999 000-11-22"), entry(text, kind), other], RULES)
        flags = {phone.number[-2:]: phone.do_not_call for phone in phones}
        assert (True, False) == (flags["22"] or flags.get("44"), flags["33"]), text


def test_one_number_of_two_clients_with_two_clocks_has_neither() -> None:
    one, two = entry("89990001122"), evolve(entry("89990001122"), entity_id=56)
    for zones, zone in (
        (("", "Asia/Omsk"), "Asia/Omsk"), (("Asia/Omsk", "Asia/Omsk"), "Asia/Omsk"),
        (("Asia/Omsk", "Europe/Moscow"), "Asia/Omsk / Europe/Moscow"),
    ):  # fmt: skip
        phones, _ = dialable([evolve(one, zone=zones[0]), evolve(two, zone=zones[1])], RULES)
        assert [zone] == [phone.zone for phone in phones]


def test_a_word_that_ends_in_x_is_no_extension() -> None:
    assert ("+79990001122 Max 12", "") == split_extension("+79990001122 Max 12")


#: What people put into one field, piece by piece.
_PIECES = st.one_of(
    st.from_regex(
        r"(\+7|8|7|\+8|\+44|0044|00 44|810|\+380|380|998|)[ -]?\(?[0-9]{3}\)?[ -]?[0-9]{2,3}[ -]?"
        r"[0-9]{2}[ -]?[0-9]{2}",
        fullmatch=True,
    ),
    st.from_regex(r"(доб\.?|доп\.?|д\.|тон\.|ext\.?|;ext=|#|,,|p|w|x) ?[0-9]{1,5}", fullmatch=True),
    st.from_regex(r"[0-9]{1,7}", fullmatch=True),
    st.sampled_from([
        "Иван", "(жена)", "раб.", "моб:", "или", "и", "до 18:00", "с 9 до 18", "не звонить",
        "каб. 305", "д. 45", "FLOWERS", "+", "8", "7", "112", "104", "\t", "№", "*", "٨", "＋",
    ]),
)  # fmt: skip


@given(
    st.lists(_PIECES, min_size=1, max_size=5),
    st.sampled_from([" ", ", ", "; ", "", "/", " - ", "\n"]),
    st.sampled_from(["RU", "GB", "US", "KZ"]),
    st.sampled_from(["allow", "refuse"]),
)
def test_every_digit_dialled_was_written_in_that_order(
    pieces: list[str], between: str, region: str, short: Literal["allow", "refuse"]
) -> None:
    """Only the prefix may differ: a number is not joined from parts or invented."""
    text = between.join(pieces)
    written = "".join(re.findall("[0-9]", in_ascii(text)))
    rules = PhoneRules(region=region, short=short, special=tuple(SPECIAL))

    for phone in dialable([entry(text)], rules)[0]:
        own = phone.number
        if own.startswith("+"):
            own = phonenumbers.national_significant_number(phonenumbers.parse(own))
        place = written.find(own)
        assert place >= 0
        assert phone.dtmf in written[place + len(own) :]
