"""What a decision may know, and what it says: values only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from attrs import field, frozen

from autodial.model.ids import OperatorId
from autodial.model.operator import Operator
from autodial.model.task import Phone
from autodial.model.trunk import Route
from autodial.rules.calling_hours import Hours
from autodial.rules.contact_limits import Limits

#: Look again after this long when nothing says when it will change.
SOON = timedelta(seconds=5)


LATER = timedelta(minutes=1)


#: What a person must change first; the change itself brings an earlier look.
SELDOM = timedelta(hours=6)


class Reason(Enum):
    """Why a task is not dialled now. Values are keys of the catalogue, and stable."""

    CLOSED = "closed"
    FINISHED = "finished"
    NO_PHONE = "no phone"
    NO_DEADLINE = "no deadline"
    ENOUGH = "enough"
    IN_PROGRESS = "in progress"
    NOT_DUE = "not due"
    CONFIRM = "confirm"
    PAUSED = "paused"
    RULES_UNREADABLE = "rules unreadable"
    DO_NOT_CALL = "do not call"
    NO_CONSENT = "no consent"
    WRONG_NUMBER = "wrong number"
    SAME_CLIENT = "same client"
    CLIENT_HOURS = "client hours"
    BUDGET = "budget"
    HOURS = "hours"
    STORE_MOVED = "store moved"
    SPOOL_REFUSES = "spool refuses"
    PORTAL_SILENT = "portal silent"
    PBX_SILENT = "pbx silent"
    DIALPLAN = "dialplan"
    NOBODY_AT_WORK = "nobody at work"
    OPERATORS_BUSY = "operators busy"
    ABANDONED = "abandoned"
    RESPONSIBLE_BUSY = "responsible busy"
    NOT_FOR_OTHERS = "not for others"
    TRUNKS_FULL = "trunks full"
    NO_ROUTE = "no route"
    PACE = "pace"
    SHADOW = "shadow"  #: no rule's: everything allows the call, and shadow mode makes none


@frozen
class Dial:
    """Dial this phone for this operator now, over these carriers in order."""

    phone: Phone
    operator: Operator
    routes: tuple[Route, ...]
    reserved: bool = (
        True  #: False: overdialled, beyond the free operators; whoever gets free takes it
    )


@frozen
class Wait:
    """Not now; look again at ``until``."""

    reason: Reason
    until: datetime


@frozen
class Drop:
    """Not until somebody changes the task."""

    reason: Reason


Decision = Dial | Wait | Drop


Refusal = Wait | Drop


class Who(Enum):
    """Whom to hold for a call, in the order that a site wants."""

    RESPONSIBLE = "responsible"
    DEPUTIES = "deputies"
    ANYBODY = "anybody"


@frozen(kw_only=True)
class Facts:
    """What the decision may know, besides the task."""

    operators: tuple[Operator, ...]
    deputies: Mapping[OperatorId, Sequence[OperatorId]]
    order: tuple[Who, ...] = tuple(Who)
    wait_for_responsible: timedelta = timedelta(
        0
    )  #: how long a task waits for its busy responsible
    do_not_call: frozenset[str] | None  #: None: the list cannot be read
    hours: Hours
    limits: Limits
    store_ok: bool = True  #: the store's file is where it was opened
    spool_ok: bool = True  #: call files can be written
    portal_ok: bool
    pbx_ok: bool
    dialplan_ok: bool = True  #: Asterisk has our dialplan, with what it needs
    paused: bool
    paused_purposes: frozenset[str] = frozenset()
    calls: int  #: under way now
    max_calls: int
    #: Calls that may be placed for which no operator is held: by purpose, or for ``EVERY`` one.
    overdial: Mapping[str, int] = field(factory=dict)
    reserve_operators: int = 0  #: operators not to be reserved while there are others
    routes: Mapping[str, tuple[Route, ...]]  #: by purpose: carriers with room, preferred first
    next_start: datetime | None  #: when the pace allows the next call; None: now


@frozen
class RuleResult:
    """One rule's word on a task, for people."""

    reason: Reason
    refusal: Refusal | None  #: None: the rule has nothing against the call
    detail: str = ""  #: what it is about: a number
