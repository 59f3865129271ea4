"""A site's rules for the end of an attempt: one value, passed to the code that stores the end."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from autodial.model.outcome import Outcome
from autodial.model.write_back import WriteBack
from autodial.rules.retry import DEFAULTS, Rule

#: Moves the next call after this outcome to when the client (number, zone) may be called.
Fit = Callable[[tuple[str, str], datetime, Outcome], datetime]


@frozen(kw_only=True)
class EndPolicy:
    """A site's rules for the end of an attempt."""

    retry: Mapping[Outcome, Rule] = DEFAULTS  #: when to call again, by outcome
    write_back: WriteBack = field(factory=WriteBack)  #: what is written to the portal
    fit: Fit | None = None  #: None: the next call stays at the moment from ``retry``
    attempts: int | None = None  #: per task; after the last one dialling ends
    later: timedelta = timedelta(days=1)  #: the next call after "call later"

    def fitted(self, phone: tuple[str, str], moment: datetime, outcome: Outcome) -> datetime:
        """The moment of the next call, moved from the wanted one."""
        return moment if self.fit is None else self.fit(phone, moment, outcome)
