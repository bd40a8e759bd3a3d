"""What share of the processor a thread gets when it wants it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.granted import Granted


class GrantedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.granted = Granted()

    def samples(self, count: int, busy: float, waited: float, runs: int) -> float:
        for _ in range(count):
            self.granted.sampled(0.1, busy, waited, runs)
        return self.granted.value

    def test_nobody_else(self) -> None:
        """Whether it is idle or busy, it gets all that it wants."""
        self.assertEqual(Granted().value, 1.0)
        self.assertEqual(self.samples(10, 0.0, 0.0, 1), 1.0)
        self.assertEqual(self.samples(10, 0.1, 0.0, 40), 1.0)

    def test_a_healthy_machine(self) -> None:
        """The few us that each wake-up takes are next to nothing."""
        self.assertGreater(self.samples(10, 0.05, 50 * 10e-6, 50), 0.98)
        self.assertGreater(self.samples(10, 0.0001, 10e-6, 1), 0.98)

    def test_one_moment(self) -> None:
        """One long wait among none is no share that was taken away."""
        self.samples(10, 0.0001, 0.0, 1)
        self.assertEqual(self.samples(1, 0.0001, 0.05, 1), 1.0)
        self.assertEqual(self.samples(2, 0.0001, 0.0, 1), 1.0)

    def test_a_quota(self) -> None:
        """A node that has more to do than its quota allows has the quota, as measured at 0.4 of a CPU."""
        self.assertAlmostEqual(self.samples(20, 0.0404, 0.0596, 7), 0.404, 2)

    def test_busy_processes(self) -> None:
        """Nine beside it, in a group with 0.4 of a CPU: it runs for 4 ms of each 100, and knows that after two samples."""
        self.samples(20, 0.03, 0.02, 20)
        self.assertAlmostEqual(self.samples(2, 0.0041, 0.0959, 4), 0.041, 2)
        self.assertAlmostEqual(self.samples(20, 0.0041, 0.0959, 4), 0.041, 2)

    def test_a_little_less(self) -> None:
        """What is no step is averaged."""
        self.samples(20, 0.05, 0.0, 20)
        self.assertTrue(0.8 < self.samples(2, 0.06, 0.04, 20) < 0.95)
        self.assertAlmostEqual(self.samples(40, 0.06, 0.04, 20), 0.6, 2)

    def test_an_idle_one_does_not_forget(self) -> None:
        """
        It runs for 100 us and waits 15 to 44 ms for them, as measured beside nine busy processes: that says that they are there
        still, not how much they leave.
        """
        self.samples(20, 0.0041, 0.0959, 4)
        self.assertAlmostEqual(self.samples(100, 0.0002, 0.015, 2), 0.041, 2)

    def test_an_idle_one_knows(self) -> None:
        """That others have come it knows without anything to do; how much they take it learns when it has."""
        self.samples(20, 0.0001, 0.00001, 2)
        self.assertLess(self.samples(2, 0.0001, 0.03, 2), 0.1)

    def test_it_ends(self) -> None:
        """When it wants much it knows so after two samples; when it wants little its share doubles in each second."""
        self.samples(20, 0.0041, 0.0959, 4)
        self.assertGreater(self.samples(2, 0.06, 0.0, 30), 0.99)
        self.samples(20, 0.0041, 0.0959, 4)
        self.assertAlmostEqual(self.samples(21, 0.0002, 0.00002, 2), 0.041 * 4, 2)
        self.assertEqual(self.samples(40, 0.0002, 0.00002, 2), 1.0)

    def test_nothing_was_run(self) -> None:
        """Numbers that say nothing (a clock of a moment) leave what is known."""
        self.assertEqual(self.granted.sampled(1e-6, 0.0, 0.0, 0), 1.0)
