"""How many new INVITEs are to reach the node."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.overload import REFUSAL
from voipcluster.balance.thinning import LEAST, MANY, REFUSALS, SPAN, SPENT, Thinning

UNREAD = 0.01  # of a call: what it takes to throw an INVITE away unread

ALLOWED = 100.0
MOST = 50  # INVITEs that the node reads in a tick


class ThinningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subject = Thinning()
        self.rand = random.Random("thinning")
        self.refused = self.admitted = self.room = 0.0
        self.waiting = self.changes = 0

    def chance(self, mean: float) -> int:
        """A number of Poisson's, of that mean."""
        came, left = 0, self.rand.expovariate(1.0)
        while left < mean:
            came += 1
            left += self.rand.expovariate(1.0)
        return came

    def run_for(self, seconds: float, offered: float, others: float = 0.0) -> None:
        """So many INVITEs a second by chance, of which C{ALLOWED - others} have room, and some at once; counts the last half."""
        ticks = round(seconds / 0.1)
        self.admitted = self.refused = 0.0
        self.changes = 0
        for tick in range(ticks):
            passed = self.chance(offered * self.subject.passing * 0.1)
            dropped = self.chance(offered * (1.0 - self.subject.passing) * 0.1)
            seen = min(MOST, self.waiting + passed)
            self.waiting += passed - seen
            self.room = min(20.0, self.room + (ALLOWED - others) * 0.1)
            admitted = min(seen, int(self.room))
            self.room -= admitted
            delay = self.waiting / MOST * 0.1
            self.changes += self.subject.feed(0.1, seen, dropped, delay, ALLOWED, round(others / 10))
            if tick >= ticks // 2:
                self.admitted += admitted / (ticks - ticks // 2) / 0.1
                self.refused += (seen - admitted) / (ticks - ticks // 2) / 0.1

    def test_what_is_too_much_takes_little_and_the_node_has_enough_to_do(self) -> None:
        """Whatever is offered, copies too: all that may be let in is there, and the rest takes less than a hundredth."""
        for times in (3, 10, 60):
            self.run_for(60.0, times * ALLOWED)
            self.assertGreater(self.admitted, 0.99 * ALLOWED, times)
            through = self.admitted + self.refused
            self.assertLess(through, 1.6 * (1.0 + REFUSALS) * ALLOWED, times)
            unread = max(0.0, self.refused - self.subject.refusals * ALLOWED)
            self.assertLess(UNREAD * unread, 0.01 * ALLOWED, times)
            self.assertLess(
                self.changes, 4, times
            )  # each is a program for the kernel to compile, some milliseconds

    def test_how_many_are_refused(self) -> None:
        """As many as do not take more than a part of what the node can do; more of them while nothing is thrown away."""
        self.run_for(10.0, 1.5 * ALLOWED)
        self.assertEqual(self.subject.refusals, MANY)
        self.run_for(10.0, 20 * ALLOWED)
        self.assertEqual(self.subject.refusals, REFUSALS)
        self.assertAlmostEqual(REFUSALS * REFUSAL, SPENT)

    def test_at_once(self) -> None:
        """How fast the queue grows says how many come, then what is thrown away; and back as quickly."""
        self.run_for(2 * SPAN, 60 * ALLOWED)
        self.assertLess(self.subject.passing, 1.5 * (1.0 + REFUSALS) / 60)
        self.run_for(2 * SPAN, 3 * ALLOWED)
        self.assertGreater(self.subject.passing, (1.0 + REFUSALS) / 3)

    def test_nothing_is_thrown_away_of_a_little_too_much(self) -> None:
        """As long as refusing it takes little: who hears 503 does not come again."""
        self.run_for(30.0, 1.3 * ALLOWED)
        self.assertEqual(self.subject.passing, 1.0)

    def test_other_requests_have_their_part(self) -> None:
        """Where REGISTERs take half of the room, or more, so much fewer INVITEs are let through, and all the room is used."""
        for part, left in ((0.5, 0.6), (0.8, 0.25)):
            self.setUp()
            self.run_for(60.0, 20 * ALLOWED)
            alone = self.subject.passing
            self.run_for(60.0, 20 * ALLOWED, others=part * ALLOWED)
            self.assertLess(self.subject.passing, left * alone)
            self.assertGreater(self.admitted, 0.99 * (1.0 - part) * ALLOWED)

    def test_one_tick_says_nothing(self) -> None:
        """Of a few requests."""
        self.assertFalse(self.subject.feed(SPAN / 4, 60, 0, 0.3, ALLOWED))
        self.assertEqual(self.subject.passing, 1.0)

    def test_never_all(self) -> None:
        """Of nothing that comes through nothing could be learned; and where nothing comes all may pass."""
        self.subject.feed(SPAN, 1_000_000, 0, 0.3, ALLOWED)
        self.assertEqual(self.subject.passing, LEAST)
        self.subject.feed(SPAN, 0, 0, 0.0, ALLOWED)
        self.assertEqual(self.subject.passing, 1.0)

    def test_the_end(self) -> None:
        self.subject.feed(SPAN, 400, 0, 0.0, ALLOWED)
        self.assertTrue(self.subject.release())
        self.assertEqual(self.subject.passing, 1.0)
        self.assertFalse(self.subject.release())
