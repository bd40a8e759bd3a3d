"""What can be simulated, and what cannot be."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.simulate.scenario import Fault, Scenario


class ScenarioTests(SynchronousTestCase):
    def test_capacity(self) -> None:
        """Speeds go round over the nodes."""
        scenario = Scenario(nodes=6, speeds=(1.0, 2.0, 4.0), service=0.01)
        self.assertEqual(scenario.speed(4), 2.0)
        self.assertAlmostEqual(scenario.capacity, 1400.0)

    def assertWrong(self, word: str, **values: Any) -> None:
        error = self.assertRaises(UsageError, Scenario, **values)
        self.assertIn(word, str(error))
        self.assertNotIn("\n", str(error))

    def test_wrong(self) -> None:
        """Each mistake is one line that names it."""
        self.assertWrong("policy: 'x' is none of planned,", policy="x")
        self.assertWrong("threshold", threshold=0.9, hard_limit=0.8)
        for name in ("nodes", "offered", "period", "service", "give_up", "monitor", "duration"):
            self.assertWrong(f"{name}: more than 0", **{name: 0})
            if name != "nodes":
                for value in (float("inf"), float("nan")):  # else it never ends, or its figures say nothing
                    self.assertWrong(f"{name}: more than 0", **{name: value})
        self.assertWrong("nodes: at most 10000", nodes=1_000_000_000)
        self.assertWrong("warm_up: 0 or more", warm_up=float("inf"))
        self.assertWrong("speeds", speeds=(1.0, float("nan")))
        self.assertWrong("speeds", speeds=(float("inf"),))
        self.assertWrong("fault of node 0", faults=(Fault(0, 0.0, float("inf")),))
        self.assertWrong("skew: 0 or more", skew=-1.0)
        self.assertWrong("report_loss: 0 to 1", report_loss=1.5)
        self.assertWrong("speeds", speeds=())
        self.assertWrong("speeds", speeds=(1.0, 0.0))
        self.assertWrong("no node 8", nodes=8, faults=(Fault(8, 0.0, 1.0),))
        self.assertWrong("fault of node 0", faults=(Fault(0, 1.0, 1.0),))
        self.assertWrong("fault of node 0", faults=(Fault(0, 0.0, 1.0, speed=1.0),))
