"""Log lines that an unauthenticated peer can cause, limited in rate."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

#: Seconds between two lines of one kind.
EVERY = 10.0


@define(eq=False)
class RateLimitedLog:
    """
    At most one line of a kind every ``every`` seconds; the next one counts those left out.

    The kind is the format, so there are as many kinds as formats in the code.
    """

    log: Logger
    clock: IReactorTime
    every: float = EVERY
    _last: dict[str, float] = field(factory=dict, init=False)
    _left_out: Counter[str] = field(factory=Counter, init=False)

    def warn(self, text: str, **fields: object) -> None:
        """Log a warning, or count it."""
        self._emit(LogLevel.warn, text, fields)

    def error(self, text: str, **fields: object) -> None:
        """Log an error, or count it."""
        self._emit(LogLevel.error, text, fields)

    def _emit(self, level: Any, text: str, fields: Mapping[str, object]) -> None:
        now = self.clock.seconds()
        if text in self._last and now - self._last[text] < self.every:
            self._left_out[text] += 1
            return
        self._last[text] = now
        left_out = self._left_out.pop(text, 0)
        more = f" (and {left_out} times more since the last such line)" if left_out else ""
        self.log.emit(level, text + more, **fields)
