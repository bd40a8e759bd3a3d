"""One media line: which latch a description or a datagram reaches."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.latch import Accept, Aim, Arrived, Connect
from voipcluster.media.offer_answer import Side
from voipcluster.media.rtp import Kind
from voipcluster.media.sdp import MediaLine, SessionDescription
from voipcluster.media.stream import RTCP, RTP, Directed, Spot, Stream
from voipcluster.media.target import Address, Targets

A, B = Side.CALLER, Side.CALLEE
TARGETS = Targets(frozenset({"192.0.2.1"}), range(30000, 40000), loopback=False)


def line(text: str, host: str = "198.51.100.7") -> MediaLine:
    return SessionDescription.parse(f"v=0\nc=IN IP4 {host}\n{text}\n".encode()).media[0]


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = Stream(TARGETS, 3.0)

    def test_both_components(self) -> None:
        """RTP goes to the port of m=, RTCP to the one above or that of a=rtcp (RFC 3605)."""
        self.assertEqual(
            self.stream.described(A, line("m=audio 4000 RTP/AVP 0"), "198.51.100.7", 0),
            [
                Directed(Spot(A, RTP), Aim(Address("198.51.100.7", 4000))),
                Directed(Spot(A, RTCP), Aim(Address("198.51.100.7", 4001))),
            ],
        )
        other = line("m=audio 5000 RTP/AVP 0\na=rtcp:7777 IN IP4 198.51.100.8")
        self.stream.described(B, other, "198.51.100.8", 0)
        self.assertEqual(self.stream.remote(Spot(B, RTCP)), Address("198.51.100.8", 7777))
        self.assertEqual(self.stream.kind, "audio")

    def test_one_component(self) -> None:
        """A line that is not RTP has one port, and what it carries is not judged (T.38, RFC 7345)."""
        effects = self.stream.described(A, line("m=image 4000 udptl t38"), "198.51.100.7", 0)
        self.assertEqual(effects, [Directed(Spot(A, RTP), Aim(Address("198.51.100.7", 4000)))])
        self.assertFalse(self.stream.paired)
        arrived = Arrived(Address("198.51.100.7", 4000), Kind.OTHER)
        effects = self.stream.arrived(Spot(A, RTP), arrived, 0)
        self.assertEqual([e.effect for e in effects], [Accept(), Connect(Address("198.51.100.7", 4000))])

    def test_forbidden_addresses(self) -> None:
        """Nothing is aimed at groups, loopback or our own ports (attack M7)."""
        for host, port in (
            ("224.0.0.1", 4000),
            ("127.0.0.1", 4000),
            ("255.255.255.255", 4000),
            ("192.0.2.1", 30000),
        ):
            self.stream.described(A, line(f"m=audio {port} RTP/AVP 0", host), "198.51.100.7", 0)
            self.assertIsNone(self.stream.remote(Spot(A, RTP)), host)
            self.assertIsNone(self.stream.remote(Spot(A, RTCP)), host)

    def test_our_own_port_as_a_source(self) -> None:
        """A datagram from a relay port teaches nothing: two calls would feed each other (attack M7)."""
        self.stream.described(A, line("m=audio 4000 RTP/AVP 0", "224.0.0.1"), "192.0.2.1", 0)
        arrived = Arrived(Address("192.0.2.1", 30000), Kind.RTP)
        self.assertEqual(self.stream.arrived(Spot(A, RTP), arrived, 0), [])

    def test_null_address_holds_and_resumes(self) -> None:
        """The null address stops media; the old address again resumes on the same latch (RFC 3264 section 8.4)."""
        talk = line("m=audio 4000 RTP/AVP 0")
        peer = Address("198.51.100.7", 4000)
        self.stream.described(A, talk, peer.host, 0)
        self.stream.arrived(Spot(A, RTP), Arrived(peer, Kind.RTP), 0)
        self.assertEqual(
            self.stream.described(A, line("m=audio 4000 RTP/AVP 0", "0.0.0.0"), peer.host, 1), []
        )
        self.assertEqual((self.stream.held, self.stream.remote(Spot(A, RTP))), (True, None))
        self.assertEqual(self.stream.described(A, talk, peer.host, 2), [])
        self.assertEqual((self.stream.held, self.stream.remote(Spot(A, RTP))), (False, peer))

    def test_hold_of_either_side(self) -> None:
        """A line is on hold when either side holds it."""
        self.stream.described(A, line("m=audio 4000 RTP/AVP 0"), "198.51.100.7", 0)
        self.stream.described(B, line("m=audio 4000 RTP/AVP 0\na=sendonly"), "198.51.100.7", 0)
        self.assertTrue(self.stream.held)
        self.stream.described(B, line("m=audio 4000 RTP/AVP 0"), "198.51.100.7", 0)
        self.assertFalse(self.stream.held)

    def test_who_only_listens(self) -> None:
        """A recorder on a third host gets media once it has sent a receiver report, not before (attack M7)."""
        recorder, report = Address("203.0.113.9", 4000), Address("203.0.113.9", 4001)
        self.stream.described(A, line("m=audio 4000 RTP/AVP 0", recorder.host), "198.51.100.7", 0)
        self.assertEqual([self.stream.remote(spot) for spot in (Spot(A, RTP), Spot(A, RTCP))], [None, None])
        self.assertEqual(
            self.stream.arrived(Spot(A, RTCP), Arrived(report, Kind.RTCP), 1),
            [
                Directed(Spot(A, RTCP), Accept()),
                Directed(Spot(A, RTCP), Connect(report)),
                Directed(Spot(A, RTP), Aim(recorder)),
            ],
        )
        self.assertEqual(self.stream.remote(Spot(A, RTP)), recorder)

    def test_what_both_agreed_on(self) -> None:
        """Codec, rtcp-mux and who is to send count only when both sides have said so (RFC 3264 section 6)."""
        self.stream.described(A, line("m=audio 4000 RTP/AVP 0 8\na=rtcp-mux"), "198.51.100.7", 0)
        self.assertEqual((self.stream.codec, self.stream.muxed, self.stream.mutual), (None, False, False))
        self.stream.described(B, line("m=audio 5000 RTP/AVP 8"), "198.51.100.8", 0)
        self.assertEqual(
            (self.stream.codec, self.stream.muxed, self.stream.mutual), (("PCMA", 8000), False, True)
        )
        self.stream.described(B, line("m=audio 5000 RTP/AVP 8\na=rtcp-mux\na=recvonly"), "198.51.100.8", 0)
        self.assertEqual((self.stream.muxed, self.stream.mutual, self.stream.protected), (True, False, False))
        self.stream.described(B, line("m=audio 5000 udp/tls/rtp/savpf 8"), "198.51.100.8", 0)
        self.assertTrue(self.stream.protected)
