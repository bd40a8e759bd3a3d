"""A line's part in the kernel path: told only of changes, and each packet is counted once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeSocket
from voipcluster.media.offload import Crossing
from voipcluster.media.target import Address
from voipcluster.net.nft.elements import Relayed
from voipcluster.net.rtp import RtpPort, nowhere
from voipcluster.services.media.kernel_line import Handed, KernelLine, known

ALICE, NEAR = Address("198.51.100.7", 4000), Address("192.0.2.1", 30000)
BOB, FAR = Address("203.0.113.9", 5000), Address("192.0.2.1", 30002)
THERE = Crossing(ALICE, NEAR, FAR, BOB)


class KernelLineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.changes: list[tuple[Handed, ...]] = []
        self.line = KernelLine(self.change, "call tag")
        self.port = RtpPort(FakeSocket(*NEAR), lambda port, datagram, source: nowhere(datagram))
        self.handed = (Handed(THERE, self.port),)

    def change(self, line: KernelLine, handed: tuple[Handed, ...]) -> None:
        line.handed = handed
        self.changes.append(handed)

    def test_only_changes(self) -> None:
        """What is handed over already is no news, nor is the end of nothing."""
        for handed in ((), self.handed, self.handed, (), ()):
            self.line.update(handed)
        self.assertEqual(self.changes, [self.handed, ()])

    def test_refused(self) -> None:
        """What does not get through is left to the sockets until something else comes."""
        self.line.refused = self.handed
        self.line.update(self.handed)
        self.assertEqual(self.changes, [])
        other = (Handed(THERE._replace(target=ALICE), self.port),)
        self.line.update(other)
        self.assertEqual(self.changes, [other])

    def test_credit(self) -> None:
        """Counters that are read again count once, those of others not at all, and none goes back."""
        self.line.update(self.handed)
        self.assertEqual(self.line.credit({THERE: (5, 860)}), 5)
        self.assertEqual(self.line.credit({THERE: (5, 860), THERE._replace(entry=FAR): (9, 9)}), 0)
        self.assertEqual(self.line.credit({THERE: (3, 516)}), 0)
        self.assertEqual(self.line.credit({THERE: (7, 1204)}), 2)
        self.assertEqual((self.port.packets, self.port.octets), (7, 1204))

    def test_known(self) -> None:
        """Of the count of a line that is taken up, the port has what its journal held, and never more than there is."""
        self.port.packets, self.port.octets = 8, 1376
        self.assertEqual(known(Relayed(THERE, "call tag", 10, 1720, 60.0), self.port), (8, 1376))
        self.assertEqual(known(Relayed(THERE, "call tag", 2, 344, 60.0), self.port), (2, 344))
