"""Faults in the staff's phone settings, as data. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from autodial.model.ids import internal_number


class Member(Protocol):
    """The checked fields of an operator; ``phone`` is Asterisk's device state."""

    @property
    def id(self) -> int: ...
    @property
    def extension(self) -> str: ...
    @property
    def phone(self) -> str | None: ...
    @property
    def forwards(self) -> datetime | None: ...


def conflicts(members: Sequence[Member]) -> dict[int, tuple[str, ...]]:
    """
    By operator id: the faults that keep the phone from being rung correctly, as catalogue keys.

    A missing device state (``None``: Asterisk is not connected) is no fault.
    """
    shared = Counter(member.extension for member in members if member.extension)
    faults: dict[int, tuple[str, ...]] = {}
    for member in members:
        wrong = []
        if not member.extension:
            wrong.append("no extension")
        elif not internal_number(member.extension):
            wrong.append("unusable extension")
        if shared[member.extension] > 1:
            wrong.append("shared extension")
        if internal_number(member.extension) and member.phone in ("UNKNOWN", "INVALID"):
            wrong.append("unknown to asterisk")
        if member.forwards is not None:
            wrong.append("forwards")
        if wrong:
            faults[member.id] = tuple(wrong)
    return faults
