"""A course over time in bounded memory."""

from __future__ import annotations

from itertools import pairwise
from math import isnan, nan

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.trace import KEPT, Point, Trace


class TraceTests(SynchronousTestCase):
    def test_points(self) -> None:
        """Times count from the first point; what is not known stays unknown."""
        trace = Trace()
        trace.add(1000.0, 0.5, nan, 0.25)
        trace.add(1005.0, 0.0, 0.125, 0.5)
        first, second = trace
        self.assertEqual((trace.began, first.at, first.lost, first.round_trip), (1000.0, 0.0, 0.5, 0.25))
        self.assertTrue(isnan(first.jitter))
        self.assertEqual(second, Point(5.0, 0.0, 0.125, 0.5))

    def test_a_long_call(self) -> None:
        """However long, it spans the whole call in at most so many points, evenly."""
        trace = Trace()
        for number in range(10_000):
            trace.add(5.0 * number, 0.0, 0.0, 0.0)
            self.assertLessEqual(len(trace), KEPT)
        times = [point.at for point in trace]
        steps = {after - before for before, after in pairwise(times)}
        self.assertEqual((times[0], len(steps)), (0.0, 1))
        self.assertGreater(len(trace), KEPT // 2 - 1)
        self.assertGreater(times[-1] + max(steps), 5.0 * 9_999)
