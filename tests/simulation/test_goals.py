"""The goals of docs/balancing.md in small clusters, and that a run can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate.goals import GOALS, QUICK, SEEDS, Goal
from voipcluster.simulate.outcome import simulate


def goal(name: str) -> Goal:
    (found,) = (one for one in GOALS if one.name == name)
    return found


class GoalTests(SynchronousTestCase):
    def assertMet(self, name: str) -> None:
        figures = goal(name).run(quick=True, seeds=SEEDS[:1])
        self.assertTrue(any(figure.goal is not None for figure in figures))
        self.assertEqual([str(figure) for figure in figures if not figure.met], [])

    def test_level(self) -> None:
        """0.90 of the capacity, speeds 1:1:2:4, skewed clients: nothing is lost, delay, imbalance and hops are bounded."""
        self.assertMet("level")

    def test_near_capacity(self) -> None:
        """0.95 of the capacity."""
        self.assertMet("near-capacity")

    def test_beside_the_literal_rule(self) -> None:
        """The rule without guards falls off its cliff where the policy does not: a third of the goodput and more is gone."""
        self.assertLess(goal("literal").run(quick=True, seeds=SEEDS[:1])[0].worst, 0.65)

    def test_old_reports(self) -> None:
        """Reports each second, or each four seconds, and no others."""
        self.assertMet("stale-1s")
        self.assertMet("stale-4s")

    def test_slowed(self) -> None:
        """A node at a tenth of its speed gets next to nothing new after 50 ms."""
        self.assertMet("slowed")


class RepeatTests(SynchronousTestCase):
    def test_same_seed(self) -> None:
        """The same seed gives the same decisions at the same times, another seed others."""
        small = evolve(QUICK, nodes=6, warm_up=0.5, duration=0.5)
        first, again, other = (simulate(evolve(small, seed=seed)).digest for seed in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_other_process(self) -> None:
        """Also in processes whose hashes of strings differ."""
        digests = set()
        for hashes in ("1", "2"):
            ran = subprocess.run(
                [sys.executable, "-m", "voipcluster.simulate", "--nodes", "5", "--duration", "0.3", "--warm-up", "0.3",
                 "--fault", "1:0.1@0.1-0.2", "--report-loss", "0.1", "--json"],
                env={**os.environ, "PYTHONHASHSEED": hashes}, capture_output=True, check=True, text=True,
            )  # fmt: skip
            digests.add(json.loads(ran.stdout)["digest"])
        self.assertEqual(len(digests), 1)
