"""What digits mean in a country: its own, foreign, short, special and emergency numbers."""

import re
from collections.abc import Mapping
from typing import Any

import phonenumbers

from autodial.rules.phone_fields import WHOLE

#: Fewest digits of a foreign number without the plus.
_FOREIGN = 11


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


#: A prefix that is not part of the number: "1) ", or an 8 before "+7".
_MARKER = re.compile(r"^\s*(?:[0-9]\)\s*(?=[+0-9(])|8\s*(?=\+))")


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


def special_kind(number: Any) -> str:
    """The kind of ``SPECIAL`` of a valid library number; empty: an ordinary number."""
    if phonenumbers.region_code_for_number(number) == _NOWHERE:
        return "non-geographic"
    kind = phonenumbers.number_type(number)
    return next((name for name, kinds in SPECIAL.items() if kind in kinds), "")


def trunk_behind_plus(text: str, region: str) -> str:
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


def parsed_number(text: str, region: str) -> Any:
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


def behind_a_number(text: str, region: str) -> bool:
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
        place >= WHOLE and len(digits) - place <= _MOST_BEHIND and _at_home(digits[:place], region)
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


def begins_a_number(digits: str, region: str) -> bool:
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


def is_short(text: str, parsed: Any, region: str) -> bool:
    """A number of a few digits, such as 0611 or 112: dialable only in its own country."""
    own = phonenumbers.country_code_for_region(region)
    return len(re.findall("[0-9]", text)) <= 6 and parsed.country_code == own
