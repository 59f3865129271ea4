"""
Who is at work, as the voice path needs to know it: in memory, from both systems.

The store holds the truth about reservations; this mirrors it, so that a call never waits for it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import define, evolve, field

from autodial.model.ids import AttemptId, OperatorId
from autodial.model.operator import Operator
from autodial.store.presence import StaffRow


@define
class Roster:
    """The operators, their phones and their reservations."""

    #: Extensions that are never operators (the webhook's owner and the like), by user id.
    exclude: frozenset[OperatorId] = frozenset()
    #: Is Asterisk asked for device states? Then one of which it has said nothing cannot ring.
    asked: bool = field(default=False, init=False)
    _staff: dict[OperatorId, Operator] = field(factory=dict, init=False)
    _phones: dict[str, str] = field(factory=dict, init=False)
    _reserved: dict[OperatorId, AttemptId] = field(factory=dict, init=False)
    _paused: frozenset[OperatorId] = field(default=frozenset(), init=False)
    _wraps: dict[OperatorId, datetime] = field(factory=dict, init=False)

    def leave_out(self, exclude: frozenset[OperatorId]) -> None:
        """From now on these are no operators."""
        self.exclude = exclude
        self._staff = {who: him for who, him in self._staff.items() if who not in exclude}

    def set_staff(self, rows: Iterable[StaffRow]) -> None:
        """Replace the staff by what the portal says."""
        self._staff = {
            row.id: Operator(id=row.id, name=row.name, extension=row.extension, online=row.online)
            for row in rows
            if row.id not in self.exclude
        }

    def set_phone(self, extension: str, state: str) -> None:
        """Asterisk tells a device state: NOT_INUSE, INUSE, RINGING, UNAVAILABLE …"""
        self._phones[extension] = state

    def phones_state(self, extension: str) -> str | None:
        """
        What Asterisk last said of a phone; None: it is out of sight, or not asked at all. Of a
        phone of which it said nothing while it spoke of others, nothing is known that could ring.
        """
        known = self.asked or bool(self._phones)
        return self._phones.get(extension, "UNKNOWN") if known else None

    def not_told(self) -> tuple[str, ...]:
        """Extensions of the staff of whose phones Asterisk has not said anything yet."""
        mine = dict.fromkeys(o.extension for o in self._staff.values() if o.extension)
        return tuple(extension for extension in mine if extension not in self._phones)

    def forget_phones(self) -> None:
        """Asterisk is out of sight; what it said is old."""
        self._phones.clear()
        self.asked = False

    def phones(self) -> Mapping[str, str] | None:
        """Device states by extension; None: Asterisk is out of sight."""
        return dict(self._phones) if self._phones else None

    def set_reserved(self, reserved: Mapping[OperatorId, AttemptId]) -> None:
        """Take over the store's reservations."""
        self._reserved = dict(reserved)

    def reserve(self, operator: OperatorId, attempt: AttemptId) -> None:
        self._reserved[operator] = attempt

    def hand_over(self, extension: str, attempt: AttemptId) -> None:
        """
        This phone is about to ring for the attempt: its operator is held for it from now on, and
        a call for which he was held gets the operator held until now for this one, if any.
        """
        who = next((o.id for o in self._staff.values() if o.extension == extension), None)
        before = next((him for him, held in self._reserved.items() if held == attempt), None)
        if who is None or who == before:
            return
        other = self._reserved.get(who)
        self._reserved[who] = attempt
        if before is not None:
            del self._reserved[before]
            if other is not None:
                self._reserved[before] = other

    def release(self, attempt: AttemptId) -> None:
        """The attempt has ended; its operator may be reserved again."""
        self._reserved = {who: held for who, held in self._reserved.items() if held != attempt}

    def set_paused(self, paused: frozenset[OperatorId]) -> None:
        """Take over who gets no calls for now."""
        self._paused = paused

    def wraps_up(self, operator: OperatorId, until: datetime) -> None:
        """He has had a talk, and writes it up."""
        self._wraps[operator] = until

    def operators(self) -> tuple[Operator, ...]:
        """Everybody, with what is known now."""
        return tuple(self._now(operator) for operator in self._staff.values())

    def with_extension(self, extension: str) -> Operator | None:
        found = next((o for o in self._staff.values() if o.extension == extension), None)
        return self._now(found) if found is not None and extension else None

    def by_id(self, operator: OperatorId) -> Operator | None:
        found = self._staff.get(operator)
        return self._now(found) if found else None

    def _now(self, operator: Operator) -> Operator:
        return evolve(
            operator,
            phone=self.phones_state(operator.extension),
            reserved_for=self._reserved.get(operator.id),
            paused=operator.id in self._paused,
            wraps_until=self._wraps.get(operator.id),
        )
