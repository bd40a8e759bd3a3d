"""What is read from F{/metrics}, and when a share has fallen."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.falling import EVERY, SPAN, Falling, metric, refusals, risen

TEXT = """# HELP voipcluster_handed_over_total Requests handed over to each node.
voipcluster_handed_over_total{node="b"} 3.0
voipcluster_handed_over_total{node="c"} 40.0
voipcluster_capacity 812.5
"""


class MetricTests(SynchronousTestCase):
    def test_by_label(self) -> None:
        self.assertEqual(metric(TEXT, "handed_over_total", node="c"), 40.0)
        self.assertEqual(metric(TEXT, "handed_over_total"), 43.0)

    def test_without_labels(self) -> None:
        self.assertEqual(metric(TEXT, "capacity"), 812.5)
        self.assertEqual(metric(TEXT, "capa"), 0.0, "the whole name")

    def test_refusals(self) -> None:
        """By their reasons; those of the placement beside them. What has not become more is not told."""
        text = """voipcluster_refused_total{limit="overload"} 7.0
voipcluster_refused_total{limit="rate"} 2.0
voipcluster_placements_total{decision="serve"} 9.0
voipcluster_placements_total{decision="refuse"} 4.0
"""
        self.assertEqual(refusals(text), {"overload": 7.0, "rate": 2.0, "placement": 4.0})
        self.assertEqual(
            risen({"overload": 3.0, "rate": 2.0}, refusals(text)), {"overload": 4, "placement": 4}
        )


class FallingTests(SynchronousTestCase):
    def watched(self, fell_at: float, rest: float = 0.0) -> Falling:
        """A third of 100 calls a second up to a moment, and that part of it afterwards."""
        rows, handed = [], 0.0
        for tick in range(61):
            at = tick / 10 - 2.0
            rows.append((500.0 + at, handed, 10.0 * tick))
            handed += (1.0 if at < fell_at - 0.001 else rest) * 10.0 / 3
        return Falling([rows, rows], 500.0)

    def test_share(self) -> None:
        fell = self.watched(0.3)
        self.assertAlmostEqual(fell.share(-2.0, 0.0), 1 / 3)
        self.assertAlmostEqual(fell.share(0.5, 2.0), 0.0)

    def test_end_of_the_first_span_below(self) -> None:
        """A span that lies half before and half behind the moment has half of the share; so it is never too early."""
        found = self.watched(0.3).until(0.49 / 3, 4.0)
        self.assertTrue(0.3 < found <= 0.3 + SPAN + EVERY, found)

    def test_it_never_fell(self) -> None:
        self.assertEqual(self.watched(9.0).until(0.5 / 3, 4.0), float("inf"))
        self.assertEqual(self.watched(0.3, rest=0.4).until(0.05, 4.0), float("inf"))

    def test_at_once(self) -> None:
        """It takes a span to be seen."""
        self.assertEqual(self.watched(-1.0).until(0.5 / 3, 4.0), SPAN)
