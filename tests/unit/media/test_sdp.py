"""Descriptions from real and hostile phones (RFC 8866, RFC 3264, RFC 3605): what is read, and what stays as it came."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.sdp import Direction, MediaLine, SessionDescription, Transport

PHONE = b"""v=0
o=alice 2890844526 2890844526 IN IP4 host.example.com
s=-
c=IN IP4 192.168.1.5
t=0 0
m=audio 49170 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
m=video 51372 RTP/AVP 31
c=IN IP4 192.168.1.6
a=rtcp:51999 IN IP4 192.168.1.7
a=rtcp-fb:* nack pli
a=sendonly
""".replace(b"\n", b"\r\n")

WEBRTC = b"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=ice-lite
a=extmap-allow-mixed
m=audio 54609 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 198.51.100.1
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1467250027 1 udp 2122260223 192.168.0.196 54609 typ host generation 0
a=candidate:1467250028 1 udp 2122260223 2001:db8::5 54610 typ host generation 0
a=end-of-candidates
a=ice-ufrag:Oyef7uvBlwafI3hT
a=ice-pwd:T0teqPLNQQOf+5W+ls+P2p16
a=ice-options:trickle
a=remote-candidates:1 192.0.2.4 4000
a=fingerprint:sha-256 49:66:12:17
a=setup:actpass
a=mid:0
a=rtcp-mux
a=icecream:stays
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
""".replace(b"\n", b"\r\n")

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n"


def media(body: bytes) -> tuple[MediaLine, ...]:
    return SessionDescription.parse(body).media


def changes(before: bytes, after: bytes) -> tuple[list[bytes], list[bytes]]:
    """Lines that went, lines that came."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return [line for line in old if line not in new], [line for line in new if line not in old]


class ReadTests(SynchronousTestCase):
    def test_phone(self) -> None:
        """Ports, hosts, RTCP and direction of each line, with the session's values where it has none."""
        audio, video = media(PHONE)
        self.assertEqual(
            audio,
            MediaLine(
                "audio",
                49170,
                "RTP/AVP",
                "192.168.1.5",
                49171,
                "192.168.1.5",
                False,
                Direction.SENDRECV,
                codecs=audio.codecs,
            ),
        )
        self.assertEqual(
            video,
            MediaLine(
                "video",
                51372,
                "RTP/AVP",
                "192.168.1.6",
                51999,
                "192.168.1.7",
                False,
                Direction.SENDONLY,
                codecs=video.codecs,
            ),
        )
        self.assertEqual([codec.name for codec in audio.codecs], ["PCMU", "PCMA"])

    def test_direction_of_the_session(self) -> None:
        """A direction before the first m= holds for lines without one (RFC 8866 section 6.7)."""
        body = HEAD + b"a=inactive\r\nm=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 31\r\na=recvonly\r\n"
        self.assertEqual([line.direction for line in media(body)], [Direction.INACTIVE, Direction.RECVONLY])

    def test_hold(self) -> None:
        """On hold: sendonly, inactive, and the null address of RFC 2543 (RFC 3264 section 8.4)."""
        line = b"m=audio 4000 RTP/AVP 0\r\n"
        for end, held in (
            (b"", False),
            (b"a=recvonly\r\n", False),
            (b"a=sendonly\r\n", True),
            (b"a=inactive\r\n", True),
        ):
            self.assertEqual(media(HEAD + line + end)[0].held, held, end)
        self.assertTrue(media(HEAD + line + b"c=IN IP4 0.0.0.0\r\n")[0].held)
        self.assertTrue(media(HEAD + line + b"c=IN IP6 ::\r\n")[0].held)

    def test_transports(self) -> None:
        """RTP in all its profiles gets a pair, other datagrams one port, streams none (RFC 4145, RFC 7345)."""
        expected = {
            Transport.RTP: ("RTP/AVP", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "rtp/avp"),
            Transport.DATAGRAM: ("udptl", "UDP/TLS/UDPTL", "UDP/BFCP", "UDP/DTLS/SCTP", "DTLS/SCTP", "UDP"),
            Transport.UNTOUCHED: ("TCP/MSRP", "TCP/TLS/MSRP", "TCP/RTP/AVP", "TCP/BFCP", "SCTP", "what"),
        }
        for transport, protocols in expected.items():
            for protocol in protocols:
                line = media(HEAD + b"m=x 4000 %s 0\r\n" % protocol.encode())[0]
                self.assertIs(line.transport, transport, protocol)

    def test_rtcp_mux(self) -> None:
        """a=rtcp-mux is seen (RFC 5761 section 5.1.1)."""
        self.assertTrue(media(WEBRTC)[0].rtcp_mux)
        self.assertFalse(media(PHONE)[0].rtcp_mux)

    def test_refused_line(self) -> None:
        """Port 0 is a line that is off, also without an address (RFC 3264 section 6)."""
        line = media(b"v=0\r\ns=-\r\nm=audio 0 RTP/AVP 0\r\n")[0]
        self.assertFalse(line.relayed)

    def test_multicast_with_ttl(self) -> None:
        """The TTL and the number of groups are no part of the address (RFC 8866 section 5.7)."""
        self.assertEqual(
            media(HEAD + b"m=a 4 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127/3\r\n")[0].host, "224.2.1.1"
        )

    def test_line_ends(self) -> None:
        """LF alone, and a last line without an end, are read too (RFC 8866 section 5)."""
        lines = media(PHONE.replace(b"\r\n", b"\n").rstrip())
        self.assertEqual(lines, media(PHONE))


class RewriteTests(SynchronousTestCase):
    def test_only_addresses_and_ports_change(self) -> None:
        """Every other octet of a phone's description stays."""
        out = SessionDescription.parse(PHONE).rewritten("203.0.113.1", {0: (30000, 30001), 1: (30002, 30003)})
        gone, new = changes(PHONE, out)
        self.assertEqual(
            gone,
            [
                b"c=IN IP4 192.168.1.5\r\n",
                b"m=audio 49170 RTP/AVP 0 8 101\r\n",
                b"m=video 51372 RTP/AVP 31\r\n",
                b"c=IN IP4 192.168.1.6\r\n",
                b"a=rtcp:51999 IN IP4 192.168.1.7\r\n",
            ],
        )
        self.assertEqual(
            new,
            [
                b"c=IN IP4 203.0.113.1\r\n",
                b"m=audio 30000 RTP/AVP 0 8 101\r\n",
                b"m=video 30002 RTP/AVP 31\r\n",
                b"c=IN IP4 203.0.113.1\r\n",
                b"a=rtcp:30003\r\n",
            ],
        )
        self.assertEqual(out.count(b"c=IN IP4 203.0.113.1\r\n"), 2)

    def test_nothing_to_relay(self) -> None:
        """Without a relayed line the octets are those that came."""
        self.assertEqual(SessionDescription.parse(WEBRTC).rewritten("203.0.113.1", {}), WEBRTC)

    def test_ice_goes_keys_stay(self) -> None:
        """Candidates would lead past the relay; fingerprint, setup and crypto pass (RFC 8839, RFC 8122, RFC 4568)."""
        out = SessionDescription.parse(WEBRTC).rewritten("203.0.113.1", {0: (30000, 30001)})
        for gone in (
            b"candidate",
            b"a=ice-",
            b"192.168.0.196",
            b"192.0.2.4",
            b"2001:db8::5",
            b"198.51.100.1",
        ):
            self.assertNotIn(gone, out)
        for line in (
            b"a=fingerprint:",
            b"a=setup:actpass",
            b"a=crypto:1 ",
            b"a=rtcp-mux\r\n",
            b"a=icecream:stays\r\n",
        ):
            self.assertIn(line, out)
        self.assertIn(b"a=rtcp:30001\r\n", out)

    def test_other_ip_version(self) -> None:
        """An IPv4 phone is shown to an IPv6 one under an IPv6 address, and the other way round (RFC 8866)."""
        out = SessionDescription.parse(PHONE).rewritten("2001:db8::1", {0: (30000, 30001), 1: (30002, 30003)})
        self.assertEqual(out.count(b"c=IN IP6 2001:db8::1\r\n"), 2)
        back = SessionDescription.parse(out).rewritten("203.0.113.1", {0: (1, 2), 1: (3, 4)})
        self.assertEqual(back.count(b"c=IN IP4 203.0.113.1\r\n"), 2)
        self.assertNotIn(b"IP6", back)

    def test_untouched_line_keeps_the_session_address(self) -> None:
        """An MSRP line that uses the session's c= keeps it; the relayed line gets its own, behind i=."""
        body = (
            HEAD
            + b"m=audio 4000 RTP/AVP 0\r\ni=voice\r\nb=AS:64\r\nm=message 7654 TCP/MSRP *\r\na=path:msrp://x\r\n"
        )
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {0: (30000, 30001)})
        expected = body.replace(b"m=audio 4000", b"m=audio 30000").replace(
            b"i=voice\r\n", b"i=voice\r\nc=IN IP4 203.0.113.1\r\n"
        )
        self.assertEqual(out, expected)

    def test_inserted_at_the_very_end(self) -> None:
        """A c= line is put behind a last line that has no end."""
        body = HEAD + b"m=message 7654 TCP/MSRP *\r\nm=audio 4000 RTP/AVP 0"
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {1: (30000, 30001)})
        self.assertTrue(out.endswith(b"m=audio 30000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1"), out)
        self.assertEqual(media(out)[1].host, "203.0.113.1")

    def test_refused_lines_stay(self) -> None:
        """A line with port 0 is not ours to change, and does not keep the session address."""
        body = HEAD + b"m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {0: (30000, 30001)})
        self.assertIn(b"s=-\r\nc=IN IP4 203.0.113.1\r\n", out)
        self.assertIn(b"m=video 0 RTP/AVP 31\r\n", out)

    def test_null_address_stays(self) -> None:
        """c=0.0.0.0 means hold and must reach the far side (RFC 3264 section 8.4)."""
        body = HEAD.replace(b"192.0.2.5\r\nt", b"0.0.0.0\r\nt") + b"m=audio 4000 RTP/AVP 0\r\n"
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {0: (30000, 30001)})
        self.assertEqual(out, body.replace(b"4000", b"30000"))

    def test_port_count_and_second_address_go(self) -> None:
        """Layers on more ports or groups would lead past the relay: one port, one address."""
        body = HEAD + b"m=video 49170/2 RTP/AVP 31\r\nc=IN IP4 192.0.2.7\r\nc=IN IP4 192.0.2.8\r\na=x\r\n"
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {0: (30000, 30001)})
        self.assertTrue(out.endswith(b"m=video 30000 RTP/AVP 31\r\nc=IN IP4 203.0.113.1\r\na=x\r\n"), out)

    def test_line_end_style_stays(self) -> None:
        """A description with LF stays one with LF."""
        body = PHONE.replace(b"\r\n", b"\n")
        self.assertNotIn(
            b"\r", SessionDescription.parse(body).rewritten("203.0.113.1", {0: (2, 3), 1: (4, 5)})
        )

    def test_octets_that_are_no_text_stay(self) -> None:
        """Latin-1 in a session name, NUL in an attribute and unknown types survive."""
        body = HEAD.replace(b"s=-", b"s=caf\xe9 \xff") + b"m=audio 4000 RTP/AVP 0\r\na=x:\x00\x80\r\ny=?\r\n"
        out = SessionDescription.parse(body).rewritten("203.0.113.1", {0: (30000, 30001)})
        for kept in (b"s=caf\xe9 \xff\r\n", b"a=x:\x00\x80\r\n", b"y=?\r\n"):
            self.assertIn(kept, out)


class HostileTests(SynchronousTestCase):
    def refused(self, body: bytes) -> None:
        error = self.assertRaises(ParseError, SessionDescription.parse, body)
        self.assertEqual(error.status_hint, 488)

    def test_no_description(self) -> None:
        """Anything that does not begin with v= is none."""
        for body in (b"", b"\r\n", b"hello", b"m=audio 4000 RTP/AVP 0\r\n", b"\x00" * 100):
            self.refused(body)

    def test_media_lines(self) -> None:
        """Ports outside 0 to 65535, missing fields and signs are refused."""
        for line in (
            *(
                b"m=audio",
                b"m=audio 4000",
                b"m=audio -1 RTP/AVP 0",
                b"m=audio 65536 RTP/AVP 0",
                b"m= 1 RTP/AVP 0",
            ),
            *(
                b"m=audio 99999999999999999999 RTP/AVP 0",
                b"m=audio 0x10 RTP/AVP 0",
                b"m=audio 4000/0 RTP/AVP 0",
            ),
            *(b"m=audio 4000/-2 RTP/AVP 0", "m=audio ٣٣ RTP/AVP 0".encode(), b"m=audio 4000\tRTP/AVP 0"),
        ):
            self.refused(HEAD + line + b"\r\n")

    def test_connection_lines(self) -> None:
        """No address for a live line, or half of one, is refused."""
        self.refused(b"v=0\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n")
        for line in (b"c=", b"c=IN", b"c=IN IP4", b"c=IN IP4 ", b"c=IN IP4 192.0.2.1 x"):
            self.refused(b"v=0\r\n" + line + b"\r\nm=audio 4000 RTP/AVP 0\r\n")
        self.refused(b"v=0\r\nc=ATM NSAP 47\r\nm=audio 4000 RTP/AVP 0\r\n")

    def test_rtcp_lines(self) -> None:
        """A bad a=rtcp is refused: a phone that follows it would get RTCP from anywhere."""
        for value in (b"", b"0", b"65536", b"-1", b"4001 IN IP4", b"4001 X"):
            self.refused(HEAD + b"m=audio 4000 RTP/AVP 0\r\na=rtcp:" + value + b"\r\n")

    def test_number_of_lines(self) -> None:
        """More than 32 media lines would take ports without end."""
        line = b"m=audio 4000 RTP/AVP 0\r\n"
        self.assertEqual(len(media(HEAD + 32 * line)), 32)
        self.refused(HEAD + 33 * line)

    def test_mutations(self) -> None:
        """Whatever happens to the octets, they are read or refused with 488, and come out in one piece."""
        random = Random(4)
        for _ in range(3000):
            body = bytearray(random.choice((PHONE, WEBRTC)))
            for _ in range(random.randrange(1, 6)):
                at = random.randrange(len(body))
                match random.randrange(4):
                    case 0:
                        body[at] = random.randrange(256)
                    case 1:
                        del body[at : at + random.randrange(40)]
                    case 2:
                        body[at:at] = random.choice(
                            (b"\r\n", b"m=", b"c=", b"a=rtcp:", b"0", b"\x00", b"/2", b" ")
                        )
                    case _:
                        body[at:at] = body[at : at + random.randrange(200)]
                if not body:
                    break
            try:
                description = SessionDescription.parse(bytes(body))
            except ParseError as error:
                self.assertEqual(error.status_hint, 488)
                continue
            ports = {
                n: (30000 + 2 * n, 30001 + 2 * n) for n, line in enumerate(description.media) if line.relayed
            }
            again = SessionDescription.parse(description.rewritten("203.0.113.1", ports)).media
            self.assertEqual(len(again), len(description.media))
            for n, line in enumerate(again):
                if n in ports:
                    self.assertEqual(line.port, ports[n][0])
                    self.assertIn(line.host, ("203.0.113.1", "0.0.0.0"))
                    self.assertEqual((line.rtcp_port, line.rtcp_host), (ports[n][1], line.host))
