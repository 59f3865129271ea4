"""
The operators at work, in memory, for the voice path: from the portal and from Asterisk.

Reservations are a copy of the store's, so that a call never waits for the store.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import define, evolve, field

from autodial.engine.ring_delay import RingDelay
from autodial.model.ids import AttemptId, OperatorId
from autodial.model.operator import RINGING, Operator, may_ring, reached
from autodial.store.presence import StaffRow


@define
class Roster:
    """The operators, their phones and their reservations."""

    #: Users that are never operators (the webhook's owner and the like), by user id.
    exclude: frozenset[OperatorId] = frozenset()
    ring_delay: RingDelay = field(factory=RingDelay)
    #: Who takes whose tasks for now.
    stand_ins: Mapping[OperatorId, OperatorId] = field(factory=dict, init=False)
    _staff: dict[OperatorId, Operator] = field(factory=dict, init=False)
    _phones: dict[str, str] = field(factory=dict, init=False)
    _reserved: dict[OperatorId, AttemptId] = field(factory=dict, init=False)
    _paused: frozenset[OperatorId] = field(default=frozenset(), init=False)
    _wraps: dict[OperatorId, datetime] = field(factory=dict, init=False)
    #: Phones at other nodes' Asterisks, by extension, with their states.
    _elsewhere: Mapping[str, str] = field(factory=dict, init=False)
    #: Device states are read from Asterisk: a phone without a state cannot ring.
    _asked: bool = field(default=False, init=False)
    #: All operators with their present states: many decisions look at them between two changes.
    _present: dict[OperatorId, Operator] = field(factory=dict, init=False)
    #: Whose an extension is; of several it is the first's, but all have its state.
    _extensions: dict[str, tuple[OperatorId, ...]] = field(factory=dict, init=False)

    def leave_out(self, exclude: frozenset[OperatorId]) -> None:
        """From now on these users are no operators."""
        self.exclude = exclude
        self._staff = {who: operator for who, operator in self._staff.items() if who not in exclude}
        self._renew_all()

    def set_staff(self, rows: Iterable[StaffRow]) -> None:
        """Replace the staff by the portal's list."""
        self._staff = {
            row.id: Operator(id=row.id, name=row.name, extension=row.extension, online=row.online)
            for row in rows
            if row.id not in self.exclude
        }
        self._renew_all()

    def set_phone(self, extension: str, state: str) -> None:
        """Store a device state of Asterisk: NOT_INUSE, INUSE, RINGING, UNAVAILABLE …"""
        if state == RINGING:
            self.ring_delay.rings(extension)
        first = not self._phones
        self._phones[extension] = state
        if first:
            self._renew_all()  # from now on a phone without a state is unknown
        else:
            self._renew(*self._extensions.get(extension, ()))

    def ask_phones(self) -> None:
        """Device states are read from Asterisk from now on."""
        self._asked = True
        self._renew_all()

    def phones_state(self, extension: str) -> str | None:
        """
        The last device state of a phone; None: Asterisk is not connected, or not asked for states.
        A phone without a state, while others have one, is "UNKNOWN": it cannot ring.
        """
        known = self._asked or bool(self._phones)
        return self._phones.get(extension, "UNKNOWN") if known else None

    def set_elsewhere(self, phones: Mapping[str, str]) -> None:
        """The phones that other nodes' Asterisks reach, with their states."""
        changed = {ext for ext in {*phones, *self._elsewhere}
                   if phones.get(ext) != self._elsewhere.get(ext)}  # fmt: skip
        self._elsewhere = phones
        self._renew(*(who for ext in changed for who in self._extensions.get(ext, ())))

    def everywhere(self) -> Mapping[str, str] | None:
        """As ``phones``, with the phones at other nodes."""
        if not self._phones and not self._elsewhere:
            return None
        off = {ext: state for ext, state in self._phones.items() if not reached(state)}
        return {**off, **self._elsewhere, **{e: s for e, s in self._phones.items() if e not in off}}

    def not_told(self) -> tuple[str, ...]:
        """Extensions of the staff for which Asterisk has not reported a device state yet."""
        extensions = dict.fromkeys(o.extension for o in self._staff.values() if o.extension)
        return tuple(extension for extension in extensions if extension not in self._phones)

    def forget_phones(self) -> None:
        """Asterisk is not connected: its device states are out of date."""
        self._phones.clear()
        self._asked = False
        self.ring_delay.forget_all()
        self._renew_all()

    def phones(self) -> Mapping[str, str] | None:
        """Device states by extension; None: Asterisk is not connected."""
        return dict(self._phones) if self._phones else None

    def set_reserved(self, reserved: Mapping[OperatorId, AttemptId]) -> None:
        """Copy the store's reservations."""
        before, self._reserved = self._reserved, dict(reserved)
        both = {*before, *reserved}
        self._renew(*(who for who in both if before.get(who) != reserved.get(who)))

    def reserve(self, operator: OperatorId, attempt: AttemptId) -> None:
        self._reserved[operator] = attempt
        self._renew(operator)

    def hand_over(self, extension: str, attempt: AttemptId) -> None:
        """
        This phone is about to ring for the attempt: reserve its operator for it. A call for which
        that operator was reserved gets the operator reserved for this one until now, if any.
        """
        who = next(iter(self._extensions.get(extension, ())), None)
        before = next(
            (operator for operator, reserved in self._reserved.items() if reserved == attempt), None
        )
        if who is None:
            return
        self.ring_delay.expect(extension, attempt)
        if who == before:
            return
        other = self._reserved.get(who)
        self._reserved[who] = attempt
        if before is not None:
            del self._reserved[before]
            if other is not None:
                self._reserved[before] = other
            self._renew(before)
        self._renew(who)

    def release(self, attempt: AttemptId) -> None:
        """The attempt has ended; its operator may be reserved again."""
        self.ring_delay.forget(attempt)
        for who in [who for who, reserved in self._reserved.items() if reserved == attempt]:
            del self._reserved[who]
            self._renew(who)

    def set_paused(self, paused: frozenset[OperatorId]) -> None:
        """Copy the store's pauses."""
        changed = self._paused ^ paused
        self._paused = paused
        self._renew(*changed)

    def wraps_up(self, operator: OperatorId, until: datetime) -> None:
        """The operator is in wrap-up after a talk."""
        self._wraps[operator] = until
        self._renew(operator)

    def operators(self) -> tuple[Operator, ...]:
        """All operators, with their present states."""
        return tuple(self._present.values())

    def all_by_id(self) -> Mapping[OperatorId, Operator]:
        """The same by id: not a copy, it changes with them."""
        return self._present

    def with_extension(self, extension: str) -> Operator | None:
        whose = self._extensions.get(extension)
        return self._present[whose[0]] if whose else None

    def heeds(self, extension: str) -> bool:
        """
        The state of this device has changed: is it an operator's phone? The old state of any other
        is forgotten; it is asked for once it becomes one.
        """
        if extension in self._extensions:
            return True
        self._phones.pop(extension, None)
        return False

    def by_id(self, operator: OperatorId) -> Operator | None:
        return self._present.get(operator)

    def _renew_all(self) -> None:
        self._extensions = {}
        for who, operator in self._staff.items():
            if operator.extension:
                others = self._extensions.get(operator.extension, ())
                self._extensions[operator.extension] = (*others, who)
        self._present = {who: self._now(operator) for who, operator in self._staff.items()}

    def _renew(self, *changed: OperatorId) -> None:
        for who in changed:
            if who in self._staff:
                self._present[who] = self._now(self._staff[who])

    def _now(self, operator: Operator) -> Operator:
        here = self.phones_state(operator.extension)
        there = self._elsewhere.get(operator.extension)
        # A phone at both is used here, unless it is in use there.
        elsewhere = there is not None and (here is None or not reached(here) or not may_ring(there))
        return evolve(
            operator,
            phone=there if elsewhere else here,
            elsewhere=elsewhere,
            reserved_for=self._reserved.get(operator.id),
            paused=operator.id in self._paused,
            wraps_until=self._wraps.get(operator.id),
        )
