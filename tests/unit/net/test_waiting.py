"""How long datagrams waited."""

from __future__ import annotations

import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeSocket
from voipcluster.net.sink import SinkErrors
from voipcluster.net.udp import UdpPort
from voipcluster.net.waiting import SO_TIMESTAMPNS, Waited, Waiting, has_stamps


def stamp(at: float) -> list[tuple[int, int, bytes]]:
    nanoseconds = round(at % 1 * 1e9)
    return [(socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("@qq", int(at), nanoseconds))]


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 990.0
        self.waiting = Waiting(lambda: self.now)
        self.now = 1000.0

    def test_the_least_counts(self) -> None:
        """A queue that ran empty once is none."""
        for wait in (0.5, 0.25, 0.75):
            self.waiting.note(stamp(self.now - wait))
        self.assertEqual(self.least(), 0.25)
        self.assertIsNone(self.waiting.take(), "and then it begins anew")

    def test_a_clock_that_was_put_back(self) -> None:
        self.waiting.note(stamp(self.now + 60))
        self.assertEqual(self.waiting.take(), (0.0, 0.0, 0.0))

    def test_time_in_which_something_waited(self) -> None:
        """A wait that began before the last look is counted from then on: no time counts twice."""
        self.waiting.note(stamp(self.now - 0.2))
        self.assertWaited(0.2, 0.2, 0.02)
        self.now += 0.1
        self.waiting.note(stamp(self.now - 0.3))  # it came while the one before waited
        self.assertWaited(0.3, 0.1, 0.1 * 0.25)

    def test_what_waited_for_the_start(self) -> None:
        """Only time counts in which somebody read."""
        self.now += 5.0
        self.waiting.begin()
        self.now += 0.25
        self.waiting.note(stamp(1001.0))
        self.assertEqual(self.least(), 0.25)

    def test_a_while_and_the_next(self) -> None:
        """What was found in two whiles is the least of both, and the sums."""
        self.assertEqual(Waited(0.3, 1.0, 0.5).joined(Waited(0.2, 0.5, 0.25)), (0.2, 1.5, 0.75))

    def assertWaited(self, *expected: float) -> None:
        waited = self.waiting.take()
        assert waited is not None
        for found, wanted in zip(waited, expected, strict=True):
            self.assertAlmostEqual(found, wanted)

    def least(self) -> float | None:
        waited = self.waiting.take()
        return None if waited is None else waited.least

    def test_other_things_that_the_kernel_says(self) -> None:
        self.waiting.note([(socket.IPPROTO_IP, SO_TIMESTAMPNS, bytes(16)), (socket.SOL_SOCKET, 1, b"")])
        self.assertIsNone(self.waiting.take())


class StampedSocket(FakeSocket):
    """One whose kernel stamps what comes: C{incoming} holds (data, address, when)."""

    def getsockopt(self, level: int, option: int) -> int:
        return int((level, option) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))

    def recvmsg(self, size: int, ancillary: int, flags: int = 0) -> object:
        if flags:
            return super().recvmsg(size, ancillary, flags)
        data, address = self.recvfrom(size)
        return data, stamp(self.came.pop(0)), 0, address

    came: list[float] = []


class PortTests(SynchronousTestCase):
    def test_one_look_a_wake_up(self) -> None:
        """The first datagram is the one that waited longest; the others cost nothing more."""
        fake, reactor, sink = StampedSocket(), FakeReactor(), FakeSink()
        port = UdpPort(reactor, fake, sink, SinkErrors(reactor))
        self.assertTrue(has_stamps(fake))
        times = [990.0, 990.0]
        port.waiting = Waiting(lambda: times.pop(0) if times else 1000.0)
        port.start()
        fake.incoming.extend([(b"OPTIONS sip:a SIP/2.0\r\n\r\n", ("198.51.100.1", 5060))] * 3)
        fake.came = [999.5]
        port.doRead()
        self.assertEqual((len(sink.calls), (port.waiting.take() or [None])[0]), (3, 0.5))

    def test_a_real_socket(self) -> None:
        """The kernel stamps, where it can at all."""
        from voipcluster.net.udp import open_udp_socket  # noqa: PLC0415 - here alone

        with open_udp_socket("127.0.0.1", 0) as bound:
            self.assertTrue(has_stamps(bound))
