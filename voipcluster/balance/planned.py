"""
The C{planned} policy: plan on rates, correct on queues.

The rates say how much each node has to give away and how much each can take. All nodes compute the same plan from the same
table, and rates age well, so the plan is good with a table that is seconds old.

What the rates do not say waits in the queues, and is part of the same plan: a queue that is longer than the mean of all is
work that came beyond the rate, a shorter one is room. So all senders together send a node what it lacks, and not each of them,
which would make a herd of them. Two things damp it: of the room that was heard of less counts the older the news is, since all
have been filling it since; and the own queue, which is known as it is, corrects what the own node gives away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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
from voipcluster.balance.waterfill import water_fill

TAU_MAX = 0.98  # utilisation that a plan aims at when the cluster is asked for more
STEPS = 4  # of Newton's method: the function is made of straight lines and rises, so these come within a thousandth
SETTLE = 0.1  # s in which what waits at another node beyond the mean is to be gone, and in which that news counts 1/e only
SETTLE_OWN = 0.15  # s, the same for the own queue; longer, because a node measures it ten times a second only


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
        rates = rate_plan(own, others, self.hand_over_cost)
        targets, willing = open_nodes(others), willing_nodes(others)
        arrivals = (own.arrival_rate + sum(node.arrival_rate for node in others)) * self.period / 2
        return DrawPlan(
            tuple(targets),
            _draw(targets, fresh, arrivals),
            _draw(willing, fresh, arrivals),
            planned=Draw.of(others, rates.rooms),
            base=rates.base,
            slope=rates.slope,
            waited=own.delay,
            wait=rates.wait,
            pairs=fresh,
            hot=hot_level(willing),
            rooms={node.name: room for node, room in zip(others, rates.rooms, strict=True)},
        )


def _draw(nodes: Sequence[Node], fresh: bool, arrivals: float) -> Draw | None:
    """By capacity, to be compared; or, with an old table, by what levels the queues when nothing is compared."""
    rates = capacities(nodes)
    if fresh:
        return Draw.of(nodes, rates)
    queues = [node.delay * rate + node.assigned.pending for node, rate in zip(nodes, rates, strict=True)]
    return Draw.of(nodes, water_fill(queues, rates, arrivals))


class RatePlan(NamedTuple):
    """
    @ivar base: share of its clients' requests that the own node gives away while nothing waits there; below 0 when it has room.
    @ivar slope: what a second of own delay adds to it.
    @ivar rooms: requests per second that each of the others can take.
    @ivar wait: seconds, the mean delay of all nodes by their capacities.
    """

    base: float
    slope: float
    rooms: list[float]
    wait: float


def rate_plan(own: Node, others: Sequence[Node], cost: float = 0.0) -> RatePlan:
    """
    How much of its clients' requests the own node gives away, and what each other one can take.

    What is asked of a node is its arrival rate and what waits there beyond the mean, to be gone in C{SETTLE}. With C{tau} the
    utilisation that all nodes are to have, a node that is asked for more than C{tau} times its capacity gives the rest away, and
    a little more, because giving away costs it time too; others take up to C{tau} times theirs.

    What a node lacks is filled by this very plan, so of an old report of it only what is left by now counts.

    @param own: C{own.heard} is the time of planning.
    @param cost: of handing over, as a share of serving; below 1.
    @return: a node of unknown capacity neither gives nor takes. When the cluster is asked for more than it has, the share
        shrinks with what can be taken: requests that nobody can take are not sent around.
    """
    nodes = (own, *others)
    rates = [(node, _capacity(node)) for node in nodes if node.capacity]
    capacity = sum(mu for _, mu in rates)
    wait = sum(node.delay * mu for node, mu in rates) / capacity if capacity else 0.0
    asked = [(_asked(node, mu, wait, own.heard), mu, node.state is not NodeState.DRAIN) for node, mu in rates]
    if not own.capacity or not own.arrival_rate:
        return RatePlan(0.0, 0.0, [0.0] * len(others), wait)
    dearer = 1.0 / (1.0 - min(0.9, cost))
    tau = min(TAU_MAX, max(0.0, sum(rate for rate, _, _ in asked) / capacity)) if capacity else 0.0
    give = take = 0.0
    for step in range(STEPS):
        give = take = slope = 0.0
        for rate, mu, willing in asked:
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
    rooms = dict.fromkeys((node.name for node in others), 0.0)
    for (node, mu), (rate, _, willing) in zip(rates, asked, strict=True):
        if willing and node is not own:
            rooms[node.name] = max(0.0, tau * mu - rate)
    if not give:
        return RatePlan(0.0, 0.0, list(rooms.values()), wait)
    scale = dearer * min(1.0, take / give) / own.arrival_rate
    mine = _capacity(own)
    base = (own.arrival_rate - tau * mine - mine * wait / SETTLE_OWN) * scale
    return RatePlan(base, mine / SETTLE_OWN * scale, list(rooms.values()), wait)


def _asked(node: Node, capacity: float, wait: float, now: float | None) -> float:
    """
    Requests per second that a node is asked for, with what waits there beyond C{wait} seconds; negative if it lacks much.

    That there is room is old news soon, because all fill it. A long queue is believed until its node says something else, since
    the node may have become slow; but not of a node that does not report changes at once, whose silence says nothing.
    """
    beyond = (node.delay - wait) * capacity
    prompt = node.report is not None and node.report.spontaneous
    if (beyond < 0.0 or not prompt) and now is not None and (age := node.age(now)) > 0.0:
        beyond *= math.exp(-age / SETTLE)
    return node.arrival_rate + beyond / SETTLE


def _capacity(node: Node) -> float:
    """What the plan counts on: nothing of a node that drains, a part of one that has just started."""
    return 0.0 if node.state is NodeState.DRAIN else node.capacity * node.weight
