"""Goals of the balancing: a figure is as good as the worst of its seeds."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate import goals
from voipcluster.simulate.goals import GOALS, QUICK, SEEDS, Figure, Goal, named
from voipcluster.simulate.outcome import Outcome, simulate
from voipcluster.simulate.scenario import Scenario

TINY = Scenario(nodes=2, offered=0.5, warm_up=0.2, duration=0.2)


class FigureTests(SynchronousTestCase):
    def test_met(self) -> None:
        """No seed may be beyond the goal, be it a ceiling or a floor; what is only shown is never missed."""
        for values, goal, at_least, worst, met in (
            ((0.1, 0.3), 0.3, False, 0.3, True),
            ((0.1, 0.31), 0.3, False, 0.31, False),
            ((0.99, 1.0), 0.995, True, 0.99, False),
            ((0.995, 1.0), 0.995, True, 0.995, True),
            ((7.0,), None, False, 7.0, True),
        ):
            figure = Figure("share", values, goal, at_least)
            self.assertEqual((figure.worst, figure.met), (worst, met), values)


class GoalTests(SynchronousTestCase):
    def test_a_value_of_each_seed(self) -> None:
        """The same run of each seed in turn, and the figures of all of them side by side."""
        asked: list[Scenario] = []

        def run(scenario: Scenario) -> Outcome:
            asked.append(scenario)
            return simulate(TINY)

        self.patch(goals, "simulate", run)
        goal = Goal(
            "x", "", evolve(TINY, nodes=3), TINY, lambda outcome: (Figure("n", (float(len(asked)),), 2.0),)
        )
        [figure] = goal.run(seeds=(4, 9))
        self.assertEqual([(one.seed, one.nodes) for one in asked], [(4, 3), (9, 3)])
        self.assertEqual((figure.values, figure.worst, figure.met), ((1.0, 2.0), 2.0, True))
        goal.run(quick=True, seeds=(4,))
        self.assertEqual(asked[-1].nodes, 2)

    def test_named(self) -> None:
        """All of them, or those that are asked for, in the order of the documentation."""
        self.assertEqual(list(named([])), list(GOALS))
        self.assertEqual([goal.name for goal in named(["slowed", "level"])], ["level", "slowed"])

    def test_figures_of_a_run(self) -> None:
        """Each goal can be read off its small cluster, which is the full one in all but its size; no seed was chosen by them."""
        self.assertEqual(len(set(SEEDS)), 3)
        outcome = simulate(evolve(TINY, duration=0.6))
        for goal in GOALS:
            self.assertEqual(goal.quick.nodes, QUICK.nodes)
            self.assertEqual((goal.quick.policy, goal.quick.offered), (goal.full.policy, goal.full.offered))
            if goal.name != "slowed":  # that one has to have a node with a fault
                self.assertTrue(all(len(figure.values) == 1 for figure in goal.figures(outcome)))
