"""Tests of the numbers behind /metrics, of a node in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.services.node.numbers import REASONS, numbers
from voipcluster.web.metrics import CATALOGUE


class NumbersTests(SynchronousTestCase):
    def test_every_metric_has_its_number(self) -> None:
        """What the catalogue promises is there, and nothing that it does not know."""
        node = World("a").nodes["a"].service
        self.assertEqual(set(numbers(node)), set(CATALOGUE))

    def test_calls_are_counted(self) -> None:
        """A call that was handed over: where it came in, where it is served, and when it has ended."""
        world = World("ab", seed=3, options={"cluster": {"policy": "sequence", "sequence": ("b", "a")}})
        world.phones(callers=1, callees=1, at="a")
        services = [world.nodes[name].service for name in "ab"]
        before = [numbers(service)["voipcluster_placements_total"]["serve"] for service in services]
        attempt = world.call(world.callers[0], world.callees[0], hold=2.0)
        world.until(lambda: attempt.answered, "the call is up")
        at_a, at_b = (numbers(world.nodes[name].service) for name in "ab")
        self.assertEqual((at_a["voipcluster_calls"], at_b["voipcluster_calls"]), (0, 1))
        self.assertEqual(
            at_a["voipcluster_handed_over_total"]["b"], at_a["voipcluster_placements_total"]["hand-over"]
        )
        self.assertEqual(at_b["voipcluster_requests_total"]["INVITE"], 1)
        placed = [at["voipcluster_placements_total"]["serve"] for at in (at_a, at_b)]
        self.assertEqual(placed, [before[0], before[1] + 1])
        world.settle()
        at_b = numbers(world.nodes["b"].service)
        self.assertEqual((at_b["voipcluster_calls"], at_b["voipcluster_calls_total"]), (0, 1))

    def test_silent_node(self) -> None:
        """A node that is not heard of is down, and has no workload."""
        world = World("ab")
        world.nodes["b"].crash(silent=True)
        world.run(10.0)
        shown = numbers(world.nodes["a"].service)
        self.assertEqual(shown["voipcluster_node_up"], {"a": 1.0, "b": 0.0})
        self.assertEqual(set(shown["voipcluster_workload"]), {"a"})
        self.assertGreater(shown["voipcluster_report_age_seconds"]["b"], 9.0)

    def test_reasons(self) -> None:
        """What is refused for a reason shows under that reason."""
        node = World("a").nodes["a"].service
        for number, reason in enumerate(REASONS, 1):
            node.limiting.refused[reason] += number
        refused = numbers(node)["voipcluster_refused_total"]
        self.assertEqual([refused[reason] for reason in REASONS], list(range(1, len(REASONS) + 1)))
