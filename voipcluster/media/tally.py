"""Counts of measured values by size, as a histogram of Prometheus has them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf


class Tally:
    """
    @param bounds: upper ends of the classes, rising, each included; one without end follows.
    @ivar total: sum of all values.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds rise"
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """@param value: a number, not NaN; equal to a bound it counts below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound, and how many values are not above it; the last one is infinity."""
        below = 0
        for bound, count in zip((*self._bounds, inf), self._counts, strict=True):
            below += count
            yield bound, below
