"""Moving averages of rates, and bounds on them."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.rate import Bucket, MovingRate


class MovingRateTests(SynchronousTestCase):
    def test_follows(self) -> None:
        """The first sample counts whole; after tau the rest of the way to a new rate is 1/e."""
        rate = MovingRate(tau=0.75)
        self.assertEqual(rate.feed(100.0, 0.1), 100.0)
        self.assertAlmostEqual(rate.feed(0.0, 0.75), 100.0 * math.exp(-1))


class BucketTests(SynchronousTestCase):
    def test_burst_then_rate(self) -> None:
        """As many as it holds at once, then one each 1/rate; the wait it tells is enough."""
        bucket, taken, now = Bucket(45.0, 5.0), [], 10.0
        while now < 11.0:
            wait = bucket.take(now)
            if not wait:
                taken.append(now)
            now += wait
        self.assertEqual(taken[:5], [10.0] * 5)
        self.assertLessEqual(len(taken), 50)
        self.assertGreaterEqual(len(taken), 49)
