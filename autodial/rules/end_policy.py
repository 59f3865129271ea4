"""What follows an attempt's end, by a site's rules: one value, handed to whoever writes the end."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from autodial.model.outcome import Outcome
from autodial.model.write_back import WriteBack
from autodial.rules.retry import DEFAULTS, Rule

#: Moves a next call, after a call that ended so, to where a client (number, zone) may be called.
Fit = Callable[[tuple[str, str], datetime, Outcome], datetime]


@frozen(kw_only=True)
class EndPolicy:
    """A site's rules for what follows."""

    retry: Mapping[Outcome, Rule] = DEFAULTS  #: when to call again, by outcome
    write_back: WriteBack = field(factory=WriteBack)  #: what the portal is told
    fit: Fit | None = None  #: None: a next call stays at the moment that ``retry`` gives it
    attempts: int | None = None  #: that one task may have; after the last it is given up
    later: timedelta = timedelta(days=1)  #: the next call after "call later"

    def fitted(self, phone: tuple[str, str], moment: datetime, outcome: Outcome) -> datetime:
        """Where the next call goes that is wanted at a moment."""
        return moment if self.fit is None else self.fit(phone, moment, outcome)
