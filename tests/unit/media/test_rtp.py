"""The first octets of what comes to a media port (RFC 3550, RFC 5761, RFC 7983)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.rtp import Kind, RtpHeader, is_rtcp, kind_of, parse_rtp

RTP = b"\x80\x88\x00\x07\x00\x00\x01\x00ssrc" + b"\xff" * 160
REPORT = b"\x80\xc9\x00\x01ssrc"


class KindTests(SynchronousTestCase):
    def test_protocols_on_one_port(self) -> None:
        """First octet and packet type tell the protocols apart (RFC 7983 section 7, RFC 5761 section 4)."""
        cases = {
            RTP: Kind.RTP,
            REPORT: Kind.RTCP,
            b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12): Kind.STUN,
            b"\x16\xfe\xfd" + bytes(10): Kind.DTLS,
            b"\x10\x00" + bytes(10): Kind.ZRTP,
            b"\x40\x00" + bytes(10): Kind.OTHER,
            b"INVITE sip:bob@example.com SIP/2.0": Kind.OTHER,
        }
        for datagram, kind in cases.items():
            self.assertIs(kind_of(datagram), kind, datagram)

    def test_marker_and_payload_type_that_look_like_rtcp(self) -> None:
        """Payload types 64 to 95 with the marker would be RTCP types 192 to 223 (RFC 5761 section 4)."""
        self.assertIs(kind_of(b"\x80\xbf" + RTP[2:]), Kind.RTP)
        self.assertIs(kind_of(b"\x80\xc0\x00\x01" + RTP[4:]), Kind.RTCP)
        self.assertIs(kind_of(b"\x80\xe0" + RTP[2:]), Kind.RTP)

    def test_every_cut_is_no_protocol_or_still_whole(self) -> None:
        """A datagram cut anywhere in its header is never taken for that protocol."""
        for whole, header in ((RTP, 12), (REPORT, 8), (b"\x16\xfe\xfd" + bytes(10), 13), (bytes(20), 20)):
            for size in range(header):
                self.assertIs(kind_of(whole[:size]), Kind.OTHER, whole[:size])

    def test_length_field_past_the_end(self) -> None:
        """RTCP whose length field overruns the datagram is refused (RFC 3550 section 6.4.1)."""
        self.assertTrue(is_rtcp(REPORT))
        self.assertFalse(is_rtcp(b"\x80\xc9\x00\x02ssrc"))
        self.assertFalse(is_rtcp(b"\x80\xc9\xff\xffssrc" + bytes(100)))
        self.assertIs(kind_of(b"\x80\xc9\xff\xffssrc" + bytes(100)), Kind.OTHER)

    def test_csrc_list_past_the_end(self) -> None:
        """The CSRC count must fit (RFC 3550 section 5.1)."""
        self.assertIs(kind_of(b"\x8f" + RTP[1:20]), Kind.OTHER)


class ParseTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Marker, payload type, sequence number, timestamp, SSRC (RFC 3550 section 5.1)."""
        self.assertEqual(parse_rtp(RTP), RtpHeader(True, 8, 7, 256, int.from_bytes(b"ssrc", "big")))

    def test_short_or_other_version(self) -> None:
        """Short packets and other versions are errors (RFC 3550 section A.1)."""
        for bad in (b"", RTP[:11], b"\x81" + RTP[1:13], b"\x40" + RTP[1:]):
            self.assertRaises(ParseError, parse_rtp, bad)
