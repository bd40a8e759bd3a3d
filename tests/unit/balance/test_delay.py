"""How long a request waits at the own node: standing queues, pauses, and what is worked off meanwhile."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.delay import ANEW, NOISE, OVER, Delay
from voipcluster.balance.report import NOTHING


class DelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.delay, self.now = Delay(), 0.0

    def look(
        self, elapsed: float, busy: float, held: float = 0.0, area: float = 0.0, completed: int = 0
    ) -> float:
        self.now += elapsed
        self.delay.looked(elapsed, busy, held, area, completed, self.now)
        return self.delay.value

    def test_standing(self) -> None:
        """The lesser of two samples, so that one stall is no queue."""
        values = []
        for least in (0.05, 0.08, 0.02):
            self.delay.sampled(least)
            values.append(self.delay.value)
        self.assertEqual(values, [0.0, 0.05, 0.02])

    def test_little_is_nothing(self) -> None:
        """What a busy machine does to everybody is not the node's queue."""
        self.assertEqual(self.look(0.1, 0.01, held=0.02, area=0.09 * NOISE), 0.0)

    def test_a_queue_is_seen_at_once_and_forgotten_with_it(self) -> None:
        """A queue of its own work counts as long as it is there, however short the look."""
        self.assertAlmostEqual(self.look(0.02, 0.02, held=0.02, area=0.02 * 0.03), 0.03)
        self.assertEqual(self.look(0.02, 0.02), 0.0)

    def test_no_wait_is_longer_than_it_was(self) -> None:
        """What is read in one wake-up may have waited through several looks: it waited no longer for that."""
        self.assertAlmostEqual(self.look(0.02, 0.01, held=0.1, area=0.1**2 / 2), 0.05)

    def test_pauses_are_expected_again(self) -> None:
        """Stopped for 120 of each 135 ms it has no queue between two pauses, and whoever comes waits for 53 ms."""
        waited = self.look(0.135, 0.013, held=0.12, area=0.12**2 / 2)
        self.assertAlmostEqual(waited, 0.0533, 3)
        self.assertGreater(self.look(0.1, 0.01, held=0.002, area=1e-6), 0.6 * waited)
        for _ in range(30):
            self.look(0.1, 0.01, held=0.002, area=1e-6)
        self.assertLess(self.delay.value, 0.001)

    def test_capacity_of_the_time_that_it_gets(self) -> None:
        """Per second of work while it is run; where others have the processor, per second in which there was something to do."""
        for _ in range(20):
            self.look(0.1, 0.05, held=0.05, area=1e-4, completed=50)
        self.assertAlmostEqual(self.delay.capacity, 1000.0)
        for _ in range(3):
            self.look(0.135, 0.013, held=0.12, area=0.12**2 / 2, completed=13)
        self.assertTrue(80.0 < self.delay.capacity < 130.0, self.delay.capacity)
        for _ in range(3):
            self.look(0.1, 0.05, held=0.05, area=1e-4, completed=50)
        self.assertGreater(self.delay.capacity, 500.0, "and it is noticed that it is over")

    def test_waits_for_the_processor_are_told_apart(self) -> None:
        """Capacity is of the time that it runs, where it is known for how long it did not: the share of it is another number."""
        for _ in range(20):
            self.look(0.1, 0.05, held=0.05, area=1e-4, completed=50)
        for _ in range(3):
            self.now += 0.135
            self.delay.looked(0.135, 0.013, 0.12, 0.12**2 / 2, 13, self.now, 0.107)
        self.assertAlmostEqual(self.delay.capacity, 1000.0)
        self.assertGreater(self.delay.value, 0.05)

    def test_nothing_is_done_while_it_is_stopped(self) -> None:
        """A pause in which nothing was completed counts before anything is."""
        for _ in range(20):
            self.look(0.1, 0.05, held=0.05, completed=50)
        self.assertAlmostEqual(self.delay.capacity, 1000.0)
        self.look(0.5, 0.001, held=0.5, area=0.125)
        self.assertLess(self.delay.capacity, 100.0)

    def known(self, capacity: int = 1000) -> None:
        for _ in range(20):
            self.look(0.1, 0.05, held=0.05, completed=capacity // 20)
        self.assertAlmostEqual(self.delay.capacity, capacity)

    def stop(self, seconds: float) -> None:
        self.look(seconds, 0.001, held=seconds, area=seconds**2 / 2)

    def idle(self, seconds: float) -> bool:
        """Little to do, and nothing waits; whether it is forgotten what pauses have taught."""
        forgets = 0
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            forgets += self.delay.looked(0.1, 0.01, 0.0, 0.0, 1, self.now)
        self.assertLess(forgets, 2)
        return bool(forgets)

    def test_nothing_at_all(self) -> None:
        """A second in which something waited and nothing was worked off: it can serve nothing, and says so until it can."""
        self.known()
        self.stop(0.1)
        self.assertAlmostEqual(self.delay.capacity, 10.0, msg="less than one in that time, for all one knows")
        self.stop(0.5)
        self.assertGreater(self.delay.capacity, NOTHING)
        self.stop(0.5)
        self.assertEqual(self.delay.capacity, NOTHING)
        for _ in range(5):
            self.look(0.1, 0.1, held=0.1, area=0.1 * 0.05, completed=100)
        self.assertGreater(self.delay.capacity, 500.0)

    def test_a_stop_says_nothing_of_a_node_that_has_done_nothing(self) -> None:
        """Unknown stays unknown: nothing was asked of it, so that nothing was done says nothing."""
        self.stop(3.0)
        self.assertEqual(self.delay.capacity, 0.0)
        self.assertFalse(self.idle(2 * OVER))
        self.assertEqual(self.delay.capacity, 0.0)

    def test_pauses_are_over(self) -> None:
        """What is given nothing cannot measure anything: some time after the last pause it is what it was before."""
        self.known()
        for _ in range(3):
            self.stop(0.5)
        self.assertFalse(self.idle(OVER - 0.5))
        self.assertEqual(self.delay.capacity, NOTHING)
        self.assertTrue(self.idle(0.6))
        self.assertAlmostEqual(self.delay.capacity, 1000.0)
        self.look(0.1, 0.05, held=0.05, completed=40)
        self.assertApproximates(
            self.delay.capacity, 1000.0, 20.0, "and that is not thrown over by the next look"
        )
        self.assertFalse(self.idle(2 * OVER), "once")

    def test_pauses_are_over_where_nothing_was_known(self) -> None:
        """What was learnt in pauses alone is forgotten with them."""
        self.look(0.135, 0.013, held=0.12, area=0.12**2 / 2, completed=1)
        self.assertGreater(self.delay.capacity, 0.0)
        self.assertTrue(self.idle(OVER + 0.1))
        self.assertEqual(self.delay.capacity, 0.0)

    def test_a_node_that_has_worked_since_knows_better(self) -> None:
        """What it measured by working stays, be it much less than before the pauses."""
        self.known()
        self.stop(0.5)
        for _ in range(ANEW):
            self.look(0.1, 0.1, held=0.1, area=1e-4, completed=10)
        found = self.delay.capacity
        self.assertApproximates(found, 100.0, 20.0)
        self.assertFalse(self.idle(2 * OVER))
        self.assertEqual(self.delay.capacity, found)

    def test_a_pause_that_made_little_difference(self) -> None:
        """It is forgotten without a word."""
        self.known()
        self.look(0.1, 0.02, held=0.05, area=0.05**2 / 2, completed=40)
        found = self.delay.capacity
        self.assertGreater(found, 500.0)
        self.assertFalse(self.idle(2 * OVER))
        self.assertEqual(self.delay.capacity, found)

    def test_idle_work_and_other_work(self) -> None:
        """A node with little to do has no capacity to tell; work of which no request was completed is other work."""
        self.look(0.1, 0.02, completed=10)
        self.assertEqual(self.delay.capacity, 0.0)
        for _ in range(50):
            self.look(0.1, 0.1)
        self.look(0.1, 0.1, completed=100)
        self.assertGreater(self.delay.capacity, 90.0)

    def test_quiet_looks_between(self) -> None:
        """Looks that find work and no completion are part of the next one: looking often makes nobody quicker."""
        for number in range(100):
            self.look(0.02, 0.02, completed=number % 5 == 0)
        self.assertApproximates(self.delay.capacity, 10.0, 2.0)
