"""
How many new requests a node can take: the control function of RFC 6357 section 4, on virtual or real time.

It acts on the queueing delay, the one signal that does not lie: the CPU share says nothing on a machine that has less CPU to give
than it seems, and counts say nothing about what a request costs. While nothing waits there is no limit at all, so that a node
with room never refuses anybody. When something waits, the limit is what the node was seen to manage: what a request costs in CPU
time (measured for long, also before the overload) against the CPU time that the node got while it was saturated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from attrs import define, field, frozen

from voipcluster.errors import UsageError


@frozen(kw_only=True)
class OverloadSettings:
    """
    @ivar target: seconds that the oldest message waiting may have waited; more, all through one tick, is overload. Where a
        request takes long, so many requests instead as C{queue} says, but no more than C{latest} seconds: with few requests a
        second some wait for each other without any overload.
    @ivar tick: seconds between samples. One longer than C{longest} is a stall, and tells nothing of what the node can do.
    @ivar memory: seconds for which the cost of a request is remembered.
    @ivar rest: seconds that the offered rate stays below C{release} of the capacity before control ends; a single quiet
        sample would reopen the flood.
    @ivar untried: of the first estimate, for a node that has just begun to serve: the ACK and BYE of its first calls are still to
        come. It becomes 1 within C{memory}.
    @ivar least: requests per second that are let in whatever happens, so that no state lasts for ever.
    """

    target: float = 0.02
    queue: float = 40.0
    latest: float = 0.25
    tick: float = 0.1
    longest: float = 0.25
    memory: float = 5.0
    rest: float = 2.0
    release: float = 0.85
    untried: float = 1.0
    least: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not 0.0 < self.target <= 1.0:
            raise UsageError(f"overload target: 0 to 1 s is wanted, not {self.target}")


class Sample(NamedTuple):
    """
    What was seen since the sample before.

    @ivar elapsed: seconds; C{busy}: CPU seconds that the node used in them.
    @ivar delay: seconds that the oldest message had waited when the node came to it; the least of all times that it did.
    @ivar admitted: new requests that were let in; C{refused}: that were not, by us.
    @ivar offered: both, and those that others held back for us.
    @ivar hidden: whether more is offered than is seen here, such as what the kernel throws away.
    """

    elapsed: float
    busy: float
    delay: float
    admitted: int
    offered: float
    refused: int = 0
    hidden: bool = False


STALLED = 2  # samples longer than C{longest} in a row are no stall any more, but how slow the node is
AIM = 0.2  # of the target: the delay that is held while control is active, so that something always waits to be done
DRAIN, HARDEST = 4.0, 0.7  # how much less is let in for each second of delay beyond that, and the most
KEEP, SHORT = (
    0.97,
    0.25,
)  # of the capacity while something waits; what is less than this part of the aim is no queue
FALLING = 0.98  # a delay that falls so in a tick: the limit does what it is for
SLOPE, STEEPEST = (
    2.0,
    0.02,
)  # per second: how fast the estimate follows the delay, for each second of it; the most in a tick
REFUSAL = 0.05  # of a request: what refusing one takes (bench/refusal.py measures it)
UP, FASTER, FASTEST = (
    0.01,
    0.004,
    0.06,
)  # more each tick that the limit binds and nothing waits, and faster with each
BINDING = 0.9  # of the limit: more is let in only while the limit is what keeps it out
ENOUGH = 30.0  # requests that tell what one costs


@define
class OverloadController:
    """
    @ivar active: whether a limit holds.
    @ivar allowed: new requests per second to let in while it does.
    @ivar capacity: what the node is thought to manage, per second, while it refuses as many as it does; 0 before its first
        overload.
    @ivar offered: per second, smoothed.
    """

    settings: OverloadSettings = field(factory=OverloadSettings)
    active: bool = False
    allowed: float = math.inf
    capacity: float = 0.0
    offered: float = 0.0
    _admitted: float = 0.0  # per second, smoothed
    _refused: float = 0.0  # the same
    _cost: float = 0.0  # CPU seconds of a request
    _share: float = 1.0  # of a CPU, that the node gets when it wants all
    _wanted: float = 0.0  # seconds that something has waited for without a pause, and CPU seconds in them
    _got: float = 0.0
    _seen: float = 0.0  # requests, and what they took, of which the cost is known
    _used: float = 0.0
    _served: float = 0.0  # seconds in which requests were let in
    _most: float = 0.0  # what it manages per second when it refuses nobody
    _delay: float = 0.0
    _calm: float = 0.0  # seconds in which control was not needed
    _streak: int = 0
    _stalled: int = 0

    def feed(self, sample: Sample) -> None:
        """Take one sample; C{active} and C{allowed} are new then."""
        settings = self.settings
        elapsed = max(sample.elapsed, 1e-6)
        keep = math.exp(-elapsed / (5 * settings.tick))
        self.offered = self.offered * keep + sample.offered / elapsed * (1.0 - keep)
        self._admitted = self._admitted * keep + sample.admitted / elapsed * (1.0 - keep)
        keep = math.exp(-elapsed / (3 * settings.tick))
        self._refused = self._refused * keep + sample.refused / elapsed * (1.0 - keep)
        self._measure_share(sample, elapsed)
        if elapsed > settings.longest:
            self._stalled += 1
            if self._stalled < STALLED:
                return  # the process stood still: what waits now says nothing about what it can do
        else:
            self._stalled = 0
        self._learn(sample, elapsed)
        if not self.active and sample.delay > self.target:
            self._begin(sample, elapsed)
        if self.active:
            self._hold(sample, elapsed)
        self._delay = sample.delay

    @property
    def target(self) -> float:
        """Seconds of delay that are overload."""
        settings = self.settings
        if not self._cost:
            return settings.latest  # a node that has done nothing yet
        return max(
            settings.target, min(settings.latest, settings.queue * self._cost / max(self._share, 0.01))
        )

    def _measure_share(self, sample: Sample, elapsed: float) -> None:
        """What the node gets of a CPU while it wants all of it; one tick alone says little on a machine that others use, too."""
        if self.active:
            return
        if sample.delay <= self.settings.target:
            self._wanted = self._got = 0.0
            return
        self._wanted += elapsed
        self._got += sample.busy
        self._share = min(1.0, self._got / self._wanted)

    def _learn(self, sample: Sample, elapsed: float) -> None:
        """What a request costs; refused ones count as the part of one that they are, or those let in would seem dearer."""
        keep = math.exp(-elapsed / self.settings.memory)
        self._served += elapsed if sample.admitted else 0.0
        self._seen = self._seen * keep + sample.admitted + REFUSAL * sample.refused
        self._used = self._used * keep + sample.busy
        if self._seen >= ENOUGH:
            self._cost = self._used / self._seen

    def _begin(self, sample: Sample, elapsed: float) -> None:
        self.active, self._calm, self._streak, self.allowed = True, 0.0, 0, math.inf
        self._most = self._share / self._cost if self._cost else sample.admitted / elapsed
        untried = self.settings.untried
        self._most *= untried + (1.0 - untried) * min(1.0, self._served / self.settings.memory)

    def _hold(self, sample: Sample, elapsed: float) -> None:
        """
        Keep a short queue: the estimate follows what it does, and what waits too long is drained.

        Nothing that waits means that more could be done, if the limit was what kept it out.
        """
        aim = AIM * self.target
        over = sample.delay - aim
        binds = sample.refused > 0 or self._admitted >= BINDING * self.allowed
        if over > 0.0:
            self._streak = 0
            if binds and FALLING * self._delay < sample.delay:
                self._most *= 1.0 - min(STEEPEST, SLOPE * over * elapsed)
        elif binds and sample.delay <= SHORT * aim:
            self._streak += 1
            self._most *= 1.0 + min(FASTEST, UP + FASTER * self._streak)
        elif binds:
            self._most *= 1.0 - SLOPE * over * elapsed
        self.capacity = max(self.settings.least, self._most - REFUSAL * self._refused)
        less = min(HARDEST, DRAIN * over) if over > 0.0 else 0.0
        self.allowed = max(self.settings.least, self.capacity * ((KEEP if over > 0.0 else 1.0) - less))
        self._rest(sample, over, elapsed)

    def _rest(self, sample: Sample, over: float, elapsed: float) -> None:
        """Control ends when there was room for some time, and nothing is kept out unseen: all of it would come at once."""
        if over > 0.0 or sample.hidden or self.offered >= self.settings.release * self.capacity:
            self._calm = 0.0
            return
        self._calm += elapsed
        if self._calm >= self.settings.rest:
            self.active, self.allowed = False, math.inf
