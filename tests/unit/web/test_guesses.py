"""How often a password may be tried."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.web import guesses as guesses_module
from voipcluster.web.guesses import OF_ALL, OF_SOURCE, WINDOW, Guesses


class GuessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.guesses = Guesses()

    def tries(self, source: str, now: float, count: int) -> int:
        """How many of so many may be made."""
        return sum(self.guesses.begin(source, now) == 0.0 for _ in range(count))

    def test_one_source(self) -> None:
        """Some wrong ones, then none until the first is old enough; others are not concerned."""
        self.assertEqual(self.tries("192.0.2.1", 0.0, 100), OF_SOURCE)
        self.assertEqual(self.guesses.begin("192.0.2.1", 100.0), WINDOW - 100.0)
        self.assertEqual(self.tries("192.0.2.2", 100.0, 1), 1)
        self.assertEqual(self.tries("192.0.2.1", WINDOW, 100), OF_SOURCE)

    def test_right_ones(self) -> None:
        """Whoever knows the password may log in as often as he likes."""
        for now in range(200):
            self.assertEqual(self.guesses.begin("192.0.2.1", float(now)), 0.0)
            self.guesses.right("192.0.2.1")
        self.assertEqual(self.tries("192.0.2.2", 200.0, 1), 1)

    def test_many_sources(self) -> None:
        """From many sources no more than a number in all; who has logged in before is not locked out by them."""
        self.guesses.begin("198.51.100.7", 0.0)
        self.guesses.right("198.51.100.7")
        allowed = sum(self.tries(f"10.0.{n // 250}.{n % 250}", 1.0, 3) for n in range(1000))
        self.assertEqual(allowed, OF_ALL)
        self.assertEqual(self.tries("192.0.2.1", 1.0, 1), 0)
        self.assertEqual(self.tries("198.51.100.7", 1.0, 100), OF_SOURCE)
        self.assertEqual(self.tries("192.0.2.1", 1.0 + WINDOW, 1), 1)

    def test_bounded(self) -> None:
        """What is remembered does not grow with those who try, nor with those who have logged in."""
        self.patch(guesses_module, "MOST_KNOWN", 4)
        for n in range(300):
            self.tries(f"10.0.{n // 250}.{n % 250}", float(n), 1)
        self.assertLessEqual(len(self.guesses._of_source), OF_ALL)
        for n in range(20):
            self.guesses.begin(f"192.0.2.{n}", 2 * WINDOW + 300.0 + n)
            self.guesses.right(f"192.0.2.{n}")
        self.assertEqual(list(self.guesses._known), [f"192.0.2.{n}" for n in range(16, 20)])
