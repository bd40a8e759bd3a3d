"""Rates: a moving average of one, and a bucket that bounds one."""

from __future__ import annotations

import math

from attrs import define, field

CERTAIN = 8.0  # e**8 times likelier: chance alone looks so once in some 10,000 requests


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
class Capacity:
    """
    What is completed per second of work, as a moving average that notices a step.

    Beside the average runs Page's test (CUSUM, 1954) for half as much and for twice as much: what has been counted since the test
    began to doubt is the new value once that is C{CERTAIN}. So a node that became ten times slower knows it after some twenty
    requests that it should have completed, where the average needs seconds.

    @ivar tau: seconds after which an old sample counts 1/e.
    """

    tau: float
    _average: MovingRatio = field(init=False)
    _less: _Doubt = field(factory=lambda: _Doubt(0.5))
    _more: _Doubt = field(factory=lambda: _Doubt(2.0))

    def __attrs_post_init__(self) -> None:
        self._average = MovingRatio(self.tau)

    @property
    def value(self) -> float:
        """Per second of work; 0.0 before anything was completed."""
        return self._average.value

    def feed(self, count: float, used: float, elapsed: float, behind: bool = True) -> float:
        """
        Take what was completed, and the seconds of work for it, in the last C{elapsed} seconds.

        @param behind: something waited meanwhile. If not, that little was completed says only that little was new.
        """
        before = self._average.value
        self._average.feed(count, used, elapsed)
        if before:
            if not behind:
                self._less = _Doubt(0.5)
            for doubt in (self._less, self._more) if behind else (self._more,):
                if doubt.feed(count, used, before):
                    self._average = MovingRatio(self.tau)
                    self._average.feed(doubt.count, doubt.used, 0.0)
                    self._less, self._more = _Doubt(0.5), _Doubt(2.0)
                    break
        return self._average.value


@define(slots=True)
class _Doubt:
    """
    Whether events come at C{times} the rate that is believed: the logarithm of how much likelier that is.

    @ivar count: C{used}: since that was no likelier at all.
    """

    times: float
    count: float = 0.0
    used: float = 0.0
    _sum: float = 0.0

    def feed(self, count: float, used: float, rate: float) -> bool:
        """Take a sample; whether there is no doubt any more."""
        self._sum += count * math.log(self.times) + (1.0 - self.times) * rate * used
        if self._sum <= 0.0:
            self._sum = self.count = self.used = 0.0
            return False
        self.count += count
        self.used += used
        return self._sum >= CERTAIN


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

    def take(self, now: float, spare: float = 0.0) -> float:
        """Take one token if C{spare} are left then and return 0.0, or take none and return the seconds until that is so."""
        if (
            self.level(now) >= 1.0 + spare - 1e-9
        ):  # the sum of many small additions may miss 1 by a rounding error
            self._level = max(0.0, self._level - 1.0)
            return 0.0
        return (1.0 + spare - self._level) / self.rate

    def level(self, now: float) -> float:
        """How many tokens are there."""
        if self._level < 0.0:
            self._level = self.size
        else:
            self._level = min(self.size, self._level + max(0.0, now - self._at) * self.rate)
        self._at = now
        return self._level
