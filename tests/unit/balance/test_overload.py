"""The control function."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.overload import OverloadController, OverloadSettings, Sample
from voipcluster.errors import UsageError


def sample(delay: float = 0.0, admitted: int = 100, busy: float = 0.1, **rest: float) -> Sample:
    """100 requests in a tick that was busy all the time: a capacity of 1000 a second."""
    return Sample(rest.get("elapsed", 0.1), busy, delay, admitted, rest.get("offered", admitted))


class ControllerTests(SynchronousTestCase):
    def test_no_queue_no_limit(self) -> None:
        """However busy the node is: what it can do it does."""
        subject = OverloadController()
        for _ in range(1000):
            subject.feed(sample(0.019))
            self.assertEqual((subject.active, subject.allowed), (False, math.inf))

    def test_a_queue_is_overload(self) -> None:
        """One tick in which the oldest message had always waited longer than the target, and the limit is what the node did."""
        subject = OverloadController()
        subject.feed(sample(0.06))
        self.assertTrue(subject.active)
        self.assertAlmostEqual(subject.capacity, 1000, 3)
        self.assertTrue(700 < subject.allowed < 1000)

    def test_a_stall_is_no_overload(self) -> None:
        """A process that stood still for a second did nothing, and says nothing about what it can do."""
        subject = OverloadController()
        for _ in range(50):
            subject.feed(sample(admitted=50, busy=0.05))
        subject.feed(sample(0.9, 5, 0.005, elapsed=1.0))
        self.assertFalse(subject.active)

    def test_a_slow_machine_is_no_stall(self) -> None:
        subject = OverloadController()
        for _ in range(3):
            subject.feed(sample(0.3, 30, 0.03, elapsed=0.4))
        self.assertTrue(subject.active)
        self.assertTrue(70 <= subject.capacity <= 76, subject.capacity)

    def test_a_cpu_quota_is_seen(self) -> None:
        """What the node gets of a CPU counts, not what it would get without its quota."""
        subject = OverloadController()
        for _ in range(20):
            subject.feed(sample(0.3, 5, 0.005))
        self.assertTrue(30 <= subject.capacity <= 51, subject.capacity)

    def test_one_tick_without_a_processor(self) -> None:
        """On a machine that others use too one tick says little about how much of it the node gets."""
        subject = OverloadController()
        for _ in range(100):
            subject.feed(sample())
        for _ in range(4):
            subject.feed(sample(0.03))
        subject.feed(sample(0.06, 10, 0.01))
        self.assertTrue(subject.active)
        self.assertTrue(750 <= subject.capacity <= 850, subject.capacity)

    def test_time_spent_on_refusing_is_no_cost_of_a_request(self) -> None:
        """Else the more it refuses the less it could take, until nothing is left."""
        subject = OverloadController()
        for delay in range(50):
            subject.feed(Sample(0.1, 0.1, 0.5 - delay / 100, 50, 500.0, 1000))
        self.assertTrue(400 < subject.allowed <= 510, subject.allowed)

    def test_a_longer_queue_lets_less_in(self) -> None:
        short, long = OverloadController(), OverloadController()
        short.feed(sample(0.06))
        long.feed(sample(0.2))
        self.assertLess(long.allowed, short.allowed)

    def test_more_is_tried_only_while_the_limit_binds(self) -> None:
        """A limit that nobody reaches says nothing, so it does not grow."""
        subject = OverloadController()
        subject.feed(sample(0.06))
        for _ in range(30):
            subject.feed(sample(0.0, 20, 0.02, offered=200))
        unreached = subject.allowed
        for _ in range(30):
            subject.feed(sample(0.0, round(subject.allowed / 10), 0.1, offered=200))
        self.assertLess(unreached, 1010)
        self.assertGreater(subject.allowed, 1100)

    def test_what_is_refused_says_that_the_limit_binds(self) -> None:
        """By chance a tick lets in less than the limit, while others are refused: more is tried all the same, and soon."""
        subject = OverloadController()
        subject.feed(sample(0.06))
        for _ in range(20):
            subject.feed(Sample(0.1, 0.05, 0.0, 70, 200.0, refused=20))
        self.assertGreater(subject.allowed, 1800)

    def test_it_ends_behind_two_quiet_seconds(self) -> None:
        """And not at the first quiet sample, which would reopen the flood."""
        subject = OverloadController()
        subject.feed(sample(0.06))
        ticks = 0
        while subject.active:
            subject.feed(sample(0.0, 50, 0.05))
            ticks += 1
        self.assertTrue(20 <= ticks <= 40, ticks)

    def test_it_does_not_end_while_something_is_kept_out_unseen(self) -> None:
        """What the kernel throws away nobody counts, and all of it would come at once."""
        subject = OverloadController()
        subject.feed(sample(0.06))
        for _ in range(100):
            subject.feed(sample(0.0, 20, 0.02)._replace(hidden=True))
        self.assertTrue(subject.active)
        for _ in range(30):
            subject.feed(sample(0.0, 20, 0.02))
        self.assertFalse(subject.active)

    def test_it_does_not_end_while_much_is_held_back(self) -> None:
        subject = OverloadController()
        for _ in range(10):
            subject.feed(sample(0.06, offered=300))
        for _ in range(100):
            subject.feed(sample(0.0, 90, 0.09, offered=300))
        self.assertTrue(subject.active)

    def test_something_is_always_let_in(self) -> None:
        """No state lasts for ever: also a node that manages nothing tries."""
        subject = OverloadController()
        for _ in range(200):
            subject.feed(Sample(0.1, 0.1, 0.5, 0, 100.0, 2000))
        self.assertGreaterEqual(subject.allowed, 1.0)

    def test_few_slow_requests_are_no_queue(self) -> None:
        """Where a request takes 5 ms, ten of them wait for 50 ms, and that is no overload once it is known."""
        subject = OverloadController()
        for _ in range(100):
            subject.feed(sample(admitted=18, busy=0.09))
        subject.feed(sample(0.06, 18, 0.09))
        self.assertFalse(subject.active)

    def test_few_requests_on_a_small_share_are_no_queue_either(self) -> None:
        """A node that gets a tenth of a CPU: a request of 1 ms takes 10 ms there, before anything was too much."""
        subject = OverloadController()
        for _ in range(100):
            subject.feed(sample(admitted=8, busy=0.008))
        subject.feed(sample(0.1, 9, 0.01))
        self.assertFalse(subject.active)
        subject.feed(sample(0.26, 9, 0.01))
        self.assertTrue(subject.active)
        self.assertTrue(90 <= subject.capacity <= 110, subject.capacity)

    def test_a_node_that_has_just_started(self) -> None:
        """It does not know yet what a call costs in all; once it has served for some seconds it does."""
        young, older, old = (OverloadController(OverloadSettings(untried=0.5)) for _ in range(3))
        for _ in range(24):
            older.feed(sample())
        for _ in range(60):
            old.feed(sample())
        for subject, capacity in ((young, 510), (older, 750), (old, 1000)):
            subject.feed(sample(0.06))
            self.assertAlmostEqual(subject.capacity, capacity, 3)

    def test_settings(self) -> None:
        with self.assertRaisesRegex(UsageError, "overload target"):
            OverloadSettings(target=0.0)
