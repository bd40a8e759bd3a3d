"""The pool of port pairs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.media.ports import NoPorts, PortPool


class PortPoolTests(SynchronousTestCase):
    def test_even_ports_whose_odd_one_is_in_the_range(self) -> None:
        """RTP on an even port, RTCP on the odd one above (RFC 3550 section 11)."""
        pool = PortPool(30001, 30008, quarantine=10)
        self.assertEqual([pool.take(0) for _ in range(3)], [30002, 30004, 30006])
        self.assertRaises(NoPorts, pool.take, 0)

    def test_start(self) -> None:
        """The random number turns the order, and any number is fine."""
        pool = PortPool(30000, 30007, quarantine=10, start=4 * 1000 + 2)
        self.assertEqual([pool.take(0) for _ in range(4)], [30004, 30006, 30000, 30002])

    def test_quarantine(self) -> None:
        """A returned pair is not handed out before its quarantine is over."""
        pool = PortPool(30000, 30003, quarantine=10)
        first, second = pool.take(0), pool.take(0)
        pool.give_back(first, 5)
        pool.give_back(second, 6)
        self.assertEqual(pool.free(14.9), 0)
        self.assertRaises(NoPorts, pool.take, 14.9)
        self.assertEqual(pool.take(15), first)
        self.assertRaises(NoPorts, pool.take, 15)
        self.assertEqual(pool.take(16), second)

    def test_ports_in_use(self) -> None:
        """Both ports of a taken pair are in use, until it is returned."""
        pool = PortPool(30000, 30003, quarantine=10)
        number = pool.take(0)
        self.assertEqual([port in pool for port in range(30000, 30004)], [True, True, False, False])
        pool.give_back(number, 0)
        self.assertNotIn(30001, pool)

    def test_exhaustion_says_why(self) -> None:
        """The error carries 503 and tells used pairs from resting ones."""
        pool = PortPool(30000, 30003, quarantine=10)
        pool.give_back(pool.take(0), 0)
        pool.take(0)
        error = self.assertRaises(NoPorts, pool.take, 0)
        self.assertEqual(error.status_hint, 503)
        self.assertIn("of 2 pairs 1 are in use and 1 in quarantine", str(error))
        self.assertEqual(pool.taken, 1)

    def test_range_without_a_pair(self) -> None:
        """One port, an odd one with the even one above it, and a range upside down hold no pair."""
        for first, last in ((30000, 30000), (30001, 30002), (30010, 30000), (0, 10), (65534, 65536)):
            self.assertRaises(UsageError, PortPool, first, last, quarantine=1)
