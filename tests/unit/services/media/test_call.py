"""The media of one call: what each message of it opens, aims, moves and frees."""

from __future__ import annotations

from tests.unit.services.media.media_case import (
    ALICE,
    BOB,
    CALL,
    NODE,
    NODE6,
    RTP,
    A,
    B,
    MediaTestCase,
    audio,
    sdp,
)
from voipcluster.address import Hop
from voipcluster.errors import PeerError
from voipcluster.media.sdp import SessionDescription
from voipcluster.media.target import Address
from voipcluster.services.media.call import MAX_FORKS
from voipcluster.services.media.relay import CallKey, RelayAddress


class NegotiationTests(MediaTestCase):
    def test_both_ways(self) -> None:
        """Offer in INVITE, answer in 200: media goes from each relay port to the other party (RFC 3665 section 3.5)."""
        for_alice, for_bob = self.establish()
        self.assertEqual((for_alice.host, for_bob.host), (NODE, NODE))
        self.assertEqual(len({for_alice.port, for_bob.port}), 2)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual(
            sorted(self.network.sent()),
            sorted([(for_bob, Address(BOB, 5000)), (for_alice, Address(ALICE, 4000))]),
        )

    def test_early_media_before_any_answer(self) -> None:
        """Bob's media reaches Alice after his 183, and hers him (RFC 3666 section 2.1)."""
        for_bob = self.address(self.passes(A, "INVITE", audio(ALICE, 4000)))
        self.passes(B, "INVITE", audio(BOB, 5000), 183)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4000)])

    def test_nobody_is_heard_before_the_answer(self) -> None:
        """Before Bob described himself nothing from his side is forwarded (attack M3)."""
        for_bob = self.address(self.passes(A, "INVITE", audio(ALICE, 4000)))
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual(self.network.sent(), [])

    def test_offer_in_200_answer_in_ack(self) -> None:
        """Pattern 2 of RFC 6337 section 2.1; RFC 3665 section 3.6."""
        self.assertEqual(self.passes(A, "INVITE"), b"")
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        for_bob = self.address(self.passes(A, "ACK", audio(ALICE, 4000)))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual({to for _, to in self.network.sent()}, {Address(BOB, 5000), Address(ALICE, 4000)})

    def test_copies_are_translated_alike(self) -> None:
        """Retransmissions and other branches get the same octets and no more ports."""
        first = self.passes(A, "INVITE", audio(ALICE, 4000))
        self.assertEqual(self.passes(A, "INVITE", audio(ALICE, 4000)), first)
        answer = self.passes(B, "INVITE", audio(BOB, 5000), 200)
        self.assertEqual(self.passes(B, "INVITE", audio(BOB, 5000), 200), answer)
        self.assertEqual(len(self.network.open_numbers()), 4)

    def test_two_forks(self) -> None:
        """Early media of the last fork that rang, then of the one that answered (RFC 3261 section 13.2.2.4)."""
        other = "203.0.113.10"
        for_alice = self.address(self.passes(A, "INVITE", audio(ALICE, 4000)))
        self.passes(B, "INVITE", audio(BOB, 5000), 183, to_tag="x")
        for_alice = self.address(self.passes(B, "INVITE", audio(other, 6000), 183, to_tag="y"))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(other, 6000)])
        self.passes(B, "INVITE", status=200, to_tag="x")
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])
        self.passes(B, "INVITE", audio(other, 6000), 200, to_tag="y")
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])

    def test_answer_that_was_not_heard(self) -> None:
        """
        An early answer that did not go on: what the 2xx says is the answer then, and a 2xx that says nothing is of no use, since
        its phone believes that it was heard (RFC 3262 section 5). Another fork has nothing to do with that.
        """
        for status, method in ((183, "INVITE"), (200, "UPDATE")):
            call = CallKey(f"c{method}", "t")
            self.passes(A, "INVITE", audio(ALICE, 4000), call=call)
            if method == "UPDATE":
                self.passes(B, "INVITE", audio(BOB, 5000), 183, to_tag="x", call=call)
                self.passes(A, "UPDATE", audio(ALICE, 4000), cseq=2, to_tag="x", call=call)
            broken = b"v=0\r\nm=audio\r\n"
            cseq = 2 if method == "UPDATE" else 1
            self.assertRaises(PeerError, self.passes, B, method, broken, status, cseq, to_tag="x", call=call)
            error = self.assertRaises(PeerError, self.passes, B, "INVITE", status=200, to_tag="x", call=call)
            self.assertEqual(error.status_hint, 488)
            self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200, to_tag="x", call=call))
            self.media.call_ended(call, "over")

    def test_heard_after_all(self) -> None:
        """
        An early answer that did not go on matters no more once another one of that dialog did: not when the 2xx is without one,
        nor when a later INVITE of the call is refused (RFC 3261 section 14.1).
        """
        broken = b"v=0\r\nm=audio\r\n"
        for number, status in enumerate((183, 200)):
            call = CallKey(f"c{status}", "t")
            self.passes(A, "INVITE", audio(ALICE, 4000), call=call)
            self.assertRaises(PeerError, self.passes, B, "INVITE", broken, 183, to_tag="x", call=call)
            self.address(self.passes(B, "INVITE", audio(BOB, 5000), status, to_tag="x", call=call))
            self.passes(B, "INVITE", status=200, to_tag="x", call=call)
            for cseq, refusal in ((2, 491), (3, 488)):
                self.passes(A, "INVITE", audio(ALICE, 4000), cseq=cseq, to_tag="x", call=call)
                self.passes(B, "INVITE", status=refusal, cseq=cseq, to_tag="x", call=call)
            self.assertEqual(len(self.media.calls()), 1, number)
            self.media.call_ended(call, "over")

    def test_refusal_in_a_call_with_an_early_answer_that_was_not_heard(self) -> None:
        """Two phones have answered, of one of them nothing can be relayed: what it refuses later is a refusal all the same."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.assertRaises(PeerError, self.passes, B, "INVITE", b"v=0\r\nm=audio\r\n", 183, to_tag="x")
        self.passes(B, "INVITE", audio(BOB, 5000), 200, to_tag="y")
        self.assertRaises(PeerError, self.passes, B, "INVITE", status=200, to_tag="x")
        self.passes(A, "INVITE", audio(ALICE, 4000), cseq=2, to_tag="x")
        self.passes(B, "INVITE", status=491, cseq=2, to_tag="x")

    def test_branch_that_fails_before_another_answers(self) -> None:
        """A refusal from one branch leaves the offer to the others (RFC 3261 section 16.7)."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.passes(B, "INVITE", audio("203.0.113.10", 6000), 183, to_tag="x")
        self.passes(B, "INVITE", status=486, to_tag="x")
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200, to_tag="y"))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])

    def test_second_try_with_credentials(self) -> None:
        """407, then the INVITE again with the next CSeq and perhaps another port (RFC 3261 section 22.3)."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.passes(B, "INVITE", status=407)
        for_bob = self.address(self.passes(A, "INVITE", audio(ALICE, 4200), cseq=2))
        self.passes(B, "INVITE", audio(BOB, 5000), 200, 2)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4200)])

    def test_reinvite_moves_one_side(self) -> None:
        """A new address is taken with the answer, not before; the ports stay (RFC 3665 section 3.7)."""
        for_alice, for_bob = self.establish()
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.network.sent()
        self.assertEqual(
            self.address(self.passes(B, "INVITE", audio("203.0.113.20", 7000), cseq=9)), for_alice
        )
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])
        self.assertEqual(self.address(self.passes(A, "INVITE", audio(ALICE, 4000), 200, 9)), for_bob)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.network.deliver(RTP, Address("203.0.113.20", 7000), for_bob)
        sent = sorted(to for _, to in self.network.sent())
        self.assertEqual(
            sent, [Address(ALICE, 4000), Address("203.0.113.20", 7000)], "Bob's old address is mute"
        )
        snapshot = self.media.calls()[0].streams[0]
        assert snapshot.callee is not None
        self.assertEqual(snapshot.callee.remote, Address("203.0.113.20", 7000))
        self.assertTrue(snapshot.callee.latched)

    def test_refused_reinvite_changes_nothing(self) -> None:
        """After 488 media flows as before, and ports for the new line are free again (RFC 3261 section 14.1)."""
        for_alice, _ = self.establish()
        before = self.network.open_numbers()
        body = sdp("203.0.113.20", "m=audio 7000 RTP/AVP 0", "m=video 7002 RTP/AVP 31")
        self.passes(B, "INVITE", body, cseq=9)
        self.assertEqual(len(self.network.open_numbers()), 8)
        self.passes(A, "INVITE", status=488, cseq=9)
        self.assertEqual(self.network.open_numbers(), before)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])

    def test_endless_forks(self) -> None:
        """
        A callee that answers again and again in 1xx, each time with another To tag, costs no more memory than some forks do, and
        the 2xx is still the answer.
        """
        self.passes(A, "INVITE", audio(ALICE, 4000))
        for number in range(200):
            early = self.passes(B, "INVITE", audio(BOB, 5000 + 2 * number), 183, to_tag=f"t{number}")
            self.assertEqual(self.address(early).host, NODE)
        relayed = self.media.relayed(CALL)
        assert relayed is not None
        (pending,) = relayed._pending.values()
        self.assertEqual(len(pending.early), MAX_FORKS)
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 9000), 200, to_tag="t199"))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 9000)])
        self.media.call_ended(CALL, "over")

    def test_refusal_after_an_early_answer(self) -> None:
        """A re-INVITE that was answered early and then cancelled rolls back to the old address (RFC 6141)."""
        for_alice, _ = self.establish()
        self.passes(A, "INVITE", audio(ALICE, 4000), cseq=2)
        self.passes(B, "INVITE", audio("203.0.113.20", 7000), 183, 2)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.passes(B, "INVITE", status=487, cseq=2)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to.host for _, to in self.network.sent()], ["203.0.113.20", BOB])

    def test_update(self) -> None:
        """UPDATE moves media like a re-INVITE, and its refusal does not (RFC 3311 section 5)."""
        for_alice, _ = self.establish()
        self.passes(B, "UPDATE", audio(BOB, 5500), cseq=9)
        self.passes(A, "UPDATE", status=491, cseq=9)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.passes(B, "UPDATE", audio(BOB, 5600), cseq=10)
        self.passes(A, "UPDATE", audio(ALICE, 4000), 200, 10)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to.port for _, to in self.network.sent()], [5000, 5600])

    def test_hold_and_resume(self) -> None:
        """Hold with the null address reaches Bob and stops media to Alice; resume goes on (RFC 3264 section 8.4)."""
        _, for_bob = self.establish()
        out = self.passes(A, "INVITE", audio("0.0.0.0", 4000, "a=sendonly"), cseq=2)
        self.assertEqual(self.address(out), Address("0.0.0.0", for_bob.port))
        self.passes(B, "INVITE", audio(BOB, 5000, "a=recvonly"), 200, 2)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual(self.network.sent(), [])
        self.assertTrue(self.media.calls()[0].held)
        self.passes(A, "INVITE", audio(ALICE, 4000), cseq=3)
        self.passes(B, "INVITE", audio(BOB, 5000), 200, 3)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4000)])
        self.assertFalse(self.media.calls()[0].held)

    def test_music_on_hold_from_a_third_host(self) -> None:
        """Signalling may point media at another host than the phone (RFC 5359 section 2.3)."""
        self.establish()
        self.passes(B, "INVITE", audio("203.0.113.99", 8000, "a=sendonly"), cseq=9)
        for_music = self.address(self.passes(A, "INVITE", audio(ALICE, 4000, "a=recvonly"), 200, 9))
        self.network.deliver(RTP, Address("203.0.113.99", 8000), for_music)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4000)])

    def test_lines_of_all_kinds(self) -> None:
        """Audio and video get pairs, T.38 one port, MSRP none, a refused line nothing."""
        offer = sdp(
            ALICE,
            *("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/SAVPF 99", "m=image 4004 udptl t38"),
            *("m=message 4006 TCP/MSRP *", "m=audio 0 RTP/AVP 0"),
        )
        out = SessionDescription.parse(self.passes(A, "INVITE", offer)).media
        self.assertEqual([line.host for line in out], [NODE, NODE, NODE, ALICE, ALICE])
        self.assertEqual([line.port for line in out[3:]], [4006, 0])
        self.assertEqual(len(self.network.open_numbers()), 2 * (2 + 2 + 1))
        answer = sdp(
            BOB,
            *("m=audio 5000 RTP/AVP 0", "m=video 0 RTP/SAVPF 99", "m=image 5004 udptl t38"),
            *("m=message 5006 TCP/MSRP *", "m=audio 0 RTP/AVP 0"),
        )
        self.passes(B, "INVITE", answer, 200)
        self.assertEqual(len(self.network.open_numbers()), 2 * (2 + 1), "the refused video line is closed")
        fax = Address(out[2].host, out[2].port)
        self.network.deliver(b"t38", Address(BOB, 5004), fax)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4004)])

    def test_line_that_ends_and_another_in_its_place(self) -> None:
        """A line set to port 0 frees its ports, and its place may be used again (RFC 3264 section 8.2)."""
        self.establish()
        self.passes(A, "INVITE", audio(ALICE, 0), cseq=2)
        self.passes(B, "INVITE", audio(BOB, 0), 200, 2)
        self.assertEqual(self.network.open_numbers(), [])
        self.passes(A, "INVITE", sdp(ALICE, "m=image 4004 udptl t38"), cseq=3)
        for_alice = self.address(self.passes(B, "INVITE", sdp(BOB, "m=image 5004 udptl t38"), 200, 3))
        self.network.deliver(b"t38", Address(ALICE, 4004), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5004)])

    def test_fax_in_the_place_of_audio(self) -> None:
        """Audio that turns into T.38 in place keeps its port; RTP checks end (ITU-T T.38 annex D)."""
        for_alice, for_bob = self.establish()
        self.passes(B, "INVITE", sdp(BOB, "m=image 5004 udptl t38"), cseq=9)
        out = self.passes(A, "INVITE", sdp(ALICE, "m=image 4004 udptl t38"), 200, 9)
        self.assertEqual(self.address(out), for_bob)
        for _ in range(2):  # before and after it is latched
            self.network.deliver(b"t38", Address(ALICE, 4004), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5004)] * 2)

    def test_rtcp_goes_to_rtcp(self) -> None:
        """The odd ports carry RTCP to where a=rtcp points (RFC 3605); muxed RTCP takes the RTP way (RFC 5761)."""
        self.passes(A, "INVITE", audio(ALICE, 4000, "a=rtcp:4444"))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        report = b"\x80\xc9\x00\x01ssrc"
        odd = Address(for_alice.host, for_alice.port + 1)
        self.network.deliver(report, Address(ALICE, 4444), odd)
        self.network.deliver(report, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000), Address(BOB, 5001)])

    def test_rtcp_bye_and_junk_end_nothing(self) -> None:
        """A forged RTCP BYE, short RTCP and undecryptable packets have no effect on the call (attacks M4, M5)."""
        for_alice, for_bob = self.establish()
        for junk in (b"\x81\xcb\x00\x01ssrc", b"\x80\xc9", b"\x80\xc9\xff\xff" + bytes(8), b"\x80" * 11):
            for source in (Address(ALICE, 4000), Address("203.0.113.66", 1)):
                self.network.deliver(junk, source, for_alice)
        self.network.sent()
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4000)])

    def test_what_is_no_offer_or_answer_passes(self) -> None:
        """Other bodies, other methods and calls that are not known keep their body, the very object."""
        for method in ("OPTIONS", "MESSAGE", "ACK", "BYE", "UPDATE", "PRACK"):
            body = audio(ALICE, 4000)
            self.assertIs(self.passes(A, method, body), body)
        self.establish()
        body = audio(BOB, 1)
        self.assertIs(self.passes(A, "OPTIONS", body, 200, 7), body)
        text = b"hello"
        self.assertIs(self.passes(A, "INVITE", text, cseq=2, content_type="text/plain"), text)

    def test_own_description_comes_back(self) -> None:
        """A request that spirals through this node was translated before: once is enough (RFC 3261 section 16.3)."""
        first = self.passes(A, "INVITE", audio(ALICE, 4000))
        self.assertIs(self.passes(A, "INVITE", first), first)
        answer = self.passes(B, "INVITE", audio(BOB, 5000), 200)
        self.assertIs(self.passes(B, "INVITE", answer, 200), answer)
        self.network.deliver(RTP, Address(ALICE, 4000), self.address(answer))
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])


class AddressTests(MediaTestCase):
    def test_ipv4_to_ipv6(self) -> None:
        """Each side sees the node in its own IP version."""
        offer = self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("UDP", "2001:db8:1::9", 5060))
        answer = self.passes(B, "INVITE", audio("2001:db8:1::9", 5000), 200)
        for_bob, for_alice = self.address(offer), self.address(answer)
        self.assertEqual((for_bob.host, for_alice.host), (NODE6, NODE))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address("2001:db8:1::9", 5000), for_bob)
        self.assertEqual(
            sorted(self.network.sent()),
            sorted([(for_alice, Address(ALICE, 4000)), (for_bob, Address("2001:db8:1::9", 5000))]),
        )

    def test_forks_in_two_ip_versions(self) -> None:
        """One branch is offered IPv4, the other IPv6, on the same number; the one that answers counts."""
        four = self.address(self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("UDP", BOB, 5060)))
        six = self.address(
            self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("UDP", "2001:db8:1::9", 5060))
        )
        self.assertEqual((four, six), (Address(NODE, four.port), Address(NODE6, four.port)))
        self.passes(B, "INVITE", audio("2001:db8:1::9", 5000), 200)
        self.network.deliver(RTP, Address("2001:db8:1::9", 5000), six)
        self.network.deliver(RTP, Address(BOB, 5000), four)
        self.assertEqual([to for _, to in self.network.sent()], [Address(ALICE, 4000)])

    def test_answer_in_another_version_than_offered(self) -> None:
        """A dual-stack phone that answers in IPv6 to an IPv4 offer is sent IPv6."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        for_alice = self.address(self.passes(B, "INVITE", audio("2001:db8:1::9", 5000), 200))
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address("2001:db8:1::9", 5000)])

    def test_node_without_that_version(self) -> None:
        """A node with IPv4 alone shows IPv4 to everybody."""
        self.media.stopService()
        self.media = self.service(addresses=[RelayAddress(NODE)])
        out = self.passes(A, "INVITE", audio(ALICE, 4000), target=Hop("UDP", "2001:db8:1::9", 5060))
        self.assertEqual(self.address(out).host, NODE)

    def test_advertised_address_and_two_networks(self) -> None:
        """Ports are bound on one address and shown as another; callees may be on another network than callers."""
        self.media.stopService()
        self.media = self.service(
            addresses=[RelayAddress("10.0.0.1", "192.0.2.200")], callee_addresses=[RelayAddress("172.16.0.1")]
        )
        for_bob = self.address(self.passes(A, "INVITE", audio(ALICE, 4000)))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.assertEqual((for_bob.host, for_alice.host), ("172.16.0.1", "192.0.2.200"))
        self.network.deliver(RTP, Address(ALICE, 4000), Address("10.0.0.1", for_alice.port))
        self.assertEqual(self.network.sent(), [(for_bob, Address(BOB, 5000))])

    def test_phone_behind_nat(self) -> None:
        """A private address in the description is replaced by where packets come from (RFC 7362 section 5)."""
        for_bob = self.address(self.passes(A, "INVITE", audio("192.168.1.5", 4000)))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.network.deliver(RTP, Address(ALICE, 61000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual({to for _, to in self.network.sent()}, {Address(BOB, 5000), Address(ALICE, 61000)})
