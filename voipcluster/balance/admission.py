"""Who is let in first when not all can be: classes of requests, and a bucket that keeps room for the better ones."""

from __future__ import annotations

import math
from enum import IntEnum

from attrs import define


class Priority(IntEnum):
    """
    The classes of requests (RFC 7339 section 5.10.1); the lesser number is the better.

    What is within a dialog or belongs to a transaction that is known is in none of them: it is never refused.
    """

    EMERGENCY = 1  # urn:service:sos (RFC 5031), or a high Resource-Priority (RFC 4412)
    PAID = 2  # work was spent on it before: handed over, redirected, or with an answer to a challenge; or it takes state away
    CALL = 3
    REFRESH = 4  # REGISTER of somebody who is registered: refusing it makes work later
    STRANGER = 5  # a call of who proved no password, where users do
    REGISTER = 6
    OTHER = 7  # SUBSCRIBE, MESSAGE, OPTIONS and so on


# how full the bucket must be, as a share; below 0 is debt, that those behind pay
_LEVELS = {
    Priority.PAID: -0.5,
    Priority.CALL: 0.0,
    Priority.REFRESH: 0.2,
    Priority.STRANGER: 0.3,
    Priority.REGISTER: 0.4,
    Priority.OTHER: 0.6,
}
DEPTH = 0.1  # s of the rate that may come at once: as much as may wait
SHALLOWEST = 10.0  # requests


@define
class PriorityBucket:
    """
    A token bucket whose last tokens are kept for the better classes; full at first.

    Emergencies are always let in, and their tokens come off all the same, down to an empty bucket's worth of debt.

    @ivar rate: tokens per second; infinite: nothing is kept out.
    """

    rate: float
    _level: float = -1.0
    _at: float = 0.0
    _started: bool = False

    def admits(self, priority: Priority, now: float) -> bool:
        """Take a token if one is there for that class; C{now} in seconds."""
        if self.rate == math.inf:
            return True
        depth = self._fill(now)
        if priority is not Priority.EMERGENCY and self._level < 1.0 + _LEVELS[priority] * depth:
            return False
        self._level = max(-depth, self._level - 1.0)
        return True

    def room(self, now: float) -> float:
        """How many tokens are there for a L{Priority.CALL}; none is taken."""
        if self.rate == math.inf:
            return math.inf
        self._fill(now)
        return self._level

    def _fill(self, now: float) -> float:
        """Add what has come since the last time; how many tokens there may be."""
        depth = max(SHALLOWEST, DEPTH * self.rate)
        if self._started:
            self._level = min(depth, self._level + max(0.0, now - self._at) * self.rate)
        else:
            self._started, self._level = True, depth
        self._at = now
        return depth
