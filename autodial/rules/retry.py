"""When to call again: one row per outcome. The configuration may replace any row."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

from attrs import frozen

from autodial.model.outcome import Outcome

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@frozen
class Rule:
    """
    Wait ``waits[n]`` after the (n+1)-th attempt with this outcome; after the last one hand the task
    over to people, or, if ``endless``, repeat the last wait.
    """

    waits: tuple[timedelta, ...]
    endless: bool = False

    def next_call(self, earlier: int, ended: datetime) -> datetime | None:
        """The next call after ``earlier`` attempts of the same outcome; None: no further one."""
        if earlier >= len(self.waits) and not self.endless:
            return None
        return ended + self.waits[min(earlier, len(self.waits) - 1)]


def jittered(at: datetime, width: timedelta, key: str) -> datetime:
    """A random moment up to ``width`` later, always the same for the same ``at`` and ``key``."""
    return at + width * Random(f"{key} {at.isoformat()}").random()


#: The default waits per outcome; a site may configure any row.
DEFAULTS: Mapping[Outcome, Rule] = {
    Outcome.TALKED: Rule(()),
    Outcome.BAD_NUMBER: Rule(()),
    Outcome.BUSY: Rule((20 * _MINUTE, _HOUR, 3 * _HOUR)),
    Outcome.SILENT: Rule((2 * _HOUR, 4 * _HOUR, 24 * _HOUR)),
    Outcome.UNREACHABLE: Rule((3 * _HOUR, 6 * _HOUR, 24 * _HOUR)),
    Outcome.REJECTED: Rule((4 * _HOUR, 24 * _HOUR)),
    Outcome.FORWARDED: Rule((4 * _HOUR, 24 * _HOUR)),
    Outcome.CLIENT_LEFT: Rule((_HOUR, 4 * _HOUR)),
    Outcome.OPERATOR_MISSED: Rule((5 * _MINUTE, 15 * _MINUTE, _HOUR)),
    Outcome.LINE_FAILED: Rule((5 * _MINUTE,) * 6),
    # The client may have been called: not soon, and not often.
    Outcome.LOST: Rule((_HOUR, 4 * _HOUR)),
    # Nobody was called: no reason to stop, however often.
    Outcome.WITHDRAWN: Rule((5 * _MINUTE,), endless=True),
}
