"""Outcomes as text."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate.goals import Figure
from voipcluster.simulate.outcome import simulate
from voipcluster.simulate.report import TITLES, row, table, verdicts
from voipcluster.simulate.scenario import Scenario

OUTCOME = simulate(Scenario(nodes=2, duration=0.2, warm_up=0.2))


class ReportTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Titles, and a line a run, in columns."""
        titles, line, again = table([OUTCOME, OUTCOME]).splitlines()
        self.assertEqual(titles.split("  ")[0], "POLICY")
        self.assertEqual(line, again)
        self.assertEqual(len(line.split()), len(TITLES))
        self.assertTrue(line.startswith("planned "))

    def test_row(self) -> None:
        """Primitives, for programs."""
        self.assertEqual(json.loads(json.dumps(row(OUTCOME)))["digest"], OUTCOME.digest)

    def test_verdicts(self) -> None:
        """Each figure beside its goal, and whether it is met."""
        figures = (Figure("up", (0.9,), 0.95, True), Figure("down", (0.9,), 0.95), Figure("seen", (1.0,)))
        lines = verdicts("x", "somebody", figures).splitlines()
        self.assertIn("goal >= 0.95: MISSED", lines[1])
        self.assertIn("goal <= 0.95: met", lines[2])
        self.assertIn("[shown]", lines[3])

    def test_seeds(self) -> None:
        """Of several seeds the worst one counts, and all are shown."""
        figures = (Figure("up", (0.96, 0.94), 0.95, True), Figure("down", (0.90, 0.94), 0.95))
        lines = verdicts("x", "somebody", figures).splitlines()
        self.assertIn("0.9400  up  [goal >= 0.95: MISSED; by seed 0.9600 0.9400]", lines[1])
        self.assertIn("0.9400  down  [goal <= 0.95: met; by seed 0.9000 0.9400]", lines[2])
