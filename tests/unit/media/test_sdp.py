"""Descriptions from real and hostile phones (RFC 8866, RFC 3264, RFC 3605): what is read, and what stays as it came."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.media.sdp import Direction, Ice, MediaLine, SessionDescription, Transport

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

    def test_rtcp_mux_alone(self) -> None:
        """No port for RTCP: a=rtcp-mux-only (RFC 8858), or ICE candidates of the first component alone."""
        lines = b"m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n"
        ice = b"a=ice-ufrag:abcd\r\na=candidate:1 1 UDP 1 192.0.2.5 4000 typ host\r\n"
        second = b"a=candidate:1 2 UDP 1 192.0.2.5 4001 typ host\r\n"
        for body, expected in (
            (lines, False),
            (lines + b"a=rtcp-mux-only\r\n", True),
            (lines + ice, True),
            (lines + ice + second, False),
        ):
            self.assertEqual(media(HEAD + body)[0].mux_only, expected, body)

    def test_ice(self) -> None:
        """Who checks, and under which fragment; of the line, else of the session (RFC 8839 sections 5.3 and 5.4)."""
        line = b"m=audio 4000 RTP/AVP 0\r\n"
        for body, expected in (
            (HEAD + line, (Ice.NONE, "")),
            (HEAD + b"a=ice-ufrag:sess\r\n" + line, (Ice.FULL, "sess")),
            (HEAD + b"a=ice-ufrag:sess\r\n" + line + b"a=ice-ufrag:line\r\n", (Ice.FULL, "line")),
            (HEAD + b"a=ice-lite\r\na=ice-ufrag:sess\r\n" + line, (Ice.LITE, "sess")),
            (HEAD + line + b"a=ice-ufrag:no\r\n", (Ice.NONE, "")),
            (HEAD + line + b"a=ice-ufrag:caf\xe9\r\n", (Ice.NONE, "")),
        ):
            self.assertEqual((media(body)[0].ice, media(body)[0].ufrag), expected, body)

    def test_trickled_is_not_held(self) -> None:
        """With ICE the null address says that candidates follow (RFC 8840 section 4.1.1), without it means hold."""
        body = b"v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n"
        self.assertEqual([media(body)[0].muted, media(body)[0].held], [True, True])
        line = media(body + b"a=ice-ufrag:abcd\r\n")[0]
        self.assertEqual([line.muted, line.held], [False, False])

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


BUNDLE = HEAD + b"a=group:LS 0 2\r\na=group:BUNDLE 0 1 2\r\n"


class BundleTests(SynchronousTestCase):
    """RFC 9143 sections 7.2 and 7.3."""

    def owners(self, body: bytes, *, answer: bool) -> dict[int, int]:
        return SessionDescription.parse(body).owners(answer=answer)

    def lines(self, *ports: int, host: bytes = b"192.0.2.5") -> bytes:
        line = b"m=audio %d RTP/AVP 0\r\nc=IN IP4 %s\r\na=mid:%d\r\n"
        return BUNDLE + b"".join(line % (port, host, n) for n, port in enumerate(ports))

    def test_first_offer(self) -> None:
        """Lines with addresses of their own may be taken alone."""
        self.assertEqual(self.owners(self.lines(4000, 4002, 4004), answer=False), {})

    def test_later_offer(self) -> None:
        """Lines with one address are one transport; a new one is not yet."""
        self.assertEqual(self.owners(self.lines(4000, 4000, 4004), answer=False), {1: 0})

    def test_answer(self) -> None:
        """All live lines of the group use the first one that is live, whatever their ports say."""
        self.assertEqual(self.owners(self.lines(4000, 9, 4000), answer=True), {1: 0, 2: 0})
        self.assertEqual(self.owners(self.lines(0, 4000, 4000), answer=True), {2: 1})

    def test_placeholders_are_no_address(self) -> None:
        """Port 9 of the null address is none that lines share (RFC 8840 section 4.1.1)."""
        self.assertEqual(self.owners(self.lines(9, 9, 9, host=b"0.0.0.0"), answer=False), {})

    def test_without_group(self) -> None:
        """The same port twice without a group is the phone's affair; a group may name what is not there, or a line twice."""
        body = self.lines(4000, 4000).replace(b"a=group:BUNDLE 0 1 2\r\n", b"")
        self.assertEqual(self.owners(body, answer=True), {})
        self.assertEqual(self.owners(self.lines(4000).replace(b"0 1 2", b"7 0 0 8"), answer=True), {})

    def test_bundle_only(self) -> None:
        """Port 0 with a=bundle-only refuses nothing."""
        body = self.lines(4000, 0, 0) + b"a=bundle-only\r\n"
        self.assertEqual(SessionDescription.parse(body).bundle_only(), [2])


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
