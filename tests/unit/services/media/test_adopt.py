"""Calls of one process in the next one: the same ports and addresses, and everything that comes after in a call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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
from voipcluster.media.target import Address
from voipcluster.services.media.ports import RelayAddress
from voipcluster.services.media.relay import CallKey
from voipcluster.services.media.saved import (
    CONVERTER,
    Latches,
    SavedMedia,
    Traffic,
    latches_of,
    saved,
    traffic_of,
)

ALICE_RTP, BOB_RTP = Address(ALICE, 4000), Address(BOB, 5000)
STRANGER = Address("203.0.113.66", 4000)


class AdoptTests(MediaTestCase):
    def journal(self, *calls: CallKey) -> dict[CallKey, tuple[SavedMedia, Latches, Traffic]]:
        """What comes back of a journal, through JSON."""
        found = {}
        for key in calls or (CALL,):
            relayed = self.media.relayed(key)
            assert relayed is not None
            whole = saved(relayed), latches_of(relayed), traffic_of(relayed)
            texts = [json.dumps(CONVERTER.unstructure(part)) for part in whole]
            found[key] = (
                CONVERTER.structure(json.loads(texts[0]), SavedMedia),
                CONVERTER.structure(json.loads(texts[1]), Latches),
                CONVERTER.structure(json.loads(texts[2]), Traffic),
            )
        return found

    def restart(self, *calls: CallKey, **options: Any) -> dict[CallKey, str]:
        """Kill the relay and start another one; gives what it could not adopt."""
        journal = self.journal(*calls)
        self.kill()
        self.media = self.service(**options)
        return self.media.adopt(journal)

    def kill(self) -> None:
        """The process is gone, and the system has closed its sockets."""
        self.media.stopService()

    def hears(self, source: Address, at: Address, data: bytes = RTP) -> list[tuple[Address, Address]]:
        self.network.sent()
        self.network.deliver(data, source, at)
        return self.network.sent()

    def talk(self, for_alice: Address, for_bob: Address) -> None:
        """Audio goes both ways, and a stranger is not heard."""
        self.assertEqual(self.hears(ALICE_RTP, for_alice), [(for_bob, BOB_RTP)])
        self.assertEqual(self.hears(BOB_RTP, for_bob), [(for_alice, ALICE_RTP)])
        self.assertEqual(self.hears(STRANGER, for_alice), [])

    def test_a_latched_call(self) -> None:
        """Latched ports are connected again, so that the kernel keeps strangers out; counters and start go on."""
        self.clock.advance(100)
        for_alice, for_bob = self.establish()
        self.talk(for_alice, for_bob)
        self.talk(for_alice, for_bob)
        before = self.media.calls()[0]
        numbers = self.network.open_numbers()
        self.clock.advance(5)
        self.assertEqual(self.restart(), {})
        self.assertEqual(self.network.open_numbers(), numbers)
        after = self.media.calls()[0]
        self.assertEqual(after.streams, before.streams)
        self.assertEqual((after.age, after.answered), (before.age + 5, True))
        self.assertEqual(self.network.sockets[for_alice].peer, ALICE_RTP)
        self.talk(for_alice, for_bob)
        statistics = self.media.statistics()
        self.assertEqual((statistics.total_packets, statistics.total_sessions), (2, 0), "by this process")
        self.assertEqual(statistics.sessions, 1)

    def test_nobody_has_spoken(self) -> None:
        """Ports that were not latched wait for the first packet, aimed at what was signalled."""
        for_alice, for_bob = self.establish()
        self.restart()
        self.assertIsNone(self.network.sockets[for_alice].peer)
        self.talk(for_alice, for_bob)

    def test_behind_a_nat(self) -> None:
        """What was learned is not learned again: a stranger who is first after the restart gets nothing."""
        for_bob = self.address(self.passes(A, "INVITE", audio("10.1.1.1", 4000)))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        mapped = Address(ALICE, 61000)
        self.hears(mapped, for_alice)
        self.clock.advance(3)
        self.hears(mapped, for_alice)
        self.restart()
        self.assertEqual(self.hears(Address(ALICE, 61002), for_alice), [])
        self.assertEqual(self.hears(mapped, for_alice), [(for_bob, BOB_RTP)])
        self.assertEqual(self.hears(BOB_RTP, for_bob), [(for_alice, mapped)])

    def test_learned_a_moment_ago(self) -> None:
        """A tentative address stays one: the window begins anew, and in it the signalled address wins."""
        self.passes(A, "INVITE", audio("10.1.1.1", 4000))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.hears(Address(ALICE, 61000), for_alice)
        self.clock.advance(2)
        self.restart()
        self.clock.advance(2)
        self.hears(Address(ALICE, 61000), for_alice)
        self.assertIsNone(self.network.sockets[for_alice].peer)
        self.hears(Address("10.1.1.1", 4000), for_alice)
        self.assertEqual(self.network.sockets[for_alice].peer, Address("10.1.1.1", 4000))

    def test_two_families_and_lines(self) -> None:
        """IPv4 to IPv6, audio and video, and one port alone for T.38."""
        lines = ("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 96", "m=image 4004 udptl t38")
        out = self.passes(A, "INVITE", sdp(ALICE, *lines))
        for_bob = [self.address(out, index) for index in range(3)]
        bob = "2001:db8::b0b"
        back = self.passes(B, "INVITE", sdp(bob, *(line.replace(" 4", " 5") for line in lines)), 200)
        for_alice = [self.address(back, index) for index in range(3)]
        numbers = self.network.open_numbers()
        self.restart()
        self.assertEqual(self.network.open_numbers(), numbers)
        for index in range(3):
            bob_rtp = Address(bob, 5000 + 2 * index)
            where = Address(NODE6, for_bob[index].port)
            self.assertEqual(
                self.hears(Address(ALICE, 4000 + 2 * index), for_alice[index]), [(where, bob_rtp)]
            )
            self.assertEqual(
                self.hears(bob_rtp, where), [(for_alice[index], Address(ALICE, 4000 + 2 * index))]
            )

    def test_rtcp(self) -> None:
        """Control packets have their own latches."""
        for_alice, for_bob = self.establish()
        report = b"\x80\xc9\x00\x01ssrc"
        port = Address(for_alice.host, for_alice.port + 1)
        self.hears(Address(ALICE, 4001), port, report)
        self.restart()
        self.assertEqual(self.network.sockets[port].peer, Address(ALICE, 4001))
        sent = self.hears(Address(ALICE, 4001), port, report)
        self.assertEqual(sent, [(Address(for_bob.host, for_bob.port + 1), Address(BOB, 5001))])

    def test_later_offers(self) -> None:
        """Hold, resume, a phone that moves, and a new line: all from the same ports."""
        for_alice, for_bob = self.establish()
        self.restart()
        self.assertEqual(
            self.address(self.passes(A, "INVITE", audio(ALICE, 4000, "a=sendonly"), cseq=2)), for_bob
        )
        self.passes(B, "INVITE", audio(BOB, 5000, "a=recvonly"), 200, 2)
        self.assertTrue(self.media.calls()[0].held)
        self.passes(B, "INVITE", audio(BOB, 5100), cseq=7)
        self.passes(A, "INVITE", audio(ALICE, 4000), 200, 7)
        self.assertEqual(self.hears(ALICE_RTP, for_alice), [(for_bob, Address(BOB, 5100))])
        video = ("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31")
        out = self.passes(A, "INVITE", sdp(ALICE, *video), cseq=3)
        self.passes(B, "INVITE", sdp(BOB, *(line.replace(" 4", " 5") for line in video)), 200, 3)
        self.assertEqual(self.address(out), for_bob)
        self.assertEqual(len(self.network.open_numbers()), 8)

    def test_copies_of_the_old_messages(self) -> None:
        """A copy of the 200 that the old process had passed on is translated as before (RFC 3261 section 13.3.1.4)."""
        for_alice, _ = self.establish()
        self.restart()
        self.assertEqual(self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200)), for_alice)

    def test_offer_under_way(self) -> None:
        """A re-INVITE that nobody had answered is as if it had never been; its copy begins it anew."""
        for_alice, for_bob = self.establish()
        lines = ("m=audio 4100 RTP/AVP 0", "m=video 4002 RTP/AVP 31")
        self.passes(A, "INVITE", sdp(ALICE, *lines), cseq=2)
        self.assertEqual(len(self.network.open_numbers()), 8)
        self.restart()
        self.assertEqual(len(self.network.open_numbers()), 4)
        self.talk(for_alice, for_bob)
        self.passes(A, "INVITE", sdp(ALICE, *lines), cseq=2)
        self.passes(B, "INVITE", sdp(BOB, "m=audio 5000 RTP/AVP 0", "m=video 0 RTP/AVP 31"), 200, 2)
        self.assertEqual(self.hears(Address(ALICE, 4100), for_alice), [(for_bob, BOB_RTP)])

    def test_muted(self) -> None:
        """A call that is held by the null address stays so (RFC 3264 section 8.4)."""
        for_alice, for_bob = self.establish()
        self.talk(for_alice, for_bob)
        self.passes(A, "INVITE", audio("0.0.0.0", 4000), cseq=2)
        self.passes(B, "INVITE", audio(BOB, 5000), 200, 2)
        self.restart()
        self.assertEqual(self.hears(BOB_RTP, for_bob), [])
        self.assertEqual(self.hears(ALICE_RTP, for_alice), [(for_bob, BOB_RTP)])

    def test_media_time_out(self) -> None:
        """A call whose end was missed is ended by silence, counted from the restart, and all of its ports come back."""
        for_alice, for_bob = self.establish()
        self.talk(for_alice, for_bob)
        free = self.media.statistics().ports_free
        self.clock.advance(50)
        self.restart()
        self.assertEqual(self.media.statistics().ports_free, free)
        over: list[CallKey] = []
        self.media.on_timeout = over.append
        for _ in range(58):
            self.clock.advance(1)
        self.assertEqual(over, [])
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual((over, self.media.calls(), self.network.open_numbers()), ([CALL], [], []))
        self.clock.advance(10)
        self.assertEqual(self.media.statistics().ports_free, free + 2)

    def test_waiting_datagrams(self) -> None:
        """What waited in a socket that was handed over is sent on in its order."""
        for_alice, for_bob = self.establish()
        self.talk(for_alice, for_bob)
        journal = self.journal()
        self.kill()
        waiting = [RTP[:-1] + bytes([number]) for number in range(9)]
        opened = self.network.open_port

        def open_port(host: str, number: int, sink: Any, label: object) -> Any:
            port = opened(host, number, sink, label)
            if number == for_alice.port:
                self.network.sockets[for_alice].queue += [(datagram, ALICE_RTP) for datagram in waiting]
            return port

        self.media = self.service(open_port=open_port)
        self.media.adopt(journal)
        sent = self.network.sockets[for_bob].sent
        self.assertEqual(sent, [(datagram, BOB_RTP) for datagram in waiting])

    def test_port_of_another_program(self) -> None:
        """A call whose port was taken meanwhile is told and freed; the others live, and its other ports are closed."""
        other = CallKey("c2", "a")
        _, for_bob = self.establish()
        self.passes(A, "INVITE", audio(ALICE, 4000), call=other)
        self.passes(B, "INVITE", audio(BOB, 5000), 200, call=other)
        free = self.media.statistics().ports_free
        self.network.taken.add(for_bob.port)
        refused = self.restart(CALL, other)
        self.assertEqual(refused, {CALL: "its media ports cannot be opened again: Address already in use"})
        self.assertEqual([snapshot.call for snapshot in self.media.calls()], [other])
        self.assertEqual(len(self.network.open_numbers()), 4)
        self.clock.advance(10)
        self.assertEqual(self.media.statistics().ports_free, free + 2)

    def test_another_configuration(self) -> None:
        """Ports outside of the range of today, an address that is gone, no relay any more: told by call."""
        self.establish()
        journal: Mapping[CallKey, Any] = self.journal()
        self.kill()
        cases: list[tuple[dict[str, Any], str]] = [
            (
                {"ports": (31000, 31099)},
                "its media ports are out of the range media.ports, or of another call",
            ),
            ({"relay": "off"}, "media.relay is off now"),
        ]
        for options, reason in cases:
            self.media = self.service(**options)
            self.assertEqual(self.media.adopt(journal), {CALL: reason})
            self.media.stopService()
        self.media = self.service()
        self.network.error = OSError(99, "Cannot assign requested address")
        reason = "its media ports cannot be opened again: Cannot assign requested address"
        self.assertEqual(self.media.adopt(journal), {CALL: reason})
        self.assertEqual(self.media.calls(), [])

    def test_a_family_that_is_gone(self) -> None:
        """A node that has lost its IPv6 address cannot serve the call of a phone there."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.passes(B, "INVITE", audio("2001:db8::b0b", 5000), 200)
        refused = self.restart(addresses=[RelayAddress(NODE)])
        self.assertEqual(refused, {CALL: "its media ports cannot be opened again: no address of IPv6"})
        self.assertEqual(self.network.open_numbers(), [])

    def test_targets_are_judged_anew(self) -> None:
        """A remote address that is one of the node's own now gets nothing (attack M7)."""
        for_alice, for_bob = self.establish()
        self.talk(for_alice, for_bob)
        journal = self.journal()
        self.kill()
        media, latches, traffic = journal[CALL]
        text = json.dumps(CONVERTER.unstructure(latches)).replace(BOB, "127.0.0.1")
        hostile = CONVERTER.structure(json.loads(text), Latches)
        self.media = self.service(addresses=[RelayAddress(NODE), RelayAddress(NODE6)])
        self.assertEqual(self.media.adopt({CALL: (media, hostile, traffic)}), {})
        self.assertEqual(self.hears(ALICE_RTP, for_alice), [])

    def test_it_can_be_told_what_moved(self) -> None:
        """The owner of the journal is told of a call whose latches have moved, once."""
        for_alice, for_bob = self.establish()
        moved: list[CallKey] = []
        self.media.on_moved = moved.append
        self.clock.advance(1)
        self.assertEqual(moved, [])
        self.talk(for_alice, for_bob)
        self.clock.advance(1)
        self.assertEqual(moved, [CALL])
        self.talk(for_alice, for_bob)
        self.clock.advance(1)
        self.assertEqual(moved, [CALL])
