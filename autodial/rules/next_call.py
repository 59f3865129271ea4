"""
When a task is called next: the moment of the retry rule, moved to the hours of the client and the
site, and to an hour at which the client is likely to answer. Pure.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from autodial.model.outcome import Outcome
from autodial.rules.calling_hours import Hours
from autodial.rules.contact_limits import Limits
from autodial.rules.retry import jittered

#: The client did not respond: another hour of the day may be better.
_NO_RESPONSE = frozenset({Outcome.SILENT, Outcome.UNREACHABLE})


@frozen
class NextCall:
    """A site's rules for the next call. Immutable, because the store's thread uses it."""

    limits: Limits
    hours: Hours
    jitter: timedelta = timedelta(0)

    def __call__(self, phone: tuple[str, str], at: datetime, outcome: Outcome) -> datetime:
        """
        The next call to a client (number, zone of the CRM) that the retry rule wants at ``at``
        after a call with this outcome.
        """
        choose = best_allowed if outcome in _NO_RESPONSE else first_allowed
        first = choose(self.limits, self.hours, phone, at)
        # Jitter after the move; otherwise all moved calls start in the first minute of the day.
        later = jittered(first, self.jitter, phone[0])
        return choose(self.limits, self.hours, phone, later)


def first_allowed(limits: Limits, hours: Hours, phone: tuple[str, str], at: datetime) -> datetime:
    """The first moment from ``at`` on in the hours of the client (number, zone) and the site."""
    return _first(at, lambda moment: (limits.opens(*phone, moment), hours.opens(moment)))


def best_allowed(limits: Limits, hours: Hours, phone: tuple[str, str], at: datetime) -> datetime:
    """
    The same at an hour at which the client is likely to answer; if none is near, the first allowed.
    """
    first = first_allowed(limits, hours, phone, at)
    candidates = [
        _first(
            first,
            lambda moment, span=span: (  # type: ignore[misc]
                limits.opens(*phone, moment),
                hours.opens(moment),
                limits.best_opens(span, *phone, moment),
            ),
        )
        for span in limits.best
    ]
    return min((each for each in candidates if each <= first + limits.best_within), default=first)


def _first(at: datetime, opens: Callable[[datetime], Sequence[datetime | None]]) -> datetime:
    """The first moment from ``at`` on at which all are open."""
    for _ in range(30):
        later = [moment for moment in opens(at) if moment is not None]
        if not later:
            break
        at = max(later)
    return at
