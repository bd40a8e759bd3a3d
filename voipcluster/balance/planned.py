"""
The C{planned} policy: plan on rates, correct on queues.

The rates say how much each node has to give away and how much each can take. All nodes compute the same plan from the same
table, and rates age well, so the plan is good with a table that is seconds old. The correction, for what the rates do not say,
looks at what waits: two choices are compared while the table is fresh. When it is not, all nodes draw jointly from the
distribution that levels the queues (water-filling), because better information about an old table makes them all choose the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from zope.interface import implementer

from voipcluster.balance.membership import Node
from voipcluster.balance.policy import (
    Draw,
    DrawPlan,
    IBalancingPolicy,
    capacities,
    hot_level,
    open_nodes,
    willing_nodes,
)
from voipcluster.balance.state import NodeState
from voipcluster.balance.trigger import READ
from voipcluster.balance.waterfill import water_fill

TAU_MAX = 0.98  # utilisation that a plan aims at when the cluster is asked for more
PROMPT = 15.0  # reports a second of a node, below which comparing would send the plan's share to who looks best for a moment
STEPS = 4  # of Newton's method: the function is made of straight lines and rises, so these come within a thousandth


@implementer(IBalancingPolicy)
@frozen
class Planned:
    """
    @ivar period: seconds between reports: how long the table ages.
    @ivar hand_over_cost: what handing a request over costs the node that does it, as a share of serving it.
    """

    period: float = 1.0
    hand_over_cost: float = 0.0
    name: str = "planned"
    own_place: bool = False

    def plan(self, own: Node, others: Sequence[Node], fresh: bool) -> DrawPlan:
        share, take = rate_plan(own, others, self.hand_over_cost)
        targets, willing = open_nodes(others), willing_nodes(others)
        arrivals = (own.arrival_rate + sum(node.arrival_rate for node in others)) * self.period / 2
        return DrawPlan(
            tuple(targets),
            _draw(targets, fresh, arrivals),
            _draw(willing, fresh, arrivals),
            planned=Draw.of(others, take),
            share=share,
            pairs=fresh,
            compares=fresh and PROMPT * len(others) <= READ,
            hot=hot_level(willing),
            rooms={node.name: room for node, room in zip(others, take, strict=True)},
        )


def _draw(nodes: Sequence[Node], fresh: bool, arrivals: float) -> Draw | None:
    """By capacity, to be compared; or, with an old table, by what levels the queues when nothing is compared."""
    rates = capacities(nodes)
    if fresh:
        return Draw.of(nodes, rates)
    queues = [node.delay * rate + node.assigned.pending for node, rate in zip(nodes, rates, strict=True)]
    return Draw.of(nodes, water_fill(queues, rates, arrivals))


def rate_plan(own: Node, others: Sequence[Node], cost: float = 0.0) -> tuple[float, list[float]]:
    """
    How much of its clients' requests the own node gives away, and what each other one can take.

    With C{tau} the utilisation that all nodes are to have, a node with more arrivals than C{tau} times its capacity gives the
    rest away, and a little more, because giving away costs it time too; others take up to C{tau} times theirs.

    @param cost: of handing over, as a share of serving; below 1.
    @return: a share from 0.0 to 1.0, and requests per second for each of C{others}. A node of unknown capacity neither
        gives nor takes. When the cluster is asked for more than it has, the share shrinks with what can be taken: requests
        that nobody can take are not sent around.
    """
    mine = _capacity(own)
    if not own.capacity or not own.arrival_rate:
        return 0.0, [0.0] * len(others)
    dearer = 1.0 / (1.0 - min(0.9, cost))
    rates = [
        (node.arrival_rate, _capacity(node), node.state is not NodeState.DRAIN)
        for node in (own, *others)
        if node.capacity
    ]
    capacity = sum(mu for _, mu, _ in rates)
    tau = min(TAU_MAX, sum(rate for rate, _, _ in rates) / capacity) if capacity else 0.0
    give = take = 0.0
    for step in range(STEPS):
        give = take = slope = 0.0
        for rate, mu, willing in rates:
            room = tau * mu - rate
            if room < 0.0:
                give -= room * dearer
                slope += mu * dearer
            elif willing:
                take += room
                slope += mu
        if step == STEPS - 1 or tau >= TAU_MAX or not slope or abs(take - give) < 1e-3 * give:
            break
        tau = min(TAU_MAX, max(0.0, tau - (take - give) / slope))
    room_of = [
        max(0.0, tau * _capacity(node) - node.arrival_rate) if node.state is not NodeState.DRAIN else 0.0
        for node in others
    ]
    own_give = (own.arrival_rate - tau * mine) * dearer
    if own_give <= 0.0:
        return 0.0, room_of
    return min(1.0, own_give / own.arrival_rate * min(1.0, take / give)), room_of


def _capacity(node: Node) -> float:
    """What the plan counts on: nothing of a node that drains, a part of one that has just started."""
    return 0.0 if node.state is NodeState.DRAIN else node.capacity * node.weight
