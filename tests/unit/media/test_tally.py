"""Counting values by size."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.tally import Tally


class TallyTests(SynchronousTestCase):
    def test_classes_add_up(self) -> None:
        """Each bound counts all that is not above it, and the last one everything."""
        tally = Tally((0.1, 1.0))
        for value in (0.05, 0.1, 0.5, 7.0):
            tally.add(value)
        self.assertEqual(list(tally.cumulative()), [(0.1, 2), (1.0, 3), (inf, 4)])
        self.assertEqual(tally.count, 4)
        self.assertAlmostEqual(tally.total, 7.65)

    def test_nothing_yet(self) -> None:
        """An empty one has its classes all the same, so that a rate can be made of them."""
        self.assertEqual(list(Tally((1.0,)).cumulative()), [(1.0, 0), (inf, 0)])
