"""Relay ports on a socket without a network: the short way of a packet, and what must not take it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.media.fakes import FakeSocket
from voipcluster.media.target import Address
from voipcluster.net.rtp import RtpPort

PEER, FAR, STRANGER = (
    Address("198.51.100.7", 4000),
    Address("203.0.113.9", 5000),
    Address("203.0.113.66", 4000),
)
RTP = b"\x80\x00" + bytes(170)
REPORT = b"\x80\xc9\x00\x01ssrc"


class RtpPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen: list[tuple[bytes, Address]] = []
        near: Any = FakeSocket()
        far: Any = FakeSocket()
        self.near, self.far = near, far
        self.port = RtpPort(near, lambda port, datagram, source: self.seen.append((datagram, source)))
        self.far_port = RtpPort(far, lambda port, datagram, source: None)

    def join(self) -> None:
        self.far_port.aim(FAR)
        self.port.forward = self.far_port.out

    def test_interface(self) -> None:
        """A port is what a reactor can read."""
        self.assertTrue(verifyObject(IReadDescriptor, self.port))

    def test_open_port_reports(self) -> None:
        """While nobody is latched each datagram goes to the sink with its source, and nowhere else."""
        self.join()
        self.near.arrive(RTP, STRANGER)
        self.port.doRead()
        self.assertEqual((self.seen, self.far.sent), ([(RTP, STRANGER)], []))

    def test_connected_port_forwards(self) -> None:
        """Once connected a datagram goes to the far side unseen, and is counted."""
        self.join()
        self.port.connect(PEER)
        self.near.arrive(RTP, PEER)
        self.port.doRead()
        self.assertEqual((self.seen, self.far.sent), ([], [(RTP, FAR)]))
        self.assertEqual((self.port.packets, self.port.octets, self.port.strangers), (1, len(RTP), 0))

    def test_what_waited_when_it_was_connected(self) -> None:
        """Packets of strangers that were queued before connect() are dropped, those of the peer kept (attack M2)."""
        self.join()
        for source in (STRANGER, PEER, STRANGER):
            self.near.arrive(RTP, source)
        self.port.connect(PEER)
        self.assertEqual(self.far.sent, [(RTP, FAR)])
        self.assertEqual((self.port.packets, self.port.strangers, self.seen), (1, 2, []))

    def test_short_and_foreign_datagrams(self) -> None:
        """Of the latched peer only media, RTCP and handshakes pass on an RTP line (attack M4)."""
        self.join()
        self.port.connect(PEER)
        passing = [RTP, REPORT, b"\x16\xfe\xfd" + bytes(10), b"\x00\x01" + bytes(18)]
        dropped = [b"", b"\x80", RTP[:11], REPORT[:4], b"\x80\xc9\xff\xff", b"hello, this is text"]
        for datagram in (*passing, *dropped):
            self.near.arrive(datagram, PEER)
            self.port.doRead()
        self.assertEqual([datagram for datagram, _ in self.far.sent], passing)
        self.assertEqual((self.port.packets, self.port.strangers), (len(passing), len(dropped)))

    def test_unchecked_line(self) -> None:
        """On other lines everything of the peer passes."""
        self.join()
        self.port.checked = False
        self.port.connect(PEER)
        self.near.arrive(b"t38", PEER)
        self.port.doRead()
        self.assertEqual(self.far.sent, [(b"t38", FAR)])

    def test_guarded(self) -> None:
        """Media of the peer passes unseen; its checks, and all of others, are reported (RFC 8445)."""
        self.join()
        self.port.guard(PEER)
        check = b"\x00\x01" + bytes(18)
        for datagram, source in (
            (RTP, PEER),
            (RTP, STRANGER),
            (check, PEER),
            (b"text", PEER),
            (REPORT, PEER),
        ):
            self.near.arrive(datagram, source)
            self.port.doRead()
        self.assertEqual([datagram for datagram, _ in self.far.sent], [RTP, REPORT])
        self.assertEqual(self.seen, [(RTP, STRANGER), (check, PEER), (b"text", PEER)])
        self.port.out(RTP)
        self.port.answer(b"no", STRANGER)
        self.assertEqual(self.near.sent, [(RTP, PEER), (b"no", STRANGER)])
        self.port.aim(PEER)
        self.near.arrive(RTP, PEER)
        self.port.doRead()
        self.assertEqual(self.seen[3:], [(RTP, PEER)])

    def test_answer_without_a_way(self) -> None:
        """A datagram of our own that cannot be sent is counted and no more."""
        self.near.error = OSError(101, "Network is unreachable")
        self.port.answer(b"no", STRANGER)
        self.assertEqual((self.near.sent, self.port.errors), ([], 1))

    def test_aim_opens_again(self) -> None:
        """A new address dissolves the connection: strangers are reported again, and media goes there."""
        self.port.connect(PEER)
        self.port.aim(FAR)
        self.near.arrive(RTP, STRANGER)
        self.port.doRead()
        self.port.out(RTP)
        self.assertEqual((self.seen, self.near.sent), ([(RTP, STRANGER)], [(RTP, FAR)]))
        self.port.aim(None)
        self.port.out(RTP)
        self.assertEqual(len(self.near.sent), 1)

    def test_errors_of_the_network(self) -> None:
        """A refused or unreachable peer is counted and harms nothing (RFC 1122 section 4.1.3.3)."""
        self.join()
        self.port.connect(PEER)
        self.near.error = ConnectionRefusedError(111, "Connection refused")
        self.port.doRead()
        self.far.error = OSError(101, "Network is unreachable")
        self.near.arrive(RTP, PEER)
        self.port.doRead()
        self.near.arrive(RTP, PEER)
        self.port.doRead()
        self.assertEqual((self.port.errors, self.port.packets, len(self.far.sent)), (2, 2, 1))

    def test_closed(self) -> None:
        """A closed port sends nothing and has no descriptor."""
        self.join()
        self.port.close()
        self.port.forward(RTP)
        self.assertEqual((self.far.sent, self.port.fileno()), ([], -1))
