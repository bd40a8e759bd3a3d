"""
Three whole nodes, one of which gets a tenth of its processor, at 0.8 of what is left: no caller notices, and what the others hand
to it falls in less than half a second.

Phones know the other two: what comes to the slow node itself, and what is behind it, no balancing can help.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.costs import Costs
from tests.simulation.node_reactor import EPOCH
from tests.simulation.world import World

CAPACITY = 29.0  # calls a second of one node with these costs
OFFERED = 0.8 * 2.1 * CAPACITY
FULL_SPEED, SLOW = 3.0, 2.0  # s
SHED = 0.5  # s until its share has fallen


class SlowNodeTests(SynchronousTestCase):
    def run_with(self, seed: int = 1, **cluster: Any) -> tuple[World, list[float]]:
        """@return: the world at its end, and when requests were handed to c, in seconds after it became slow."""
        world = World("abc", seed=seed, costs=Costs(scale=100.0), options={"cluster": cluster})
        world.phones(callers=8, callees=0, at="ab")
        for number in range(6):
            world.callees.append(world.phone(f"callee{number}", "ab"[number % 2]))
            world.callees[-1].register()
        world.until(world.registered, "all phones are registered")
        world.begin_traffic(OFFERED, 1.0, FULL_SPEED + SLOW)
        world.run(FULL_SPEED)
        begin = world.now + EPOCH
        world.nodes["c"].slow_down(10.0)
        world.run(SLOW)
        world.settle()
        handed = [
            explained.time - begin
            for attempt in world.attempts
            for name in "ab"
            for explained in world.nodes[name].explanations(attempt.call_id)
            if explained.chosen == "c"
        ]
        return world, handed

    def assertShed(self, world: World, handed: list[float]) -> None:
        before = sum(-2.0 < when <= 0.0 for when in handed) / 2.0
        after = sum(SHED < when <= SLOW for when in handed) / (SLOW - SHED)
        self.assertGreater(before, 8.0, "c had its share")
        self.assertLess(after, 0.2 * before, f"{before}/s before, {after}/s from {SHED} s after on")
        self.assertEqual(set(world.outcome), {"up"}, world.outcome)
        # what c itself refuses goes back to the node that handed it over, and is served there
        self.assertEqual([world.nodes[name].service.placing.refused for name in "ab"], [0, 0])
        self.assertEqual([node.service.overload.refused for node in world.nodes.values()], [0, 0, 0])

    def test_planned(self) -> None:
        """The policy that a node has unless told otherwise."""
        self.assertShed(*self.run_with(policy="planned"))

    def test_sequence(self) -> None:
        """Also when the slow node is the first in a predefined order."""
        self.assertShed(*self.run_with(policy="sequence", sequence=("c", "a", "b")))

    def test_what_lies_unread(self) -> None:
        """
        What c was handed it hands on, and it reads late that a has taken it: no phone is asked a second time.

        With this seed c once took a for silent and refused, so that b served the call, too; the phone answered 482, having it
        over a already (RFC 3261 section 8.2.2.2).
        """
        world, _ = self.run_with(seed=10, policy="sequence", sequence=("c", "a", "b"))
        self.assertEqual(set(world.outcome), {"up"}, world.outcome)

    def test_first_at_the_phone(self) -> None:
        """
        A node that is late brings the request to the phone a moment before the node that asked it serves it itself.

        With this seed one call once got 500: the phone merged the second copy (482), and the late node had been cancelled for it.
        """
        world, _ = self.run_with(seed=15, policy="sequence", sequence=("c", "a", "b"))
        self.assertEqual(set(world.outcome), {"up"}, world.outcome)
