"""
How long a request waits at the own node, as others are to plan with it.

Two things make it wait. A queue that does not run empty shows in the least wait of a tenth of a second. A process that is not
run, because others use the processor or somebody stopped it, has no queue between two such pauses, and whoever came in one has
waited all the same: that shows in the mean wait, and in what the process used of the time in which something waited.

What it could do in pauses is told to those who plan, so it is given little or nothing. Hence it may never be busy enough again to
measure anything else: what pauses have taught is forgotten some time after the last one.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from voipcluster.balance.rate import Capacity
from voipcluster.balance.report import NOTHING
from voipcluster.balance.workload import PeakEwma

STANDING = 2  # samples: the delay that stays; one late timer among punctual ones is no queue
NOISE = 0.01  # s; a mean wait below it is what a processor that others use too gives now and then
PAUSED = 2.0  # times what the process used of a time in which something waited: then it was not its own work that they waited for
AGAIN = 0.5  # s in which a pause is forgotten to 1/e: where there was one there are more, and the next one cannot be told
BUSY = (
    0.3  # share of the time: below it the capacity is not measured, because idle work costs more per request
)
IN_VAIN = 1.0  # s of work of which nothing came: it was other work
OVER = 5.0  # s without a pause after which they are over
ANEW = 20  # requests worked off in busy looks since: enough for the capacity to notice a step by itself


@define(slots=True)
class Delay:
    """
    @ivar capacity: requests per second that the node works off while it has something to do and gets the processor; where nobody
        can say how long it waited for that, be it run all that time or not. 0.0 before it is known, L{NOTHING} when none was for
        a second in which something waited, where some were before.
    """

    capacity: float = 0.0
    _standing: deque[float] = field(factory=lambda: deque([0.0] * STANDING, maxlen=STANDING))
    _mean: float = 0.0
    _pauses: PeakEwma = field(factory=lambda: PeakEwma(AGAIN))
    _worked_off: Capacity = field(factory=lambda: Capacity(5.0))
    _used: float = 0.0
    _over: float = 0.0  # s that the above took
    _paused_at: float | None = None  # when the last pause ended; None when pauses are over
    _unpaused: float = 0.0  # the capacity before the first of them
    _since: int = 0  # requests that were worked off since the last one, in looks that count
    _vain: float = 0.0  # s of pauses since anything was worked off

    @property
    def standing(self) -> float:
        """Seconds of the queue that does not run empty: what overload is told by."""
        return min(self._standing)

    @property
    def value(self) -> float:
        """Seconds that a request waits."""
        return max(self.standing, self._mean, self._pauses.value)

    def sampled(self, least: float) -> None:
        """The least seconds that anything waited in the last sample."""
        self._standing.append(least)

    def looked(
        self,
        elapsed: float,
        busy: float,
        held: float,
        area: float,
        completed: int,
        now: float,
        unrun: float = 0.0,
    ) -> bool:
        """
        Take what was found since the last look; more often than samples, or with them.

        @param elapsed: seconds since; C{busy}: CPU seconds used; C{held}: seconds in which something waited; C{area}: the age of
            what waited longest, summed up over time.
        @param completed: requests that were worked off.
        @param unrun: seconds in which the node waited for the processor, where that is known;
            L{voipcluster.balance.granted.Granted} counts them, and they must not count twice.
        @return: whether what was learnt in pauses is forgotten with this: the capacity is that of before, or not known.
        """
        # what was read in one wake-up may have waited through several looks
        mean = area / max(held, elapsed)
        held = min(held, elapsed)
        paused = held > PAUSED * busy and mean >= NOISE
        self._mean = mean if mean >= NOISE else 0.0
        self._pauses.feed(mean if paused else 0.0, now)
        used = max(held, busy) if paused else busy
        if paused:
            if self._paused_at is None:
                self._unpaused = self.capacity
            self._paused_at, self._since = now, 0
            self._vain += used
        if completed:
            self._vain = 0.0
        if used > BUSY * elapsed:
            self._used += max(busy, used - unrun)
            self._over += elapsed
        if self._used and (completed or (paused and self.capacity)):
            worked_off = self._worked_off.feed(completed, self._used, self._over, mean >= NOISE)
            self.capacity = worked_off or min(self.capacity, self._at_most())
            self._used = self._over = 0.0
            self._since += completed
        elif self._used > IN_VAIN:
            self._used = self._over = 0.0
        return self._paused_at is not None and now - self._paused_at >= OVER and self._forget()

    def _at_most(self) -> float:
        """What it can serve of which nothing was seen in pauses: less than one in so much time."""
        return NOTHING if self._vain >= IN_VAIN else 1.0 / self._vain

    def _forget(self) -> bool:
        """Pauses are over: what is the node's capacity, if it had no chance to measure it?"""
        self._paused_at, self._vain = None, 0.0
        if not self.capacity or self._since >= ANEW or 0.0 < 0.5 * self._unpaused <= self.capacity:
            return False
        self.capacity, self._worked_off = self._unpaused, Capacity(5.0)
        if self._unpaused:
            self._worked_off.feed(self._unpaused, 1.0, 0.0)
        return True
