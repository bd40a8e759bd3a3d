"""One side is not heard, or neither is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.offer_answer import Side
from voipcluster.media.silence import Counted, Missing, Silence


class SilenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.silence, self.now = Silence(10.0), 100.0
        self.counts = [0, 0]

    def passes(
        self, seconds: int, caller: int, callee: int, *, due: bool = True, mixed: bool = False, step: int = 2
    ) -> list[Missing]:
        """So many packets a second come from each side; what is found meanwhile."""
        found = []
        for _ in range(0, seconds, step):
            self.now += step
            self.counts[0] += caller * step
            self.counts[1] += callee * step
            found += self.silence.feed(Counted(self.counts[0], self.counts[1], due, mixed), self.now)
        return found

    def test_both_send(self) -> None:
        """All is well."""
        self.assertEqual(self.passes(600, 50, 50), [])
        self.assertIsNone(self.silence.missing)

    def test_one_way(self) -> None:
        """A side that sends nothing for the limit while the other does is named, once."""
        self.assertEqual(self.passes(10, 50, 0), [])
        self.assertEqual(self.passes(60, 50, 0), [Missing(Side.CALLEE)])
        self.assertEqual(self.silence.missing, Missing(Side.CALLEE))

    def test_stops_in_the_middle(self) -> None:
        """Also one that was heard before; when it is heard again, all is well again, until the next time."""
        self.passes(100, 50, 50)
        self.assertEqual(self.passes(30, 0, 50), [Missing(Side.CALLER)])
        self.assertEqual(self.passes(30, 50, 50), [])
        self.assertIsNone(self.silence.missing)
        self.assertEqual(self.passes(30, 0, 50), [Missing(Side.CALLER)])

    def test_both_silent(self) -> None:
        """When neither sends, neither is named; that takes longer, since counters of the kernel are read now and then."""
        self.passes(20, 50, 50)
        self.assertEqual(self.passes(18, 0, 0), [])
        self.assertEqual(self.passes(4, 0, 0), [Missing(None)])

    def test_hold(self) -> None:
        """What nobody agreed to send is not missed, and the limit counts anew afterwards."""
        self.passes(20, 50, 50)
        self.assertEqual(self.passes(600, 50, 0, due=False), [])
        self.assertEqual(self.passes(10, 50, 0), [])
        self.assertEqual(self.passes(10, 50, 0), [Missing(Side.CALLEE)])
        self.assertEqual(self.passes(10, 50, 0, due=False), [])
        self.assertIsNone(self.silence.missing)

    def test_reports_on_the_port_of_media(self) -> None:
        """Where RTCP shares the port, a packet or two a second are no media (RFC 5761)."""
        self.assertEqual(self.passes(30, 50, 1, mixed=True), [Missing(Side.CALLEE)])
        self.setUp()
        self.assertEqual(self.passes(30, 50, 1), [])

    def test_counters_that_are_read_rarely(self) -> None:
        """The kernel's counters come every few seconds, all at once: no side is missed for that."""
        self.assertEqual(self.passes(120, 50, 50, step=8), [])
        self.assertEqual(self.passes(32, 50, 0, step=8), [Missing(Side.CALLEE)])

    def test_other_ports(self) -> None:
        """Counters that go back are of new ports, which is a sign of life."""
        self.passes(60, 50, 50)
        self.counts = [0, 0]
        self.assertEqual(self.passes(2, 0, 0), [])
        self.assertIsNone(self.silence.missing)
