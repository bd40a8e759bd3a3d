"""Dead servers are tried last, for longer each time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Hop
from voipcluster.sip.penalties import Penalties
from voipcluster.sip.resolution import Server

ONE, TWO, THREE = (Server(Hop("UDP", f"192.0.2.{n}", 5060), "example.net") for n in (1, 2, 3))


class PenaltyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.penalties = Penalties(30.0, 100.0, kept=3)

    def test_order(self) -> None:
        """Those that failed come last, the one first whose penalty ends first; the others keep their order."""
        self.penalties.failed(ONE.hop, 10.0)
        self.penalties.failed(TWO.hop, 5.0)
        self.assertEqual(self.penalties.order([ONE, TWO, THREE], 11.0), [THREE, TWO, ONE])
        self.assertEqual(self.penalties.count(11.0), 2)

    def test_end(self) -> None:
        """A penalty ends by itself."""
        self.penalties.failed(ONE.hop, 0.0)
        self.assertEqual(self.penalties.order([ONE, TWO], 29.9), [TWO, ONE])
        self.assertEqual(self.penalties.order([ONE, TWO], 30.0), [ONE, TWO])
        self.assertEqual(self.penalties.count(30.0), 0)

    def test_growing(self) -> None:
        """Each failure behind a penalty doubles the next one, up to the longest."""
        now, told = 0.0, []
        for _ in range(4):
            seconds = self.penalties.failed(ONE.hop, now)
            told.append(seconds)
            now += seconds
        self.assertEqual(told, [30.0, 60.0, 100.0, 100.0])

    def test_many_at_once(self) -> None:
        """A hundred requests that were under way when a server died make one penalty."""
        self.assertEqual([self.penalties.failed(ONE.hop, 1.0 + n) for n in range(3)], [30.0, 0.0, 0.0])
        self.assertEqual(self.penalties.failed(ONE.hop, 31.0), 60.0)

    def test_forgiven(self) -> None:
        """Who answers starts afresh, and so does who did not fail for long."""
        self.penalties.failed(ONE.hop, 0.0)
        self.assertTrue(self.penalties.answered(ONE.hop))
        self.assertFalse(self.penalties.answered(ONE.hop))
        self.assertEqual(self.penalties.failed(ONE.hop, 1.0), 30.0)
        self.assertEqual(self.penalties.failed(ONE.hop, 1.0 + 30.0 + 100.1), 30.0)

    def test_asked_for(self) -> None:
        """A server may ask for more (Retry-After), but not for more than the longest."""
        self.assertEqual(self.penalties.failed(ONE.hop, 0.0, 50.0), 50.0)
        self.assertEqual(self.penalties.failed(TWO.hop, 0.0, 1e9), 100.0)

    def test_bounded(self) -> None:
        """Only so many are remembered."""
        for n in range(20):
            self.penalties.failed(Hop("UDP", f"192.0.2.{n}", 5060), 0.0)
        self.assertEqual(self.penalties.count(1.0), 3)
