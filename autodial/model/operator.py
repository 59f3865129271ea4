"""A member of the call centre, and the meaning of their phone's device states."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from attrs import field, frozen

from autodial.model.ids import AttemptId, OperatorId, internal_number


class DeviceUse(Enum):
    """What a device state means for a call to that phone."""

    FREE = "free"  #: it can ring
    ENGAGED = "engaged"  #: in use
    OFF = "off"  #: it cannot ring


#: The device state of a phone that rings and is not in use besides.
RINGING = "RINGING"
#: All of Asterisk's device states. The dispatcher and ``autodial.conf`` use the same table; the
#: dialplan rings a phone only in the state that is FREE here. So no client is dialled for a phone
#: that the dialplan would skip.
DEVICE_STATES: Mapping[str, DeviceUse] = {
    "NOT_INUSE": DeviceUse.FREE,
    "INUSE": DeviceUse.ENGAGED,
    "BUSY": DeviceUse.ENGAGED,
    RINGING: DeviceUse.ENGAGED,
    "RINGINUSE": DeviceUse.ENGAGED,
    "ONHOLD": DeviceUse.ENGAGED,
    "UNAVAILABLE": DeviceUse.OFF,
    "INVALID": DeviceUse.OFF,  # from a technology: no such device
    "UNKNOWN": DeviceUse.OFF,  # no technology has the device
}


def reached(state: str) -> bool:
    """Can Asterisk reach the phone, whether it is in use or not?"""
    return DEVICE_STATES.get(state, DeviceUse.OFF) is not DeviceUse.OFF


def may_ring(state: str) -> bool:
    """Is the phone reached, and not in use?"""
    return DEVICE_STATES.get(state, DeviceUse.OFF) is DeviceUse.FREE


@frozen(kw_only=True)
class Operator:
    """A member of the call centre, with data from the portal and from Asterisk."""

    id: OperatorId
    name: str
    #: Empty: cannot be rung. An invalid internal number becomes empty.
    extension: str = field(converter=internal_number)
    online: bool  #: at work by the portal's data and the configured rule
    phone: str | None = None  #: Asterisk's device state; None: not requested
    elsewhere: bool = False  #: the phone is at another node's Asterisk, and ``phone`` its state
    reserved_for: AttemptId | None = None
    paused: bool = False  #: by the operator or their manager
    wraps_until: datetime | None = None  #: end of the wrap-up

    # Cached: each decision looks at all operators, several times.

    @cached_property
    def device(self) -> DeviceUse:
        """Whether the phone can ring. Without a device state it counts as free."""
        return DeviceUse.FREE if self.phone is None else DEVICE_STATES[self.phone]

    @cached_property
    def at_work(self) -> bool:
        """Online, with a phone that Asterisk can reach."""
        return bool(self.online and self.extension and self.device is not DeviceUse.OFF)

    def free(self, now: datetime) -> bool:
        """Whether the operator may be reserved now."""
        return self.free_or_in_wrap_up and not self.wraps_up(now)

    @cached_property
    def free_or_in_wrap_up(self) -> bool:
        """Whether nothing but a wrap-up can be in the way."""
        return self._apart_from_wrap_up == "free"

    def state(self, now: datetime) -> str:
        """The state as a key of the catalogue, without ``operator.``."""
        state = self._apart_from_wrap_up
        return "writes" if state == "free" and self.wraps_up(now) else state

    @cached_property
    def _apart_from_wrap_up(self) -> str:
        if not self.extension:
            return "no extension"
        if not self.online:
            return "offline"
        if self.device is DeviceUse.OFF:
            return "phone off"
        if self.paused:
            return "paused"
        if self.reserved_for is not None:
            return "reserved"
        if self.device is DeviceUse.ENGAGED:
            return "talks"
        return "free"

    def wraps_up(self, now: datetime) -> bool:
        """Whether the wrap-up still runs."""
        return self.wraps_until is not None and self.wraps_until > now

    def could_talk(self, now: datetime) -> bool:
        """Free, or reserved while their phone is still free: the client may not have answered."""
        could = self._apart_from_wrap_up in ("free", "reserved") and self.device is DeviceUse.FREE
        return could and not self.wraps_up(now)


@frozen(kw_only=True)
class PresenceRules:
    """A site's rules for "at work"."""

    active_within: timedelta
    working_day: bool = False  #: the working day must be open in the portal
