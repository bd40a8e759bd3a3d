"""Tests of the phone's audio, on a fake port and a fake clock."""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from voipcluster.errors import UsageError
from voipcluster.media.rtcp import Report, middle_32, parse_rtcp
from voipcluster.phone.media import AudioClock, AudioStream
from voipcluster.phone.reports import Reports, ntp_time
from voipcluster.phone.tone import tone_frame

FAR = ("192.0.2.9", 30000)


@implementer(IListeningPort)
class FakePort:
    """A port, and the transport and socket of its protocol at once."""

    def __init__(self, number: int, host: str, protocol: DatagramProtocol) -> None:
        self._address = IPv4Address("UDP", host, number)
        self.protocol = protocol
        self.written: list[tuple[bytes, tuple[str, int]]] = []
        self.open = False
        self.full = False
        self.socket = self

    def startListening(self) -> None:
        self.open = True
        self.protocol.makeConnection(self)

    def stopListening(self) -> Deferred[None]:
        self.open = False
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return self._address

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        self.sendto(data, address)

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.full:
            raise BlockingIOError
        self.written.append((data, address))
        return len(data)


@implementer(IReactorUDP)
class FakeUdp:
    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.refused_even = 0
        self.ports: list[FakePort] = []

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> Any:
        if port % 2 == 0 and self.refused_even:
            self.refused_even -= 1
            raise CannotListenError(interface, port, OSError("in use"))
        if self.refuse:
            self.refuse -= 1
            raise CannotListenError(interface, port, OSError("in use"))
        made = FakePort(port, interface, protocol)
        made.startListening()
        self.ports.append(made)
        return made


class AudioStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.udp = Clock(), FakeUdp()
        self.audio = AudioClock(self.clock)
        self.stream = AudioStream(self.audio, 700, 0x12345678)
        self.stream.open(self.udp, "192.0.2.1")
        self.port = self.udp.ports[0]

    def tearDown(self) -> None:
        self.stream.close()
        self.assertFalse(self.port.open)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fakes(self) -> None:
        """The fakes are what they stand for."""
        verifyObject(IListeningPort, self.port)
        verifyObject(IReactorUDP, self.udp)

    def test_even_port(self) -> None:
        """The port is even (RFC 3550 section 11), and another one is tried when it is taken."""
        stream = AudioStream(self.audio, 700, 1)
        stream.open(FakeUdp(refuse=3), "192.0.2.1")
        self.assertEqual(stream.address[1] % 2, 0)
        stream.close()
        self.assertRaises(UsageError, AudioStream(self.audio, 700, 1).open, FakeUdp(refuse=1000), "192.0.2.1")

    def test_packets(self) -> None:
        """One packet each 20 ms: version 2, PCMU, counting numbers, 160 samples a step (RFC 3550 section 5.1)."""
        self.stream.aim(FAR)
        self.clock.pump([0.02] * 3)
        self.assertEqual([address for _, address in self.port.written], [FAR] * 3)
        heads = [struct.unpack("!BBHII", data[:12]) for data, _ in self.port.written]
        first = heads[0][2]
        self.assertEqual(
            heads,
            [(0x80, 0, first + n, 160 * n, 0x12345678) for n in range(3)],
            "version, type, number, time, source",
        )
        self.assertEqual({data[12:] for data, _ in self.port.written}, {tone_frame(700)})
        self.assertEqual(self.stream.packets_sent, 3)

    def test_late_clock_catches_up(self) -> None:
        """After a pause of the process what is due is sent, at most five packets at once."""
        self.stream.aim(FAR)
        self.clock.advance(0.06)
        self.assertEqual(self.stream.packets_sent, 3)
        self.clock.advance(10.0)
        self.assertEqual(self.stream.packets_sent, 8)

    def test_silent(self) -> None:
        """Aimed at nothing it sends nothing, and the clock stands when nobody sends."""
        self.stream.aim(FAR)
        self.stream.aim(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.stream.send_frame()
        self.assertEqual(self.port.written, [])

    def test_full_buffer(self) -> None:
        """A packet that the system does not take is lost, as on a network."""
        self.port.full = True
        self.stream.aim(FAR)
        self.clock.advance(0.02)
        self.assertEqual(self.stream.packets_sent, 0)

    def receive(self, count: int, hz: int, head: bytes = b"\x80\x00" + bytes(10)) -> None:
        for _ in range(count):
            self.stream.datagramReceived(head + tone_frame(hz), FAR)

    def test_tone_is_heard(self) -> None:
        """The far end's tone is known within half a second, and a change of it within a second more."""
        self.receive(25, 1500)
        self.assertEqual((self.stream.heard_hz, self.stream.source), (1500, FAR))
        self.receive(60, 800)
        self.assertEqual(self.stream.heard_hz, 800)
        self.assertEqual(self.stream.packets_received, 85)

    def test_contributing_sources_are_skipped(self) -> None:
        """The payload begins behind the list of contributing sources (RFC 3550 section 5.1)."""
        self.receive(25, 1500, b"\x82\x00" + bytes(18))
        self.assertEqual(self.stream.heard_hz, 1500)

    def test_other_packets(self) -> None:
        """RTCP, other codecs, STUN and scraps are not counted."""
        for head in (b"\x80\xc8" + bytes(10), b"\x80\x08" + bytes(10), b"\x00\x01" + bytes(10)):
            self.receive(1, 1500, head)
        self.stream.datagramReceived(b"\x80\x00", FAR)
        self.assertEqual((self.stream.packets_received, self.stream.source), (0, None))


class ReportTests(SynchronousTestCase):
    """RTCP on the port above (RFC 3550 section 11)."""

    def setUp(self) -> None:
        self.clock, self.udp = Clock(), FakeUdp()
        self.stream = AudioStream(AudioClock(self.clock), 700, 7, Reports(7, "alice@192.0.2.1"))
        self.stream.open(self.udp, "192.0.2.1")
        self.control, self.media = self.udp.ports

    def tearDown(self) -> None:
        self.stream.close()
        self.assertEqual([port.open for port in self.udp.ports if port is not self.media], [False])
        self.assertFalse(self.media.open)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pair_of_ports(self) -> None:
        """RTCP has the odd port above; where the even one is taken another pair is looked for, and the odd one given back."""
        self.assertEqual(self.control.getHost().port, self.media.getHost().port + 1)
        stream, udp = AudioStream(AudioClock(self.clock), 700, 7, Reports(7, "a")), FakeUdp()
        udp.refused_even = 1
        stream.open(udp, "192.0.2.1")
        self.assertEqual([port.open for port in udp.ports], [False, True, True])
        stream.close()

    def test_reports(self) -> None:
        """The first comes within 3.75 s, then one each 5 s in the mean, at most 7.5, to the port above the far end's."""
        self.stream.aim(FAR)
        self.stream.datagramReceived(b"\x80\x00\x00\x09" + bytes(4) + b"abcd" + tone_frame(700), FAR)
        self.clock.pump([0.02] * 188)
        (first, to), *more = self.control.written
        self.assertLessEqual(len(more), 1)  # 1.03 s and 2.05 s are the shortest times that may be drawn
        self.assertEqual(to, (FAR[0], FAR[1] + 1))
        [report] = parse_rtcp(first)
        assert isinstance(report, Report)
        [block] = report.blocks
        self.assertEqual((report.ssrc, block.ssrc, block.highest), (7, 0x61626364, 9))
        self.assertEqual(report.octets, 160 * report.packets)
        self.clock.pump([0.02] * 5000)
        self.assertTrue(100 / 7.5 < len(self.control.written) < 100 / 2, len(self.control.written))

    def test_silent(self) -> None:
        """On hold it says nothing at all."""
        self.stream.aim(FAR)
        self.stream.aim(None)
        self.clock.advance(20.0)
        self.stream.send_report(self.clock.seconds())
        self.assertEqual(self.control.written, [])

    def test_answered(self) -> None:
        """A report of the far end is answered with the next one."""
        self.stream.aim(FAR)
        self.stream.datagramReceived(b"\x80\x00\x00\x09" + bytes(7) + b"\x08" + tone_frame(700), FAR)
        self.control.protocol.datagramReceived(Reports(8, "bob").make(5.0, 0, 1, 160), FAR)
        self.clock.pump([0.02] * 188)
        [report] = parse_rtcp(self.control.written[0][0])
        assert isinstance(report, Report)
        self.assertEqual(report.blocks[0].last_sr, middle_32(ntp_time(5.0)))
