"""Moving averages of rates, and bounds on them."""

from __future__ import annotations

import math
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.rate import Bucket, Capacity, MovingRate, MovingRatio


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


class CapacityTests(SynchronousTestCase):
    def fed(self, capacity: Capacity, *counts: int) -> float:
        """Samples of 0.02 s, all of it work."""
        for count in counts:
            capacity.feed(count, 0.02, 0.02)
        return capacity.value

    def test_steady(self) -> None:
        """Before anything was counted it is unknown; then it is an average."""
        self.assertEqual(Capacity(5.0).value, 0.0)
        self.assertAlmostEqual(self.fed(Capacity(5.0), *[10] * 20), 500.0)

    def test_chance_is_no_step(self) -> None:
        """Requests of exponentially distributed length are a Poisson process: its runs of luck are averaged."""
        capacity, chance = Capacity(5.0), Random(7)
        self.fed(capacity, *[10] * 100)
        for _ in range(3000):
            count = sum(chance.random() < 0.1 for _ in range(100))
            self.assertTrue(350.0 < self.fed(capacity, count) < 650.0, capacity.value)

    def test_a_tenth(self) -> None:
        """At a tenth of the speed it knows so after 0.04 s; at the full one again as soon."""
        capacity = Capacity(5.0)
        self.fed(capacity, *[20] * 100)
        self.assertLess(self.fed(capacity, 2, 2), 150.0)
        self.fed(capacity, *[2] * 100)
        self.assertGreater(self.fed(capacity, 20, 20), 500.0)

    def test_little_to_do(self) -> None:
        """While nothing waits it is no wonder that little is completed: the work was for what had come before."""
        capacity = Capacity(5.0)
        self.fed(capacity, *[20] * 100)
        for _ in range(10):
            capacity.feed(2, 0.02, 0.02, behind=False)
        self.assertGreater(capacity.value, 850.0)
        self.assertGreater(self.fed(capacity, 20), 850.0, "and nothing of it is held against it later")

    def test_a_little_slower(self) -> None:
        """A fifth less is left to the average."""
        capacity = Capacity(5.0)
        self.fed(capacity, *[10] * 100)
        self.assertGreater(self.fed(capacity, *[8] * 20), 460.0)


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

    def test_spare(self) -> None:
        """Who leaves some for others waits until there are more than those."""
        bucket = Bucket(10.0, 3.0)
        self.assertEqual(bucket.take(0.0, spare=2.0), 0.0)
        wait = bucket.take(0.0, spare=2.0)
        self.assertAlmostEqual(wait, 0.1)
        self.assertEqual((bucket.take(0.0), bucket.take(0.0)), (0.0, 0.0))
        self.assertGreater(bucket.take(0.0), 0.0)

    def test_level(self) -> None:
        """What is there, without taking any of it."""
        bucket = Bucket(10.0, 3.0)
        self.assertEqual((bucket.level(0.0), bucket.level(5.0)), (3.0, 3.0))
        bucket.take(5.0)
        self.assertEqual(bucket.level(5.0), 2.0)
        self.assertAlmostEqual(bucket.level(5.05), 2.5)
