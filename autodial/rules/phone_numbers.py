"""Numbers as people type them, made dialable. A refused number has a reason."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import phonenumbers
from attrs import Factory, evolve, field, frozen

from autodial.model.task import Phone

#: Kinds of the portal that are not for talking.
NOT_FOR_TALKING = frozenset({"FAX", "PAGER"})

#: An extension behind a number, named: "доб. 12", "(доб. 12)", "вн.12", "ext 12", "#12", "x12",
#: with words behind it or not. (The library knows only some, and none in Russian but "доб".)
_NAMED = re.compile(
    r"(?:[\s,;(]*(?:(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?"
    r"|тон(?:ом|альный)?|ext(?:ension)?|x)|#)|(?<=[0-9])\s*д(?=\.))"
    r"\s*[.:=–-]?\s*(?:номер|[№#])?\s*([0-9]{1,7})\s*\)?[^0-9]*$",
    re.IGNORECASE,
)
#: A word for an extension, that one of the patterns must have understood.
_WORD = re.compile(
    r"(?i)(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?|тон(?:альный)?"
    r"|ext(?:ension)?)(?![^\W\d_])"
)
#: A remark that he does not want our calls. (Every repetition has an end: what people, or others,
#: put into a field must not take the reactor's time.)
_UNWANTED = re.compile(
    r"(?i)не[\W_]{0,9}(?:надо|нужно|хоч\w{0,20}|просил\w{0,20}|жела\w{0,20})?[\W_]{0,9}"
    r"(?:звон|беспок|набир|тревож|связыв|контакт)"
    r"|нельзя\s{0,9}(?:звон|набир)|звон\w{0,20}\s{0,9}(?:нельзя|запрещ|не\s{0,9}(?:надо|нужно))|без\s{0,9}звонк"
    r"|\bотказ(?:\b|ал|ыв)|отозва|отпис(?:ал|ать|к)|ч[её]рн\w{0,20}\s{0,9}спис|\bстоп\b"
    r"|(?:do(?:es)?|did)[\s-]{0,9}n(?:['’`]|[\s-]{0,9}o)?t[\s-]{0,9}(?:call|phone|ring|contact|want|wish)"
    r"|never\s{0,9}(?:call|phone|ring|contact)|\bno\s{0,9}(?:more\s{0,9})?calls|stop\s{0,9}call"
    r"|opt(?:ed)?[\s-]{0,9}out|unsubscri|\bdnc\b"
)
#: Letters of one alphabet that look like those of the other.
_ALIKE = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
#: One letter typed for a digit: "34 5О".
_FOR_A_DIGIT = re.compile(r"[0-9][OoОоIlЗз](?![^\W\d_])|(?<![^\W\d_])[OoОоIlЗз][0-9]")
#: And unnamed: ",,12" as telephones write a pause, or "; 12", where more digits would be another
#: number.
_BARE = re.compile(
    r"\s*(?:,\s*,[\s,]*(?P<paused>[0-9]{1,7})|[,;]\s*(?P<short>[0-9]{1,4})"
    r"|[pw]{1,3}\s*(?P<tones>[0-9]{1,7}))\s*$",
    re.IGNORECASE,
)
#: Between several numbers in one field.
_BETWEEN = re.compile(r"(?<!,),(?!,)|[;/\n\r]|\s(?:или|и|or|and)\s", re.IGNORECASE)
#: Digits that make a number that can be dialled from anywhere.
_WHOLE = 10
#: And so many make one of another country without its plus.
_FOREIGN = 11
#: Longest field that is read, in characters, and the kind of one that is longer.
LONGEST, TOO_LONG = 120, "too long"
#: What is looked at of a field, blanks included; and searched for a remark.
MOST_READ, MOST_SEARCHED = 1000, 20_000
#: What networks put through to an emergency service: everywhere, and by region what the library
#: does not know (gas in Russia, and the ways operators reach the old two-digit services; the text
#: relay in the United Kingdom).
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
#: Country codes that people leave the plus off, by region: its neighbours'.
_NEIGHBOURS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("RU", "KZ"), ("375", "380", "373", "374", "992", "993", "994", "995", "996", "998")
)
#: Most digits that may be an extension behind a number.
_MOST_BEHIND = 7
#: What may stand before a number and lead to it: an outside line, a trunk prefix, zeros, a prefix
#: that withholds the caller's number.
_LEADS = frozenset({"", "141", "1470"} | {f"{zeros}{digit}" for zeros in ("", "0", "00")
                                          for digit in ("", *"0123456789")})  # fmt: skip
#: What copied text brings along and nobody sees: marks of direction, soft hyphens, joiners.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_PLUS = {"\uff0b": "+", "\ufe62": "+", "\u207a": "+"}
#: What parts a number from remarks: "тел:", "(жена)", "(Иван, до 18:00)", "Иван", "/", " - ".
_APART = re.compile(r"\([^()]*[^\W\d_][^()]*\)|\([^()0-9]*\)|[^\W\d_]+[.:]?|/|\s[-–]\s")
#: Where a number may begin behind a name, a dash, a bracket or a quotation mark.
_BEGINS = re.compile(
    r"(?:^|(?<=[^\W\d_])[\s.,:)\"»'-]+|(?<=[\s\"»)])[-–—]+\s+|(?<=\s)[(«\"])(?=[+(]?\s*[0-9])"
)
#: What stands before a number and is none of it: "1) ", or an 8 before "+7".
_MARKER = re.compile(r"^\s*(?:[0-9]\)\s*(?=[+0-9(])|8\s*(?=\+))")
#: A number in brackets together with a word: "(8 903 123-45-67 жена)".
_OUT_OF_BRACKETS = re.compile(r"^\(([^()]*[^\W\d_][^()]*)\)$")
#: The international prefix as old offices write it where 8 is the trunk prefix.
_EIGHT_TEN = re.compile(r"^\s*8\s*[~-]?\s*10\s*(?=[0-9(])")


#: Numbers that cost whoever dials them, or belong to no country (satellites, own networks).
SPECIAL: Mapping[str, frozenset[int]] = {
    "premium": frozenset({phonenumbers.PhoneNumberType.PREMIUM_RATE}),
    "shared cost": frozenset({phonenumbers.PhoneNumberType.SHARED_COST}),
    "personal": frozenset({phonenumbers.PhoneNumberType.PERSONAL_NUMBER}),
    "non-geographic": frozenset(),  # known by their region
}
#: The region of numbers that belong to no country.
_NOWHERE = "001"


@frozen
class Refused:
    """A number we will not dial, and why (a key of the catalogue)."""

    value: str
    reason: str
    client: str


@frozen
class Entry:
    """A number as the portal has it, and whose it is."""

    value: str
    kind: str
    client: str
    entity_type: str
    entity_id: int
    zone: str = ""  #: the client's, where the CRM says it
    do_not_call: bool = False  #: the CRM says so
    no_consent: bool = False  #: consent is asked for, and the CRM has none


@frozen(kw_only=True)
class PhoneRules:
    """What a site dials."""

    region: str  #: whose national format people type: "RU"
    order: Sequence[str] = ()  #: kinds (MOBILE, WORK …), first to try first; others come last
    countries: Collection[str] = ()  #: regions that may be dialled; none: all
    short: Literal["refuse", "allow"] = "refuse"  #: numbers like 0611, which exist in one country
    special: Collection[str] = ()  #: which of ``SPECIAL`` may be dialled; none unless named
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
    """The phones to try, in the order of their kinds, each once; and those refused."""
    phones: dict[str, Phone] = {}
    refused: list[Refused] = []
    unwilling: set[tuple[str, int, str]] = set()
    for entry in _one_by_one(sorted(entries, key=rules.rank)):
        found = _read(entry, rules)
        if isinstance(found, str):
            refused.append(Refused(entry.value, found, entry.client))
            if entry.do_not_call:  # nobody can say which number the remark is about
                unwilling.add((entry.entity_type, entry.entity_id, entry.client))
        else:
            first = phones.get(found.number)
            phones[found.number] = found if first is None else _both(first, found)
    return tuple(
        evolve(phone, do_not_call=True)
        if (phone.entity_type, phone.entity_id, phone.client) in unwilling
        else phone
        for phone in phones.values()
    ), tuple(refused)


def _both(first: Phone, second: Phone) -> Phone:
    """One number of two clients: not called if one of them does not want it, or has no consent."""
    zones = dict.fromkeys(zone for zone in (first.zone, second.zone) if zone.strip())
    return evolve(
        first,
        do_not_call=first.do_not_call or second.do_not_call,
        no_consent=first.no_consent or second.no_consent,
        zone=" / ".join(zones),  # two that differ can be read by nobody: then all zones count
    )


def _read(entry: Entry, rules: PhoneRules) -> Phone | str:
    """The phone, or the reason why there is none."""
    if entry.kind in NOT_FOR_TALKING:
        return "phone.fax"
    if entry.kind == TOO_LONG:
        return "phone.unreadable"
    text, extension = split_extension(entry.value)
    found = _the_number_in(text, rules.region)
    if isinstance(found, Reason):
        return found.key
    parsed = _parsed(found, rules.region)
    if parsed is None:
        return "phone.unreadable"
    if phonenumbers.is_valid_number(parsed):
        number, reason = _whole(parsed, rules)
    elif _short(found, parsed, rules.region):
        number, reason = _of_few_digits(found, text, rules)
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
    """Why a text holds no number that could be dialled."""

    key: str  #: of the catalogue


def _the_number_in(text: str, region: str) -> str | Reason:
    """The piece of a field that is the number, without the remarks around it."""
    if _FOR_A_DIGIT.search(text):
        return Reason("phone.unreadable")
    if _WORD.search(text):
        return Reason(
            "phone.extension"
        )  # "доб 1234 или 5678", or "доб. 12" alone: of which number?
    pieces = [piece for piece in _APART.split(text) if re.search("[0-9]", piece)]
    if not pieces:
        return Reason("phone.empty")
    if len(pieces) > 1 and re.fullmatch(r"\s*(\+\s*[0-9]{1,3}|[78])\s*[-(]*\s*", pieces[0]):
        pieces = [" ".join(pieces[:2]), *pieces[2:]]  # "+7 (моб) 916 …"
    if any(len(re.findall("[0-9]", piece)) >= _WHOLE for piece in pieces[1:]):
        return Reason("phone.unclear")  # another number, that nothing parts from this one
    if _behind_a_number(pieces[0], region):
        return Reason("phone.unclear")  # "495 255-44-50 12"
    at_home = _trunk_behind_plus(pieces[0], region)
    if at_home == "unclear":
        return Reason("phone.unclear")
    number = at_home or pieces[0]
    if len(pieces) > 1 and len(re.findall("[0-9]", number)) < _WHOLE:
        return Reason("phone.unreadable")  # "49-51-23 с 9 до 18": what belongs to the number?
    return number


def _whole(parsed: Any, rules: PhoneRules) -> tuple[str, str]:
    """A valid number in E.164, and why it may not be dialled; empty: it may."""
    region = phonenumbers.region_code_for_number(parsed)
    if rules.countries and region not in rules.countries:
        return "", "phone.abroad"
    if (special := special_kind(parsed)) and special not in rules.special:
        return "", "phone.special"
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), ""


def _of_few_digits(found: str, text: str, rules: PhoneRules) -> tuple[str, str]:
    """A short number, and why it may not be dialled; empty: it may."""
    # What is looked at is what would be dialled, and nothing else.
    number = re.sub("[^0-9]", "", found)
    if is_emergency(number, rules.region):
        return "", "phone.emergency"  # never, whatever the rules say
    if _begins_a_number(number, rules.region):
        return "", "phone.unclear"  # "8 916 12"
    # "8 800 FLOWERS" is not 8800: nothing stands beside a short number.
    if not re.fullmatch("[0-9 -]+", text.strip()):
        return "", "phone.unreadable"
    return (number, "") if rules.short == "allow" else ("", "phone.short")


def special_kind(number: Any) -> str:
    """Which of ``SPECIAL`` a valid number of the library's is; empty: an ordinary one."""
    if phonenumbers.region_code_for_number(number) == _NOWHERE:
        return "non-geographic"
    kind = phonenumbers.number_type(number)
    return next((name for name, kinds in SPECIAL.items() if kind in kinds), "")


def _trunk_behind_plus(text: str, region: str) -> str:
    """
    ``"+8 (495) …"`` where 8 is the trunk prefix: people mean the number at home, and the library
    another country (Vietnam, for this one). The number at home if the 8 stands by itself,
    ``"unclear"`` if it does not; empty: nothing of the kind.
    """
    trunk = _trunk(region)
    own = str(phonenumbers.country_code_for_region(region))
    if len(trunk) != 1 or trunk == "0" or own.startswith(trunk):
        return ""
    match = re.match(rf"\s*\+\s*{trunk}(?P<apart>[^0-9]*)(?P<rest>.*)", text, re.DOTALL)
    if match is None:
        return ""
    try:
        there = phonenumbers.parse(f"+{own}{re.sub('[^0-9]', '', match['rest'])}", region)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(there):
        return ""
    return f"{trunk} {match['rest']}" if match["apart"] else "unclear"


def numbers_in(text: str, region: str) -> frozenset[str] | None:
    """
    The numbers of a line of a list, read as fields of the CRM are, whatever may be dialled; None:
    not all of it is valid numbers.
    """
    rules = PhoneRules(region=region, special=tuple(SPECIAL))
    found, refused = dialable([Entry(text, "", "", "", 0)], rules)
    if refused or not found:
        return None
    return frozenset(phone.number for phone in found)


def is_emergency(number: str, region: str) -> bool:
    """
    Might a network put these digits through to an emergency service, of the region or of any
    mobile, as they are or behind what leads to them?
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
    Digits of all scripts as 0-9 (the library reads them, the telephone network does not), and the
    plus signs as ``+``.
    """
    if text.isascii():
        return text
    digits = ((sign, unicodedata.decimal(sign, None)) for sign in text)
    return "".join(_PLUS.get(sign, sign) if value is None else str(value) for sign, value in digits)


def e164(text: str, region: str) -> str | None:
    """
    A number as programs and lists write it (international with or without its plus, national);
    None: it is none.
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
    """Fields in which people have written several numbers, as several entries."""
    for entry in entries:
        # Blanks are folded and a novel is not read: the patterns below would take their time.
        seen = _UNSEEN.sub("", in_ascii(entry.value[:MOST_READ]))
        folded = re.sub(r"[^\S\n\r]+|[_~]+", " ", seen).strip()
        folded = re.sub(r"^([0-9]{6,})\.0$", r"\1", folded)  # a table's program wrote it
        # Of several numbers nobody can say which one the remark is about.
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
    """Does a remark in it say that somebody does not want to be called?"""
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
    """The library's number, read in the ways people mean it; None: it is none."""
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
        (one for one in read if phonenumbers.is_valid_number(one)), read[0] if read else None
    )


def _trunk(region: str) -> str:
    """The region's trunk prefix: 8 in Russia, 0 in the United Kingdom."""
    known = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return (known.national_prefix if known is not None else None) or ""


def _at_home(digits: str, region: str) -> bool:
    """Is it a valid number of the region, as people there write it?"""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number_for_region(number, region))


def _behind_a_number(text: str, region: str) -> bool:
    """
    Digits behind a number that is whole without them, as ``495 255-44-50 12``: not an extension
    that anybody has marked, and not a part of a number, either. Together they may well be somebody
    else's number (in Germany, for this one).
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
        return False  # "998 90 123-45-67" is written as a neighbour's is
    return any(
        place >= _WHOLE and len(digits) - place <= _MOST_BEHIND and _at_home(digits[:place], region)
        for place in places
    )


def _foreign_without_plus(text: str, region: str) -> bool:
    """
    May it be a number of another country, written without its plus? In one piece, or a neighbour's;
    never what begins as a number at home does.
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
    """``8916`` or ``749525``: the trunk prefix or the country's code, and part of a number."""
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
