"""The name that operators' phones show: by the site's, the purpose's or the phone's template."""

import pytest

from autodial.rules.caller_display import Look, Looks, wrong_in

LOOKS = Looks(
    tag="АВТОДОЗВОН",
    purposes={
        "debt": Look(template="{tag} долг {task}", alert="<http://127.0.0.1>;info=debt"),
        "ads": Look(template="{tag} {title}"),
    },
    phones={
        "101": Look(ascii=True, alert=""),
        "102": Look(template="{task} {tag}"),
    },
)


@pytest.mark.parametrize(
    ("purpose", "extension", "name", "alert"),
    [
        ("", "", "АВТОДОЗВОН Пётр Щукин", ""),
        ("debt", "", "АВТОДОЗВОН долг 8017", "<http://127.0.0.1>;info=debt"),
        ("debt", "101", "AVTODOZVON dolg 8017", ""),
        ("debt", "102", "8017 АВТОДОЗВОН", "<http://127.0.0.1>;info=debt"),
        ("ads", "103", "АВТОДОЗВОН Позвонить", ""),
        ("unknown", "101", "AVTODOZVON Petr Shchukin", ""),
    ],
)
def test_the_most_special_word_counts(purpose: str, extension: str, name: str, alert: str) -> None:
    look = LOOKS.of(purpose, extension)
    shown = LOOKS.name(look, client="Пётр Щукин", task=8017, title="Позвонить")

    assert shown == name
    assert look.alert == alert


def test_letters_that_a_phone_cannot_show_are_plain_ascii() -> None:
    look = LOOKS.of("", "101")
    shown = LOOKS.name(look, client="Ёж «Ромашка» № 5 — 李", task=1, title="")

    assert shown.isascii()
    assert len(shown.encode()) < 80


def test_whether_the_dialler_says_how_phones_ring() -> None:
    assert LOOKS.rings
    assert not Looks(tag="x", phones={"101": Look(ascii=True)}).rings


@pytest.mark.parametrize("template", ["{client}", "{tag} {x}", "{tag", "{tag.__class__}", "{}"])
def test_a_template_that_cannot_be_is_refused(template: str) -> None:
    assert wrong_in(template) is not None
    assert wrong_in("{tag} {client} {task} {title}") is None
