"""Slow start: a node that has just started takes a part of its share only, and more from step to step."""

from __future__ import annotations

from attrs import frozen

FIRST = 0.1  # of its share


@frozen
class SlowStart:
    """
    Its caches are cold and its rates unknown, and if its start was a crash, the next one may come soon.

    @ivar began: when the node started, seconds.
    @ivar step: seconds in which what it takes doubles, from a tenth on; 0 takes all at once.
    """

    began: float
    step: float = 5.0

    def weight(self, now: float) -> float:
        """The part of its share that the node takes at C{now}: 0.1, 0.2, 0.4, 0.8, then 1.0."""
        if self.step <= 0.0:
            return 1.0
        steps = max(0.0, now - self.began) // self.step
        return 1.0 if steps >= 4 else FIRST * 2.0**steps
