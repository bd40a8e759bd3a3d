"""Lines that come, go and come back in a call, offers that are late, and what of a body stays as it was (RFC 3264, RFC 3262)."""

from __future__ import annotations

from tests.unit.services.media.media_case import ALICE, BOB, RTP, A, B, MediaTestCase, audio, sdp
from voipcluster.media.sdp import SessionDescription
from voipcluster.media.target import Address

AUDIO, VIDEO = "m=audio {} RTP/AVP 0", "m=video {} RTP/AVPF 96"


class LineTests(MediaTestCase):
    def heard(self, source: Address, to: Address) -> list[Address]:
        self.network.sent()
        self.network.deliver(RTP, source, to)
        return [receiver for _, receiver in self.network.sent()]

    def both(self, audio_port: int, video_port: int, host: str) -> bytes:
        return sdp(host, AUDIO.format(audio_port), VIDEO.format(video_port))

    def reinvite(self, cseq: int, alice: bytes, bob: bytes) -> tuple[bytes, bytes]:
        """What Bob and what Alice got."""
        return self.passes(A, "INVITE", alice, cseq=cseq), self.passes(B, "INVITE", bob, 200, cseq)

    def test_video_comes_and_goes(self) -> None:
        """A line that a re-INVITE adds is relayed; set to port 0 its ports are free, the other line goes on."""
        for_alice, _ = self.establish()
        _, answer = self.reinvite(2, self.both(4000, 4002, ALICE), self.both(5000, 5002, BOB))
        self.assertEqual(self.address(answer), for_alice)
        self.assertEqual(self.heard(Address(ALICE, 4002), self.address(answer, 1)), [Address(BOB, 5002)])
        self.assertEqual(len(self.network.open_numbers()), 8)
        offer, answer = self.reinvite(3, self.both(4000, 0, ALICE), self.both(5000, 0, BOB))
        self.assertEqual([line.port for line in SessionDescription.parse(offer).media][1:], [0])
        self.assertEqual(len(self.network.open_numbers()), 4)
        self.assertEqual(self.heard(Address(ALICE, 4000), self.address(answer)), [Address(BOB, 5000)])

    def test_video_comes_back(self) -> None:
        """A line that was off may be used again, at other addresses (RFC 3264 section 8.2)."""
        self.reinvite(1, self.both(4000, 4002, ALICE), self.both(5000, 5002, BOB))
        self.reinvite(2, self.both(4000, 0, ALICE), self.both(5000, 0, BOB))
        _, answer = self.reinvite(3, self.both(4000, 4444, ALICE), self.both(5000, 5555, BOB))
        self.assertEqual(self.heard(Address(ALICE, 4444), self.address(answer, 1)), [Address(BOB, 5555)])

    def test_refused_addition(self) -> None:
        """A re-INVITE that is refused takes the line that it would have added with it (RFC 3261 section 14.1)."""
        for_alice, _ = self.establish()
        self.passes(A, "INVITE", self.both(4000, 4002, ALICE), cseq=2)
        self.assertEqual(len(self.network.open_numbers()), 8)
        self.passes(B, "INVITE", status=488, cseq=2)
        self.assertEqual(len(self.network.open_numbers()), 4)
        self.assertEqual(self.heard(Address(ALICE, 4000), for_alice), [Address(BOB, 5000)])

    def test_declined_addition(self) -> None:
        """An added line that the answer declines is not relayed, and the declined line passes as port 0."""
        self.establish()
        _, answer = self.reinvite(2, self.both(4000, 4002, ALICE), self.both(5000, 0, BOB))
        self.assertEqual(self.address(answer, 1).port, 0)
        self.assertEqual(len(self.network.open_numbers()), 4)

    def test_offer_in_183_answer_in_prack(self) -> None:
        """An offer in a reliable 183 and its answer in the PRACK are media before anybody has answered (RFC 3262 section 5)."""
        self.passes(A, "INVITE")
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 183))
        for_bob = self.address(self.passes(A, "PRACK", audio(ALICE, 4000), cseq=2))
        self.passes(B, "PRACK", status=200, cseq=2)
        self.assertEqual(self.heard(Address(ALICE, 4000), for_alice), [Address(BOB, 5000)])
        self.assertEqual(self.heard(Address(BOB, 5000), for_bob), [Address(ALICE, 4000)])
        self.passes(B, "INVITE", status=200)
        self.assertEqual(self.heard(Address(BOB, 5000), for_bob), [Address(ALICE, 4000)])

    def test_inactive_and_back(self) -> None:
        """Hold by a=inactive, and the resume: the same ports, the same latches (RFC 6337 section 5.3)."""
        for_alice, for_bob = self.establish()
        self.heard(Address(BOB, 5000), for_bob)
        self.reinvite(2, audio(ALICE, 4000, "a=inactive"), audio(BOB, 5000, "a=inactive"))
        self.assertTrue(self.media.calls()[0].held)
        offer, answer = self.reinvite(3, audio(ALICE, 4000), audio(BOB, 5000))
        self.assertEqual((self.address(answer), self.address(offer)), (for_alice, for_bob))
        self.assertFalse(self.media.calls()[0].held)
        self.assertEqual(self.heard(Address(BOB, 5000), for_bob), [Address(ALICE, 4000)])


class UntouchedTests(MediaTestCase):
    def test_every_other_line_stays(self) -> None:
        """Bandwidths, formats, feedback, keys, fax parameters, MSRP and what nobody knows: octet for octet, in order."""
        lines = [
            *("b=AS:2048", "m=audio 4000 RTP/SAVP 0 8", "b=TIAS:64000", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVC"),
            *("m=video 4002 UDP/TLS/RTP/SAVPF 96 97", "b=AS:1500", "a=fingerprint:sha-256 AA:BB", "a=setup:actpass"),
            *("a=rtcp-fb:* nack pli", "a=rtcp-fb:96 transport-cc", "a=fmtp:97 profile-level-id=42e01f", "a=rid:hi send"),
            *("m=image 4004 udptl t38", "a=T38FaxVersion:0", "a=T38FaxUdpEC:t38UDPRedundancy"),
            *("m=message 4006 TCP/MSRP *", "a=path:msrp://198.51.100.7:4006/s;tcp", "a=x-unknown:  two  blanks "),
        ]  # fmt: skip
        body = sdp(ALICE, *lines)
        out = self.passes(A, "INVITE", body)
        # the session's c= stays for MSRP, so each relayed line has one of its own
        own = [line for line in out.splitlines() if line == b"c=IN IP4 192.0.2.1"]
        rest = [line for line in out.splitlines() if line != b"c=IN IP4 192.0.2.1"]
        self.assertEqual(len(own), 3)
        before = body.splitlines()
        self.assertEqual(len(rest), len(before))
        for old, new in zip(before, rest, strict=True):
            if old.startswith(b"m=") and b"MSRP" not in old:
                self.assertEqual(old.split()[2:], new.split()[2:])
                self.assertNotEqual(old, new)
            else:
                self.assertEqual(old, new)

    def test_multipart(self) -> None:
        """In a multipart body the description alone changes (RFC 5621)."""
        head = b"--b\r\nContent-Type: application/sdp\r\n\r\n"
        tail = b"\r\n--b\r\nContent-Type: application/isup\r\n\r\n\x01\x00\xff--\r\n--b--\r\n"
        out = self.passes(
            A, "INVITE", head + audio(ALICE, 4000) + tail, content_type="multipart/mixed; boundary=b"
        )
        self.assertTrue(out.startswith(head) and out.endswith(tail), out)
        self.assertEqual(self.address(out[len(head) : -len(tail)]).host, "192.0.2.1")
