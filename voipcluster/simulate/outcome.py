"""What a run showed, as numbers that a goal can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from attrs import frozen

from voipcluster.simulate.cluster import BIN, Cluster
from voipcluster.simulate.scenario import Scenario


@frozen(kw_only=True)
class Outcome:
    """
    Shares are of what clients sent in the measured part.

    @ivar served: C{refused}, C{lost}: what became of it; what is left of 1.0 was still waiting at the end.
    @ivar goodput: what was served, as a share of the capacity.
    @ivar median: and C{p99}: seconds from request to the end of its service; C{p99_services}: in mean services at speed 1.0.
    @ivar forwarded: hand-overs, as a share; C{least}: how many would level the nodes, if all were known beforehand.
    @ivar hops: share of the served ones by number of hand-overs.
    @ivar utilisation: of each node; C{imbalance}: greatest by mean.
    @ivar reports: per second and node.
    @ivar served_rate: C{refused_rate}: requests per second, by 0.1 s of the measured part.
    @ivar taken: by node with a fault: requests from other nodes, by C{BIN} of the measured part.
    @ivar digest: of all decisions; the same for the same scenario.
    """

    scenario: Scenario
    served: float
    refused: float
    lost: float
    goodput: float
    median: float
    p99: float
    p99_services: float
    forwarded: float
    least: float
    hops: tuple[float, ...]
    utilisation: tuple[float, ...]
    imbalance: float
    reports: float
    served_rate: tuple[float, ...]
    refused_rate: tuple[float, ...]
    taken: dict[int, tuple[int, ...]]
    digest: str

    def taken_between(self, node: int, begin: float, end: float) -> float:
        """Requests per second that a node with a fault took from others, in seconds of the measured part."""
        bins = self.taken[node][round(begin / BIN) : round(end / BIN)]
        return sum(bins) / (len(bins) * BIN) if bins else 0.0


def simulate(scenario: Scenario) -> Outcome:
    """Run a scenario; the same one always gives the same outcome."""
    cluster = Cluster(scenario)
    cluster.run()
    sent = max(1, cluster.offered)
    waits = sorted(cluster.waits)
    done = max(1, len(waits))
    utilisation = tuple(busy / scenario.duration for busy in cluster.busy)
    mean = sum(utilisation) / len(utilisation)
    served = len(waits) / sent
    p99 = quantile(waits, 0.99)
    bins = ceil(scenario.duration / BIN)
    return Outcome(
        scenario=scenario,
        served=served,
        refused=cluster.refused / sent,
        lost=cluster.lost / sent,
        goodput=served * scenario.offered,
        median=quantile(waits, 0.5),
        p99=p99,
        p99_services=p99 / scenario.service,
        forwarded=cluster.forwarded / sent,
        least=least_forwarded([node.rate for node in cluster.nodes], scenario),
        hops=tuple(cluster.hops[hops] / done for hops in range(max(cluster.hops, default=0) + 1)),
        utilisation=utilisation,
        imbalance=max(utilisation) / mean if mean else 0.0,
        reports=cluster.reports / scenario.duration / scenario.nodes,
        served_rate=_rates(cluster.served_at, bins),
        refused_rate=_rates(cluster.refused_at, bins),
        taken={
            node: tuple(cluster.taken_at[node, at] for at in range(bins)) for node in sorted(cluster.watched)
        },
        digest=cluster.world.trace.hexdigest(),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of numbers in order; 0.0 when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def least_forwarded(rates: Sequence[float], scenario: Scenario) -> float:
    """
    The share that must be handed over so that all nodes are equally busy, if requests were a fluid and all rates known.

    Where the cluster is asked for more than it has, only what others have room for is worth it.
    """
    capacities = [scenario.speed(node) / scenario.service for node in range(scenario.nodes)]
    dearer = 1.0 / (1.0 - min(0.9, scenario.forward_cost))
    low, high = 0.0, 1.0
    for _ in range(50):  # bisection: what is given grows less and what fits grows with the level
        level = (low + high) / 2
        given, room = _moved(rates, capacities, level, dearer)
        low, high = (level, high) if given > room else (low, level)
    given, room = _moved(rates, capacities, high, dearer)
    return min(given, room) / sum(rates)


def _moved(
    rates: Sequence[float], capacities: Sequence[float], level: float, dearer: float
) -> tuple[float, float]:
    above = [rate - level * capacity for rate, capacity in zip(rates, capacities, strict=True)]
    return sum(one for one in above if one > 0.0) * dearer, -sum(one for one in above if one < 0.0)


def _rates(counts: dict[int, int], bins: int) -> tuple[float, ...]:
    """Per second, by 0.1 s; a part of such a step at the end is left out."""
    wide = round(0.1 / BIN)
    return tuple(
        sum(counts[at + part] for part in range(wide)) / (wide * BIN)
        for at in range(0, bins - wide + 1, wide)
    )
