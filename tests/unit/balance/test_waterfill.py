"""Joint randomisation on an old table."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.waterfill import water_fill


class WaterFillTests(SynchronousTestCase):
    def test_probabilities(self) -> None:
        """For any queues the result is a distribution, and all nodes that get something end level."""
        random = Random(1)
        for _ in range(200):
            count = random.randrange(1, 12)
            queues = [random.random() * 30 for _ in range(count)]
            rates = [random.choice((1.0, 2.0, 4.0)) for _ in range(count)]
            arrivals = random.random() * 50
            shares = water_fill(queues, rates, arrivals)
            self.assertAlmostEqual(sum(shares), 1.0)
            pour = max(1.0, arrivals - 1.0)
            levels = [
                (queue + 0.5 + share * pour) / rate
                for queue, rate, share in zip(queues, rates, shares, strict=True)
            ]
            level = min(at for at, share in zip(levels, shares, strict=True) if share)
            for at, share in zip(levels, shares, strict=True):
                self.assertAlmostEqual(at, level) if share else self.assertGreaterEqual(at, level - 1e-9)

    def test_equal(self) -> None:
        """Equal nodes get equal shares, faster ones more, and a long queue nothing."""
        self.assertEqual(water_fill([0.0, 0.0], [1.0, 1.0], 11.0), [0.5, 0.5])
        fast = water_fill([0.0, 0.0], [1.0, 3.0], 11.0)
        self.assertGreater(fast[1], 0.7)
        self.assertEqual(water_fill([0.0, 100.0], [1.0, 1.0], 11.0), [1.0, 0.0])

    def test_nobody(self) -> None:
        """No nodes, no shares."""
        self.assertEqual(water_fill([], [], 5.0), [])
