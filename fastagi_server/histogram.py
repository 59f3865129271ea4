"""Durations, counted in buckets: plain numbers, for whatever shows them."""

from bisect import bisect_left
from collections.abc import Sequence

from attrs import define, field


@define(eq=False)
class Histogram:
    """To add a duration costs a search among the bounds and two additions."""

    bounds: Sequence[float]  #: of the buckets, in seconds, ascending; each belongs to its bucket
    counts: list[int] = field(init=False)  #: by bucket; the last one is above all bounds
    total: float = field(default=0.0, init=False)  #: the sum of the durations, in seconds

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
