"""What the other side reads: our address, ports and candidates, and every other octet as it came."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.test_sdp import HEAD, PHONE, WEBRTC, media
from voipcluster.errors import ParseError
from voipcluster.media.ice import Credentials
from voipcluster.media.rewriting import Shown, rewritten, without_candidates
from voipcluster.media.sdp import Ice, SessionDescription

OURS = Credentials("oUrs", "x" * 22)


def rewrite(body: bytes, host: str, ports: dict[int, tuple[int, int]]) -> bytes:
    """Without ICE."""
    return rewritten(SessionDescription.parse(body), host, {n: Shown(*pair) for n, pair in ports.items()})


def changes(before: bytes, after: bytes) -> tuple[list[bytes], list[bytes]]:
    """Lines that went, lines that came."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return [line for line in old if line not in new], [line for line in new if line not in old]


class RewriteTests(SynchronousTestCase):
    def test_only_addresses_and_ports_change(self) -> None:
        """Every other octet of a phone's description stays."""
        out = rewrite(PHONE, "203.0.113.1", {0: (30000, 30001), 1: (30002, 30003)})
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
        self.assertEqual(rewrite(WEBRTC, "203.0.113.1", {}), WEBRTC)

    def test_ice_goes_keys_stay(self) -> None:
        """Candidates would lead past the relay; fingerprint, setup and crypto pass (RFC 8839, RFC 8122, RFC 4568)."""
        out = rewrite(WEBRTC, "203.0.113.1", {0: (30000, 30001)})
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
        out = rewrite(PHONE, "2001:db8::1", {0: (30000, 30001), 1: (30002, 30003)})
        self.assertEqual(out.count(b"c=IN IP6 2001:db8::1\r\n"), 2)
        back = rewrite(out, "203.0.113.1", {0: (1, 2), 1: (3, 4)})
        self.assertEqual(back.count(b"c=IN IP4 203.0.113.1\r\n"), 2)
        self.assertNotIn(b"IP6", back)

    def test_untouched_line_keeps_the_session_address(self) -> None:
        """An MSRP line that uses the session's c= keeps it; the relayed line gets its own, behind i=."""
        body = (
            HEAD
            + b"m=audio 4000 RTP/AVP 0\r\ni=voice\r\nb=AS:64\r\nm=message 7654 TCP/MSRP *\r\na=path:msrp://x\r\n"
        )
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        expected = body.replace(b"m=audio 4000", b"m=audio 30000").replace(
            b"i=voice\r\n", b"i=voice\r\nc=IN IP4 203.0.113.1\r\n"
        )
        self.assertEqual(out, expected)

    def test_inserted_at_the_very_end(self) -> None:
        """A c= line is put behind a last line that has no end."""
        body = HEAD + b"m=message 7654 TCP/MSRP *\r\nm=audio 4000 RTP/AVP 0"
        out = rewrite(body, "203.0.113.1", {1: (30000, 30001)})
        self.assertTrue(out.endswith(b"m=audio 30000 RTP/AVP 0\r\nc=IN IP4 203.0.113.1"), out)
        self.assertEqual(media(out)[1].host, "203.0.113.1")

    def test_refused_lines_stay(self) -> None:
        """A line with port 0 is not ours to change, and does not keep the session address."""
        body = HEAD + b"m=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        self.assertIn(b"s=-\r\nc=IN IP4 203.0.113.1\r\n", out)
        self.assertIn(b"m=video 0 RTP/AVP 31\r\n", out)

    def test_null_address_stays(self) -> None:
        """c=0.0.0.0 means hold and must reach the far side (RFC 3264 section 8.4)."""
        body = HEAD.replace(b"192.0.2.5\r\nt", b"0.0.0.0\r\nt") + b"m=audio 4000 RTP/AVP 0\r\n"
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        self.assertEqual(out, body.replace(b"4000", b"30000"))

    def test_port_count_and_second_address_go(self) -> None:
        """Layers on more ports or groups would lead past the relay: one port, one address."""
        body = HEAD + b"m=video 49170/2 RTP/AVP 31\r\nc=IN IP4 192.0.2.7\r\nc=IN IP4 192.0.2.8\r\na=x\r\n"
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        self.assertTrue(out.endswith(b"m=video 30000 RTP/AVP 31\r\nc=IN IP4 203.0.113.1\r\na=x\r\n"), out)

    def test_second_address_of_the_session_goes(self) -> None:
        """There is one at most (RFC 8866 section 9); a phone that takes the last one would send past the relay."""
        body = HEAD.replace(b"t=0 0", b"c=IN IP4 192.0.2.8\r\nt=0 0") + b"m=audio 4000 RTP/AVP 0\r\n"
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        self.assertEqual(out.count(b"c="), 1)
        self.assertIn(b"s=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n", out)

    def test_line_end_style_stays(self) -> None:
        """A description with LF stays one with LF."""
        body = PHONE.replace(b"\r\n", b"\n")
        self.assertNotIn(b"\r", rewrite(body, "203.0.113.1", {0: (2, 3), 1: (4, 5)}))

    def test_octets_that_are_no_text_stay(self) -> None:
        """Latin-1 in a session name, NUL in an attribute and unknown types survive."""
        body = HEAD.replace(b"s=-", b"s=caf\xe9 \xff") + b"m=audio 4000 RTP/AVP 0\r\na=x:\x00\x80\r\ny=?\r\n"
        out = rewrite(body, "203.0.113.1", {0: (30000, 30001)})
        for kept in (b"s=caf\xe9 \xff\r\n", b"a=x:\x00\x80\r\n", b"y=?\r\n"):
            self.assertIn(kept, out)


class IceTests(SynchronousTestCase):
    def shown(self, body: bytes, **lines: Shown) -> bytes:
        places = {int(name[1:]): shown for name, shown in lines.items()}
        return rewritten(SessionDescription.parse(body), "203.0.113.1", places, OURS)

    def test_our_agent(self) -> None:
        """One lite agent with one candidate; DTLS, mid and what nobody knows stay in their order."""
        out = self.shown(WEBRTC, m0=Shown(30000, 30001, ice=True))
        kept = [
            line
            for line in WEBRTC.splitlines(keepends=True)
            if b"candidate" not in line and b"a=ice-" not in line
        ]
        ours = b"".join(kept)
        ours = ours.replace(b"m=audio 54609", b"a=ice-lite\r\na=ice-options:ice2\r\nm=audio 30000")
        ours = ours.replace(b"c=IN IP4 198.51.100.1", b"c=IN IP4 203.0.113.1")
        ours = ours.replace(b"a=rtcp:9 IN IP4 0.0.0.0", b"a=rtcp:30001")
        ours += b"a=ice-ufrag:oUrs\r\na=ice-pwd:" + b"x" * 22 + b"\r\n"
        ours += b"a=candidate:1 1 UDP 2130706431 203.0.113.1 30000 typ host\r\n"
        self.assertEqual(out, ours)

    def test_added_to_a_plain_line(self) -> None:
        """A phone without ICE is shown with it to a browser, on one port, also when its last line has no end."""
        out = self.shown(
            (HEAD + b"m=audio 4000 RTP/AVP 0").replace(b"\r\n", b"\n"),
            m0=Shown(30000, 30001, ice=True, mux=True),
        )
        self.assertIn(b"\na=rtcp-mux\r\na=ice-ufrag:oUrs\r\n", out)
        [line] = media(out)
        self.assertEqual((line.rtcp_mux, line.ice, line.ufrag), (True, Ice.LITE, "oUrs"))

    def test_mux_taken_out(self) -> None:
        """Who did not offer one port for both does not hear of it."""
        body = HEAD + b"m=audio 4000 RTP/AVP 0\r\na=rtcp-mux-only\r\na=rtcp-mux\r\na=x\r\n"
        out = self.shown(body, m0=Shown(30000, 30001, mux=False))
        self.assertTrue(out.endswith(b"m=audio 30000 RTP/AVP 0\r\na=x\r\n"), out)

    def test_two_components(self) -> None:
        """Without multiplexing RTCP has a candidate of its own."""
        out = self.shown(HEAD + b"m=audio 4000 RTP/AVP 0\r\n", m0=Shown(30000, 30001, ice=True, components=2))
        self.assertIn(b" 203.0.113.1 30000 typ host\r\na=candidate:1 2 UDP 2130706430 203.0.113.1 30001", out)

    def test_bundle_only(self) -> None:
        """A line without a transport has our fragment, no candidate, and its port 0 stays."""
        body = (
            WEBRTC + b"m=video 0 UDP/TLS/RTP/SAVPF 99\r\na=bundle-only\r\na=ice-ufrag:Oyef\r\na=ice-pwd:x\r\n"
        )
        out = self.shown(body, m0=Shown(30000, 30001, ice=True), m1=Shown(0, 0, ice=True))
        expected = b"m=video 0 UDP/TLS/RTP/SAVPF 99\r\na=bundle-only\r\na=ice-ufrag:oUrs\r\na=ice-pwd:"
        self.assertTrue(out.endswith(expected + b"x" * 22 + b"\r\n"), out)

    def test_trickled(self) -> None:
        """The null address of a line that trickles is replaced: the reader does not trickle with us."""
        body = HEAD.replace(b"c=IN IP4 192.0.2.5\r\n", b"c=IN IP4 0.0.0.0\r\n")
        body += b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=ice-ufrag:abcd\r\na=ice-options:trickle\r\n"
        out = self.shown(body, m0=Shown(30000, 30001, ice=True))
        self.assertIn(b"\r\nc=IN IP4 203.0.113.1\r\n", out)
        self.assertNotIn(b"trickle", out)

    def test_fragment(self) -> None:
        """Of what trickles later, the candidates do not get past the relay (RFC 8840 section 9)."""
        head = b"a=ice-ufrag:8hhY\r\na=ice-pwd:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n"
        tail = b"a=end-of-candidates\r\n"
        candidate = b"a=candidate:1 1 UDP 2130706432 192.0.2.1 4000 typ host\r\n"
        self.assertEqual(without_candidates(head + candidate + tail), head + tail)

    def test_lines_that_are_left_alone(self) -> None:
        """A session-level fragment stays while a line that needs it is not relayed."""
        body = HEAD + b"a=ice-ufrag:sess\r\na=ice-pwd:x\r\n" + b"m=audio 4000 RTP/AVP 0\r\n" * 2
        self.assertIn(b"a=ice-ufrag:sess\r\n", self.shown(body, m0=Shown(30000, 30001)))
        out = self.shown(body, m0=Shown(30000, 30001), m1=Shown(30002, 30003))
        self.assertNotIn(b"ice", out)


class MutationTests(SynchronousTestCase):
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
            again = media(rewrite(bytes(body), "203.0.113.1", ports))
            self.assertEqual(len(again), len(description.media))
            for n, line in enumerate(again):
                if n in ports:
                    self.assertEqual(line.port, ports[n][0])
                    self.assertIn(line.host, ("203.0.113.1", "0.0.0.0"))
                    self.assertEqual((line.rtcp_port, line.rtcp_host), (ports[n][1], line.host))
