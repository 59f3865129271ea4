"""The input and the output of the dial decision: values only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from attrs import field, frozen

from autodial.model.ids import OperatorId
from autodial.model.operator import Operator
from autodial.model.task import Phone
from autodial.model.trunk import Route
from autodial.rules.calling_hours import Hours
from autodial.rules.contact_limits import Limits

#: When to check again if the moment of the change is unknown.
SOON = timedelta(seconds=5)


LATER = timedelta(minutes=1)


#: When to check again if a person must change something; the change itself triggers a check.
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
    OTHER_NODE = "other node"  #: the operator's phone is at another node, which may dial
    SHADOW = "shadow"  #: of no rule: all rules allow the call, but shadow mode places none


@frozen
class Dial:
    """Dial this phone for this operator now, over these trunks in order."""

    phone: Phone
    operator: Operator
    routes: tuple[Route, ...]
    #: False: overdialled, beyond the free operators; the first operator to become free takes it.
    reserved: bool = True


@frozen
class Wait:
    """Not now; check again at ``until``."""

    reason: Reason
    until: datetime


@frozen
class Drop:
    """Not until the task is changed."""

    reason: Reason


Decision = Dial | Wait | Drop


Refusal = Wait | Drop


class Who(Enum):
    """Groups of operators, in the order in which a site reserves them."""

    RESPONSIBLE = "responsible"
    DEPUTIES = "deputies"
    ANYBODY = "anybody"


@frozen(kw_only=True)
class Facts:
    """The input of the decision besides the task."""

    operators: tuple[Operator, ...]
    deputies: Mapping[OperatorId, Sequence[OperatorId]]
    order: tuple[Who, ...] = tuple(Who)
    stand_ins: Mapping[OperatorId, OperatorId] = field(factory=dict)  #: who takes whose tasks now
    #: How long a task waits for its busy responsible.
    wait_for_responsible: timedelta = timedelta(0)
    do_not_call: frozenset[str] | None  #: None: the list cannot be read
    hours: Hours
    limits: Limits
    store_ok: bool = True  #: the store's file is where it was opened
    spool_ok: bool = True  #: call files can be written
    portal_ok: bool
    pbx_ok: bool
    dialplan_ok: bool = True  #: Asterisk has the dialplan and the modules it needs
    paused: bool
    paused_purposes: frozenset[str] = frozenset()
    calls: int  #: in flight now
    max_calls: int
    #: Calls that may be placed without a reserved operator: by purpose, or under ``EVERY``.
    overdial: Mapping[str, int] = field(factory=dict)
    reserve_operators: int = 0  #: operators to keep free while there are others
    routes: Mapping[str, tuple[Route, ...]]  #: by purpose: trunks with room, preferred first
    next_start: datetime | None  #: earliest start of the next call by the pace; None: now

    # Cached: a decision looks at all operators several times, and there may be hundreds.

    @cached_property
    def by_id(self) -> Mapping[OperatorId, Operator]:
        """All operators."""
        return {operator.id: operator for operator in self.operators}

    @cached_property
    def at_work_here(self) -> int:
        """How many are at work whom this node's Asterisk can ring: all, if it is the only node."""
        return sum([operator.at_work and not operator.elsewhere for operator in self.operators])

    def free_here(self, now: datetime) -> int:
        """How many of these are free."""
        return sum([operator.free(now) for operator in self._free_or_in_wrap_up])

    @cached_property
    def _free_or_in_wrap_up(self) -> Sequence[Operator]:
        return [one for one in self.operators if one.free_or_in_wrap_up and not one.elsewhere]


@frozen
class RuleResult:
    """One rule's result for a task, to show to people."""

    reason: Reason
    refusal: Refusal | None  #: None: the rule allows the call
    detail: str = ""  #: the phone number, for a rule about numbers
