"""Moving averages of rates, and bounds on them."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.rate import Bucket, MovingRate, MovingRatio


class MovingRateTests(SynchronousTestCase):
    def test_follows(self) -> None:
        """The first sample counts whole; after tau the rest of the way to a new rate is 1/e."""
        rate = MovingRate(tau=0.75)
        self.assertEqual(rate.feed(100.0, 0.1), 100.0)
        self.assertAlmostEqual(rate.feed(0.0, 0.75), 100.0 * math.exp(-1))


class MovingRatioTests(SynchronousTestCase):
    def test_small_samples(self) -> None:
        """One completion in 1 s and one in 3 s are one in 2 s; the mean of the quotients would be two thirds."""
        ratio = MovingRatio(tau=1e9)
        self.assertEqual(ratio.value, 0.0)
        ratio.feed(1, 1.0, 0.1)
        self.assertAlmostEqual(ratio.feed(1, 3.0, 0.1), 0.5)

    def test_nothing_happened(self) -> None:
        """Idle time says nothing about what is done when there is something to do."""
        ratio = MovingRatio(tau=1.0)
        ratio.feed(10, 2.0, 0.1)
        self.assertAlmostEqual(ratio.feed(0, 0.0, 0.1), 5.0)

    def test_forgets(self) -> None:
        """After some time constants only the new counts."""
        ratio = MovingRatio(tau=1.0)
        ratio.feed(100, 1.0, 0.1)
        for _ in range(100):
            ratio.feed(1, 0.1, 0.1)
        self.assertApproximates(ratio.value, 10.0, 0.1)


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
