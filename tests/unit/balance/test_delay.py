"""How long a request waits at the own node: standing queues, pauses, and what is worked off meanwhile."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.delay import NOISE, Delay


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

    def test_nothing_is_done_while_it_is_stopped(self) -> None:
        """A pause in which nothing was completed counts before anything is."""
        for _ in range(20):
            self.look(0.1, 0.05, held=0.05, completed=50)
        self.assertAlmostEqual(self.delay.capacity, 1000.0)
        self.look(0.5, 0.001, held=0.5, area=0.125)
        self.assertLess(self.delay.capacity, 100.0)

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
