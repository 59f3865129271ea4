"""Typed phone numbers, made dialable. Each refused number has a reason."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import phonenumbers
from attrs import Factory, evolve, field, frozen

from autodial.model.task import Phone
from autodial.rules.numbering_plan import (
    SPECIAL,
    begins_a_number,
    behind_a_number,
    is_emergency,
    is_short,
    parsed_number,
    special_kind,
    trunk_behind_plus,
)
from autodial.rules.phone_fields import (
    TOO_LONG,
    WHOLE,
    Entry,
    in_ascii,
    one_by_one,
    split_extension,
)

#: The portal's number kinds that are not for calls.
NOT_FOR_TALKING = frozenset({"FAX", "PAGER"})


#: A word for an extension that the other patterns have not matched.
_WORD = re.compile(
    r"(?i)(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?|тон(?:альный)?"
    r"|ext(?:ension)?)(?![^\W\d_])"
)


#: A letter typed for a digit: "34 5О".
_FOR_A_DIGIT = re.compile(r"[0-9][OoОоIlЗз](?![^\W\d_])|(?<![^\W\d_])[OoОоIlЗз][0-9]")


#: Separates a number from remarks: "тел:", "(жена)", "(Иван, до 18:00)", "Иван", "/", " - ".
_APART = re.compile(r"\([^()]*[^\W\d_][^()]*\)|\([^()0-9]*\)|[^\W\d_]+[.:]?|/|\s[-–]\s")


@frozen
class Refused:
    """A number that is not dialled, and the reason (a key of the catalogue)."""

    value: str
    reason: str
    client: str


@frozen(kw_only=True)
class PhoneRules:
    """The numbers that a site dials."""

    region: str  #: the region whose national format people type: "RU"
    order: Sequence[str] = ()  #: kinds (MOBILE, WORK …), first to try first; others come last
    countries: Collection[str] = ()  #: regions that may be dialled; empty: all
    short: Literal["refuse", "allow"] = "refuse"  #: numbers like 0611, which exist in one country
    special: Collection[str] = ()  #: kinds of ``SPECIAL`` that may be dialled
    _ranks: Mapping[str, int] = field(
        init=False,
        default=Factory(
            lambda self: {kind: rank for rank, kind in enumerate(self.order)}, takes_self=True
        ),
    )

    def rank(self, entry: Entry) -> int:
        return self._ranks.get(entry.kind, len(self._ranks))


def dialable(
    entries: Iterable[Entry], rules: PhoneRules
) -> tuple[tuple[Phone, ...], tuple[Refused, ...]]:
    """The phones to try, in the order of their kinds, without duplicates; and the refused ones."""
    phones: dict[str, Phone] = {}
    refused: list[Refused] = []
    unwilling: set[tuple[str, int, str]] = set()
    for entry in one_by_one(sorted(entries, key=rules.rank)):
        result = _read(entry, rules)
        if isinstance(result, str):
            refused.append(Refused(entry.value, result, entry.client))
            if entry.do_not_call:  # the remark may be about any of the client's numbers
                unwilling.add((entry.entity_type, entry.entity_id, entry.client))
        else:
            first = phones.get(result.number)
            phones[result.number] = result if first is None else _both(first, result)
    return tuple(
        evolve(phone, do_not_call=True)
        if (phone.entity_type, phone.entity_id, phone.client) in unwilling
        else phone
        for phone in phones.values()
    ), tuple(refused)


def _both(first: Phone, second: Phone) -> Phone:
    """One number of two clients: not called if one of them opted out or has not consented."""
    zones = dict.fromkeys(zone for zone in (first.zone, second.zone) if zone.strip())
    return evolve(
        first,
        do_not_call=first.do_not_call or second.do_not_call,
        no_consent=first.no_consent or second.no_consent,
        zone=" / ".join(zones),  # two different zones cannot be parsed: then all zones count
    )


def _read(entry: Entry, rules: PhoneRules) -> Phone | str:
    """The phone, or the key of the reason why there is none."""
    if entry.kind in NOT_FOR_TALKING:
        return "phone.fax"
    if entry.kind == TOO_LONG:
        return "phone.unreadable"
    text, extension = split_extension(entry.value)
    piece = _the_number_in(text, rules.region)
    if isinstance(piece, Reason):
        return piece.key
    parsed = parsed_number(piece, rules.region)
    if parsed is None:
        return "phone.unreadable"
    if phonenumbers.is_valid_number(parsed):
        number, reason = _whole(parsed, rules)
    elif is_short(piece, parsed, rules.region):
        number, reason = _of_few_digits(piece, text, rules)
    else:
        number, reason = "", "phone.impossible"
    if reason:
        return reason
    return Phone(
        number, entry.client, entry.entity_type, entry.entity_id, extension, entry.zone,
        entry.do_not_call, entry.no_consent,
    )  # fmt: skip


@frozen
class Reason:
    """Why a text contains no dialable number."""

    key: str  #: a key of the catalogue


def _the_number_in(text: str, region: str) -> str | Reason:
    """The piece of a field that is the number, without the remarks around it."""
    if _FOR_A_DIGIT.search(text):
        return Reason("phone.unreadable")
    if _WORD.search(text):
        # "доб 1234 или 5678", or "доб. 12" alone: the number is unclear.
        return Reason("phone.extension")
    pieces = [piece for piece in _APART.split(text) if re.search("[0-9]", piece)]
    if not pieces:
        return Reason("phone.empty")
    if len(pieces) > 1 and re.fullmatch(r"\s*(\+\s*[0-9]{1,3}|[78])\s*[-(]*\s*", pieces[0]):
        pieces = [" ".join(pieces[:2]), *pieces[2:]]  # "+7 (моб) 916 …"
    if any(len(re.findall("[0-9]", piece)) >= WHOLE for piece in pieces[1:]):
        return Reason("phone.unclear")  # a second number without a separator
    if behind_a_number(pieces[0], region):
        return Reason("phone.unclear")  # "495 255-44-50 12"
    at_home = trunk_behind_plus(pieces[0], region)
    if at_home == "unclear":
        return Reason("phone.unclear")
    number = at_home or pieces[0]
    if len(pieces) > 1 and len(re.findall("[0-9]", number)) < WHOLE:
        return Reason("phone.unreadable")  # "49-51-23 с 9 до 18": the end of the number is unclear
    return number


def _whole(parsed: Any, rules: PhoneRules) -> tuple[str, str]:
    """A valid number in E.164, and the reason not to dial it; empty: none."""
    region = phonenumbers.region_code_for_number(parsed)
    if rules.countries and region not in rules.countries:
        return "", "phone.abroad"
    if (special := special_kind(parsed)) and special not in rules.special:
        return "", "phone.special"
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), ""


def _of_few_digits(piece: str, text: str, rules: PhoneRules) -> tuple[str, str]:
    """A short number, and the reason not to dial it; empty: none."""
    # Check exactly the digits that would be dialled.
    number = re.sub("[^0-9]", "", piece)
    if is_emergency(number, rules.region):
        return "", "phone.emergency"  # never dialled, whatever the rules
    if begins_a_number(number, rules.region):
        return "", "phone.unclear"  # "8 916 12"
    # "8 800 FLOWERS" is not 8800: a short number has no other text.
    if not re.fullmatch("[0-9 -]+", text.strip()):
        return "", "phone.unreadable"
    return (number, "") if rules.short == "allow" else ("", "phone.short")


def numbers_in(text: str, region: str) -> frozenset[str] | None:
    """
    The numbers of a list's line, parsed as CRM fields without a check of what may be dialled; None:
    not all of them are valid.
    """
    rules = PhoneRules(region=region, special=tuple(SPECIAL))
    phones, refused = dialable([Entry(text, "", "", "", 0)], rules)
    if refused or not phones:
        return None
    return frozenset(phone.number for phone in phones)


def e164(text: str, region: str) -> str | None:
    """
    A number in a format of programs and lists (international with or without the plus, national);
    None: it is no number.
    """
    text = in_ascii(text)
    read = []
    for candidate in (text, f"+{text}"):
        try:
            read.append(phonenumbers.parse(candidate, region))
        except phonenumbers.NumberParseException:
            continue
    known = [number for number in read if phonenumbers.is_valid_number(number)]
    possible = [number for number in read if phonenumbers.is_possible_number(number)]
    for number in (*known, *possible):
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return None
