"""Faults that nobody thought of: drawn by seed, several at once, with calls that end in every way, and the oracles."""

from __future__ import annotations

import os
from random import Random

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.costs import Costs
from tests.simulation.node import SimNode
from tests.simulation.world import World

SEEDS = range(1, 4)
POLICIES = ("planned", "sequence", "least-loaded", "two-choices")
SECONDS = 6.0


def seeds() -> range:
    """C{SIMULATION_SEEDS=100-199} looks further."""
    first, dash, last = os.environ.get("SIMULATION_SEEDS", "").partition("-")
    return range(int(first), int(last) + 1) if dash else SEEDS


@define
class Day:
    """
    What happens in one run; all of it follows from the seed.

    @ivar told: the faults, for the message of a failure.
    """

    seed: int
    chance: Random = field(init=False)
    world: World = field(init=False)
    told: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        chance = self.chance = Random(f"chaos {self.seed}")
        names = "abcde"[: chance.randint(2, 5)]
        options = {
            "limits": {"calls": chance.choice((15, 20, 40))},
            "cluster": {"policy": chance.choice(POLICIES), "mode": chance.choice(("forward", "redirect"))},
            "auth": {"required": chance.random() < 0.3},
        }
        scale = chance.choice((20.0, 50.0, 100.0))
        self.world = World(names, seed=self.seed, costs=Costs(scale=scale), options=options)
        self.world.phones(callers=6, callees=6, at=chance.choice(("a", names)))
        self.world.run(2.0)

    def live(self) -> None:
        """Let it happen, then let all come to an end."""
        chance, world = self.chance, self.world
        for _ in range(chance.randint(1, 5)):
            fault = chance.choice(
                (self.crash, self.power_cut, self.slow, self.pause, self.partition, self.half_open, self.loss)
            )
            node, at, lasts = (
                chance.choice(list(world.nodes.values())),
                chance.uniform(0, SECONDS),
                chance.uniform(0.3, 5.0),
            )
            self.told.append(f"{fault.__name__} {node.name} at {at:.1f} for {lasts:.1f} s")
            world.at(at, fault, node, lasts)
        for _ in range(8):
            world.at(chance.uniform(0, SECONDS), self.change_of_mind, chance.uniform(0.01, 0.25))
        for phone in world.callees:
            world.at(chance.uniform(0, SECONDS), phone.register)
        world.traffic(rate=12.0, hold=1.5, seconds=SECONDS)
        world.settle(240.0)

    # -- faults

    def crash(self, node: SimNode, lasts: float, *, silent: bool = False) -> None:
        if node.alive:
            node.crash(silent=silent)
            self.world.at(lasts, lambda: None if node.alive else node.start())

    def power_cut(self, node: SimNode, lasts: float) -> None:
        self.crash(node, lasts, silent=True)

    def slow(self, node: SimNode, lasts: float) -> None:
        node.slow_down(self.chance.choice((3.0, 10.0)))
        self.world.at(lasts, node.slow_down, 1.0)

    def pause(self, node: SimNode, lasts: float) -> None:
        node.reactor.pause(min(lasts, 2.0))

    def partition(self, node: SimNode, lasts: float) -> None:
        others = [name for name in self.world.nodes if name != node.name]
        self.world.cut([node.name], others)
        self.world.at(lasts, self.world.cut, [node.name], others, cut=False)

    def half_open(self, node: SimNode, lasts: float) -> None:
        """What it sends to other nodes does not arrive, while it hears them."""
        network, hosts = self.world.network, [other.host for other in self.world.nodes.values()]
        network.change([node.host], hosts, cut=True)
        self.world.at(lasts, network.change, [node.host], hosts, cut=False)

    def loss(self, node: SimNode, lasts: float) -> None:
        bad = {"loss": 0.15, "duplication": 0.1, "reordering": 0.1}
        self.world.between_nodes(**bad)
        self.world.at(lasts, self.world.between_nodes, **dict.fromkeys(bad, 0.0))

    # -- callers

    def change_of_mind(self, soon: float) -> None:
        """A call that is given up when it has hardly begun."""
        caller = self.chance.choice(self.world.callers)
        attempt = self.world.call(caller, self.chance.choice(self.world.callees))
        for delay in (soon, 4.0):  # before a provisional response a phone waits with its CANCEL; so do we
            self.world.at(delay, lambda: None if attempt.over else caller.hang_up(attempt))


class ChaosTests(SynchronousTestCase):
    def test_whatever_happens(self) -> None:
        """The oracles hold, all is linked again, every phone is found, and nothing of the calls is left."""
        for seed in seeds():
            day = Day(seed)
            told = f"seed {seed}"
            try:
                day.live()
                told = f"seed {seed}: {'; '.join(day.told)}; {dict(day.world.outcome)}"
                day.world.check()
                day.world.until(day.world.linked, "all nodes are linked")
                self.assertTrue(day.world.registered(), "a phone is lost")
                day.world.empty(120.0)
                left = {node.name: node.calls for node in day.world.alive if node.calls}
                self.assertEqual(left, {})
                errors = [node.service.transport.statistics()["sink_errors"] for node in day.world.alive]
                self.assertEqual(sum(errors), 0)
            except AssertionError as error:
                raise AssertionError(f"{told}: {error}") from error
            self.assertGreater(day.world.outcome["up"], 10, told)
