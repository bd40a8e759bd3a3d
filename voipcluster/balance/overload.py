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
    """

    elapsed: float
    busy: float
    delay: float
    admitted: int
    offered: float
    refused: int = 0


STALLED = 2  # samples longer than C{longest} in a row are no stall any more, but how slow the node is
DRAIN, HARDEST = 2.0, 0.5  # how much less is let in for each second of delay beyond the target, and the most
KEEP, GO = 0.97, 0.99  # of the capacity, with and without a queue
DOWN = 0.98  # when the queue does not get shorter although the limit holds: the estimate was too high
FALLING = 0.98
FEW, ENOUGH = 0.05, 30.0  # refusals beside requests let in, and of these, that tell what a request costs
UP, FASTER, FASTEST = (
    0.01,
    0.002,
    0.06,
)  # more each tick that the limit binds and nothing waits, and faster with each
BINDING = 0.9  # of the limit: more is let in only while the limit is what keeps it out
NARROWEST, WIDEST = 0.5, 4.0
BACK = 1.05  # each tick without a queue, until the estimate is believed again


@define
class OverloadController:
    """
    @ivar active: whether a limit holds.
    @ivar allowed: new requests per second to let in while it does.
    @ivar capacity: what the node is thought to manage, per second; 0 before its first overload.
    @ivar offered: per second, smoothed.
    """

    settings: OverloadSettings = field(factory=OverloadSettings)
    active: bool = False
    allowed: float = math.inf
    capacity: float = 0.0
    offered: float = 0.0
    _admitted: float = 0.0  # per second, smoothed
    _cost: float = 0.0  # CPU seconds of a request
    _share: float = 1.0  # of a CPU, that the node gets when it wants all
    _seen: float = 0.0  # requests, and what they took, of which the cost is known
    _used: float = 0.0
    _waste: float = 0.0  # share of a CPU that goes into anything but what is let in: refusals, copies
    _trim: float = 1.0  # what experience makes of the estimate
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
        if elapsed > settings.longest:
            self._stalled += 1
            if self._stalled < STALLED:
                return  # the process stood still: what waits now says nothing about what it can do
        else:
            self._stalled = 0
        self._learn_cost(sample, elapsed)
        waits = sample.delay > self.target
        self._learn_share(sample, elapsed, waits)
        if waits:
            if not self.active:
                self.active, self._trim, self._calm = True, 1.0, 0.0
                self.allowed = math.inf
            self._hold(sample, elapsed)
        elif self.active:
            self._probe(sample, elapsed)
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

    def _learn_cost(self, sample: Sample, elapsed: float) -> None:
        if sample.refused <= FEW * sample.admitted:
            keep = math.exp(-elapsed / self.settings.memory)
            self._seen = self._seen * keep + sample.admitted
            self._used = self._used * keep + sample.busy
            if self._seen >= ENOUGH:
                self._cost = self._used / self._seen

    def _learn_share(self, sample: Sample, elapsed: float, waits: bool) -> None:
        if waits:
            share = min(1.0, sample.busy / elapsed)
            self._share = share if not self.active else self._share + 0.3 * (share - self._share)
        waste = (sample.busy - self._cost * sample.admitted) / elapsed if self._cost else 0.0
        self._waste += (1.0 - math.exp(-elapsed / (3 * self.settings.tick))) * (waste - self._waste)

    def _hold(self, sample: Sample, elapsed: float) -> None:
        """Something waited all the time: the limit, and less for as long as the queue is long."""
        self._streak, self._calm = 0, 0.0
        if sample.delay <= self._delay * FALLING and self.allowed < math.inf:
            return  # the limit does what it is for
        if self._binds():
            self._trim = max(NARROWEST, self._trim * DOWN)
        self._estimate(sample, elapsed)
        less = min(HARDEST, DRAIN * (sample.delay - self.target))
        self._allow(KEEP - less)

    def _probe(self, sample: Sample, elapsed: float) -> None:
        """The queue ran empty: more, while the limit is what keeps others out, and no limit when there is no need of one."""
        if self._binds():
            self._streak += 1
            self._trim = min(WIDEST, self._trim * (1.0 + min(FASTEST, UP + FASTER * self._streak)))
        else:
            self._streak = 0
        if self._trim < 1.0 and sample.delay < self.target / 4:
            self._trim = min(1.0, self._trim * BACK)
        self._estimate(sample, elapsed)
        self._allow(GO)
        if self.offered < self.settings.release * self.capacity:
            self._calm += elapsed
            if self._calm >= self.settings.rest:
                self.active, self.allowed = False, math.inf
        else:
            self._calm = 0.0

    def _binds(self) -> bool:
        """Whether as much came in as may."""
        return self._admitted >= BINDING * self.allowed

    def _estimate(self, sample: Sample, elapsed: float) -> None:
        if self._cost > 0.0 and self._share > 0.0:
            self.capacity = max(0.0, self._share - max(0.0, self._waste)) / self._cost * self._trim
        else:
            self.capacity = max(self.settings.least, sample.admitted / elapsed)

    def _allow(self, part: float) -> None:
        self.allowed = max(self.settings.least, self.capacity * part)
