"""
What a client of overload control does (RFC 7339 and RFC 7415): send no more to a server than it has said.

One L{Throttle} for each (address, port) that we send to and that may answer with C{oc}; it is fed what the responses say and
asked before each request. Both algorithms are here: C{loss} holds back a share of the requests, C{rate} sends so many a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from attrs import define, field

LOSS: Final = "loss"  # RFC 7339 section 7; every server and client knows it
RATE: Final = "rate"  # RFC 7415
ALGORITHMS: Final = (LOSS, RATE)

DEFAULT_VALIDITY: Final = 0.5  # s, RFC 7339 section 4.3
LONGEST_VALIDITY: Final = (
    60.0  # s; nobody's feedback is worth more, and a broken server's could hold us for days
)
OVERFLOW: Final = 0.5  # of the number before: an oc-seq below that has begun anew (section 4.4)

_SHARES_EVERY = 5.0  # s: the shares of both categories are measured over 5 to 10 s (section 7.2)
_FIRST_SHARE = 0.8  # of requests that can be held back, before anything was measured
_TAU, _TAU_FIRST = 5.0, 10.0  # in units of 1/rate: TAU1 and TAU2 of RFC 7415 section 3.5.2


class Feedback(NamedTuple):
    """
    What a server says in the top Via of a response.

    @ivar algorithm: L{LOSS}: C{value} is the percentage to hold back, 0 to 100; L{RATE}: the most requests a second.
    @ivar validity: seconds; 0 ends the control. C{sequence}: grows with each new value.
    """

    algorithm: str
    value: float
    validity: float
    sequence: float


@define
class Throttle:
    """
    @ivar rand: gives floats from 0.0 to below 1.0.
    @ivar held_back: requests that were not sent for what the server said.
    """

    rand: Callable[[], float]
    held_back: int = 0
    _feedback: Feedback | None = None
    _until: float = 0.0
    _sequence: float = -1.0
    _reducible: int = 0
    _protected: int = 0
    _share: float = _FIRST_SHARE
    _counted_since: float = 0.0
    _fill: float = 0.0  # X, and LCT, of the leaky bucket (RFC 7415 section 3.5.1)
    _filled_at: float = 0.0

    def learn(self, feedback: Feedback, now: float) -> None:
        """
        Take what a response says. A number that is not greater changes nothing, and does not make the old value last longer
        (section 5.4); one that is much smaller is that of a server that began anew.
        """
        if 0.0 <= self._sequence * OVERFLOW <= feedback.sequence <= self._sequence:
            return
        self._sequence = feedback.sequence
        if feedback.validity <= 0.0:
            self._feedback = None
            return
        if self._feedback is None or self._feedback.algorithm != feedback.algorithm:
            self._fill, self._filled_at = 0.0, now
            if feedback.algorithm == RATE and feedback.value > 0.0:
                self._fill = max(
                    0.0, (self.rand() - 0.5) / feedback.value
                )  # against resonance (section 3.5.3)
        self._feedback = feedback
        self._until = now + min(feedback.validity, LONGEST_VALIDITY)

    def current(self, now: float) -> Feedback | None:
        """What the server said, while it holds."""
        if self._feedback is not None and now >= self._until:
            self._feedback = None
        return self._feedback

    def admits(self, protected: bool, now: float) -> bool:
        """
        Whether a request may be sent now; asked once for each.

        @param protected: the second category: within a dialog, an emergency. It is held back only where a server wants less
            than even these.
        """
        self._count(protected, now)
        feedback = self.current(now)
        if feedback is None:
            return True
        if feedback.algorithm == LOSS:
            admitted = self._passes_loss(feedback.value / 100.0, protected)
        else:
            admitted = self._passes_rate(feedback.value, protected, now)
        if not admitted:
            self.held_back += 1
        return admitted

    def _count(self, protected: bool, now: float) -> None:
        if protected:
            self._protected += 1
        else:
            self._reducible += 1
        if now - self._counted_since >= _SHARES_EVERY:
            total = self._reducible + self._protected
            if total >= 10 and self._counted_since:
                self._share = self._reducible / total
            self._counted_since, self._reducible, self._protected = now, 0, 0

    def _passes_loss(self, wanted: float, protected: bool) -> bool:
        """Section 7.2: those of the first category, and more only when all of them are not enough."""
        share = self._share
        if wanted <= share:
            return protected or wanted <= 0.0 or self.rand() >= wanted / share
        if not protected:
            return False
        return self.rand() >= (wanted - share) / max(1.0 - share, 1e-9)

    def _passes_rate(self, rate: float, protected: bool, now: float) -> bool:
        """RFC 7415 section 3.5.2: a leaky bucket that has more room for the second category."""
        if rate <= 0.0:
            return False
        interval = 1.0 / rate
        left = self._fill - (now - self._filled_at)
        if left > (_TAU_FIRST if protected else _TAU) * interval:
            return False
        if left <= 0.0:
            left = max(0.0, left) + (self.rand() - 0.5) * interval  # section 3.5.3
        self._fill, self._filled_at = left + interval, now
        return True


FAILURES: Final = 2  # in a row, without any answer, until a server is left alone
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # s


@define
class SelfLimit:
    """
    RFC 7339 section 5.9: a server that does not answer at all is asked no more, but for one request now and then.

    @ivar pause: seconds until the next try; doubles with each that is in vain. What was sent before the first pause and fails in
        it says nothing new.
    """

    pause: float = FIRST_PAUSE
    _failures: int = 0
    _next: float = math.inf
    _trying: bool = False

    def answered(self) -> None:
        """Any response came."""
        self._failures, self.pause, self._next, self._trying = 0, FIRST_PAUSE, math.inf, False

    def failed(self, now: float) -> None:
        """No answer came in time, or nothing could be sent."""
        if self._failures >= FAILURES:
            if not self._trying:
                return
            self.pause = min(LONGEST_PAUSE, 2 * self.pause)
        self._failures += 1
        self._trying = False
        if self._failures >= FAILURES:
            self._next = now + self.pause

    def admits(self, now: float) -> bool:
        """Whether a request may be sent; one that may after a pause is a probe, and the next has to wait."""
        if self._failures < FAILURES:
            return True
        if now < self._next:
            return False
        self._next = now + self.pause
        self._trying = True
        return True


@define
class ServerRecord:
    """What we know of one (address, port) that we send to. C{used}: when it was asked last, seconds."""

    throttle: Throttle
    limit: SelfLimit = field(factory=SelfLimit)
    used: float = 0.0
