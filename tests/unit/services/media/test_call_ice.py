"""Calls with ICE: the relay is the peer of each side that speaks it, and media follows its checks (RFC 8445, RFC 8839)."""

from __future__ import annotations

import json
import re

from tests.unit.services.media.media_case import ALICE, BOB, CALL, NODE, RTP, A, B, MediaTestCase, audio, sdp
from voipcluster.address import Hop
from voipcluster.media import stun
from voipcluster.media.sdp import Ice, SessionDescription
from voipcluster.media.target import Address
from voipcluster.services.media.saved import (
    CONVERTER,
    Latches,
    SavedMedia,
    Traffic,
    latches_of,
    saved,
    traffic_of,
)

REPORT = b"\x80\xc9\x00\x01ssrc"
DTLS = b"\x16\xfe\xff" + bytes(20)
WIFI, MOBILE = Address(ALICE, 4000), Address("192.0.2.77", 4400)
BOBS = Address(BOB, 5000)
STRANGER = Address("203.0.113.66", 6)


def browser(host: str, port: int, ufrag: str, *more: str, kind: str = "audio", mid: int = 0) -> list[str]:
    """A media section as Chromium writes it."""
    return [
        f"m={kind} {port} UDP/TLS/RTP/SAVPF 111",
        *("a=rtcp:9 IN IP4 0.0.0.0", f"a=candidate:1 1 udp 2122260223 {host} {port} typ host"),
        *(f"a=ice-ufrag:{ufrag}", "a=ice-pwd:" + "p" * 24, "a=ice-options:trickle"),
        *("a=fingerprint:sha-256 AA:BB", "a=setup:actpass", f"a=mid:{mid}", "a=rtcp-mux", *more),
    ]


class IceTestCase(MediaTestCase):
    def credentials(self, body: bytes) -> tuple[str, bytes]:
        """What the relay told: its fragment and password."""
        ufrag, password = (
            re.search(rb"^a=ice-%s:(\S+)\r$" % name, body, re.M) for name in (b"ufrag", b"pwd")
        )
        assert ufrag is not None and password is not None, body
        return ufrag[1].decode(), password[1]

    def check(
        self,
        told: bytes,
        to: Address,
        source: Address,
        ufrag: str,
        *,
        nominates: bool = True,
        priority: int = 9,
    ) -> int | None:
        """An ICE check of an agent that read C{told}; the kind of STUN message that came back."""
        ours, password = self.credentials(told)
        attributes = [
            (stun.USERNAME, f"{ours}:{ufrag}".encode()),
            (stun.PRIORITY, priority.to_bytes(4, "big")),
        ]
        attributes += [(stun.USE_CANDIDATE, b"")] if nominates else []
        sock = self.network.sockets[to]
        sock.sent.clear()
        self.network.deliver(stun.binding_request(bytes(12), attributes, password), source, to)
        answers = [datagram for datagram, receiver in sock.sent if receiver == source]
        sock.sent.clear()
        return stun.read_stun(answers[0]).kind if answers else None

    def heard(self, datagram: bytes, source: Address, to: Address) -> list[Address]:
        """Where a datagram from outside gets to."""
        self.network.sent()
        self.network.deliver(datagram, source, to)
        return [receiver for _, receiver in self.network.sent()]

    def lines(self, body: bytes) -> list[tuple[int, Ice, bool]]:
        return [(line.port, line.ice, line.rtcp_mux) for line in SessionDescription.parse(body).media]

    def call(self, answer: bytes | None = None, offer: bytes | None = None) -> tuple[bytes, bytes]:
        """A call between two browsers; what Bob and what Alice were told."""
        for_bob = self.passes(A, "INVITE", offer or sdp(ALICE, *browser(ALICE, 4000, "alic")))
        for_alice = self.passes(B, "INVITE", answer or sdp(BOB, *browser(BOB, 5000, "bobs")), 200)
        self.passes(A, "ACK")
        return for_bob, for_alice


class RelayTests(IceTestCase):
    def test_both_speak_ice(self) -> None:
        """Each side has the relay for its peer, as a lite agent with its own secret; DTLS and SRTP pass."""
        for_bob, for_alice = self.call()
        for told in (for_bob, for_alice):
            [(_, ice, mux)] = self.lines(told)
            self.assertEqual((ice, mux), (Ice.LITE, True))
            self.assertIn(b"a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n", told)
            self.assertEqual(told.count(b"a=candidate:"), 1)
            self.assertNotIn(b"trickle", told)
        self.assertNotEqual(self.credentials(for_bob), self.credentials(for_alice))
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.assertEqual(self.check(for_alice, to_alice, WIFI, "alic"), stun.BINDING_SUCCESS)
        self.assertEqual(self.check(for_bob, to_bob, BOBS, "bobs"), stun.BINDING_SUCCESS)
        for datagram in (RTP, REPORT, DTLS):
            self.assertEqual(self.heard(datagram, WIFI, to_alice), [BOBS])
            self.assertEqual(self.heard(datagram, BOBS, to_bob), [WIFI])
        [call] = self.media.calls()
        assert call.streams[0].caller is not None
        self.assertEqual((call.streams[0].caller.latched, call.streams[0].caller.packets), (True, 3))

    def test_only_checks_open_the_way(self) -> None:
        """Signalled or not, before its check nobody is heard and nobody hears (attack M6: the DTLS race)."""
        for_bob, for_alice = self.call()
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        for source in (WIFI, STRANGER):
            for datagram in (DTLS, RTP):
                self.assertEqual(self.heard(datagram, source, to_alice), [])
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [])
        self.assertIsNone(self.check(for_bob, to_alice, STRANGER, "alic"), "with the other side's password")
        self.check(for_alice, to_alice, WIFI, "alic")
        self.assertEqual(self.heard(DTLS, STRANGER, to_alice), [])
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])

    def test_stun_ends_here(self) -> None:
        """Checks are not passed on, neither good ones nor bad ones, before and after the nomination."""
        for_bob, for_alice = self.call()
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        for _ in range(2):
            self.assertEqual(self.check(for_alice, to_alice, WIFI, "alic"), stun.BINDING_SUCCESS)
            self.assertEqual(self.heard(stun.binding_request(bytes(12), [], b"x"), WIFI, to_alice), [])
        self.assertEqual(self.network.sockets[to_bob].sent, [])

    def test_check_before_the_answer(self) -> None:
        """The callee's checks overtake its 200: they are answered, and count once it is here."""
        for_bob = self.passes(A, "INVITE", sdp(ALICE, *browser(ALICE, 4000, "alic")))
        to_bob = self.address(for_bob)
        self.assertEqual(self.check(for_bob, to_bob, BOBS, "bobs"), stun.BINDING_SUCCESS)
        self.assertEqual(self.check(for_bob, to_bob, STRANGER, "fork"), stun.BINDING_SUCCESS)
        for_alice = self.passes(B, "INVITE", sdp(BOB, *browser(BOB, 5000, "bobs")), 200)
        to_alice = self.address(for_alice)
        self.check(for_alice, to_alice, WIFI, "alic")
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [BOBS])

    def test_other_network(self) -> None:
        """A caller that goes from Wi-Fi to a mobile network is followed by its checks, without signalling."""
        for_bob, for_alice = self.call()
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        self.check(for_alice, to_alice, WIFI, "alic")
        self.check(for_alice, to_alice, MOBILE, "alic", nominates=False)
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])
        self.clock.advance(10)
        self.check(for_alice, to_alice, MOBILE, "alic", priority=1)
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [MOBILE])
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [])

    def test_restart(self) -> None:
        """New fragments get new ones in return; media flows on until the new agent has nominated (RFC 8445 section 9)."""
        for_bob, for_alice = self.call()
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        self.check(for_alice, to_alice, WIFI, "alic")
        again = self.passes(A, "INVITE", sdp(ALICE, *browser(ALICE, 4000, "ali2")), cseq=2)
        self.assertEqual(self.credentials(again), self.credentials(for_bob), "Bob's agent goes on")
        answer = self.passes(B, "INVITE", sdp(BOB, *browser(BOB, 5000, "bobs")), 200, 2)
        self.assertNotEqual(self.credentials(answer), self.credentials(for_alice))
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])
        self.check(for_alice, to_alice, MOBILE, "alic")
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI], "a check of the former agent")
        self.check(answer, to_alice, MOBILE, "ali2")
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [MOBILE])

    def test_refused_restart(self) -> None:
        """After a refusal the former credentials are those that the next answer has."""
        _, for_alice = self.call()
        self.passes(A, "INVITE", sdp(ALICE, *browser(ALICE, 4000, "ali2")), cseq=2)
        self.passes(B, "INVITE", b"", 488, 2)
        self.passes(A, "INVITE", sdp(ALICE, *browser(ALICE, 4000, "alic")), cseq=3)
        answer = self.passes(B, "INVITE", sdp(BOB, *browser(BOB, 5000, "bobs")), 200, 3)
        self.assertEqual(self.credentials(answer), self.credentials(for_alice))

    def test_trickled(self) -> None:
        """Candidates may come later or never: the relay needs none of them. The null address is no hold."""
        line = [text for text in browser("0.0.0.0", 9, "alic") if "candidate" not in text]
        for_bob, for_alice = self.call(offer=sdp("0.0.0.0", *line))
        self.assertEqual(self.address(for_bob).host, NODE)
        self.assertFalse(self.media.calls()[0].held)
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        self.check(for_alice, to_alice, WIFI, "alic")
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])
        fragment = b"a=mid:0\r\na=candidate:1 1 udp 1 198.51.100.7 4000 typ host\r\n"
        out = self.passes(A, "INFO", fragment, cseq=5, content_type="application/trickle-ice-sdpfrag")
        self.assertEqual(out, b"a=mid:0\r\n")
        self.assertIs(
            self.passes(A, "INFO", b"Signal=5", cseq=6, content_type="application/dtmf-relay"), b"Signal=5"
        )

    def test_lite_peer(self) -> None:
        """Against another lite agent nobody checks: media goes where the description says (RFC 8445 section 6.1.1)."""
        lite = sdp(BOB, *browser(BOB, 5000, "bobs")).replace(b"t=0 0\r\n", b"t=0 0\r\na=ice-lite\r\n")
        for_bob, for_alice = self.call(lite)
        self.check(for_alice, self.address(for_alice), WIFI, "alic")
        self.assertEqual(self.heard(RTP, WIFI, self.address(for_alice)), [BOBS])
        self.assertEqual(self.heard(RTP, BOBS, self.address(for_bob)), [WIFI])

    def test_forbidden_source(self) -> None:
        """A check from one of our own ports, or from loopback, aims nothing (attack M7)."""
        for_bob, for_alice = self.call()
        to_alice = self.address(for_alice)
        for source in (self.address(for_bob), Address("127.0.0.1", 4000)):
            self.check(for_alice, to_alice, source, "alic")
            self.assertEqual(self.heard(RTP, source, to_alice), [])

    def test_two_components(self) -> None:
        """Without multiplexing the second port has its own checks (RFC 8445 section 5.1.1.1)."""
        offer, answer = (
            sdp(
                host,
                *("m=audio 4000 RTP/AVP 0", f"a=ice-ufrag:{name}", "a=ice-pwd:" + "p" * 22),
                *(f"a=candidate:1 {n} UDP 1 {host} 400{n} typ host" for n in (1, 2)),
            )
            for host, name in ((ALICE, "alic"), (BOB, "bobs"))
        )
        for_bob, for_alice = self.call(answer, offer)
        self.assertEqual([told.count(b"a=candidate:") for told in (for_bob, for_alice)], [2, 2])
        odd = Address(NODE, self.address(for_alice).port + 1)
        odd_bob = Address(NODE, self.address(for_bob).port + 1)
        self.check(for_alice, odd, Address(ALICE, 4001), "alic")
        self.check(for_bob, odd_bob, Address(BOB, 4001), "bobs")
        self.assertEqual(self.heard(REPORT, Address(ALICE, 4001), odd), [Address(BOB, 4001)])


class MixedTests(IceTestCase):
    def test_browser_calls_phone(self) -> None:
        """A phone without ICE: the browser gets it from us, the phone's answer is what it would be; RTCP is joined."""
        for_bob, for_alice = self.call(audio(BOB, 5000))
        self.assertEqual(self.lines(for_alice)[0][1:], (Ice.LITE, True))
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_alice, to_alice, WIFI, "alic")
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [BOBS])
        self.assertEqual(self.heard(REPORT, WIFI, to_alice), [Address(BOB, 5001)])
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])
        self.assertEqual(self.heard(REPORT, Address(BOB, 5001), Address(NODE, to_bob.port + 1)), [WIFI])
        # the phone's own offer, later, is one that the browser can take
        again = self.passes(B, "INVITE", audio(BOB, 5000, "a=sendonly"), cseq=9)
        self.assertEqual(self.lines(again)[0][1:], (Ice.LITE, True))
        self.assertEqual(self.credentials(again), self.credentials(for_alice))
        answer = self.passes(A, "INVITE", sdp(ALICE, *browser(ALICE, 4000, "alic")), 200, 9)
        self.assertEqual(self.lines(answer)[0][1:], (Ice.NONE, False))
        self.assertNotIn(b"candidate", answer)

    def test_phone_calls_browser(self) -> None:
        """Over WebSocket a call is offered with ICE and on one port; the phone's answer has neither."""
        for_bob = self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("WSS", BOB, 50000))
        self.assertEqual(self.lines(for_bob)[0][1:], (Ice.LITE, True))
        for_alice = self.passes(B, "INVITE", sdp(BOB, *browser(BOB, 5000, "bobs")), 200)
        self.assertEqual(self.lines(for_alice)[0][1:], (Ice.NONE, False))
        for what in (b"ice-", b"candidate"):
            self.assertNotIn(what, for_alice)
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [BOBS])
        self.assertEqual(self.heard(REPORT, Address(ALICE, 4001), Address(NODE, to_alice.port + 1)), [BOBS])
        self.assertEqual(self.heard(REPORT, BOBS, to_bob), [Address(ALICE, 4001)])

    def test_phones_hear_nothing_of_ice(self) -> None:
        """Between phones nothing is added."""
        for_bob = self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("UDP", BOB, 5060))
        self.assertNotIn(b"ice", for_bob)

    def test_from_ice_to_none(self) -> None:
        """A side that moves to a device without ICE is latched by its description again."""
        for_bob, for_alice = self.call()
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_bob, to_bob, BOBS, "bobs")
        self.check(for_alice, to_alice, WIFI, "alic")
        self.passes(A, "INVITE", audio(ALICE, 4444), cseq=2)
        self.passes(B, "INVITE", sdp(BOB, *browser(BOB, 5000, "bobs")), 200, 2)
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [Address(ALICE, 4444)])
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [BOBS], "still in the window")
        self.assertEqual(self.heard(RTP, Address(ALICE, 4444), to_alice), [BOBS])
        self.assertEqual(self.heard(RTP, WIFI, to_alice), [])


class OtherPoliciesTests(IceTestCase):
    def again(self, ice: str) -> None:
        self.media.stopService()
        self.media = self.service(ice=ice)

    def test_pass(self) -> None:
        """Lines with ICE are not relayed: both find their way; lines without are."""
        self.again("pass")
        offer = sdp(ALICE, *browser(ALICE, 4000, "alic"), "m=audio 4002 RTP/AVP 0")
        out = self.passes(A, "INVITE", offer)
        self.assertEqual(out.count(b"candidate"), 1)
        self.assertIn(b"a=ice-ufrag:alic\r\n", out)
        self.assertEqual(self.address(out, 0), WIFI)
        self.assertEqual(self.address(out, 1).host, NODE)
        answer = sdp(BOB, *browser(BOB, 5000, "bobs"), "m=audio 5002 RTP/AVP 0")
        out = self.passes(B, "INVITE", answer, 200)
        self.assertEqual((self.address(out, 0), self.address(out, 1).host), (BOBS, NODE))
        self.assertEqual(len(self.media.calls()[0].streams), 1)

    def test_pass_and_an_answer_without(self) -> None:
        """An answer without ICE to a line that was passed is passed, too: half a relay would be none."""
        self.again("pass")
        offer, answer = sdp(ALICE, *browser(ALICE, 4000, "alic")), audio(BOB, 5000)
        self.assertIs(self.passes(A, "INVITE", offer), offer)
        self.assertIs(self.passes(B, "INVITE", answer, 200), answer)
        self.assertEqual(self.network.open_numbers(), [])

    def test_remove(self) -> None:
        """Nobody hears of ICE, and media is latched as between phones."""
        self.again("remove")
        for_bob, for_alice = self.call()
        for told in (for_bob, for_alice):
            for what in (b"candidate", b"a=ice-"):
                self.assertNotIn(what, told)
        self.assertEqual(self.heard(RTP, WIFI, self.address(for_alice)), [BOBS])


class BundleTests(IceTestCase):
    """RFC 9143: one transport for several lines."""

    def body(self, host: str, *sections: list[str]) -> bytes:
        group = "a=group:BUNDLE " + " ".join(str(n) for n in range(len(sections)))
        return sdp(host, group, *(line for section in sections for line in section))

    def test_audio_and_video(self) -> None:
        """Offered on two ports, answered on one: the other is freed, and both sides use the first."""
        offer = self.body(
            ALICE, browser(ALICE, 4000, "alic"), browser(ALICE, 4002, "alic", kind="video", mid=1)
        )
        answer = self.body(BOB, browser(BOB, 5000, "bobs"), browser(BOB, 5000, "bobs", kind="video", mid=1))
        for_bob, for_alice = self.call(answer, offer)
        first, second = (line[0] for line in self.lines(for_bob))
        self.assertNotEqual(first, second)
        [one, other] = (line[0] for line in self.lines(for_alice))
        self.assertEqual(one, other)
        self.assertEqual(len(self.network.open_numbers()), 4, "one line, a pair for each side")
        self.check(for_bob, self.address(for_bob), BOBS, "bobs")
        self.check(for_alice, self.address(for_alice), WIFI, "alic")
        self.assertEqual(self.heard(RTP, WIFI, self.address(for_alice, 1)), [BOBS])
        # from now on the lines have one address, in offers as well
        again = self.passes(B, "INVITE", answer, cseq=9)
        [one, other] = (line[0] for line in self.lines(again))
        self.assertEqual(one, other)

    def test_bundle_only(self) -> None:
        """A line that is offered without a port of its own is answered with that of its group."""
        video = browser(ALICE, 0, "alic", "a=bundle-only", kind="video", mid=1)
        offer = self.body(ALICE, browser(ALICE, 4000, "alic"), video)
        answer = self.body(BOB, browser(BOB, 5000, "bobs"), browser(BOB, 5000, "bobs", kind="video", mid=1))
        for_bob, for_alice = self.call(answer, offer)
        self.assertEqual(self.lines(for_bob)[1][:2], (0, Ice.LITE))
        self.assertNotIn(b"ice-ufrag:alic", for_bob)
        [one, other] = (line[0] for line in self.lines(for_alice))
        self.assertEqual(one, other)

    def test_not_bundled(self) -> None:
        """An answerer that knows no BUNDLE gets, and has, two lines."""
        offer = self.body(
            ALICE, browser(ALICE, 4000, "alic"), browser(ALICE, 4002, "alic", kind="video", mid=1)
        )
        answer = sdp(BOB, "m=audio 5000 RTP/SAVPF 111", "m=video 5002 RTP/SAVPF 99")
        _, for_alice = self.call(answer, offer)
        [one, other] = (line[0] for line in self.lines(for_alice))
        self.assertNotEqual(one, other)
        self.check(for_alice, self.address(for_alice, 1), WIFI, "alic")
        self.assertEqual(self.heard(RTP, WIFI, self.address(for_alice, 1)), [Address(BOB, 5002)])


class RestartTests(IceTestCase):
    def test_adopted(self) -> None:
        """A later process knows the passwords, goes on with what was nominated, and hears nobody else."""
        for_bob, for_alice = self.call(audio(BOB, 5000))
        to_bob, to_alice = self.address(for_bob), self.address(for_alice)
        self.check(for_alice, to_alice, WIFI, "alic")
        relayed = self.media.relayed(CALL)
        assert relayed is not None
        parts = saved(relayed), latches_of(relayed), traffic_of(relayed)
        table = json.loads(json.dumps([CONVERTER.unstructure(part) for part in parts]))
        self.media.stopService()
        self.media = self.service()
        journal = (
            CONVERTER.structure(table[0], SavedMedia),
            CONVERTER.structure(table[1], Latches),
            CONVERTER.structure(table[2], Traffic),
        )
        self.assertEqual(self.media.adopt({CALL: journal}), {})
        self.assertEqual(self.heard(RTP, STRANGER, to_alice), [])
        self.assertEqual(self.heard(REPORT, WIFI, to_alice), [Address(BOB, 5001)])
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [WIFI])
        self.assertEqual(self.check(for_alice, to_alice, MOBILE, "alic"), stun.BINDING_SUCCESS)
        self.assertEqual(self.heard(RTP, BOBS, to_bob), [MOBILE])
        again = self.passes(B, "INVITE", audio(BOB, 5000), cseq=9)
        self.assertEqual(self.credentials(again), self.credentials(for_alice))
