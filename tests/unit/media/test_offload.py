"""What the kernel may relay: both sides latched, RTP, one IP version, and routes between them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.test_stream import A, B, line
from voipcluster.media.latch import Arrived
from voipcluster.media.offer_answer import Side
from voipcluster.media.offload import LONGEST_LABEL, Crossing, crossings, label_of
from voipcluster.media.rtp import Kind
from voipcluster.media.stream import RTP, Spot, Stream
from voipcluster.media.target import Address, Targets

NEAR, FAR = Address("192.0.2.1", 30000), Address("192.0.2.1", 30002)
ALICE, BOB = Address("198.51.100.7", 4000), Address("203.0.113.9", 5000)


class CrossingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = Stream(Targets(frozenset({"192.0.2.1"}), range(30000, 30004), loopback=True), 3.0)
        self.facing = {A: {4: NEAR}, B: {4: FAR}}

    def describe(self, side: Side, address: Address, text: str = "m=audio {} RTP/AVP 0") -> None:
        media = line(text.format(address.port), address.host)
        self.stream.described(side, media, address.host, 0)

    def latch(self, side: Side, address: Address, kind: Kind = Kind.RTP) -> None:
        self.stream.arrived(Spot(side, RTP), Arrived(address, kind), 0)

    def established(self, alice: Address = ALICE, bob: Address = BOB) -> None:
        for side, address in ((A, alice), (B, bob)):
            self.describe(side, address)
            self.latch(side, address)

    def test_both_directions(self) -> None:
        """What each side sends leaves from the port that the other side was told (RFC 4961)."""
        self.established()
        self.assertEqual(
            crossings(self.stream, self.facing),
            (Crossing(ALICE, NEAR, FAR, BOB), Crossing(BOB, FAR, NEAR, ALICE)),
        )

    def test_one_side_has_not_latched(self) -> None:
        """Who is not known for sure is not handed to the kernel, which would not ask again."""
        self.describe(A, ALICE)
        self.describe(B, BOB)
        self.latch(A, ALICE)
        self.assertEqual(crossings(self.stream, self.facing), ())

    def test_tentative_address(self) -> None:
        """A learned address may still lose to the signalled one (attack M3)."""
        self.established()
        self.describe(B, Address("10.0.0.9", 5000))
        self.stream.arrived(Spot(B, RTP), Arrived(Address("10.0.0.9", 6000), Kind.RTP), 1)
        self.assertEqual(self.stream.remote(Spot(B, RTP)), Address("10.0.0.9", 6000))
        self.assertEqual(crossings(self.stream, self.facing), ())

    def test_moved(self) -> None:
        """A new address in the signalling ends it until that address has sent."""
        self.established()
        moved = Address("198.51.100.7", 4100)
        self.describe(A, moved)
        self.assertEqual(crossings(self.stream, self.facing), ())
        self.latch(A, moved)
        self.assertEqual(crossings(self.stream, self.facing)[1].target, moved)

    def test_muted(self) -> None:
        """A side on hold by the null address gets nothing (RFC 3264 section 8.4)."""
        self.established()
        self.describe(A, Address("0.0.0.0", 4000))
        self.assertEqual(crossings(self.stream, self.facing), ())
        self.describe(A, ALICE)
        self.assertEqual(len(crossings(self.stream, self.facing)), 2)

    def test_port_that_is_not_connected(self) -> None:
        """Without a connected socket there is nothing to fall back to."""
        self.established()
        self.assertEqual(crossings(self.stream, {A: {4: NEAR}}), ())
        self.assertEqual(crossings(self.stream, {A: {4: NEAR}, B: {6: FAR}}), ())

    def test_not_rtp(self) -> None:
        """What carries T.38 or data has no version field to tell it by."""
        for side, address in ((A, ALICE), (B, BOB)):
            self.describe(side, address, "m=image {} udptl t38")
            self.latch(side, address, Kind.OTHER)
        self.assertEqual(crossings(self.stream, self.facing), ())

    def test_between_ip_versions(self) -> None:
        """The kernel rewrites addresses, not headers: IPv4 to IPv6 stays with the sockets."""
        six = Address("2001:db8::9", 5000)
        self.established(bob=six)
        self.assertEqual(crossings(self.stream, {A: {4: NEAR}, B: {6: Address("2001:db8::1", 30002)}}), ())

    def test_loopback_and_elsewhere(self) -> None:
        """A packet from another host is not routed to 127.0.0.0/8; all on one host is fine."""
        phone = Address("127.0.0.5", 5000)
        self.established(bob=phone)
        self.assertEqual(crossings(self.stream, self.facing), ())
        self.setUp()
        self.established(Address("127.0.0.4", 4000), phone)
        near, far = Address("127.0.0.1", 30000), Address("127.0.0.1", 30002)
        self.assertEqual(len(crossings(self.stream, {A: {4: near}, B: {4: far}})), 2)


class LabelTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """It can be read in a listing of nft."""
        self.assertEqual(label_of("a84b4c76e66710@pc33", "1928301774"), "a84b4c76e66710@pc33 1928301774")

    def test_what_a_comment_cannot_hold(self) -> None:
        """Long, quoted or non-ASCII names become a digest of fixed length, another one for other calls."""
        for call_id in ("x" * LONGEST_LABEL, 'a"b', "a\\b", "\u00e4", "a\nb"):
            label = label_of(call_id, "tag")
            self.assertTrue(label.startswith("sha256 "), call_id)
            self.assertLessEqual(len(label), LONGEST_LABEL)
            self.assertNotEqual(label, label_of(call_id, "other"))
