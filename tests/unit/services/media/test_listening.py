"""A relayed call whose RTCP and counters are watched, from the message to what is told of it."""

from __future__ import annotations

from typing import Any

from tests.rtcp_packets import block, bye, receiver_report, sender_report
from tests.unit.services.media.media_case import ALICE, BOB, CALL, NODE, RTP, A, B, MediaTestCase, audio
from voipcluster.media.codec import Codec
from voipcluster.media.quality import MOST_READ
from voipcluster.media.target import Address
from voipcluster.services.media.listening import Trouble, opinion_of
from voipcluster.services.media.relay import CallKey
from voipcluster.services.media.snapshots import StreamSnapshot

NTP = 0xB44DB705_20000000
CALLER_RTP, CALLEE_RTP = Address(ALICE, 4000), Address(BOB, 5000)
CALLER_RTCP, CALLEE_RTCP = Address(ALICE, 4001), Address(BOB, 5001)


class ListeningCase(MediaTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.troubles: list[tuple[CallKey, Trouble]] = []
        self.media.on_trouble = lambda call, trouble: self.troubles.append((call, trouble))

    def report(self, source: Address, datagram: bytes) -> None:
        """An end sends RTCP to its port of the relay."""
        self.network.deliver(datagram, source, self.for_alice if source.host == ALICE else self.for_bob)

    def begin(self, *more: str) -> None:
        """A call whose RTCP ports are known; C{more} in both descriptions."""
        offer = self.passes(A, "INVITE", audio(ALICE, 4000, *more))
        answer = self.passes(B, "INVITE", audio(BOB, 5000, *more), 200)
        self.passes(A, "ACK")
        mux = "a=rtcp-mux" in more
        for_bob, for_alice = self.address(offer), self.address(answer)
        self.for_bob = for_bob if mux else Address(for_bob.host, for_bob.port + 1)
        self.for_alice = for_alice if mux else Address(for_alice.host, for_alice.port + 1)
        self.media_ports = for_alice, for_bob

    def talk(self, seconds: int, *sides: Any) -> None:
        """A packet a second from each of these sides."""
        for _ in range(seconds):
            for side in sides:
                source, port = (CALLER_RTP, 0) if side is A else (CALLEE_RTP, 1)
                self.network.deliver(RTP, source, self.media_ports[port])
            self.clock.advance(1.0)

    def stream(self) -> StreamSnapshot:
        snapshot = self.media.snapshot(CALL)
        assert snapshot is not None, "it is relayed"
        return snapshot.streams[0]

    def exchange_reports(self, fraction: int = 0, lost: int = 0) -> None:
        """An SR each way, and after 1 s what the other one thinks of it, with 20 ms on each leg."""
        self.report(CALLER_RTCP, sender_report(1, NTP))
        self.report(CALLEE_RTCP, sender_report(2, NTP))
        self.clock.advance(1.02)
        for source, own, other in ((CALLER_RTCP, 1, 2), (CALLEE_RTCP, 2, 1)):
            told = block(
                other, fraction=fraction, lost=lost, highest=250, jitter=8, last=0xB7052000, delay=65536
            )
            self.report(source, receiver_report(own, told))


class ReportTests(ListeningCase):
    def test_quality_of_a_call(self) -> None:
        """Loss, jitter, round trip and MOS of both directions, counted for the histograms too."""
        self.begin()
        self.exchange_reports()
        stream = self.stream()
        assert stream.quality is not None
        for hearing in stream.quality.hearings.values():
            self.assertEqual((hearing.loss, hearing.jitter.mean), (0.0, 0.001))
            self.assertAlmostEqual(hearing.round_trip.mean or 0, 0.02, places=4)
        self.assertEqual(stream.codec, Codec("PCMU", 8000))
        listening = self.media.listening
        self.assertEqual(
            [t.count for t in (*listening.round_trips.values(), *listening.losses.values())], [1] * 4
        )
        self.assertEqual(listening.packets, {"read": 4})
        self.media.call_ended(CALL, "BYE")
        self.assertEqual([tally.count for tally in listening.opinions.values()], [1, 1])
        self.assertGreater(listening.opinions["caller"].total, 4.0)

    def test_a_bad_line(self) -> None:
        """10 % loss takes the MOS below 3.5."""
        self.begin()
        self.exchange_reports(fraction=26, lost=25)
        relayed = self.media._calls[CALL]
        heard = opinion_of(relayed.lines[0].stream, A)
        assert heard is not None
        self.assertLess(heard.mos, 3.5)
        self.assertApproximates(heard.lost, 10.16, 0.01)

    def test_rtcp_goes_on_as_it_came(self) -> None:
        """What is looked at is passed on octet for octet, garbage on a latched port as well."""
        self.begin()
        sent = [sender_report(1, NTP), b"\x80\xc8\x00\x01garbage!", bye(1)]
        for datagram in sent:
            self.report(CALLER_RTCP, datagram)
        self.assertEqual([datagram for datagram, _ in self.network.sockets[self.for_bob].sent], sent)
        self.assertEqual(self.media.listening.packets, {"read": 2, "unreadable": 1})

    def test_too_many_reports(self) -> None:
        """All of them pass; reading them is not to keep the node busy, so of one second only the first ones are read."""
        self.begin()
        self.report(CALLER_RTCP, sender_report(1, NTP))
        self.report(CALLEE_RTCP, sender_report(2, NTP))
        self.network.sent()
        self.clock.advance(1.0)
        for _ in range(2 * MOST_READ):
            self.report(CALLER_RTCP, receiver_report(1, block(2)))
        self.assertEqual(len(self.network.sent()), 2 * MOST_READ)
        self.assertEqual(self.media.listening.packets, {"read": 2 + MOST_READ, "skipped": MOST_READ})
        self.clock.advance(1.0)
        self.report(CALLER_RTCP, receiver_report(1, block(2)))
        self.assertEqual(self.media.listening.packets["read"], 3 + MOST_READ)

    def test_forged_bye(self) -> None:
        """A BYE for both sources ends nothing: the call, its ports and its quality stay (attack M4)."""
        self.begin()
        self.exchange_reports()
        self.report(CALLER_RTCP, bye(1) + bye(2))
        self.talk(3, A, B)
        stream = self.stream()
        assert stream.quality is not None and stream.caller is not None
        self.assertEqual((stream.caller.packets, stream.quality.hearings[A].reports), (3, 1))

    def test_muxed(self) -> None:
        """RTCP on the port of media is found there, in both directions (RFC 5761)."""
        self.begin("a=rtcp-mux")
        self.report(CALLER_RTP, sender_report(1, NTP))
        self.report(CALLEE_RTP, receiver_report(2, block(1)))
        self.network.deliver(RTP, CALLER_RTP, self.for_alice)
        self.assertEqual(self.media.listening.packets, {"read": 2})
        self.assertEqual(self.network.sockets[self.for_bob].sent[-1][0], RTP)

    def test_media_takes_the_short_way(self) -> None:
        """Without rtcp-mux a media port sends straight to the far socket, as before."""
        self.begin()
        self.talk(2, A, B)
        ports = self.network.ports
        self.assertEqual(ports[self.media_ports[0]].forward, ports[self.media_ports[1]].out)

    def test_encrypted(self) -> None:
        """SRTCP is not looked at, and the stream says so (RFC 3711 section 3.4)."""
        for side, host, port, status in ((A, ALICE, 4000, None), (B, BOB, 5000, 200)):
            body = audio(host, port).replace(b"RTP/AVP", b"RTP/SAVP")
            self.for_bob = self.address(self.passes(side, "INVITE", body, status))
        self.assertTrue(self.stream().protected)
        self.network.deliver(sender_report(2, NTP), CALLEE_RTCP, Address(NODE, self.for_bob.port + 1))
        self.assertEqual((self.media.listening.packets, self.stream().quality), ({}, None))

    def test_strangers(self) -> None:
        """A report of nobody of the call counts for nothing."""
        self.begin()
        self.exchange_reports()
        self.report(Address("203.0.113.66", 6000), receiver_report(2, block(1, fraction=255, lost=1000)))
        self.network.deliver(
            receiver_report(2, block(1, fraction=255)), Address("203.0.113.66", 6000), self.for_bob
        )
        quality = self.stream().quality
        assert quality is not None
        self.assertEqual([h.reports for h in quality.hearings.values()], [1, 1])


class TroubleTests(ListeningCase):
    def test_one_way(self) -> None:
        """Nothing of the callee for 10 s: told once, counted once, and shown until it is heard."""
        self.begin()
        self.talk(60, A)
        found = Trouble(0, "audio", "one-way", "callee")
        self.assertEqual(self.troubles, [(CALL, found)])
        self.assertEqual((self.stream().trouble, self.media.listening.troubles), (found, {"one-way": 1}))
        self.talk(5, A, B)
        self.assertIsNone(self.stream().trouble)
        self.talk(30, A)
        self.assertEqual(len(self.troubles), 1)

    def test_silent(self) -> None:
        """Nobody is heard any more: told before the media time-out ends the call."""
        self.begin()
        self.talk(5, A, B)
        self.talk(30)
        self.assertEqual([trouble.kind for _, trouble in self.troubles], ["silent"])

    def test_hold(self) -> None:
        """Music on hold goes one way, and that is what was agreed on."""
        self.begin()
        self.passes(A, "INVITE", audio(ALICE, 4000, "a=sendonly"), cseq=2)
        self.passes(B, "INVITE", audio(BOB, 5000, "a=recvonly"), 200, cseq=2)
        self.talk(40, A)
        self.assertEqual((self.troubles, self.stream().trouble), ([], None))

    def test_ringing(self) -> None:
        """Early media comes from one side only."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.media_ports = (self.address(self.passes(B, "INVITE", audio(BOB, 5000), 183)),) * 2
        self.talk(40)
        self.assertEqual(self.troubles, [])

    def test_switched_off(self) -> None:
        """With a limit of 0 nothing is told."""
        self.media.stopService()
        self.media = self.service(silence=0.0)
        self.begin()
        self.talk(30, A)
        self.assertEqual((self.media.listening.troubles, self.stream().trouble), ({}, None))

    def test_application_that_fails(self) -> None:
        """Its error is logged, and the relay goes on."""
        self.begin()
        self.media.on_trouble = lambda call, trouble: 1 / 0
        self.talk(20, A)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        assert self.stream().caller is not None
