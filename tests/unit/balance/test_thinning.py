"""How many new INVITEs are to reach the node."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.thinning import LEAST, REFUSALS, SPAN, Thinning

ALLOWED = 100.0


class ThinningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = Thinning()
        self.rand = random.Random("thinning")
        self.refused = self.admitted = self.room = 0.0

    def run_for(self, seconds: float, offered: float, others: float = 0.0) -> None:
        """So many INVITEs a second by chance, of which C{ALLOWED - others} have room, and some at once; counts the last half."""
        ticks = round(seconds / 0.1)
        self.admitted = self.refused = 0.0
        for tick in range(ticks):
            came, left = 0, self.rand.expovariate(1.0)
            while left < offered * self.subject.passing * 0.1:
                came += 1
                left += self.rand.expovariate(1.0)
            self.room = min(20.0, self.room + (ALLOWED - others) * 0.1)
            admitted = min(came, int(self.room))
            self.room -= admitted
            self.subject.feed(0.1, admitted, came - admitted, ALLOWED, others=round(others / 10))
            if tick >= ticks // 2:
                self.admitted += admitted / (ticks - ticks // 2) / 0.1
                self.refused += (came - admitted) / (ticks - ticks // 2) / 0.1

    def test_few_are_refused_and_the_node_has_enough_to_do(self) -> None:
        """Whatever is offered, copies too: nearly all that may be let in is there, and little is refused beside it."""
        for times in (2, 10, 60):
            self.run_for(60.0, times * ALLOWED)
            self.assertGreater(self.admitted, 0.93 * ALLOWED, times)
            self.assertLess(self.refused, 2.5 * REFUSALS * ALLOWED, times)

    def test_it_follows(self) -> None:
        """Within some seconds, down and up."""
        self.run_for(5.0, 60 * ALLOWED)
        self.assertLess(self.refused, 0.5 * ALLOWED)
        self.run_for(10.0, 2 * ALLOWED)
        self.assertGreater(self.admitted, 0.85 * ALLOWED)

    def test_other_requests_have_their_part(self) -> None:
        """Where REGISTERs take half of the room, no more INVITEs are let through than find some."""
        self.run_for(60.0, 20 * ALLOWED, others=ALLOWED / 2)
        self.assertLess(self.refused, 2.5 * REFUSALS * ALLOWED)

    def test_what_is_nearly_right_stays(self) -> None:
        """Each change costs two system calls a socket."""
        self.assertTrue(self.subject.feed(SPAN, 40, 200, ALLOWED))
        for _ in range(10):
            self.assertFalse(self.subject.feed(SPAN, 40, round(SPAN * REFUSALS * ALLOWED), ALLOWED))

    def test_what_waited_before_a_change_says_nothing_of_it(self) -> None:
        """Else a full buffer, from which the same comes for a second yet, would close the node for all."""
        self.assertTrue(self.subject.feed(SPAN, 0, 1000, ALLOWED, 1.5))
        for _ in range(14):
            self.assertFalse(self.subject.feed(0.1, 0, 250, ALLOWED, 1.5))
        while not self.subject.feed(0.1, 5, 250, ALLOWED, 0.3):
            pass
        self.assertGreaterEqual(self.subject.passing, 0.01)

    def test_one_tick_says_nothing(self) -> None:
        """Of a few requests."""
        self.assertFalse(self.subject.feed(SPAN / 4, 2, 60, ALLOWED))
        self.assertEqual(self.subject.passing, 1.0)

    def test_never_all(self) -> None:
        """Of nothing that comes through nothing could be learned."""
        for _ in range(50):
            self.subject.feed(SPAN, 0, 100_000, ALLOWED)
        self.assertEqual(self.subject.passing, LEAST)
        for _ in range(50):
            self.subject.feed(SPAN, 0, 0, ALLOWED)
        self.assertEqual(self.subject.passing, 1.0)

    def test_the_end(self) -> None:
        self.subject.feed(SPAN, 40, 200, ALLOWED)
        self.assertTrue(self.subject.release())
        self.assertEqual(self.subject.passing, 1.0)
        self.assertFalse(self.subject.release())
