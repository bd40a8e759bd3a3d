"""Rates: a moving average of one, and a bucket that bounds one."""

from __future__ import annotations

import math

from attrs import define


@define(slots=True)
class MovingRate:
    """
    An exponentially weighted moving average. The first sample counts whole.

    @ivar tau: seconds after which an old sample counts 1/e.
    """

    tau: float
    value: float = 0.0
    _fed: bool = False

    def feed(self, sample: float, elapsed: float) -> float:
        """Take a sample that held for the last C{elapsed} seconds."""
        if not self._fed:
            self._fed, self.value = True, sample
        else:
            self.value += (sample - self.value) * (1.0 - math.exp(-elapsed / self.tau))
        return self.value


@define(slots=True)
class MovingRatio:
    """
    What happened per unit of something that was used up for it, as a moving average; 0.0 before anything did.

    Both are averaged, and then divided: the mean of the quotients of small samples would be too high.

    @ivar tau: seconds after which an old sample counts 1/e.
    """

    tau: float
    _count: float = 0.0
    _used: float = 0.0

    def feed(self, count: float, used: float, elapsed: float) -> float:
        """Take what happened and what was used in the last C{elapsed} seconds."""
        keep = math.exp(-elapsed / self.tau)
        self._count, self._used = self._count * keep + count, self._used * keep + used
        return self.value

    @property
    def value(self) -> float:
        return self._count / self._used if self._used else 0.0


@define(slots=True)
class Bucket:
    """
    A token bucket, full at first.

    @ivar rate: tokens per second.
    @ivar size: tokens that it holds: how many may be taken at once after a pause.
    """

    rate: float
    size: float
    _level: float = -1.0
    _at: float = 0.0

    def take(self, now: float) -> float:
        """Take one token and return 0.0, or take none and return the seconds until there is one."""
        if self._level < 0.0:
            self._level = self.size
        else:
            self._level = min(self.size, self._level + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._level >= 1.0 - 1e-9:  # the sum of many small additions may miss 1 by a rounding error
            self._level = max(0.0, self._level - 1.0)
            return 0.0
        return (1.0 - self._level) / self.rate
