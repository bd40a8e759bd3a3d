"""
Policies: in which order nodes are tried.

A policy only orders. Whether a node may be chosen at all (fresh, open, below the gate, not visited) is the placement's to say,
whatever the policy is, so that no policy can send requests in circles. What a policy computes is split: C{plan} is called
when the table changed, at most some twenty times a second; C{order} is called for each request that leaves the node.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from attrs import field, frozen
from zope.interface import Attribute, Interface, implementer

from voipcluster.balance.membership import Node
from voipcluster.balance.state import NodeState
from voipcluster.balance.waterfill import water_fill

OPEN = NodeState.OPEN
Rand = Callable[[], float]  # at least 0.0, below 1.0
DRAWS = 4  # pairs that are drawn before the rest is tried in order of workload
TAU_MAX = 0.98  # utilisation that a plan aims at when the cluster is asked for more
WAIT_STEP = 0.005  # s: waits are compared in steps, because below it they are noise


class IPlan(Interface):
    """What a policy computed from one state of the table."""

    share = Attribute(
        "Part (0.0 to 1.0) of the own clients' requests to give away although the node is below its gate."
    )

    def order(rand: Rand, planned: bool) -> Iterator[str]:
        """
        Names of nodes in the order to try; a name that comes again is passed over.

        @param planned: for the share above; else because the own node is above its gate.
        """


class IBalancingPolicy(Interface):
    """The order of trying. A third party's policy is a plugin with this interface."""

    name = Attribute("The name in the configuration.")
    own_place = Attribute(
        "Whether the own node stands in the order for what its clients send, and the threshold binds at every hop. "
        "If not, a node serves whatever comes while it is below its gate, which rises with the hops."
    )

    def plan(own: Node, others: Sequence[Node], fresh: bool) -> IPlan:
        """
        @param own: the own node.
        @param others: all other members, in the order of joining; their C{load}, C{wait} and C{state} stay current.
        @param fresh: the table shows the nodes as they are now, not as they were some time ago.
        """


def open_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Those that can be a target at all; a plan is made anew when a state changes."""
    return [node for node in nodes if node.state is OPEN]


def by_load(nodes: Sequence[Node], rand: Rand) -> Iterator[str]:
    """The least loaded first, equals in random order."""
    return iter([node.name for node in sorted(nodes, key=lambda node: (node.load, rand()))])


@implementer(IPlan)
@frozen
class FixedOrder:
    names: tuple[str, ...]
    share: float = 0.0

    def order(self, rand: Rand, planned: bool) -> Iterator[str]:
        return iter(self.names)


@implementer(IBalancingPolicy)
@frozen
class InSequence:
    """
    The predefined order of the nodes: the first one below the threshold, whoever was asked.

    @ivar sequence: names; nodes that it does not name follow in the order of joining.
    """

    sequence: tuple[str, ...] = ()
    name: str = "sequence"
    own_place: bool = True

    def plan(self, own: Node, others: Sequence[Node], fresh: bool) -> FixedOrder:
        joined = [node.name for node in sorted((own, *others), key=lambda node: node.place)]
        named = [name for name in self.sequence if name in joined]
        return FixedOrder((*named, *(name for name in joined if name not in named)))


@implementer(IPlan)
@frozen
class LeastLoadedPlan:
    nodes: tuple[Node, ...]
    share: float = 0.0

    def order(self, rand: Rand, planned: bool) -> Iterator[str]:
        return by_load(self.nodes, rand)


@implementer(IBalancingPolicy)
@frozen
class LeastLoaded:
    """The lowest workload in the table. It herds when many nodes give away: all choose the same one until it reports."""

    name: str = "least-loaded"
    own_place: bool = False

    def plan(self, own: Node, others: Sequence[Node], fresh: bool) -> LeastLoadedPlan:
        return LeastLoadedPlan(tuple(open_nodes(others)))


@frozen
class Draw:
    """Nodes to draw from by weight. C{cumulative} are the running sums of the weights; the last one is above 0."""

    nodes: tuple[Node, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, nodes: Sequence[Node], weights: Sequence[float]) -> Draw | None:
        """L{None} when no weight is above 0."""
        some = [(node, weight) for node, weight in zip(nodes, weights, strict=True) if weight > 0.0]
        if not some:
            return None
        return cls(tuple(node for node, _ in some), tuple(accumulate(weight for _, weight in some)))

    def one(self, rand: Rand) -> Node:
        at = bisect(self.cumulative, rand() * self.cumulative[-1])
        return self.nodes[min(at, len(self.nodes) - 1)]  # the product may round up to the sum itself

    def better_of_two(self, rand: Rand, hot: float) -> Iterator[str]:
        first, second = self.one(rand), self.one(rand)
        if rank(second, hot) < rank(first, hot):
            first, second = second, first
        yield first.name
        yield second.name


def rank(node: Node, hot: float) -> tuple[bool, float, float]:
    """
    Hot and cold as in Prequal (NSDI 2024): a node with more unanswered requests of ours than C{hot} comes last;
    among the others the shorter wait counts, and of equal waits the lower workload.
    """
    pending, load = node.assigned.pending, node.load
    if pending > hot:
        return True, pending, load
    return False, node.wait // WAIT_STEP, load


def capacities(nodes: Sequence[Node]) -> list[float]:
    """The nodes' capacities; one that is not known yet counts as the mean of the known ones, or 1."""
    known = [node.capacity for node in nodes if node.capacity > 0.0]
    mean = sum(known) / len(known) if known else 1.0
    return [node.capacity or mean for node in nodes]


@implementer(IPlan)
@frozen
class DrawPlan:
    """
    Draws pairs; then all nodes by workload, so that one below the gate is found if there is one.

    @ivar planned: to draw from for the C{share} given away below the gate.
    @ivar reaction: to draw from when the own node is above its gate.
    @ivar pairs: whether the reaction compares two; with a stale table comparing makes a herd.
    @ivar hot: unanswered requests above which a node is hot.
    """

    nodes: tuple[Node, ...]
    reaction: Draw | None
    planned: Draw | None = None
    share: float = 0.0
    pairs: bool = True
    hot: float = field(default=0.0)

    def order(self, rand: Rand, planned: bool) -> Iterator[str]:
        draw = self.planned if planned else self.reaction
        if draw is not None:
            for _ in range(DRAWS):
                if self.pairs or planned:
                    yield from draw.better_of_two(rand, self.hot)
                else:
                    yield draw.one(rand).name
        if not planned:
            yield from by_load(self.nodes, rand)


def hot_level(nodes: Sequence[Node]) -> float:
    """The 0.8 quantile of the unanswered requests; not below 1, or a single request would make a node hot."""
    pending = sorted(node.assigned.pending for node in nodes)
    return max(1.0, pending[int(0.8 * (len(pending) - 1))]) if pending else 1.0


@implementer(IBalancingPolicy)
@frozen
class TwoChoices:
    """The better of two nodes drawn at random, weighted by capacity (Mitzenmacher)."""

    name: str = "two-choices"
    own_place: bool = False

    def plan(self, own: Node, others: Sequence[Node], fresh: bool) -> DrawPlan:
        targets = open_nodes(others)
        return DrawPlan(tuple(targets), Draw.of(targets, capacities(targets)), hot=hot_level(targets))


@implementer(IBalancingPolicy)
@frozen
class Planned:
    """
    Plan on rates, correct on queues.

    The rates say how much each node has to give away and how much each can take; all nodes compute the same plan from the
    same table, and rates age well. The correction, for a node above its gate, compares two choices while the table is fresh;
    when it is not, all nodes draw jointly from the distribution that levels the queues (water-filling), because better
    information about an old table makes them all choose the same.

    @ivar period: seconds between reports: how long the table ages.
    """

    period: float = 1.0
    name: str = "planned"
    own_place: bool = False

    def plan(self, own: Node, others: Sequence[Node], fresh: bool) -> DrawPlan:
        share, take = rate_plan(own, others)
        targets = open_nodes(others)
        mu = capacities(targets)
        if fresh:
            weights: Sequence[float] = mu
        else:
            arrivals = (own.arrival_rate + sum(node.arrival_rate for node in others)) * self.period / 2
            queues = [
                node.delay * rate + node.assigned.pending for node, rate in zip(targets, mu, strict=True)
            ]
            weights = water_fill(queues, mu, arrivals)
        return DrawPlan(
            tuple(targets),
            Draw.of(targets, weights),
            planned=Draw.of(others, take),
            share=share,
            pairs=fresh,
            hot=hot_level(targets),
        )


def rate_plan(own: Node, others: Sequence[Node]) -> tuple[float, list[float]]:
    """
    How much of its clients' requests the own node gives away, and what each other one can take.

    @return: a share from 0.0 to 1.0, and requests per second for each of C{others}. A node of unknown capacity neither
        gives nor takes. When the cluster is asked for more than it has, the share shrinks with what can be taken: requests
        that nobody can take are not sent around.
    """
    known = [node for node in (own, *others) if node.capacity > 0.0]
    capacity = sum(node.capacity for node in known)
    if not capacity or not own.capacity or not own.arrival_rate:
        return 0.0, [0.0] * len(others)
    tau = min(TAU_MAX, sum(node.arrival_rate for node in known) / capacity)
    give = sum(max(0.0, node.arrival_rate - tau * node.capacity) for node in known)
    take = [
        max(0.0, tau * node.capacity - node.arrival_rate) if node.capacity and node.state is OPEN else 0.0
        for node in others
    ]
    own_take = max(0.0, tau * own.capacity - own.arrival_rate)
    own_give = max(0.0, own.arrival_rate - tau * own.capacity)
    if not own_give:
        return 0.0, take
    return own_give / own.arrival_rate * min(1.0, (sum(take) + own_take) / give), take
