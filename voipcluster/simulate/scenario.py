"""What is simulated: a cluster, what is asked of it, and what goes wrong."""

from __future__ import annotations

from math import inf

from attrs import field, frozen

from voipcluster.errors import UsageError

MOST_NODES = 10_000  # each hears of all others: more is hours and gigabytes before the first figure
POLICIES = ("planned", "two-choices", "least-loaded", "literal", "none")


@frozen
class Fault:
    """
    One node is slower, or dead, for a while.

    @ivar node: its number, from 0.
    @ivar at: seconds after the start of the measured part; C{until}: when it is over.
    @ivar speed: what is left of its speed; 0.0 is a node that is dead: nothing answers, nothing is reported.
    """

    node: int
    at: float
    until: float
    speed: float = 0.0


@frozen(kw_only=True)
class Scenario:
    """
    One run. Times are seconds.

    @ivar nodes: how many.
    @ivar speeds: of the nodes in turn: 1.0 serves a request in C{service} seconds in the mean.
    @ivar offered: requests per second of all clients, as a share of what all nodes can serve.
    @ivar skew: how unevenly clients are attached: the exponent of Zipf's law over the nodes in random order; 0 is evenly.
    @ivar policy: one of L{POLICIES}. C{literal} is the threshold rule without guards: whoever is above it hands on to
        the next node that looks lowest, as long as hops are left; C{none} serves everything where it arrives.
    @ivar period: between reports.
    @ivar triggered: whether a change is reported at once, too.
    @ivar piggyback: whether reports ride on what is handed over, and on its answers.
    @ivar hop_budget: how often a request may be handed over.
    @ivar threshold: and C{hard_limit}: as in [cluster] of the configuration.
    @ivar service: of a request at speed 1.0, exponentially distributed.
    @ivar forward_cost: what handing a request over costs its node, in mean services; C{refuse_cost}: refusing it.
    @ivar report_cost: what reading a report of another node costs, in mean services.
    @ivar give_up: a request that has waited this long is refused: what the overload control does to a queue.
    @ivar latency: of the network between nodes, one way.
    @ivar monitor: between two looks of a node at its own queue.
    @ivar slow_start: in which a node that has started doubles what it takes; 0 takes all at once.
    @ivar report_loss: share of the reports that are lost on the way.
    @ivar warm_up: before anything is measured; C{duration}: of the measured part.
    """

    nodes: int = 100
    speeds: tuple[float, ...] = (1.0, 1.0, 2.0, 4.0)
    offered: float = 0.9
    skew: float = 0.5
    policy: str = "planned"
    period: float = 1.0
    triggered: bool = True
    piggyback: bool = True
    hop_budget: int = 2
    threshold: float = 0.75
    hard_limit: float = 0.95
    service: float = 0.005
    forward_cost: float = 0.1
    refuse_cost: float = 0.05
    report_cost: float = 0.0
    give_up: float = 0.1
    latency: float = 0.001
    monitor: float = 0.02
    report_loss: float = 0.0
    slow_start: float = 5.0
    warm_up: float = 4.0
    duration: float = 4.0
    seed: int = 1
    faults: tuple[Fault, ...] = field(default=())

    def __attrs_post_init__(self) -> None:
        self._above_zero()
        if self.policy not in POLICIES:
            raise UsageError(f"policy: {self.policy!r} is none of {', '.join(POLICIES)}")
        if not 0.0 < self.threshold <= self.hard_limit <= 1.0:
            raise UsageError(
                f"threshold: 0 < threshold <= hard limit <= 1 is wanted, not {self.threshold} and {self.hard_limit}"
            )
        for fault in self.faults:
            if not 0 <= fault.node < self.nodes:
                raise UsageError(f"fault: there is no node {fault.node}, they are 0 to {self.nodes - 1}")
            if not (0.0 <= fault.at < fault.until < inf and 0.0 <= fault.speed < 1.0):
                raise UsageError(f"fault of node {fault.node}: 0 <= at < until and 0 <= speed < 1 are wanted")

    def _above_zero(self) -> None:
        for name in ("nodes", "offered", "period", "service", "give_up", "monitor", "duration"):
            if not 0 < getattr(self, name) < inf:
                raise UsageError(f"{name}: more than 0 is wanted, not {getattr(self, name)}")
        if self.nodes > MOST_NODES:
            raise UsageError(f"nodes: at most {MOST_NODES} are simulated, not {self.nodes}")
        for name in (
            "skew",
            "forward_cost",
            "refuse_cost",
            "report_cost",
            "latency",
            "warm_up",
            "hop_budget",
        ):
            if not 0 <= getattr(self, name) < inf:
                raise UsageError(f"{name}: 0 or more is wanted, not {getattr(self, name)}")
        if not 0.0 <= self.report_loss <= 1.0:
            raise UsageError(f"report_loss: 0 to 1 is wanted, not {self.report_loss}")
        if not self.speeds or not all(0.0 < speed < inf for speed in self.speeds):
            raise UsageError("speeds: one or more numbers above 0 are wanted")

    def speed(self, node: int) -> float:
        return self.speeds[node % len(self.speeds)]

    @property
    def capacity(self) -> float:
        """Requests per second that all nodes together can serve."""
        return sum(self.speed(node) for node in range(self.nodes)) / self.service
