"""One relayed line: what its machine orders reaches its ports, and a datagram the far side's."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeNetwork
from voipcluster.media.latch import Aim, Connect
from voipcluster.media.offer_answer import Exchange, Side
from voipcluster.media.sdp import MediaLine, SessionDescription
from voipcluster.media.stream import RTCP, RTP, SPOTS, Directed, Spot, Stream
from voipcluster.media.target import Address, Targets
from voipcluster.net.rtp import RtpPort
from voipcluster.services.media.line import Leg, Line

A, B = Side.CALLER, Side.CALLEE
NODE, NODE6 = "192.0.2.1", "2001:db8::1"
ALICE, BOB, EVE = Address("198.51.100.7", 4000), Address("203.0.113.9", 5000), Address("203.0.113.66", 6000)
PACKET = b"\x80\x00" + bytes(170)
REPORT = b"\x80\xc8\x00\x06" + bytes(24)


def described(at: Address, protocol: str = "RTP/AVP 0") -> MediaLine:
    family = "IP6" if at.family == 6 else "IP4"
    text = f"v=0\nc=IN {family} {at.host}\nm=audio {at.port} {protocol}\n"
    return SessionDescription.parse(text.encode()).media[0]


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.network = Clock(), FakeNetwork()
        stream = Stream(Targets(frozenset({NODE}), range(30000, 40000), loopback=False), 3.0)
        self.line = Line(stream, Exchange(A, 1), self.clock.seconds)
        for side, number in ((A, 30000), (B, 30002)):
            self.line.legs[side] = Leg(number, {4: self.opened(side, number, NODE)})

    def opened(self, side: Side, number: int, host: str) -> list[RtpPort]:
        return [
            self.network.open_port(host, number + spot.component, self.line.sink, spot)
            for spot in SPOTS[side]
        ]

    def describe(self, side: Side, at: Address, protocol: str = "RTP/AVP 0") -> None:
        line = described(at, protocol)
        self.line.execute(self.line.stream.described(side, line, at.host, self.clock.seconds()))
        for spot in SPOTS[side]:
            self.line.wire(spot)

    def establish(self) -> None:
        self.describe(A, ALICE)
        self.describe(B, BOB)

    def port(self, side: Side, component: int = RTP, family: int = 4) -> RtpPort:
        return self.line.legs[side].ports[family][component]

    def test_first_datagram(self) -> None:
        """It is forwarded, latches its port, and from then on the kernel turns others away (attack M1)."""
        self.establish()
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30002), BOB)])
        port = self.port(A)
        self.assertTrue(port.connected)
        self.network.deliver(PACKET, EVE, Address(NODE, 30000))
        self.assertEqual((port.packets, port.octets, port.strangers), (1, len(PACKET), 0))
        self.assertEqual(self.network.sent(), [])

    def test_stranger_before(self) -> None:
        """A datagram of somebody else is counted, and nothing else comes of it."""
        self.establish()
        self.network.deliver(PACKET, EVE, Address(NODE, 30000))
        self.assertEqual((self.port(A).packets, self.port(A).strangers), (0, 1))
        self.assertFalse(self.port(A).connected)
        self.assertEqual(self.network.sent(), [])

    def test_components(self) -> None:
        """RTCP comes from the RTCP port of the other side, and latches for itself."""
        self.establish()
        self.network.deliver(REPORT, Address(ALICE.host, 4001), Address(NODE, 30001))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30003), Address(BOB.host, 5001))])
        self.assertEqual([self.port(A, component).connected for component in (RTP, RTCP)], [False, True])

    def test_one_side_only(self) -> None:
        """Until the other side has ports and an address, what comes is counted and goes nowhere."""
        leg = self.line.legs.pop(B)
        self.describe(A, ALICE)
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertEqual((self.port(A).packets, self.network.sent()), (1, []))
        self.line.legs[B] = leg
        self.describe(B, BOB)
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30002), BOB)])

    def test_two_families(self) -> None:
        """Of the ports of two IP versions those of the address's version are aimed, the others at nobody."""
        self.line.legs[B].ports[6] = self.opened(B, 30002, NODE6)
        self.establish()
        self.assertEqual(self.port(B)._remote, BOB)
        self.assertIsNone(self.port(B, family=6)._remote)
        six = Address("2001:db8::9", 5000)
        self.describe(B, six)
        self.assertEqual((self.port(B)._remote, self.port(B, family=6)._remote), (None, six))
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertEqual(self.network.sent(), [(Address(NODE6, 30002), six)])
        self.network.deliver(PACKET, six, Address(NODE6, 30002))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30000), ALICE)])

    def test_one_port(self) -> None:
        """A leg without an RTCP port ignores what is ordered for one."""
        for leg in self.line.legs.values():
            del leg.ports[4][RTCP:]
        self.establish()
        self.line.execute([Directed(Spot(A, RTCP), Aim(ALICE)), Directed(Spot(A, RTCP), Connect(ALICE))])
        self.line.wire(Spot(A, RTCP))
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30002), BOB)])

    def test_no_route(self) -> None:
        """When the system cannot connect the port, the latch goes on filtering by itself."""
        self.establish()
        port, sock = self.port(A), self.network.sockets[Address(NODE, 30000)]

        def connect(address: object) -> None:
            raise OSError(101, "Network is unreachable")

        self.patch(sock, "connect", connect)
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.network.deliver(PACKET, EVE, Address(NODE, 30000))
        self.network.deliver(PACKET, ALICE, Address(NODE, 30000))
        self.assertFalse(port.connected)
        self.assertEqual((port.packets, port.strangers), (2, 1))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30002), BOB)] * 2)
        self.network.deliver(PACKET, BOB, Address(NODE, 30002))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30000), ALICE)])

    def test_muted(self) -> None:
        """A side that holds with the null address is sent nothing, and is sent to again when it resumes."""
        self.establish()
        self.describe(A, Address("0.0.0.0", 4000))
        self.network.deliver(PACKET, BOB, Address(NODE, 30002))
        self.assertEqual((self.network.sent(), self.port(B).packets), ([], 1))
        self.describe(A, ALICE)
        self.network.deliver(PACKET, BOB, Address(NODE, 30002))
        self.assertEqual(self.network.sent(), [(Address(NODE, 30000), ALICE)])

    def test_ended(self) -> None:
        """It holds no ports, and where they would report to is nobody: no circle keeps a call in memory."""
        self.establish()
        [port, *_] = self.line.all_ports()
        self.assertEqual(len(self.line.all_ports()), 4)
        self.line.close()
        self.assertEqual((self.line.all_ports(), self.line.ports(A)), ([], []))
        self.line.sink(port, PACKET, ALICE)
        self.assertEqual((port.packets, port.strangers, self.network.sent()), (0, 0, []))
