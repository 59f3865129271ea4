"""A call task: whom to call, and when."""

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from autodial.model.checks import aware
from autodial.model.ids import OperatorId, TaskId


@frozen
class Phone:
    """One dialable number and its owner."""

    number: str  #: E.164 with the plus
    client: str  #: the client's name, as people see it
    entity_type: str  #: CONTACT, COMPANY or LEAD
    entity_id: int
    dtmf: str = ""  #: an extension behind the number, sent as DTMF after the answer
    zone: str = ""  #: the client's time zone from the CRM; empty: none
    do_not_call: bool = False  #: by the CRM
    no_consent: bool = False  #: consent is required, and the CRM has none


@frozen
class Called:
    """One earlier call with a client, in either direction."""

    at: datetime
    abandoned: bool = False  #: see ``rules.pacing.abandoned``
    talked: bool = False  #: an operator or another employee talked with the client


@frozen(kw_only=True)
class CallTask:
    """A call task, as the dispatcher sees it."""

    id: TaskId
    title: str
    responsible: OperatorId
    due: datetime | None = field(validator=aware)  #: when to call; None: not set
    phones: tuple[Phone, ...]  #: in the order to try
    open: bool = True  #: not completed in the portal
    closed_reason: str = ""  #: why dialling has ended: an Outcome's value, or "exhausted"
    attempts: int = 0  #: since a person last moved the deadline
    in_progress: bool = False  #: an attempt is in flight
    purpose: str = ""  #: a purpose's name in the configuration
    own_deputies: tuple[OperatorId, ...] = ()  #: named in the task itself
    needs_confirmation: bool = False  #: a person must confirm the call
    confirmed: bool = False  #: a person has confirmed it
    do_not_call: bool = False  #: set in the portal's task
    #: By number: the earlier calls with its owner, over all their numbers and tasks.
    history: Mapping[str, tuple[Called, ...]] = field(factory=dict)
    #: Numbers whose owner has a call in flight for another task.
    called_now: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()  #: numbers found not to exist
