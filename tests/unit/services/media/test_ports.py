"""Ports of a relay: which number, on which address, and what becomes of them when the system gives none."""

from __future__ import annotations

import errno

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeNetwork, FakeReaders
from voipcluster.media.offer_answer import Side
from voipcluster.media.ports import NoPorts, PortPool
from voipcluster.media.target import Address
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.ports import TRIES, RelayAddress, RelayPorts, by_family, targets_for

A, B = Side.CALLER, Side.CALLEE
NODE, NODE6, SHOWN = "192.0.2.1", "2001:db8::1", "198.51.100.1"
ADDRESSES = {
    A: by_family([RelayAddress(NODE, SHOWN), RelayAddress(NODE6)]),
    B: by_family([RelayAddress("10.0.0.1")]),
}


def nobody(port: RtpPort, datagram: bytes, source: Address) -> None:
    """No datagram comes here."""


class RelayPortsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.network, self.readers = Clock(), FakeNetwork(), FakeReaders()
        self.pool = PortPool(30000, 30099, quarantine=5.0)
        self.ports = RelayPorts(
            self.pool, self.readers, ADDRESSES, self.clock.seconds, self.network.open_port
        )

    def test_pair(self) -> None:
        """An even number for RTP and the odd one above it for RTCP (RFC 3550 section 11), both read from."""
        number, [rtp, rtcp] = self.ports.open_pair(A, 4, nobody, ("rtp", "rtcp"))
        self.assertEqual((number, rtp.address(), rtcp.address()), (30000, (NODE, 30000), (NODE, 30001)))
        self.assertEqual((rtp.label, rtcp.label), ("rtp", "rtcp"))
        self.assertEqual(self.readers.readers, [rtp, rtcp])
        self.assertIn(30001, self.pool)

    def test_closed_and_given_back(self) -> None:
        """What is closed is not read from, and its number comes again only after its rest."""
        number, opened = self.ports.open_pair(A, 4, nobody, ("rtp", "rtcp"))
        for port in opened:
            self.ports.close(port)
        self.ports.give_back(number)
        self.assertEqual((self.readers.readers, self.network.open_numbers()), ([], []))
        self.assertNotIn(number, self.pool)
        self.assertEqual(self.pool.free(self.clock.seconds()), 49)
        self.clock.advance(5.0)
        self.assertEqual(self.pool.free(self.clock.seconds()), 50)

    def test_the_second_of_a_pair_is_taken(self) -> None:
        """Then the first one is closed again, and the next pair is tried."""
        self.network.taken = {30001, 30002}
        number, _ = self.ports.open_pair(A, 4, nobody, ("rtp", "rtcp"))
        self.assertEqual((number, self.network.open_numbers()), (30004, [30004, 30005]))
        self.assertEqual((self.pool.taken, len(self.readers.readers)), (1, 2))

    def test_all_are_taken(self) -> None:
        """Other programs that sit in the whole range cost so many tries and not more; nothing stays taken."""
        self.network.taken = set(range(30000, 30100))
        error = self.assertRaises(NoPorts, self.ports.open_pair, A, 4, nobody, ("rtp", "rtcp"))
        self.assertEqual(str(error), f"{TRIES} media port pairs in a row are taken by other programs")
        self.assertEqual(error.status_hint, 503)
        self.assertEqual((self.pool.taken, self.pool.free(0.0)), (0, 50 - TRIES))

    def test_no_socket(self) -> None:
        """An error that the next number would have as well is told at once, with port and address."""
        self.network.error = OSError(errno.EMFILE, "Too many open files")
        error = self.assertRaises(NoPorts, self.ports.open_pair, A, 6, nobody, ("rtp",))
        self.assertEqual(str(error), f"cannot open media port 30000 on {NODE6}: Too many open files")
        self.assertEqual((self.pool.taken, self.pool.free(0.0)), (0, 49))

    def test_one_more_on_a_number_that_is_ours(self) -> None:
        """For another family, or for the port of RTCP alone; what cannot be opened leaves the others as they were."""
        number, [rtp] = self.ports.open_pair(A, 4, nobody, ("rtp",))
        [rtcp] = self.ports.open_on(number, A, 4, nobody, ("rtp", "rtcp"), skip=1)
        self.assertEqual(rtcp.address(), (NODE, number + 1))
        six = self.ports.open_on(number, A, 6, nobody, ("rtp", "rtcp"))
        self.assertEqual([port.address() for port in six], [(NODE6, number), (NODE6, number + 1)])
        self.assertRaises(OSError, self.ports.open_on, number, A, 4, nobody, ("rtp",))
        self.assertEqual(self.readers.readers, [rtp, rtcp, *six])

    def test_family(self) -> None:
        """A side is served in the version that is wanted, or in the one that the node has there."""
        self.assertEqual([self.ports.family(A, wanted) for wanted in (4, 6)], [4, 6])
        self.assertEqual([self.ports.family(B, wanted) for wanted in (4, 6)], [4, 4])

    def test_shown(self) -> None:
        """Descriptions name the advertised address, and both are our own when they come back."""
        self.assertEqual((self.ports.shown(A, 4), self.ports.shown(A, 6)), (SHOWN, NODE6))
        for host, own in (
            (NODE, True),
            (SHOWN, True),
            ("2001:DB8:0::1", True),
            ("10.0.0.1", True),
            ("192.0.2.2", False),
        ):
            self.assertIs(self.ports.is_own(host), own, host)
        self.assertFalse(self.ports.is_own("node.example.com"))


class AddressTests(SynchronousTestCase):
    def test_first_of_a_family(self) -> None:
        """Of several addresses of one version the first counts; the version is that of what is shown."""
        first, second = RelayAddress(NODE), RelayAddress("192.0.2.2")
        self.assertEqual(by_family([first, RelayAddress(NODE6), second]), {4: first, 6: RelayAddress(NODE6)})
        self.assertEqual(RelayAddress("::1", "").family, 6)

    def test_targets(self) -> None:
        """Media is not sent to a port of ours that is in use, by the bound and by the shown address (attack M7)."""
        pool = PortPool(30000, 30003, quarantine=0.0)
        targets = targets_for(ADDRESSES, pool)
        self.assertIsNotNone(targets.usable(SHOWN, 30000))
        pool.take(0.0)
        for host in (NODE, SHOWN, "10.0.0.1"):
            self.assertIsNone(targets.usable(host, 30001), host)
            self.assertIsNotNone(targets.usable(host, 30002), host)
        self.assertIsNone(targets.usable("127.0.0.1", 4000))

    def test_node_on_loopback(self) -> None:
        """A node that lives there sends there."""
        targets = targets_for(
            {A: by_family([RelayAddress("127.0.0.1")])}, PortPool(30000, 30003, quarantine=0.0)
        )
        self.assertEqual(targets.usable("127.0.0.9", 4000), Address("127.0.0.9", 4000))
