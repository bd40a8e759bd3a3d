"""The client of overload control."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.throttle import (
    LONGEST_PAUSE,
    LOSS,
    RATE,
    Feedback,
    SelfLimit,
    Throttle,
)
from voipcluster.sip.overload import UNNUMBERED


def throttle(seed: int = 1) -> Throttle:
    return Throttle(random.Random(seed).random)


def loss(value: float, sequence: float = 1.0, validity: float = 0.5) -> Feedback:
    return Feedback(LOSS, value, validity, sequence)


class LossTests(SynchronousTestCase):
    def sent(self, value: float, reducible: int, protected: int) -> tuple[int, int]:
        """How many of each category are sent out of ten thousand, in that mix, once the mix was measured."""
        subject, passed = throttle(), [0, 0]
        now, total = 0.0, reducible + protected
        for number in range(20_000):
            now += 0.001
            is_protected = number % total >= reducible
            if number >= 10_000:
                subject.learn(loss(value, now), now)
            admitted = subject.admits(is_protected, now)
            if number >= 10_000:
                passed[is_protected] += admitted
        return passed[0], passed[1]

    def test_before_anything_is_said(self) -> None:
        subject = throttle()
        self.assertTrue(all(subject.admits(False, number / 100) for number in range(1000)))

    def test_half_of_all(self) -> None:
        """With oc=50 at most half of all is sent (RFC 7339 section 5.5)."""
        reducible, _ = self.sent(50, 1, 0)
        self.assertTrue(4800 <= reducible <= 5200, reducible)

    def test_the_first_category_makes_up_for_the_second(self) -> None:
        """oc=10 with 40 % of the first category: a quarter of that, and none of the second (the example of section 7.2)."""
        reducible, protected = self.sent(10, 2, 3)
        self.assertEqual(protected, 6000)
        self.assertTrue(2850 <= reducible <= 3150, reducible)

    def test_more_than_the_first_category(self) -> None:
        """oc=70 with 40 % of the first category: all of that, and half of the second."""
        reducible, protected = self.sent(70, 2, 3)
        self.assertEqual(reducible, 0)
        self.assertTrue(2850 <= protected <= 3150, protected)

    def test_all(self) -> None:
        self.assertEqual(self.sent(100, 1, 1), (0, 0))

    def test_what_was_held_back_is_counted(self) -> None:
        subject = throttle()
        subject.learn(loss(100), 0.0)
        self.assertFalse(subject.admits(False, 0.1))
        self.assertEqual(subject.held_back, 1)


class LearningTests(SynchronousTestCase):
    def test_validity_ends(self) -> None:
        """Behind its validity a value is nothing (RFC 7339 section 5.5)."""
        subject = throttle()
        subject.learn(loss(100), 10.0)
        self.assertFalse(subject.admits(False, 10.49))
        self.assertTrue(subject.admits(False, 10.5))

    def test_the_same_number_does_not_extend_it(self) -> None:
        """An equal oc-seq changes nothing and restarts no timer (section 5.4)."""
        subject = throttle()
        subject.learn(loss(100, 7.0), 0.0)
        subject.learn(loss(100, 7.0), 0.4)
        self.assertIsNone(subject.current(0.6))

    def test_an_older_number_is_not_believed(self) -> None:
        subject = throttle()
        subject.learn(loss(50, 1000.2), 0.0)
        subject.learn(loss(0, 1000.1), 0.1)
        self.assertEqual(subject.current(0.2), loss(50, 1000.2))

    def test_a_server_that_does_not_number(self) -> None:
        """Each response of it counts (the example of section 6)."""
        subject = throttle()
        subject.learn(loss(50, UNNUMBERED), 0.0)
        subject.learn(loss(20, UNNUMBERED), 0.1)
        self.assertEqual(subject.current(0.2), loss(20, UNNUMBERED))

    def test_a_much_smaller_number_has_begun_anew(self) -> None:
        subject = throttle()
        subject.learn(loss(50, 4294967295.0), 0.0)
        subject.learn(loss(20, 3.0), 0.1)
        self.assertEqual(subject.current(0.2), loss(20, 3.0))

    def test_the_end_of_overload(self) -> None:
        """oc-validity=0 ends it at once (section 5.7)."""
        subject = throttle()
        subject.learn(loss(100, 1.0, 60.0), 0.0)
        subject.learn(loss(0, 2.0, 0.0), 0.1)
        self.assertTrue(all(subject.admits(False, 0.2) for _ in range(100)))

    def test_nobody_stops_us_for_long(self) -> None:
        """However long a validity a server asks for."""
        subject = throttle()
        subject.learn(loss(100, 1.0, 1e9), 0.0)
        self.assertIsNone(subject.current(60.0))


class RateTests(SynchronousTestCase):
    def sent(self, rate: float, offered: float, protected: float = 0.0) -> tuple[float, float]:
        """Per second, of each category, with Poisson arrivals."""
        subject, rand, now, passed = throttle(), random.Random(2), 0.0, [0, 0]
        while now < 100.0:
            now += rand.expovariate(offered + protected)
            subject.learn(Feedback(RATE, rate, 1.0, now), now)
            is_protected = rand.random() < protected / (offered + protected)
            passed[is_protected] += subject.admits(is_protected, now)
        return passed[0] / 100, passed[1] / 100

    def test_no_more_than_the_rate(self) -> None:
        """RFC 7415 section 3.5.1."""
        sent, _ = self.sent(50, 500)
        self.assertLessEqual(sent, 50.2)
        self.assertGreater(sent, 48.0)

    def test_less_passes(self) -> None:
        """Far below the rate the bucket lets nearly everything through."""
        sent, _ = self.sent(100, 50)
        self.assertGreater(sent, 49.0)

    def test_the_second_category_comes_first(self) -> None:
        """RFC 7415 section 3.5.2."""
        sent, protected = self.sent(50, 500, 30)
        self.assertGreater(protected, 29.0)
        self.assertLessEqual(sent + protected, 50.2)

    def test_zero_is_nothing(self) -> None:
        self.assertEqual(self.sent(0, 50, 50), (0.0, 0.0))


class SelfLimitTests(SynchronousTestCase):
    def test_one_failure_is_chance(self) -> None:
        subject = SelfLimit()
        subject.failed(0.0)
        self.assertTrue(subject.admits(0.0))

    def test_a_silent_server_is_probed(self) -> None:
        """Behind repeated time-outs one request now and then, ever more seldom (RFC 7339 section 5.9)."""
        subject, probes, now = SelfLimit(), [], 0.0
        subject.failed(now)
        subject.failed(now)
        while len(probes) < 9:
            now += 0.5
            if subject.admits(now):
                probes.append(now)
                subject.failed(now)
        gaps = [after - before for before, after in zip([0.0, *probes], probes, strict=False)]
        self.assertEqual(gaps[:6], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
        self.assertEqual(gaps[-1], LONGEST_PAUSE)

    def test_what_was_sent_before(self) -> None:
        """Many that were under way fail at once: that says no more than that the server was away at that time."""
        subject = SelfLimit()
        for _ in range(50):
            subject.failed(0.0)
        self.assertTrue(subject.admits(1.0))

    def test_an_answer_ends_it(self) -> None:
        subject = SelfLimit()
        for _ in range(5):
            subject.failed(0.0)
        subject.answered()
        self.assertTrue(all(subject.admits(0.1) for _ in range(10)))

    def test_one_probe_at_a_time(self) -> None:
        subject = SelfLimit()
        subject.failed(0.0)
        subject.failed(0.0)
        self.assertEqual([subject.admits(1.0), subject.admits(1.0)], [True, False])
