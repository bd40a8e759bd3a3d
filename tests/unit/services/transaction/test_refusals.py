"""Which requests were refused without a transaction."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.transaction.refusals import LIFE, MOST, Refusals


class RefusalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000.0)
        self.refusals = Refusals(self.clock.seconds)

    def test_for_as_long_as_copies_come(self) -> None:
        """A refusal is known for 64*T1 at least (17.1.1.2), and forgotten after twice that."""
        for wait in (0.0, LIFE / 2, LIFE - 1):  # of the age of those before it
            self.clock.advance(wait)
            key = ("z9hG4bK", f"{wait}")
            self.assertNotIn(key, self.refusals)
            self.refusals.note(key)
            self.clock.advance(LIFE - 0.1)
            self.assertIn(key, self.refusals)
            self.clock.advance(LIFE + 0.1)
            self.assertNotIn(key, self.refusals)
        self.clock.advance(LIFE)
        self.assertNotIn("x", self.refusals)
        self.assertEqual(len(self.refusals), 0)
        self.assertFalse(self.refusals.some)

    def test_a_flood(self) -> None:
        """However many there are, the latest are known, and memory stays the same."""
        for number in range(3 * MOST):
            self.refusals.note(number)
        self.assertLessEqual(len(self.refusals), MOST)
        self.assertTrue(all(number in self.refusals for number in range(3 * MOST - MOST // 2, 3 * MOST)))
