"""A task that asks us to call somebody, and whom."""

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from autodial.model.checks import aware
from autodial.model.ids import OperatorId, TaskId


@frozen
class Phone:
    """One dialable number, and whose it is."""

    number: str  #: E.164 with its plus
    client: str  #: the client's name, as people see it
    entity_type: str  #: CONTACT, COMPANY or LEAD
    entity_id: int
    dtmf: str = ""  #: an extension behind it, sent as DTMF once the number has answered
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
    due: datetime | None = field(validator=aware)  #: when to call; None: nobody said
    phones: tuple[Phone, ...]  #: in the order to try
    open: bool = True  #: still wants work in the portal
    closed_reason: str = (
        ""  #: why the dialler is through with it: an Outcome's value, or "exhausted"
    )
    attempts: int = 0  #: made since a person last moved the deadline
    in_progress: bool = False  #: an attempt is under way
    purpose: str = ""  #: what it is for, by a name of the configuration
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself
    needs_confirmation: bool = False  #: a person must say "dial it now"
    confirmed: bool = False  #: and has
    do_not_call: bool = False  #: the portal's task says so
    #: When the person behind each number was called, over all numbers and tasks of his.
    history: Mapping[str, tuple[Called, ...]] = field(factory=dict)
    #: Numbers whose owner is being called for another task.
    called_now: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()  #: numbers that proved not to exist
