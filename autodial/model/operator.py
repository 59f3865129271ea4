"""A member of the call centre, and what the states of his phone mean."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from autodial.model.ids import AttemptId, OperatorId, internal_number


class DeviceUse(Enum):
    """What a device state means for a call to that phone."""

    FREE = "free"  #: it would ring
    ENGAGED = "engaged"  #: not now
    OFF = "off"  #: it cannot ring


#: Asterisk's device states, all of them. The planner and ``autodial.conf``, which rings a phone
#: only in the state that is FREE here, go by the same table: a client is not dialled for a phone
#: that would be passed over.
DEVICE_STATES: Mapping[str, DeviceUse] = {
    "NOT_INUSE": DeviceUse.FREE,
    "INUSE": DeviceUse.ENGAGED,
    "BUSY": DeviceUse.ENGAGED,
    "RINGING": DeviceUse.ENGAGED,
    "RINGINUSE": DeviceUse.ENGAGED,
    "ONHOLD": DeviceUse.ENGAGED,
    "UNAVAILABLE": DeviceUse.OFF,
    "INVALID": DeviceUse.OFF,  # what a technology says of a device it does not have,
    "UNKNOWN": DeviceUse.OFF,  # and what is said of one that no technology has
}


@frozen(kw_only=True)
class Operator:
    """A member of the call centre, with what both systems know of him."""

    id: OperatorId
    name: str
    #: Empty: cannot be rung. What is no internal number is none.
    extension: str = field(converter=internal_number)
    online: bool  #: at work by the portal's word and the configured rule
    phone: str | None = None  #: Asterisk's device state; None: Asterisk is not asked
    reserved_for: AttemptId | None = None
    paused: bool = False  #: by himself or his manager
    wraps_until: datetime | None = None  #: writing up what the client said

    @property
    def device(self) -> DeviceUse:
        """Could his phone ring? Without Asterisk's word it is taken for free."""
        return DeviceUse.FREE if self.phone is None else DEVICE_STATES[self.phone]

    @property
    def at_work(self) -> bool:
        """Logged in, and with a phone that Asterisk can reach."""
        return bool(self.online and self.extension and self.device is not DeviceUse.OFF)

    def free(self, now: datetime) -> bool:
        """May be reserved now."""
        return self.state(now) == "free"

    def state(self, now: datetime) -> str:
        """What he does, in one word; keys of the catalogue after ``operator.``."""
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
        return "writes" if self.wraps_up(now) else "free"

    def wraps_up(self, now: datetime) -> bool:
        """Is he writing up what the client said?"""
        return self.wraps_until is not None and self.wraps_until > now

    def could_talk(self, now: datetime) -> bool:
        """Free, but perhaps held for a call whose client has not answered yet."""
        return self.free(now) or (
            self.reserved_for is not None
            and self.state(now) == "reserved"
            and self.device is DeviceUse.FREE
            and not self.wraps_up(now)
        )


@frozen(kw_only=True)
class PresenceRules:
    """What "at work" means to a site."""

    active_within: timedelta
    working_day: bool = False  #: an opened working day is required
