"""
How long clients who have answered wait until an operator's phone rings, counted for a histogram.

In memory only: it is on the voice path.
"""

from collections.abc import Callable
from time import monotonic

from attrs import define, field

from autodial.model.ids import AttemptId
from fastagi_server import Histogram

#: Of the buckets, in seconds.
BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@define(eq=False)
class RingDelay:
    """
    From the dialplan's question whom to ring until Asterisk's manager reports a phone as ringing.

    Each call counts once, for the first phone that rings; a call for which none does never counts.
    """

    clock: Callable[[], float] = monotonic  #: not the wall clock, which may be set
    histogram: Histogram = field(factory=lambda: Histogram(BOUNDS), init=False)
    #: When the clients answered for whom no phone rings yet.
    _answered: dict[AttemptId, float] = field(factory=dict, init=False)
    #: For which attempt a phone is about to ring, by extension.
    _expected: dict[str, AttemptId] = field(factory=dict, init=False)

    def answered(self, attempt: AttemptId) -> None:
        """The client has answered."""
        self._answered[attempt] = self.clock()

    def expect(self, extension: str, attempt: AttemptId) -> None:
        """This phone is about to ring for the attempt."""
        if attempt in self._answered:
            self._expected[extension] = attempt

    def rings(self, extension: str) -> None:
        """This phone rings: for the attempt that is expected there, or for somebody else."""
        attempt = self._expected.pop(extension, None)
        if attempt is not None and attempt in self._answered:
            self.histogram.add(self.clock() - self._answered.pop(attempt))

    def forget(self, attempt: AttemptId) -> None:
        """The attempt has ended."""
        self._answered.pop(attempt, None)

    def forget_all(self) -> None:
        """Asterisk is not connected: that a phone rings would be seen too late."""
        self._answered.clear()
        self._expected.clear()
