"""
Policies: in which order nodes are tried.

A policy only orders. Whether a node may be chosen at all (fresh, open, below the gate, not visited) is the placement's to say,
whatever the policy is, so that no policy can send requests in circles. What a policy computes is split: C{plan} is called
when the table changed, at most some twenty times a second; C{order} is called for each request that leaves the node.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from attrs import define, field, frozen
from zope.interface import Attribute, Interface, implementer

from voipcluster.balance.membership import Node
from voipcluster.balance.report import NOTHING
from voipcluster.balance.state import NodeState

OPEN, DRAIN, UNKNOWN = NodeState.OPEN, NodeState.DRAIN, NodeState.UNKNOWN
Rand = Callable[[], float]  # at least 0.0, below 1.0
DRAWS = 4  # pairs that are drawn before the rest is tried in order of workload
GOLDEN = (5.0**0.5 - 1.0) / 2.0  # its multiples leave the most even gaps
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
        @param rand: for the share above its numbers need not be random, but are spread evenly (L{Even}).
        """


class ILevelling(Interface):
    """What a plan provides, too, when it can level what waits among nodes that are all above the threshold."""

    share = Attribute("As of L{IPlan}, with what waited at the own node when it was made.")
    wait = Attribute(
        "Seconds that a request waits in the mean of all nodes; 0.0 when the policy looks at no waits."
    )
    rooms = Attribute(
        "Name to requests per second that it can take from others by the rates; for explanations."
    )
    pairs = Attribute(
        "Whether the table is so fresh that what waits can be compared, and the first below the threshold believed."
    )

    def share_at(delay: float) -> float:
        """The share, at least 0.0, when a request waits C{delay} seconds at the own node, which changes quicker than plans."""

    def level(rand: Rand) -> Iterator[str]:
        """A few names to compare with the own node; one is taken when much less waits there."""


class IBalancingPolicy(Interface):
    """The order of trying. A third party's policy is a plugin with this interface."""

    name = Attribute("The name in the configuration.")
    own_place = Attribute(
        "Whether the own node stands in the order for what its clients send, and the threshold binds at every hop. "
        "If not, a node serves whatever comes while it is below its gate, which rises with the hops."
    )

    def plan(own: Node, others: Sequence[Node], fresh: bool) -> IPlan:
        """
        @param own: the own node; C{own.heard} is the time now, from which the ages of the others count.
        @param others: all other members, in the order of joining; their C{load}, C{wait} and C{state} stay current.
        @param fresh: the table shows the nodes as they are now, not as they were some time ago.
        """


def open_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Those that can be a target at all; a plan is made anew when a state changes."""
    return [node for node in nodes if node.state is OPEN]


def willing_nodes(nodes: Sequence[Node]) -> list[Node]:
    """Those that may take something when nobody is below the threshold."""
    return [node for node in nodes if node.state is not DRAIN and node.state is not UNKNOWN]


def by_load(nodes: Sequence[Node], rand: Rand) -> Iterator[str]:
    """The least loaded first, equals in random order."""
    return iter([node.name for node in sorted(nodes, key=lambda node: (node.load, rand()))])


@define(slots=True)
class Even:
    """
    Numbers from 0.0 to below 1.0 which are spread evenly however few are taken: steps of the golden ratio (Weyl's sequence).

    Drawn by chance the parts of a planned share come in bunches, and each bunch is a queue.

    @ivar at: where it begins, by chance, so that nodes do not draw in step; below 0 is not begun.
    """

    at: float = -1.0
    _owed: float = 0.0

    def draw(self) -> float:
        at = self.at + GOLDEN
        self.at = at = at - 1.0 if at >= 1.0 else at
        return at

    def part(self, share: float, rand: Rand) -> bool:
        """Whether this one belongs to the part: with a share of 0.25 each fourth does."""
        if self.at < 0.0:
            self.at, self._owed = rand(), rand()
        self._owed += min(1.0, share)
        if self._owed < 1.0:
            return False
        self._owed -= 1.0
        return True


@implementer(IPlan)
@frozen
class FixedOrder:
    """A plan that is one order of nodes for all requests. C{share} is that of L{IPlan}."""

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
    """
    The nodes' capacities, all above 0.

    One that is not known yet counts as the mean of those that can serve something, or 1.
    """
    known = [node.capacity for node in nodes if node.capacity > NOTHING]
    mean = sum(known) / len(known) if known else 1.0
    return [node.capacity or mean for node in nodes]


@implementer(IPlan, ILevelling)
@frozen
class DrawPlan:
    """
    Draws; then all nodes by workload, so that one below the gate is found if there is one.

    @ivar planned: to draw from for the C{share} given away below the gate.
    @ivar reaction: to draw from when the own node is above its gate.
    @ivar levelling: to draw from when all are.
    @ivar pairs: whether the reaction compares two; with a stale table comparing makes a herd.
    @ivar base: the share while nothing waits at the own node; C{slope}: what a second of delay there adds to it.
    @ivar waited: the own delay when the plan was made.
    @ivar wait: as of L{ILevelling}.
    @ivar rooms: name to requests per second that it can take by the rates; empty when the policy looks at none.
    @ivar hot: unanswered requests above which a node is hot.
    """

    nodes: tuple[Node, ...]
    reaction: Draw | None
    levelling: Draw | None = None
    planned: Draw | None = None
    base: float = 0.0
    slope: float = 0.0
    waited: float = 0.0
    wait: float = 0.0
    pairs: bool = True
    hot: float = field(default=0.0)
    rooms: Mapping[str, float] = field(factory=dict)

    @property
    def share(self) -> float:
        return min(1.0, self.share_at(self.waited))

    def share_at(self, delay: float) -> float:
        return max(0.0, self.base + self.slope * delay)

    def order(self, rand: Rand, planned: bool) -> Iterator[str]:
        draw = self.planned if planned else self.reaction
        if draw is not None:
            for _ in range(DRAWS):
                if self.pairs and not planned:
                    yield from draw.better_of_two(rand, self.hot)
                else:
                    yield draw.one(rand).name
        if not planned:
            yield from by_load(self.nodes, rand)

    def level(self, rand: Rand) -> Iterator[str]:
        draw = self.levelling
        if draw is None:
            return
        if self.pairs:
            yield from draw.better_of_two(rand, self.hot)
        else:
            yield draw.one(rand).name


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
        targets, willing = open_nodes(others), willing_nodes(others)
        return DrawPlan(
            tuple(targets),
            Draw.of(targets, capacities(targets)),
            Draw.of(willing, capacities(willing)),
            hot=hot_level(targets),
        )
