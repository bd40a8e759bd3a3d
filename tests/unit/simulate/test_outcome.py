"""What a run shows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate.outcome import least_forwarded, quantile, simulate
from voipcluster.simulate.scenario import Fault, Scenario

SMALL = Scenario(nodes=4, speeds=(1.0, 2.0), duration=1.0, warm_up=1.0, offered=0.6)


class LeastForwardedTests(SynchronousTestCase):
    def test_fluid(self) -> None:
        """150 and 50 requests/s at two nodes of 100: 50 must move, or a little more when moving costs."""
        scenario = Scenario(nodes=2, speeds=(1.0,), service=0.01, forward_cost=0.0)
        self.assertAlmostEqual(least_forwarded([150.0, 20.0], scenario), 65 / 170, places=3)
        dear = Scenario(nodes=2, speeds=(1.0,), service=0.01, forward_cost=0.2)
        moved = least_forwarded([130.0, 20.0], dear) * 150
        self.assertAlmostEqual(130 - 0.8 * moved, 20 + moved, places=2)

    def test_level(self) -> None:
        """Where all are level nothing moves; in an overload only what fits somewhere."""
        scenario = Scenario(nodes=2, speeds=(1.0,), service=0.01)
        self.assertAlmostEqual(least_forwarded([50.0, 50.0], scenario), 0.0, places=3)
        self.assertAlmostEqual(least_forwarded([400.0, 90.0], scenario), 10 / 490, places=3)


class QuantileTests(SynchronousTestCase):
    def test_quantile(self) -> None:
        """Of a hundred numbers the 99th; of none, 0."""
        self.assertEqual(quantile(list(range(100)), 0.99), 99)
        self.assertEqual(quantile([5.0], 0.5), 5.0)
        self.assertEqual(quantile([], 0.99), 0.0)


class SimulateTests(SynchronousTestCase):
    def test_accounts_for_all(self) -> None:
        """What was sent is served, refused or lost; utilisation is what the load says, and hops add up."""
        outcome = simulate(SMALL)
        self.assertAlmostEqual(outcome.served + outcome.refused + outcome.lost, 1.0, places=2)
        self.assertAlmostEqual(sum(outcome.hops), 1.0, places=6)
        mean = sum(outcome.utilisation) / 4
        self.assertTrue(0.5 < mean < 0.75, mean)
        self.assertGreater(outcome.p99, outcome.median)
        self.assertEqual(len(outcome.served_rate), 10)

    def test_crash(self) -> None:
        """What a dead node's clients send is lost, and what others handed to it is served elsewhere; it comes back slowly."""
        fault = Fault(1, 0.0, 0.6)
        outcome = simulate(
            Scenario(
                nodes=4,
                speeds=(1.0,),
                duration=3.0,
                warm_up=2.0,
                offered=0.5,
                skew=0.0,
                faults=(fault,),
                slow_start=1.0,
            )
        )
        self.assertTrue(0.02 < outcome.lost < 0.1, outcome.lost)
        self.assertGreater(outcome.served + outcome.lost, 0.99)

    def test_too_much(self) -> None:
        """Twice the capacity: what the cost of refusing leaves, (1 - k*r) / (1 - r), is served, and the rest is refused."""
        scenario = Scenario(nodes=4, speeds=(1.0,), duration=4.0, warm_up=3.0, offered=2.0)
        outcome = simulate(scenario)
        bound = (1 - 2.0 * scenario.refuse_cost) / (1 - scenario.refuse_cost)
        self.assertGreater(outcome.goodput, 0.97 * bound)
        self.assertGreater(outcome.refused, 0.45)
