"""The relay service as the proxy uses it: many calls, hostile ones, their ends, and what is shown of them."""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

from tests.unit.net.nft.fakes import FakeNftables
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
from tests.unit.services.media.test_kernel_path import FakeKernel
from voipcluster.address import Hop
from voipcluster.errors import ParseError, PeerError, UsageError
from voipcluster.media.ports import NoPorts
from voipcluster.media.shares import Holder, ShareTaken
from voipcluster.media.target import Address
from voipcluster.net.nft.counters import CounterReading
from voipcluster.services.media.line import Line
from voipcluster.services.media.relay import CallKey, MediaService
from voipcluster.services.media.watching import SLICE


class ServiceTests(MediaTestCase):
    def test_relay_off_and_no_record_route(self) -> None:
        """Without relay, or when this node will not see the call's end, bodies pass and nothing is opened."""
        body = audio(ALICE, 4000)
        self.assertIs(self.passes(A, "INVITE", body, record=False), body)
        self.media.stopService()
        self.media = self.service(relay="off")
        self.assertIs(self.passes(A, "INVITE", body), body)
        self.assertEqual(self.media.statistics().sessions, 0)

    def test_multipart(self) -> None:
        """Only the description inside a multipart body changes (RFC 5621)."""
        head = b"--n\r\nContent-Type: application/isup\r\n\r\n\x01\x00\r\n--n\r\nContent-Type: application/sdp\r\n\r\n"
        body = head + audio(ALICE, 4000) + b"\r\n--n--\r\n"
        out = self.passes(A, "INVITE", body, content_type="multipart/mixed;boundary=n")
        self.assertTrue(out.startswith(head) and out.endswith(b"\r\n--n--\r\n"))
        self.assertEqual(self.address(out[len(head) : -len(b"\r\n--n--\r\n")]).host, NODE)

    def test_no_address(self) -> None:
        """A relay without an address is a configuration error."""
        self.assertRaises(UsageError, MediaService, self.clock, ports=(30000, 30019), addresses=[])


class KernelTests(MediaTestCase):
    """With a kernel that is played: what is handed to it, and when it is taken back."""

    def setUp(self) -> None:
        self.nftables = FakeNftables()
        super().setUp()

    def service(self, **options: Any) -> MediaService:
        return super().service(relay="auto", kernel=FakeKernel(self.nftables), **options)

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(self.nftables.sockets, [])

    def handed(self) -> int:
        """How many directions the kernel relays."""
        table = self.nftables.tables.get("voipcluster_x")
        return 0 if table is None else sum(len(table.maps[name]) for name in ("stream4", "stream6"))

    def talk(self) -> tuple[Address, Address]:
        """A call whose sides are both latched."""
        for_alice, for_bob = self.establish()
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        return for_alice, for_bob

    def reinvite(self, cseq: int, offer: bytes, status: int = 200) -> None:
        self.passes(A, "INVITE", offer, cseq=cseq)
        self.passes(B, "INVITE", audio(BOB, 5000) if status == 200 else b"", status, cseq=cseq)

    def count(self) -> None:
        for reader in list(self.readers.readers):
            if isinstance(reader, CounterReading):
                for _ in range(20):
                    reader.doRead()

    def test_both_sides_have_sent(self) -> None:
        """Only then the line is the kernel's."""
        for_alice, for_bob = self.establish()
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual(self.handed(), 0)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual(self.handed(), 2)
        self.assertTrue(self.media.calls()[0].streams[0].kernel)
        statistics = self.media.statistics()
        self.assertEqual((statistics.path, statistics.reason), ("kernel", ""))

    def test_refresh_and_move(self) -> None:
        """A re-INVITE with the same addresses changes nothing; one with others takes the line back until they have sent."""
        for_alice, _ = self.talk()
        generation = self.nftables.generation
        self.reinvite(2, audio(ALICE, 4000))
        self.assertEqual((self.handed(), self.nftables.generation), (2, generation))
        self.reinvite(3, audio(ALICE, 4444))
        self.assertEqual(self.handed(), 0)
        self.network.deliver(RTP, Address(ALICE, 4444), for_alice)
        self.assertEqual(self.handed(), 2)

    def test_refused_move(self) -> None:
        """A re-INVITE that is refused leaves the line where it was."""
        self.talk()
        self.reinvite(2, audio(ALICE, 4444), 488)
        self.assertEqual(self.handed(), 2)

    def test_hold(self) -> None:
        """The null address takes it back, the old one hands it over again (RFC 3264 section 8.4)."""
        self.talk()
        self.reinvite(2, audio("0.0.0.0", 4000))
        self.assertEqual(self.handed(), 0)
        self.reinvite(3, audio(ALICE, 4000))
        self.assertEqual(self.handed(), 2)

    def test_counts_and_end(self) -> None:
        """What the kernel relayed is in all numbers, apart from what this process relayed; the end loses nothing."""
        self.talk()
        self.nftables.packet("voipcluster_x", "stream4", 100, 20_000)
        self.nftables.packet("voipcluster_x", "sport", 100)
        done = self.media.counted()
        self.count()
        self.successResultOf(done)
        caller = self.media.calls()[0].streams[0].caller
        assert caller is not None
        self.assertEqual((caller.packets, caller.octets), (101, len(RTP) + 17_200))
        self.assertEqual((self.media.relayed_here, self.media.statistics().kernel_packets), (2, 200))
        self.nftables.packet("voipcluster_x", "stream4", 10, 2000)
        self.media.call_ended(CALL, "BYE")
        self.assertEqual((self.handed(), self.media.statistics().total_packets), (0, 222))
        self.clock.advance(1.0)
        self.count()

    def test_kernel_traffic_is_life(self) -> None:
        """The media time-out sees what the kernel relays; silence there ends the call."""
        self.talk()
        for _ in range(100):
            self.nftables.packet("voipcluster_x", "stream4", 50, 10_000)
            self.nftables.packet("voipcluster_x", "sport", 50)
            self.clock.advance(1.0)
            self.count()
        self.assertEqual(len(self.media.calls()), 1)
        self.assertEqual(self.media.statistics().packets_per_second, 100.0)
        for _ in range(62):
            self.clock.advance(1.0)
            self.count()
        self.assertEqual((self.media.calls(), self.handed()), ([], 0))

    def test_next_process(self) -> None:
        """What the kernel relays outlives this process; what the next one does not take up ends a second after its start."""
        self.talk()
        self.media.stopService()
        self.assertEqual(self.handed(), 2)
        self.media = self.service()
        self.assertEqual(self.handed(), 2)
        self.clock.advance(1.0)
        self.assertEqual(self.handed(), 0)

    def test_nothing_is_left(self) -> None:
        """A process without calls leaves no table."""
        self.talk()
        self.media.call_ended(CALL, "BYE")
        self.media.stopService()
        self.assertEqual(self.nftables.tables, {})

    def test_not_rtp(self) -> None:
        """T.38 stays with the sockets."""
        for_bob = self.address(self.passes(A, "INVITE", sdp(ALICE, "m=image 4000 udptl t38")))
        for_alice = self.address(self.passes(B, "INVITE", sdp(BOB, "m=image 5000 udptl t38"), 200))
        self.network.deliver(b"fax", Address(ALICE, 4000), for_alice)
        self.network.deliver(b"fax", Address(BOB, 5000), for_bob)
        self.assertEqual(self.handed(), 0)


class HostileTests(MediaTestCase):
    def test_third_host(self) -> None:
        """A host that only a description names gets nothing until it has sent something; the real default (attack M7)."""
        self.media.stopService()
        self.media = self.service(trusted=lambda host: False)
        third = Address("203.0.113.66", 4000)
        for_bob = self.address(self.passes(A, "INVITE", audio(third.host, third.port)))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual(self.network.sent(), [])
        self.network.deliver(RTP, third, for_alice)
        self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000), third])
        self.media.call_ended(CALL, "over")

    def test_shares(self) -> None:
        """Ports of many calls, of one user and of one address, are bounded; what ended or came to nothing counts no more (M8)."""
        self.media.stopService()
        self.media = self.service(ports=(30000, 30039), quarantine=0, shares={"user": 0.2, "address": 0.5})
        alice, office = Holder("user", "alice"), Holder("address", ALICE)

        def call(number: int, *holders: Holder) -> CallKey:
            key = CallKey(f"c{number}", "a")
            self.passes(A, "INVITE", audio(ALICE, 4000), call=key, holders=holders)
            return key

        calls = [call(number, alice, office) for number in range(2)]  # two pairs each, of 20
        error = self.assertRaises(ShareTaken, call, 2, alice, office)
        self.assertIn("user alice holds 4 pairs", str(error))
        calls += [call(number, office) for number in range(3, 6)]
        self.assertIn(f"address {ALICE} holds 10", str(self.assertRaises(ShareTaken, call, 6, office)))
        self.assertEqual(self.media.statistics().total_refused, 2)
        calls.append(call(7))  # somebody else, or who is trusted
        self.assertEqual(self.media.statistics().ports_free, 8)
        self.media.call_ended(calls[0], "BYE")
        calls.append(call(8, alice, office))
        for key in calls:
            self.media.call_ended(key, "over")
        self.assertEqual(self.media.statistics().ports_free, 20)
        self.passes(A, "INVITE", audio(ALICE, 4000), holders=(alice, office))
        self.media.call_ended(CALL, "over")

    def test_forbidden_targets(self) -> None:
        """Descriptions that name groups, loopback, or our own ports get no packet (attack M7)."""
        self.media.stopService()
        self.media = self.service(ports=(30000, 30099))
        for number, host in enumerate(
            ("224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.0", "::1", "ff02::1")
        ):
            call = CallKey(f"c{number}", "a")
            for_bob = self.address(self.passes(A, "INVITE", audio(host, 30002), call=call))
            self.passes(B, "INVITE", audio(BOB, 5000), 200, call=call)
            bound = Address(NODE6 if ":" in for_bob.host else NODE, for_bob.port)
            self.network.deliver(RTP, Address(BOB, 5000), bound)
            self.assertEqual(self.network.sent(), [], host)
            self.media.call_ended(call, "BYE")

    def test_two_calls_do_not_feed_each_other(self) -> None:
        """Calls that name each other's relay ports get nothing from one another (attack M7, ping-pong)."""
        first, second = CallKey("c1", "a"), CallKey("c2", "a")
        here = self.address(self.passes(A, "INVITE", audio(NODE, 30006), call=first))
        there = self.address(self.passes(A, "INVITE", audio(NODE, here.port), call=second))
        for call in (first, second):
            self.passes(B, "INVITE", audio(BOB, 5000), 200, call=call)
        for _ in range(3):
            self.network.deliver(RTP, there, here)
            self.network.deliver(RTP, here, there)
            self.network.deliver(RTP, Address(NODE, 30006), here)
        for port, to in self.network.sent():
            self.assertNotIn(to, self.network.sockets, port)
        self.network.deliver(RTP, Address(BOB, 5000), here)
        self.assertEqual(self.network.sent(), [], "judged again when the answer came")

    def test_phone_on_the_nodes_host(self) -> None:
        """A phone on the node's own address may have a port out of the range, if it is not in use by a call."""
        self.passes(A, "INVITE", audio(NODE, 30018))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.network.deliver(RTP, Address(NODE, 30018), for_alice)
        self.assertEqual(self.network.sent(), [(Address(NODE, 30000), Address(BOB, 5000))])

    def test_stranger(self) -> None:
        """A third address gets nothing and is not heard, before and after the parties (attacks M1, M2)."""
        for_alice, for_bob = self.establish()
        stranger = Address("203.0.113.66", 4000)
        for _ in range(2):
            self.network.deliver(RTP, stranger, for_alice)
            self.network.deliver(RTP, stranger, for_bob)
            self.assertEqual(self.network.sent(), [])
            self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
            self.network.deliver(RTP, Address(BOB, 5000), for_bob)
            self.assertEqual({to.host for _, to in self.network.sent()}, {ALICE, BOB})
            self.clock.advance(10)
        (leg,) = [s.caller for s in self.media.calls()[0].streams]
        assert leg is not None
        self.assertEqual((leg.packets, leg.strangers), (2, 1), "the second one was turned away by the kernel")

    def test_unusable_description(self) -> None:
        """A first INVITE that cannot be relayed is refused with 488 and leaves nothing behind."""
        for body in (b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n", b"nonsense", audio(ALICE, 70000)):
            error = self.assertRaises(ParseError, self.passes, A, "INVITE", body)
            self.assertEqual(error.status_hint, 488)
        self.assertEqual((self.media.calls(), self.network.open_numbers()), ([], []))

    def test_unusable_reinvite(self) -> None:
        """A bad description in a re-INVITE is refused; the call goes on, and the next offer works."""
        for_alice, _ = self.establish()
        self.assertRaises(ParseError, self.passes, A, "INVITE", b"v=0\r\nm=x\r\n", None, 2)
        self.passes(A, "INVITE", audio(ALICE, 4100), cseq=3)
        self.passes(B, "INVITE", audio(BOB, 5000), 200, 3)
        self.network.deliver(RTP, Address(ALICE, 4100), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])

    def test_no_ports_left(self) -> None:
        """When the range is used up a new call gets 503 and takes nothing; one that ended makes room (attack M8)."""
        for number in range(5):
            self.passes(A, "INVITE", audio(ALICE, 4000), call=CallKey(f"c{number}", "a"))
        error = self.assertRaises(NoPorts, self.passes, A, "INVITE", audio(ALICE, 4000))
        self.assertEqual(error.status_hint, 503)
        statistics = self.media.statistics()
        self.assertEqual((statistics.sessions, statistics.ports_free, statistics.total_refused), (5, 0, 1))
        self.media.call_ended(CallKey("c0", "a"), "487")
        self.assertRaises(NoPorts, self.passes, A, "INVITE", audio(ALICE, 4000))
        self.clock.advance(10)
        self.passes(A, "INVITE", audio(ALICE, 4000))

    def test_half_of_the_ports(self) -> None:
        """A call that finds ports for its first line only gives them back."""
        for number in range(4):
            self.passes(A, "INVITE", audio(ALICE, 4000), call=CallKey(f"c{number}", "a"))
        body = sdp(ALICE, "m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 31")
        self.assertRaises(NoPorts, self.passes, A, "INVITE", body)
        self.assertEqual(len(self.network.open_numbers()), 16)

    def test_reinvite_without_ports(self) -> None:
        """A new line that finds no port is refused with 503; the call keeps its media."""
        for_alice, _ = self.establish()
        for number in range(3):
            self.passes(A, "INVITE", audio(ALICE, 4000), call=CallKey(f"c{number}", "a"))
        video = [f"m=video {port} RTP/AVP 31" for port in (4002, 4004)]  # there is room for one of them
        body = sdp(ALICE, "m=audio 4000 RTP/AVP 0", *video)
        before = self.network.open_numbers()
        self.assertRaises(NoPorts, self.passes, A, "INVITE", body, None, 2)
        self.assertEqual(self.network.open_numbers(), before)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.assertEqual([to for _, to in self.network.sent()], [Address(BOB, 5000)])

    def test_ports_of_other_programs(self) -> None:
        """A port that another program holds is passed over; another error of the system is 503."""
        self.network.taken = {30000, 30003}
        self.assertEqual(self.address(self.passes(A, "INVITE", audio(ALICE, 4000))).port, 30004)
        self.media.call_ended(CALL, "BYE")
        self.network.error = OSError(24, "Too many open files")
        error = self.assertRaises(PeerError, self.passes, A, "INVITE", audio(ALICE, 4000))
        self.assertEqual(error.status_hint, 503)
        self.assertIn("Too many open files", str(error))


class EndingTests(MediaTestCase):
    def test_call_ended(self) -> None:
        """Ports are closed, no reader is left, and the end may be told twice."""
        self.establish()
        self.media.call_ended(CALL, "BYE")
        self.media.call_ended(CALL, "BYE")
        self.assertEqual((self.network.open_numbers(), self.readers.readers), ([], []))
        self.assertEqual(self.media.statistics().sessions, 0)

    def test_ports_rest_before_the_next_call(self) -> None:
        """A port of an ended call is not used again before its quarantine is over."""
        used = {address.port for address in self.establish()}
        self.media.call_ended(CALL, "BYE")
        again = {address.port for address in self.establish()}
        self.assertEqual(used & again, set())

    def test_media_timeout(self) -> None:
        """An answered call without packets for 60 s is told to the owner and freed."""
        over: list[CallKey] = []
        self.media.on_timeout = over.append
        for_alice, _ = self.establish()
        self.clock.pump([1.0] * 50)
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.clock.pump([1.0] * 60)
        self.assertEqual(over, [])
        self.clock.pump([1.0] * 2)
        self.assertEqual((over, self.media.calls()), ([CALL], []))
        self.assertEqual(self.media.statistics().total_timeouts, 1)

    def test_owner_that_fails(self) -> None:
        """A fault in the owner's callback is logged, and the ports are freed all the same."""
        self.media.on_timeout = lambda call: 1 / 0
        self.establish()
        self.clock.pump([1.0] * 62)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.network.open_numbers(), [])

    def test_hold_times_out_later(self) -> None:
        """A call on hold lives through the ordinary time-out."""
        self.media.stopService()
        self.media = self.service(hold_timeout=200.0)
        self.passes(A, "INVITE", audio(ALICE, 4000, "a=inactive"))
        self.passes(B, "INVITE", audio(BOB, 5000, "a=inactive"), 200)
        self.clock.pump([1.0] * 199)
        self.assertEqual(len(self.media.calls()), 1)
        self.clock.pump([1.0] * 2)
        self.assertEqual(self.media.calls(), [])

    def test_ringing_is_not_silence(self) -> None:
        """A call that rings for minutes is the proxy's affair (Timer C); one that is forgotten is freed at last."""
        self.passes(A, "INVITE", audio(ALICE, 4000))
        self.clock.pump([1.0] * 599)
        self.assertEqual(len(self.media.calls()), 1)
        self.clock.pump([1.0] * 2)
        self.assertEqual((self.media.calls(), self.network.open_numbers()), ([], []))

    def test_ended_calls_need_no_collector(self) -> None:
        """What a call held is free when it ends: no circle of objects waits for the garbage collector."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.establish()
        self.assertEqual(len([o for o in gc.get_objects() if isinstance(o, Line)]), 1)
        self.media.call_ended(CALL, "BYE")
        self.network.ports.clear()  # only the fake remembers closed ports
        self.assertEqual([o for o in gc.get_objects() if isinstance(o, Line)], [])

    def test_stop(self) -> None:
        """Stopping the service closes everything; stopping twice is harmless."""
        self.establish()
        self.media.stopService()
        self.assertEqual(self.network.open_numbers(), [])
        self.media.stopService()

    def test_statistics(self) -> None:
        """Packets of the last second, and totals that outlive their calls."""
        for_alice, for_bob = self.establish()
        for _ in range(50):
            self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
            self.network.deliver(RTP, Address(BOB, 5000), for_bob)
        self.clock.advance(1.0)
        self.assertEqual(self.media.statistics().packets_per_second, 100.0)
        self.clock.advance(1.0)
        self.assertEqual(self.media.statistics().packets_per_second, 0.0)
        self.media.call_ended(CALL, "BYE")
        self.clock.advance(1.0)
        statistics = self.media.statistics()
        self.assertEqual((statistics.total_packets, statistics.total_octets), (100, 100 * len(RTP)))
        self.assertEqual((statistics.total_sessions, statistics.packets_per_second), (1, 0.0))

    def test_looked_at_in_slices(self) -> None:
        """Each call is looked at once a second, but never so many at once that others would wait for it (65 ms for 2,000)."""
        count, looked = 2 * SLICE + 10, []
        media = self.service(ports=(30000, 30000 + 4 * count - 1))
        self.patch(media.listening, "look", lambda relayed, now: looked.append((now, relayed)) or [])
        for number in range(count):
            media.message_passes(
                CallKey(f"c{number}", "t"), sender=A, method="INVITE", status=None, cseq=1, to_tag=None,
                content_type="application/sdp", body=audio(ALICE, 4000), source=Hop("UDP", ALICE, 5060),
            )  # fmt: skip
        for _ in range(58):
            self.clock.advance(1 / 30)
        times = Counter(now for now, _ in looked)
        self.assertEqual(sorted(times.values()), [10, SLICE, SLICE])
        self.assertEqual(len({id(relayed) for _, relayed in looked}), count)
        looked.clear()
        while not looked:
            self.clock.advance(1 / 30)
        media.call_ended(CallKey(f"c{count - 1}", "t"), "BYE")  # is not looked at any more
        for _ in range(25):
            self.clock.advance(1 / 30)
        self.assertEqual(len(looked), count - 1)
        while len(looked) < count:
            self.clock.advance(1 / 30)
        media.stopService()  # in the midst of it

    def test_one_that_cannot_be_looked_at(self) -> None:
        """A fault with one call, be it the very first, takes the looks from no other one, now and later; it is told once."""
        count, looked = 2 * SLICE + 10, []
        media = self.service(ports=(30000, 30000 + 4 * count - 1))

        def look(relayed: object, now: float) -> list[object]:
            looked.append(relayed)
            if relayed in faulty:
                raise ValueError("not to be looked at")
            return []

        self.patch(media.listening, "look", look)
        for number in range(count):
            media.message_passes(
                CallKey(f"c{number}", "t"), sender=A, method="INVITE", status=None, cseq=1, to_tag=None,
                content_type="application/sdp", body=audio(ALICE, 4000), source=Hop("UDP", ALICE, 5060),
            )  # fmt: skip
        relayed = [media.relayed(CallKey(f"c{number}", "t")) for number in range(count)]
        faulty = [relayed[0], relayed[SLICE]]
        for _ in range(39):
            self.clock.advance(1 / 10)
        self.assertEqual(len(looked), 3 * count)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        faulty.clear()
        media.call_ended(CallKey("c0", "t"), "over")
        self.clock.advance(1.0)
        self.assertEqual(self.flushLoggedErrors(ValueError), [])
        media.stopService()

    def test_snapshot(self) -> None:
        """What `voipctl calls` shows of a call."""
        for_alice, _ = self.establish()
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.clock.advance(2.0)
        (call,) = self.media.calls()
        self.assertEqual((call.call, call.answered, call.held, call.age), (CALL, True, False, 2.0))
        (stream,) = call.streams
        self.assertEqual((stream.kind, stream.protocol), ("audio", "RTP/AVP"))
        assert stream.caller is not None
        self.assertEqual((stream.caller.local, stream.caller.signalled), (for_alice, Address(ALICE, 4000)))
        self.assertEqual((stream.caller.latched, stream.caller.packets), (True, 1))
