"""What the dialler talks about. No I/O, no clocks: values only."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NewType

from attrs import Attribute, field, frozen

from autodial.routes import Route

TaskId = NewType("TaskId", int)
OperatorId = NewType("OperatorId", int)
AttemptId = NewType("AttemptId", str)


#: What an internal number may be. It becomes an argument of the dialplan, where a quotation mark, a
#: bracket or a comma would be more than text.
_INTERNAL = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def internal_number(text: str) -> str:
    """An internal number as the portal has it, if it can be one; otherwise empty: never rung."""
    return text if _INTERNAL.fullmatch(text) else ""


#: How an attempt is named: task 8017, its third.
_ATTEMPT = re.compile(r"t[0-9]{1,16}-[0-9]{1,9}")


def attempt_id(text: str) -> AttemptId | None:
    """A text from outside as the name of an attempt; None: it cannot be one."""
    return AttemptId(text) if _ATTEMPT.fullmatch(text) else None


class Outcome(Enum):
    """How one attempt ended, in the client's terms."""

    TALKED = "talked"  #: client and operator were bridged
    BUSY = "busy"  #: the client's phone was engaged
    SILENT = "silent"  #: it rang, and nobody answered
    REJECTED = "rejected"  #: the client, or his network, declined the call
    FORWARDED = "forwarded"  #: the far side named another number; nobody follows it there
    UNREACHABLE = "unreachable"  #: off or out of coverage: it never rang
    BAD_NUMBER = "bad number"  #: the network does not know the number
    CLIENT_LEFT = "client left"  #: answered, and hung up before an operator spoke
    OPERATOR_MISSED = "operator missed"  #: the client answered, no operator did
    LINE_FAILED = "line failed"  #: our own carrier, PBX or server failed
    LOST = "lost"  #: Asterisk went quiet about it; the client may have been called
    WITHDRAWN = "withdrawn"  #: called off before anybody was dialled


class Word(Enum):
    """What an operator says of his last talk, and the digit he keys for it."""

    DONE = "done"  #: the task is done
    LATER = "call later"  #: the client wants to be called again
    WRONG_NUMBER = "not his number"  #: somebody else has this number
    NEVER = "never again"  #: the client does not want our calls

    @property
    def code(self) -> int:
        return {Word.DONE: 1, Word.LATER: 2, Word.WRONG_NUMBER: 3, Word.NEVER: 9}[self]


@frozen(kw_only=True)
class Effect:
    """What an outcome means for the client."""

    answered: bool = False  #: somebody took the call at his end
    #: His phone may have rung, or his network may have told him of the call.
    contact: bool = True


#: One row for each outcome. "May have" counts: a client is not disturbed on a guess.
EFFECTS: Mapping[Outcome, Effect] = {
    Outcome.TALKED: Effect(answered=True),
    Outcome.CLIENT_LEFT: Effect(answered=True),
    Outcome.OPERATOR_MISSED: Effect(answered=True),
    Outcome.BUSY: Effect(),  # a second call shows on a phone that is engaged
    Outcome.SILENT: Effect(),
    Outcome.REJECTED: Effect(),
    Outcome.FORWARDED: Effect(),  # a phone that forwards may show whose call it was
    Outcome.UNREACHABLE: Effect(),  # networks send a message about calls to a phone that was off
    Outcome.BAD_NUMBER: Effect(),  # not every network says that only of numbers nobody has
    Outcome.LOST: Effect(),
    Outcome.LINE_FAILED: Effect(contact=False),  # one that fails after ringing is "silent"
    Outcome.WITHDRAWN: Effect(contact=False),
}
#: The client's phone was answered, so the portal gets a call record.
ANSWERED = frozenset(outcome for outcome, effect in EFFECTS.items() if effect.answered)
#: Ends that do not count against the client: he cannot have noticed them.
NO_CONTACT = frozenset(outcome for outcome, effect in EFFECTS.items() if not effect.contact)


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


def _aware(_: object, attribute: "Attribute[Any]", value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise ValueError(f"{attribute.name} needs a time zone: {value!r}")


@frozen
class Phone:
    """One dialable number, and whose it is."""

    number: str  #: E.164 with its plus
    client: str  #: the client's name, as people see it
    entity_type: str  #: CONTACT, COMPANY or LEAD
    entity_id: int
    extension: str = ""  #: to be sent as tones once the number has answered
    zone: str = ""  #: the client's time zone, where the CRM says it
    do_not_call: bool = False  #: the CRM says so
    no_consent: bool = False  #: consent is asked for, and the CRM has none


@frozen
class Called:
    """One call that a person has had from us, or with us."""

    at: datetime
    abandoned: bool = False  #: see ``power.abandoned``
    talked: bool = False  #: somebody of ours, or of the house, talked with him


@frozen(kw_only=True)
class CallTask:
    """A task that asks us to call somebody, as planned."""

    id: TaskId
    title: str
    responsible: OperatorId
    due: datetime | None = field(validator=_aware)  #: when to call; None: nobody said
    phones: tuple[Phone, ...]  #: in the order to try
    open: bool = True  #: still wants work in the portal
    halted: str = ""  #: why the dialler is through with it: an Outcome's value, or "exhausted"
    attempts: int = 0  #: made since a person last moved the deadline
    in_progress: bool = False  #: an attempt is under way
    purpose: str = ""  #: what it is for, by a name of the configuration
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself
    needs_word: bool = False  #: a person must say "dial it now"
    confirmed: bool = False  #: and has
    do_not_call: bool = False  #: the portal's task says so
    #: When the person behind each number was called, over all numbers and tasks of his.
    history: Mapping[str, tuple[Called, ...]] = field(factory=dict)
    #: Numbers whose owner is being called for another task.
    called_now: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()  #: numbers that proved not to exist


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
class Attempt:
    """One dialling of one phone for one task."""

    id: AttemptId
    task: TaskId
    number: str
    tones: str  #: the extension behind the number, sent once it has answered
    operator: OperatorId  #: reserved for it
    extension: str
    client: str
    title: str
    responsible: OperatorId
    routes: tuple[Route, ...]  #: carriers in order, with the number to show on each
    state: str
    series: int  #: the task's, when it was made: a person who moves the deadline starts a new one
    purpose: str = ""  #: of its task
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself


@frozen(kw_only=True)
class Report:
    """What Asterisk says of an attempt when its channel goes (see dialplan/autodial.conf)."""

    stage: str  #: claim, refused, claimfail, dial
    dial_status: str = ""
    cause: int = 0  #: Q.850 hangup cause
    tech: str = ""  #: the technology's own words: "SIP 486 Busy Here"
    operator_state: str = ""  #: resolve, none, ring, talk, agifail, FORWARDED, or a DIALSTATUS
    operator: str = ""  #: the last extension rung
    answered: datetime | None = None  #: the client's answer
    talked: datetime | None = None  #: the operator's answer
    ended: datetime | None = None
    trunk: str = ""
    rang: bool = False  #: the last carrier said that the client's phone rings, or sent early media

    @property
    def talk_seconds(self) -> int:
        if self.talked is None or self.ended is None:
            return 0
        return max(0, int((self.ended - self.talked).total_seconds()))


@frozen(kw_only=True)
class PresenceRules:
    """What "at work" means to a site."""

    active_within: timedelta
    working_day: bool = False  #: an opened working day is required


@frozen(kw_only=True)
class Telling:
    """What the portal is told besides the deadline, the responsible, the comment and the call."""

    notify: bool = False  #: a notice with a link to the operator whose phone rings
    recording: bool = False  #: the recording, once the call is finished
    talked: str = ""  #: the status a task is brought to after a talk; empty: left alone
    given_up: str = ""  #: and when the dialler is through with it
    hand_back: int = 0  #: whose a task becomes then, the portal's user id; 0: it stays
    taker: bool = True  #: who talked becomes responsible
    word_within: timedelta = timedelta(0)  #: the status after a talk waits for a word so long
    #: Attempts that nobody answered are registered in the portal, too, after their end.
    unanswered: bool = False
    #: all: one a call; changes: none where a call ended as the one before; one: kept up to date.
    comments: str = "all"
