"""
What share of the processor a thread gets when it wants it.

Programs beside it and a quota take wall time from a thread and not CPU time, so what it completes per CPU second does not tell
of them; and how busy it is does not tell that it cannot get more. The kernel knows how long it was ready to run and did not.

A node that is given little for that has little to do, and so it cannot learn that it is over, nor how bad it is. It does know
whether it is run at once when it wakes up. As long as it is not, the share stays what it was; when it is, it is thought to grow
back, as after a start: what others give to it then tells.
"""

from __future__ import annotations

import math

from attrs import define

TAU = 0.5  # s after which an old sample counts 1/e
HUNGRY, WORKING = (
    0.8,
    0.1,
)  # of a sample, wanted or used: from there on what it had of what it wanted tells what it gets
STEP = 2.0  # times more or less in two samples in a row: what was before counts no more
TURN = 0.001  # s that it could have used each time it was run, whatever it did use; else the share of an idle one would be 0
PROMPT = 0.001  # s that it may wait each time and be run at once
DOUBLES = 1.0  # s of being run at once in which the share doubles
LEAST = 0.02  # a node with less is as good as stopped, and is to be back soon after it runs again


@define(slots=True)
class Granted:
    """
    @ivar value: of one processor; 1.0 where nothing takes it away, and before anything is known.
    """

    value: float = 1.0
    _before: float = 0.0  # s waited in the sample before
    _had: float = 0.0
    _wanted: float = 0.0
    _odd_had: float = 0.0  # of the last sample, if it was far from what is believed
    _odd_wanted: float = 0.0

    def sampled(self, elapsed: float, busy: float, waited: float, runs: int) -> float:
        """
        Take a sample, and return the share.

        @param elapsed: seconds of the sample; C{busy}: CPU seconds used in it; C{waited}: seconds in which the thread was ready
            and did not run; C{runs}: how often it was run.
        """
        before, self._before = self._before, waited
        if busy >= WORKING * elapsed or (busy > 0.0 and busy + waited >= HUNGRY * elapsed):
            self._ate(elapsed, busy, busy + waited)
            return self.value
        self._had = self._wanted = self._odd_wanted = 0.0
        if max(before, waited) <= PROMPT * runs:
            self.value = min(1.0, self.value * 2.0 ** (elapsed / DOUBLES))
        else:
            # somebody who has the processor for one moment takes nothing from us in the next: the lesser of two
            had = max(busy, min(runs * TURN, elapsed))
            if had:
                self.value = min(self.value, max(LEAST, had / (had + min(before, waited))))
        return self.value

    def _ate(self, elapsed: float, had: float, wanted: float) -> None:
        """It wanted much, and had so much of it."""
        share, odd = had / wanted, self._odd_wanted
        is_odd = not self.value / STEP <= share <= self.value * STEP
        if is_odd and odd and (share < self.value) == (self._odd_had / odd < self.value):
            self._had, self._wanted = self._odd_had + had, odd + wanted
            self._odd_wanted = 0.0
        else:
            self._odd_had, self._odd_wanted = (had, wanted) if is_odd else (0.0, 0.0)
            keep = math.exp(-elapsed / TAU)
            if not self._wanted:  # what is believed counts as if it had been measured till now
                self._wanted = elapsed / (1.0 - keep) * keep
                self._had = self.value * self._wanted
            else:
                self._had, self._wanted = self._had * keep, self._wanted * keep
            self._had, self._wanted = self._had + had, self._wanted + wanted
        self.value = max(LEAST, min(1.0, self._had / self._wanted))
