"""HEP version 3, read by others: octets made by hand, and a reader that knows the specification alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.hep_reading import read
from voipcluster.sip.hep import LARGEST_DATAGRAM, QUALITY, SIP, HepWriter, Passed

MESSAGE = b"BYE sip:a@b SIP/2.0\r\nCall-ID: c1\r\n\r\n"
ALICE, NODE = ("192.0.2.1", 5062), ("192.0.2.9", 5060)

# each line one chunk: vendor, type, length with these six octets, value
BY_HAND = bytes.fromhex(
    "4845 5033 0096"  # HEP3, 150 octets
    "0000 0001 0007 02"  # IPv4
    "0000 0002 0007 11"  # UDP is 17
    "0000 0003 000a c0000201"  # from 192.0.2.1
    "0000 0004 000a c0000209"  # to 192.0.2.9
    "0000 0007 0008 13c6"  # port 5062
    "0000 0008 0008 13c4"  # port 5060
    "0000 0009 000a 6a26d480"  # 1780929664 s
    "0000 000a 000a 0003d090"  # 250000 us
    "0000 000b 0007 01"  # SIP
    "0000 000c 000a 000007d1"  # agent 2001
    "0000 0013 0007 61"  # node "a"
    "0000 0011 0008 6331"  # correlation "c1"
    "0000 000f 002a" + MESSAGE.hex()
)


class WriterTests(SynchronousTestCase):
    def passed(self, **other: object) -> Passed:
        given = {
            "source": ALICE, "destination": NODE, "transport": "UDP", "at": 1780929664.25, "kind": SIP,
            "payload": MESSAGE, "call_id": "c1",
        }  # fmt: skip
        return Passed(**{**given, **other})

    def test_octet_by_octet(self) -> None:
        """The packet is what the specification's tables give, worked out by hand."""
        self.assertEqual(len(BY_HAND), 0x96)
        self.assertEqual(HepWriter(2001, "a").packet(self.passed()), BY_HAND)

    def test_ipv6_over_a_connection(self) -> None:
        """Family 10 with chunks 5 and 6; TCP, TLS and WebSocket are IP protocol 6; a zone says nothing elsewhere."""
        for transport in ("TCP", "TLS", "WS", "WSS"):
            found = read(
                HepWriter(1, "a").packet(
                    self.passed(
                        source=("fe80::1%eth0", 1), destination=("2001:db8::2", 5061), transport=transport
                    )
                )
            )
            self.assertEqual((found["family"], found["protocol"]), (10, 6))
            self.assertEqual((found["source"], found["destination"]), ("fe80::1", "2001:db8::2"))
            self.assertEqual((found["source_port"], found["destination_port"]), (1, 5061))

    def test_key_node_and_kind(self) -> None:
        """What the collector knows us by, our name, and a report instead of a message."""
        found = read(
            HepWriter(0xFFFFFFFF, "node-b", b"s3cret").packet(self.passed(kind=QUALITY, payload=b"{}"))
        )
        self.assertEqual((found["agent"], found["node"], found["key"]), (0xFFFFFFFF, b"node-b", b"s3cret"))
        self.assertEqual((found["type"], found["payload"]), (34, b"{}"))
        self.assertNotIn("key", read(HepWriter(1, "a").packet(self.passed())))

    def test_no_longer_than_allowed(self) -> None:
        """A message that is as long as a packet may be is cut, and the packet is right all the same."""
        for largest in (LARGEST_DATAGRAM, 65_535):
            packet = HepWriter(1, "a", b"", largest).packet(self.passed(payload=b"x" * 65_535))
            self.assertEqual(len(packet), largest)
            self.assertEqual(set(read(packet)["payload"]), {ord("x")})

    def test_call_id_that_is_no_text(self) -> None:
        """Octets of a Call-ID that are no UTF-8 do not stop the packet."""
        self.assertEqual(read(HepWriter(1, "a").packet(self.passed(call_id="a\udcff")))["correlation"], b"a?")

    def test_times(self) -> None:
        """Seconds and microseconds, the latter below a million whatever the float is."""
        for at, wanted in ((0.0, (0, 0)), (1e9 + 0.9999998, (10**9, 999_999)), (2.5, (2, 500_000))):
            found = read(HepWriter(1, "a").packet(self.passed(at=at)))
            self.assertEqual((found["seconds"], found["microseconds"]), wanted)

    def test_not_an_address(self) -> None:
        """Only addresses can be told; a name raises."""
        self.assertRaises(ValueError, HepWriter(1, "a").packet, self.passed(source=("example.com", 1)))
