"""Typed phone numbers, made dialable. Each refused number has a reason."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import phonenumbers
from attrs import Factory, evolve, field, frozen

from autodial.model.task import Phone

#: The portal's number kinds that are not for calls.
NOT_FOR_TALKING = frozenset({"FAX", "PAGER"})

#: A labelled extension behind a number: "доб. 12", "(доб. 12)", "вн.12", "ext 12", "#12", "x12",
#: with or without words behind it. (The library has only some; of the Russian ones only "доб".)
_NAMED = re.compile(
    r"(?:[\s,;(]*(?:(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?"
    r"|тон(?:ом|альный)?|ext(?:ension)?|x)|#)|(?<=[0-9])\s*д(?=\.))"
    r"\s*[.:=–-]?\s*(?:номер|[№#])?\s*([0-9]{1,7})\s*\)?[^0-9]*$",
    re.IGNORECASE,
)
#: A word for an extension that the other patterns have not matched.
_WORD = re.compile(
    r"(?i)(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?|тон(?:альный)?"
    r"|ext(?:ension)?)(?![^\W\d_])"
)
#: A remark that the client does not want calls. (Every repetition is bounded: the text of a field
#: must not block the reactor.)
_UNWANTED = re.compile(
    r"(?i)не[\W_]{0,9}(?:надо|нужно|хоч\w{0,20}|просил\w{0,20}|жела\w{0,20})?[\W_]{0,9}"
    r"(?:звон|беспок|набир|тревож|связыв|контакт)"
    r"|нельзя\s{0,9}(?:звон|набир)|звон\w{0,20}\s{0,9}(?:нельзя|запрещ|не\s{0,9}(?:надо|нужно))|без\s{0,9}звонк"
    r"|\bотказ(?:\b|ал|ыв)|отозва|отпис(?:ал|ать|к)|ч[её]рн\w{0,20}\s{0,9}спис|\bстоп\b"
    r"|(?:do(?:es)?|did)[\s-]{0,9}n(?:['’`]|[\s-]{0,9}o)?t[\s-]{0,9}(?:call|phone|ring|contact|want|wish)"
    r"|never\s{0,9}(?:call|phone|ring|contact)|\bno\s{0,9}(?:more\s{0,9})?calls|stop\s{0,9}call"
    r"|opt(?:ed)?[\s-]{0,9}out|unsubscri|\bdnc\b"
)
#: Latin letters that look like Cyrillic ones.
_ALIKE = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
#: A letter typed for a digit: "34 5О".
_FOR_A_DIGIT = re.compile(r"[0-9][OoОоIlЗз](?![^\W\d_])|(?<![^\W\d_])[OoОоIlЗз][0-9]")
#: An unlabelled extension: ",,12" (commas as the dialling pause), or "; 12", where more digits
#: would be another number.
_BARE = re.compile(
    r"\s*(?:,\s*,[\s,]*(?P<paused>[0-9]{1,7})|[,;]\s*(?P<short>[0-9]{1,4})"
    r"|[pw]{1,3}\s*(?P<dtmf>[0-9]{1,7}))\s*$",
    re.IGNORECASE,
)
#: Separators of several numbers in one field.
_BETWEEN = re.compile(r"(?<!,),(?!,)|[;/\n\r]|\s(?:или|и|or|and)\s", re.IGNORECASE)
#: Fewest digits of a number that can be dialled from anywhere.
_WHOLE = 10
#: Fewest digits of a foreign number without the plus.
_FOREIGN = 11
#: Longest field that is parsed, in characters, and the kind of a longer one.
LONGEST, TOO_LONG = 120, "too long"
#: Characters of a field that are read, blanks included, and that are searched for a remark.
MOST_READ, MOST_SEARCHED = 1000, 20_000
#: Numbers that networks connect to an emergency service: everywhere, and by region those missing in
#: the library (gas in Russia, and the forms in which networks reach the old two-digit services; the
#: text relay in the United Kingdom).
EMERGENCY: Mapping[str, tuple[str, ...]] = {
    "": ("112", "911"),
    **dict.fromkeys(
        ("RU", "KZ", "BY", "UA", "UZ", "KG", "TJ", "TM", "AM", "AZ", "GE", "MD"),
        tuple(f"{head}{n}{tail}" for n in range(1, 5)
              for head, tail in (("0", ""), ("10", ""), ("0", "0"), ("00", ""), ("90", ""))),
    ),
    "GB": ("999", "18000", "101", "111"),
    "US": ("988",),
}  # fmt: skip
#: Neighbours' country codes that people write without the plus, by region.
_NEIGHBOURS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("RU", "KZ"), ("375", "380", "373", "374", "992", "993", "994", "995", "996", "998")
)
#: Most digits of an extension behind a number.
_MOST_BEHIND = 7
#: Prefixes with which a number still connects: an outside line, a trunk prefix, zeros, a prefix
#: that withholds the caller's number.
_LEADS = frozenset({"", "141", "1470"} | {f"{zeros}{digit}" for zeros in ("", "0", "00")
                                          for digit in ("", *"0123456789")})  # fmt: skip
#: Invisible characters in copied text: direction marks, soft hyphens, joiners.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_PLUS = {"\uff0b": "+", "\ufe62": "+", "\u207a": "+"}
#: Separates a number from remarks: "тел:", "(жена)", "(Иван, до 18:00)", "Иван", "/", " - ".
_APART = re.compile(r"\([^()]*[^\W\d_][^()]*\)|\([^()0-9]*\)|[^\W\d_]+[.:]?|/|\s[-–]\s")
#: Where a number may begin: behind a name, a dash, a bracket or a quotation mark.
_BEGINS = re.compile(
    r"(?:^|(?<=[^\W\d_])[\s.,:)\"»'-]+|(?<=[\s\"»)])[-–—]+\s+|(?<=\s)[(«\"])(?=[+(]?\s*[0-9])"
)
#: A prefix that is not part of the number: "1) ", or an 8 before "+7".
_MARKER = re.compile(r"^\s*(?:[0-9]\)\s*(?=[+0-9(])|8\s*(?=\+))")
#: A number and a word in brackets: "(8 903 123-45-67 жена)".
_OUT_OF_BRACKETS = re.compile(r"^\(([^()]*[^\W\d_][^()]*)\)$")
#: The international prefix where 8 is the trunk prefix: 8~10.
_EIGHT_TEN = re.compile(r"^\s*8\s*[~-]?\s*10\s*(?=[0-9(])")


#: Numbers that cost the caller extra, or belong to no country (satellites, own networks).
SPECIAL: Mapping[str, frozenset[int]] = {
    "premium": frozenset({phonenumbers.PhoneNumberType.PREMIUM_RATE}),
    "shared cost": frozenset({phonenumbers.PhoneNumberType.SHARED_COST}),
    "personal": frozenset({phonenumbers.PhoneNumberType.PERSONAL_NUMBER}),
    "non-geographic": frozenset(),  # known by their region
}
#: The library's region of numbers without a country.
_NOWHERE = "001"


@frozen
class Refused:
    """A number that is not dialled, and the reason (a key of the catalogue)."""

    value: str
    reason: str
    client: str


@frozen
class Entry:
    """A number from the portal, and its owner."""

    value: str
    kind: str
    client: str
    entity_type: str
    entity_id: int
    zone: str = ""  #: the client's time zone from the CRM; empty: none
    do_not_call: bool = False  #: by the CRM
    no_consent: bool = False  #: consent is required, and the CRM has none


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
    for entry in _one_by_one(sorted(entries, key=rules.rank)):
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
    parsed = _parsed(piece, rules.region)
    if parsed is None:
        return "phone.unreadable"
    if phonenumbers.is_valid_number(parsed):
        number, reason = _whole(parsed, rules)
    elif _short(piece, parsed, rules.region):
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
    if any(len(re.findall("[0-9]", piece)) >= _WHOLE for piece in pieces[1:]):
        return Reason("phone.unclear")  # a second number without a separator
    if _behind_a_number(pieces[0], region):
        return Reason("phone.unclear")  # "495 255-44-50 12"
    at_home = _trunk_behind_plus(pieces[0], region)
    if at_home == "unclear":
        return Reason("phone.unclear")
    number = at_home or pieces[0]
    if len(pieces) > 1 and len(re.findall("[0-9]", number)) < _WHOLE:
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
    if _begins_a_number(number, rules.region):
        return "", "phone.unclear"  # "8 916 12"
    # "8 800 FLOWERS" is not 8800: a short number has no other text.
    if not re.fullmatch("[0-9 -]+", text.strip()):
        return "", "phone.unreadable"
    return (number, "") if rules.short == "allow" else ("", "phone.short")


def special_kind(number: Any) -> str:
    """The kind of ``SPECIAL`` of a valid library number; empty: an ordinary number."""
    if phonenumbers.region_code_for_number(number) == _NOWHERE:
        return "non-geographic"
    kind = phonenumbers.number_type(number)
    return next((name for name, kinds in SPECIAL.items() if kind in kinds), "")


def _trunk_behind_plus(text: str, region: str) -> str:
    """
    ``"+8 (495) …"`` where 8 is the trunk prefix: people mean the domestic number, but the library
    parses another country (here Vietnam). Returns the domestic number if the 8 is separated,
    ``"unclear"`` if it is not; empty: no such case.
    """
    trunk = _trunk(region)
    own = str(phonenumbers.country_code_for_region(region))
    if len(trunk) != 1 or trunk == "0" or own.startswith(trunk):
        return ""
    match = re.match(rf"\s*\+\s*{trunk}(?P<apart>[^0-9]*)(?P<rest>.*)", text, re.DOTALL)
    if match is None:
        return ""
    try:
        domestic = phonenumbers.parse(f"+{own}{re.sub('[^0-9]', '', match['rest'])}", region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(domestic):
        return ""
    return f"{trunk} {match['rest']}" if match["apart"] else "unclear"


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


def is_emergency(number: str, region: str) -> bool:
    """
    Whether a network may connect these digits to an emergency service, of the region or of any
    mobile network, as they are or after a prefix.
    """
    known = (*EMERGENCY[""], *EMERGENCY.get(region, ()))
    rests = {number[len(lead) :] for lead in _LEADS if number.startswith(lead)}
    return any(
        rest.startswith(known) or phonenumbers.connects_to_emergency_number(rest, region)
        for rest in rests
        if rest
    )


def in_ascii(text: str) -> str:
    """
    Digits of all scripts as 0-9 (the library accepts them, the telephone network does not), and all
    plus signs as ``+``.
    """
    if text.isascii():
        return text
    digits = ((sign, unicodedata.decimal(sign, None)) for sign in text)
    return "".join(_PLUS.get(sign, sign) if value is None else str(value) for sign, value in digits)


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


def _one_by_one(entries: Iterable[Entry]) -> Iterator[Entry]:
    """A field with several numbers as several entries."""
    for entry in entries:
        # Blanks are folded and the length is bounded: the patterns below are slow on long text.
        visible = _UNSEEN.sub("", in_ascii(entry.value[:MOST_READ]))
        folded = re.sub(r"[^\S\n\r]+|[_~]+", " ", visible).strip()
        folded = re.sub(r"^([0-9]{6,})\.0$", r"\1", folded)  # written by a spreadsheet
        # The remark may be about any of several numbers.
        unwanted = entry.do_not_call or is_unwanted(entry.value)
        if len(folded) > LONGEST:
            yield evolve(entry, value=folded[:LONGEST], kind=TOO_LONG, do_not_call=unwanted)
            continue
        for number in split_numbers(folded):
            yield evolve(entry, value=number, do_not_call=unwanted)


def split_numbers(text: str) -> list[str]:
    """``"8 916 123-45-67, 8 903 123-45-67"`` as two; anything else as it is."""
    parts = [part.strip() for part in _BETWEEN.split(text) if part.strip()]
    digits = [len(re.findall("[0-9]", split_extension(part)[0])) for part in parts]
    # A short rest ("…, 12") is an extension, and words ("…, до 18:00") are a remark.
    if len(parts) < 2 or min(digits) < 5 or max(digits) < _WHOLE:
        return _by_names(text)
    return [number for part in parts for number in _by_names(part)]


def is_unwanted(text: str) -> bool:
    """Whether the text contains a remark that the client does not want calls."""
    text = re.sub(r"\s+", " ", _UNSEEN.sub("", text[:MOST_SEARCHED]))
    return bool(_UNWANTED.search(text) or _UNWANTED.search(text.translate(_ALIKE)))


def _by_names(text: str) -> list[str]:
    """``"8 916 123-45-67 Иван 8 903 123-45-67 Пётр"`` as two; anything else as it is."""
    starts = [
        match.start()
        for match in _BEGINS.finditer(text)
        if len(re.findall("[0-9]", split_extension(text[match.start() :])[0])) >= _WHOLE
    ]
    borders = [0, *starts[1:], len(text)]
    parts = [text[a:b] for a, b in pairwise(borders)]
    whole = all(len(re.findall("[0-9]", part)) >= _WHOLE for part in parts)
    if len(parts) < 2 or not whole:
        return [text]
    return [_OUT_OF_BRACKETS.sub(r"\1", part.strip()) for part in parts]


def split_extension(text: str) -> tuple[str, str]:
    """``"+7 495 123-45-67 доб. 12"`` as the number and ``"12"``; no extension: ``""``."""
    for pattern, least in ((_NAMED, 1), (_BARE, 7)):
        match = pattern.search(text)
        if match is not None and len(re.findall("[0-9]", text[: match.start()])) >= least:
            return text[: match.start()], next(group for group in match.groups() if group)
    return text, ""


def _parsed(text: str, region: str) -> Any:
    """The library's number, by the ways in which people write it; None: no number."""
    text = _MARKER.sub("", text)
    candidates = [text]
    if _trunk(region) == "8":
        candidates.insert(0, _EIGHT_TEN.sub("+", text))
    if re.match(r"\s*0\s?0\s*[1-9]", text):
        candidates.insert(0, re.sub(r"^\s*0\s?0\s*", "+", text))
    if _foreign_without_plus(text, region):
        candidates.append(f"+{text}")
    read = []
    for candidate in candidates:
        try:
            read.append(phonenumbers.parse(candidate, region))
        except phonenumbers.NumberParseException:
            continue
    return next(
        (each for each in read if phonenumbers.is_valid_number(each)), read[0] if read else None
    )


def _trunk(region: str) -> str:
    """The region's trunk prefix: 8 in Russia, 0 in the United Kingdom."""
    known = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return (known.national_prefix if known is not None else None) or ""


def _at_home(digits: str, region: str) -> bool:
    """Whether it is a valid number of the region in a domestic format."""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number_for_region(number, region))


def _behind_a_number(text: str, region: str) -> bool:
    """
    Whether digits follow a number that is complete without them, as ``495 255-44-50 12``: neither
    a labelled extension nor part of the number. Together the digits may be another person's number
    (here in Germany).
    """
    if not re.fullmatch(r"[\s0-9().-]+", text):
        return False
    groups = re.findall("[0-9]+", text)
    digits = "".join(groups)
    if _at_home(digits, region):
        return False
    places = [sum(map(len, groups[:n])) for n in range(1, len(groups))]
    if len(groups) == 1 and not digits.startswith(_NEIGHBOURS.get(region, ("+",))):
        places = list(range(len(digits) - _MOST_BEHIND, len(digits)))
    elif len(groups) > 1 and len(groups[1]) < 3 and len(groups[0]) == 3:
        return False  # "998 90 123-45-67" is in a neighbour's format
    return any(
        place >= _WHOLE and len(digits) - place <= _MOST_BEHIND and _at_home(digits[:place], region)
        for place in places
    )


def _foreign_without_plus(text: str, region: str) -> bool:
    """
    Whether it may be a foreign number without the plus: in one piece, or a neighbour's; never one
    that begins as a domestic number.
    """
    if not re.fullmatch(rf"[\s()-]*[1-9](?:[\s()-]*[0-9]){{{_FOREIGN - 1},}}[\s()-]*", text):
        return False
    digits = "".join(re.findall("[0-9]", text))
    trunk = _trunk(region)
    if len(trunk) == 1 and (digits.startswith(trunk) or digits.startswith(f"9{trunk}")):
        return False
    in_one_piece = len(re.findall("[0-9]+", text)) == 1
    return in_one_piece or digits.startswith(_NEIGHBOURS.get(region, ("+",)))


def _begins_a_number(digits: str, region: str) -> bool:
    """Whether it is the trunk prefix or country code and part of a number: ``8916``, ``749525``."""
    if len(digits) < 4 or phonenumbers.is_valid_short_number_for_region(
        phonenumbers.PhoneNumber(
            country_code=phonenumbers.country_code_for_region(region), national_number=int(digits)
        ),
        region,
    ):
        return False
    own = str(phonenumbers.country_code_for_region(region))
    trunk = _trunk(region)
    return bool(trunk) and trunk != "0" and digits.startswith((trunk, own))


def _short(text: str, parsed: Any, region: str) -> bool:
    """A number of a few digits, such as 0611 or 112: dialable only in its own country."""
    own = phonenumbers.country_code_for_region(region)
    return len(re.findall("[0-9]", text)) <= 6 and parsed.country_code == own
