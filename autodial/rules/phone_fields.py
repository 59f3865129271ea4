"""A phone field as people type it: several numbers, remarks, extensions, odd characters."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from attrs import evolve, frozen

#: A labelled extension behind a number: "доб. 12", "(доб. 12)", "вн.12", "ext 12", "#12", "x12",
#: with or without words behind it. (The library has only some; of the Russian ones only "доб".)
_NAMED = re.compile(
    r"(?:[\s,;(]*(?:(?<![^\W\d_])(?:доб(?:авочный)?|доп(?:олнительный)?|вн(?:утр(?:енний)?)?"
    r"|тон(?:ом|альный)?|ext(?:ension)?|x)|#)|(?<=[0-9])\s*д(?=\.))"
    r"\s*[.:=–-]?\s*(?:номер|[№#])?\s*([0-9]{1,7})\s*\)?[^0-9]*$",
    re.IGNORECASE,
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
WHOLE = 10


#: Longest field that is parsed, in characters, and the kind of a longer one.
LONGEST, TOO_LONG = 120, "too long"


#: Characters of a field that are read, blanks included, and that are searched for a remark.
MOST_READ, MOST_SEARCHED = 1000, 20_000


#: Invisible characters in copied text: direction marks, soft hyphens, joiners.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


_PLUS = {"\uff0b": "+", "\ufe62": "+", "\u207a": "+"}


#: Where a number may begin: behind a name, a dash, a bracket or a quotation mark.
_BEGINS = re.compile(
    r"(?:^|(?<=[^\W\d_])[\s.,:)\"»'-]+|(?<=[\s\"»)])[-–—]+\s+|(?<=\s)[(«\"])(?=[+(]?\s*[0-9])"
)


#: A number and a word in brackets: "(8 903 123-45-67 жена)".
_OUT_OF_BRACKETS = re.compile(r"^\(([^()]*[^\W\d_][^()]*)\)$")


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


def in_ascii(text: str) -> str:
    """
    Digits of all scripts as 0-9 (the library accepts them, the telephone network does not), and all
    plus signs as ``+``.
    """
    if text.isascii():
        return text
    digits = ((sign, unicodedata.decimal(sign, None)) for sign in text)
    return "".join(_PLUS.get(sign, sign) if value is None else str(value) for sign, value in digits)


def one_by_one(entries: Iterable[Entry]) -> Iterator[Entry]:
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
    if len(parts) < 2 or min(digits) < 5 or max(digits) < WHOLE:
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
        if len(re.findall("[0-9]", split_extension(text[match.start() :])[0])) >= WHOLE
    ]
    borders = [0, *starts[1:], len(text)]
    parts = [text[a:b] for a, b in pairwise(borders)]
    whole = all(len(re.findall("[0-9]", part)) >= WHOLE for part in parts)
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
