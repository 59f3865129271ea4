"""Numbers as people type them, made dialable. A refused number has a reason."""

from collections.abc import Iterable, Sequence

import phonenumbers
from attrs import frozen

from autodial.model import Phone

#: Kinds of the portal that are not for talking.
NOT_FOR_TALKING = frozenset({"FAX", "PAGER"})


@frozen
class Refused:
    """A number we will not dial."""

    value: str
    reason: str


@frozen
class Entry:
    """A number as the portal has it, and whose it is."""

    value: str
    kind: str
    client: str
    entity_type: str
    entity_id: int


def dialable(
    entries: Iterable[Entry], *, region: str, order: Sequence[str]
) -> tuple[tuple[Phone, ...], tuple[Refused, ...]]:
    """
    The phones to try, in the order of their kinds, each once; and those refused.

    ``region`` is the country whose national format people type ("RU"); ``order`` lists kinds
    (MOBILE, WORK …), first to try first; kinds not listed come last.
    """
    ranks = {kind: rank for rank, kind in enumerate(order)}
    phones: dict[str, Phone] = {}
    refused: list[Refused] = []
    for entry in sorted(entries, key=lambda entry: ranks.get(entry.kind, len(ranks))):
        if entry.kind in NOT_FOR_TALKING:
            refused.append(Refused(entry.value, entry.kind.lower()))
            continue
        try:
            parsed = phonenumbers.parse(entry.value, region)
        except phonenumbers.NumberParseException:
            refused.append(Refused(entry.value, "not a phone number"))
            continue
        if not phonenumbers.is_valid_number(parsed):
            refused.append(Refused(entry.value, "no such number exists"))
            continue
        # An extension cannot be dialled by the network; the number itself can.
        number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        phones.setdefault(number, Phone(number, entry.client, entry.entity_type, entry.entity_id))
    return tuple(phones.values()), tuple(refused)
