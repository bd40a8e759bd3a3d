"""A node that has just started takes a part of its share."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.start import SlowStart


class SlowStartTests(SynchronousTestCase):
    def test_doubles(self) -> None:
        """A tenth at first, twice as much every five seconds, all after twenty."""
        start = SlowStart(100.0)
        weights = [start.weight(100.0 + age) for age in (0.0, 4.9, 5.0, 10.0, 15.0, 19.9, 20.0, 1e6)]
        self.assertEqual(weights, [0.1, 0.1, 0.2, 0.4, 0.8, 0.8, 1.0, 1.0])

    def test_other_step(self) -> None:
        """The step is the operator's; 0 takes all at once."""
        self.assertEqual(SlowStart(0.0, 1.0).weight(2.0), 0.4)
        self.assertEqual(SlowStart(0.0, 0.0).weight(0.0), 1.0)

    def test_clock_before_the_start(self) -> None:
        """A time before the start is the start."""
        self.assertEqual(SlowStart(10.0).weight(9.0), 0.1)
