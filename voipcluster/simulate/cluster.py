"""The simulated cluster: its nodes, their clients, the network between them, and what goes wrong."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from voipcluster.balance.decision import Gates
from voipcluster.balance.messages import Member
from voipcluster.balance.placement import Placement
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy, LeastLoaded, TwoChoices
from voipcluster.balance.report import Report
from voipcluster.simulate.literal import LiteralRule
from voipcluster.simulate.node import Request, SimNode
from voipcluster.simulate.scenario import Fault, Scenario
from voipcluster.simulate.world import World

SETTLE = 0.5  # s after the measured part in which what was sent in it may still be served
BIN = 0.01  # s of the series
LITERAL_HOPS = 3


class Cluster:
    """
    @ivar waits: seconds from the client's request to the end of its service, of those sent in the measured part.
    @ivar hops: how many of those were handed over so often.
    @ivar offered: requests sent in the measured part; C{refused}: those that their client got 503 for; C{lost} in a crash.
    @ivar served_at: completions by C{BIN} of the measured part; C{refused_at}: refusals.
    @ivar taken_at: requests that a node with a fault took from others, by node and C{BIN}.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = World()
        self.random = Random(f"{scenario.seed}:clients")
        self.links = Random(f"{scenario.seed}:links")
        self.members = tuple(
            Member(name=f"n{number}", role="secondary", address="192.0.2.1")
            for number in range(scenario.nodes)
        )
        policies: tuple[IBalancingPolicy, ...] = (
            Planned(scenario.period, scenario.forward_cost),
            TwoChoices(),
            LeastLoaded(),
        )
        self.policy = {policy.name: policy for policy in policies}.get(scenario.policy)
        self.may_be_silent = any(fault.speed == 0.0 for fault in scenario.faults)
        self.watched = {fault.node for fault in scenario.faults}
        self.begin, self.end = scenario.warm_up, scenario.warm_up + scenario.duration
        self.count = self.offered = self.refused = self.lost = self.forwarded = self.reports = 0
        self.waits: list[float] = []
        self.hops: Counter[int] = Counter()
        self.served_at: Counter[int] = Counter()
        self.refused_at: Counter[int] = Counter()
        self.taken_at: Counter[tuple[int, int]] = Counter()
        self.nodes = [
            SimNode(self, number, member.name, rate)
            for number, (member, rate) in enumerate(zip(self.members, self._rates(), strict=True))
        ]
        self.by_name = {node.name: node for node in self.nodes}
        self.busy: list[float] = []

    def _rates(self) -> list[float]:
        """Requests per second at each node: Zipf's law over the nodes in random order."""
        scenario = self.scenario
        weights = [(rank + 1) ** -scenario.skew for rank in range(scenario.nodes)]
        Random(f"{scenario.seed}:attachment").shuffle(weights)
        total = scenario.offered * scenario.capacity / sum(weights)
        return [total * weight for weight in weights]

    def placement(self, node: SimNode) -> Any:
        scenario = self.scenario
        gates = Gates(
            threshold=scenario.threshold,
            hard_limit=scenario.hard_limit,
            hop_budget=scenario.hop_budget,
            hand_over_cost=scenario.forward_cost,
        )
        if self.policy is not None:
            return Placement(lambda: node.own, node.table, self.policy, gates)
        return LiteralRule(
            lambda: node.own, node.table, gates, 0 if scenario.policy == "none" else LITERAL_HOPS
        )

    def run(self) -> None:
        """Run all of it; to be called once."""
        world = self.world
        for node in self.nodes:
            node.begin(0.0)
            world.at(self.random.expovariate(node.rate), self._client, node)
        for fault in self.scenario.faults:
            world.at(self.begin + fault.at, self._begin_fault, fault)
            world.at(self.begin + fault.until, self._end_fault, fault)
        world.run(self.begin)
        before = [node.busy for node in self.nodes]
        world.run(self.end)
        self.busy = [node.busy - earlier for node, earlier in zip(self.nodes, before, strict=True)]
        world.run(self.end + SETTLE)

    @property
    def measuring(self) -> bool:
        return self.begin <= self.world.now < self.end

    def _client(self, node: SimNode) -> None:
        """A client of a node sends a request; the next one comes after a while."""
        world = self.world
        self.count += 1
        self.offered += self.measuring
        world.at(world.now + self.random.expovariate(node.rate), self._client, node)
        node.arrive(Request(self.count, world.now))

    # -- what the nodes tell

    def _bin(self) -> int:
        return int((self.world.now - self.begin) / BIN)

    def _counts(self, request: Request) -> bool:
        return self.begin <= request.began < self.end

    def served(self, request: Request) -> None:
        if self._counts(request):
            self.waits.append(self.world.now - request.began)
            self.hops[len(request.way)] += 1
            self.served_at[self._bin()] += 1

    def refuse(self, request: Request) -> None:
        """Its client got 503."""
        if self._counts(request):
            self.refused += 1
            self.refused_at[self._bin()] += 1

    def lose(self, request: Request) -> None:
        """Its client gets no answer."""
        self.lost += self._counts(request)

    def handed_over(self) -> None:
        self.forwarded += self.measuring

    def taken(self, node: SimNode) -> None:
        """A node took a request from another one."""
        if node.number in self.watched:
            self.taken_at[node.number, self._bin()] += 1

    def tell(self, sender: SimNode, report: Report) -> None:
        """A report goes to everybody."""
        self.reports += self.measuring
        self.world.at(self.world.now + self.scenario.latency, self._told, (sender, report))

    def _told(self, what: tuple[SimNode, Report]) -> None:
        sender, report = what
        cost, loss = self.scenario.report_cost * self.scenario.service, self.scenario.report_loss
        for node in self.nodes:
            if node is not sender and not (loss and self.links.random() < loss):
                node.hear(report)
                node.extra += cost / node.speed

    # -- faults

    def _begin_fault(self, fault: Fault) -> None:
        node = self.nodes[fault.node]
        if fault.speed == 0.0:
            node.crash()
        else:
            node.speed = node.full_speed * fault.speed

    def _end_fault(self, fault: Fault) -> None:
        node = self.nodes[fault.node]
        node.speed = node.full_speed
        if fault.speed == 0.0:
            node.begin(self.scenario.slow_start)
