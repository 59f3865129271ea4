"""The ledger's record of an ended call."""

from datetime import datetime

from attrs import frozen

from autodial.model.outcome import Outcome


@frozen(kw_only=True)
class Call:
    """The ledger's record of an ended call."""

    outcome: Outcome
    claimed: datetime
    answered: datetime | None
    talked: datetime | None  #: the operator's answer
    ended: datetime
    talk_seconds: int | None
