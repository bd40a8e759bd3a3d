"""
How busy a node is: normalised components, of which the greatest counts.

Each component is a share of a limit: 0.0 is idle, 1.0 is the limit. The node's workload is their *maximum*, by the bottleneck
law: a weighted sum would hide the one resource that is used up.
"""

from __future__ import annotations

import math

from attrs import define, field, frozen

DECAY = 1.0  # s, time constant of the way down


@frozen(slots=True)
class Workload:
    """
    The components of one node's workload, each a share of its limit; at least 0, and above 1 when over the limit.

    @ivar cpu: CPU time of the reactor's thread per wall time (one reactor fills one core, whatever the machine has).
    @ivar lag: how late the reactor runs, as a share of the delay that is too much.
    @ivar calls: calls in progress; exact, see L{PeakEwma}.
    @ivar transactions: open transactions.
    @ivar packets: relayed packets per second.
    @ivar memory: resident size.
    @ivar value: the greatest of them; C{without_packets}: for what needs no relay. Each request asks for one of the two.
    """

    cpu: float = 0.0
    lag: float = 0.0
    calls: float = 0.0
    transactions: float = 0.0
    packets: float = 0.0
    memory: float = 0.0
    value: float = field(init=False, eq=False)
    without_packets: float = field(init=False, eq=False)

    @value.default
    def _greatest(self) -> float:
        return max(self.cpu, self.lag, self.calls, self.transactions, self.packets, self.memory)

    @property
    def measured(self) -> float:
        """The greatest component but the calls: those that jitter, and therefore want smoothing and hysteresis."""
        return max(self.cpu, self.lag, self.transactions, self.packets, self.memory)

    @without_packets.default
    def _without_packets(self) -> float:
        return max(self.cpu, self.lag, self.calls, self.transactions, self.memory)

    @property
    def counted(self) -> float:
        """The greatest of what is counted: shares of limits that somebody has set, and which are exact."""
        return max(self.calls, self.transactions, self.packets, self.memory)

    @property
    def waiting(self) -> float:
        """
        What is left of C{measured} without C{cpu}: what makes a node full.

        A processor that is always busy is used well while nobody waits for it. When somebody does, C{lag} says so.
        """
        return max(self.lag, self.transactions, self.packets, self.memory)

    @property
    def leading(self) -> str:
        """The name of the greatest component; the earlier named one of equals."""
        return max(COMPONENTS, key=self.component)

    def component(self, name: str) -> float:
        assert name in COMPONENTS, name
        share: float = getattr(self, name)
        return share


COMPONENTS = ("calls", "cpu", "lag", "transactions", "packets", "memory")


@define(slots=True)
class PeakEwma:
    """
    A measurement that rises at once and falls slowly: bad news counts immediately, good news when it lasts.

    It is for C{cpu} and C{lag}, which are samples of something that jitters. The number of calls is a count and needs
    no smoothing: a call that ended has freed its place, and a memory of it would keep callers out of a node that has
    room (with a limit of 20 calls, one place is a twentieth of the node).

    @ivar tau: seconds after which a peak has fallen to 1/e.
    """

    tau: float = DECAY
    value: float = 0.0
    _at: float | None = None

    def feed(self, sample: float, now: float) -> float:
        """Take a sample (any unit, at least 0) measured at C{now}, and return the value after it."""
        if self._at is None or sample >= self.value:
            self.value = sample
        else:
            keep = math.exp(-max(0.0, now - self._at) / self.tau)
            self.value = sample + (self.value - sample) * keep
        self._at = now
        return self.value
