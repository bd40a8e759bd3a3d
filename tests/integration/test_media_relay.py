"""Real sockets through a real reactor: two parties with RTP both ways, and a stranger who gets nothing."""

from __future__ import annotations

import os
import socket
from itertools import cycle
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from tests.integration.video import FEEDBACK, video_sdp, vp8
from voipcluster.address import Hop
from voipcluster.media.offer_answer import Side
from voipcluster.media.sdp import SessionDescription
from voipcluster.net.port_group import PortGroup
from voipcluster.services.media.relay import CallKey, MediaService, RelayAddress

reactor: Any = installed_reactor
CALL = CallKey("call@127.0.0.1", "a")
NODE = "127.0.81.1"


def rtp(sequence: int, payload: bytes = b"\xff" * 160) -> bytes:
    return b"\x80\x00" + sequence.to_bytes(2, "big") + bytes(4) + b"ssrc" + payload


def sdp(host: str, port: int) -> bytes:
    family = "IP6" if ":" in host else "IP4"
    return (
        f"v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    ).encode()


class Party(DatagramProtocol):
    """A phone's media port: keeps what it hears."""

    noisy = False

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []

    @property
    def port(self) -> int:
        return int(self.transport.getHost().port)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append((datagram, tuple(addr[:2])))
        for item in list(self._waiting):
            if len(self.heard) >= item[0]:
                self._waiting.remove(item)
                item[1].callback(None)

    def hears(self, count: int) -> Deferred[None]:
        """Fires when that many datagrams came."""
        done: Deferred[None] = Deferred()
        if len(self.heard) >= count:
            done.callback(None)
        else:
            self._waiting.append((count, done))
            done.addTimeout(5, reactor)
        return done

    def say(self, datagram: bytes, to: tuple[str, int]) -> None:
        self.transport.write(datagram, to)


class UserSpaceTests(TestCase):
    """Relayed by the sockets of this process."""

    path = "userspace"

    def setUp(self) -> None:
        self.media = self.service()
        self.ports: list[Any] = []

    def service(self, **options: Any) -> MediaService:
        media = MediaService(
            reactor,
            ports=(options.pop("first", 42000), 42999),
            addresses=[RelayAddress(NODE), RelayAddress("::1")],
            relay=options.pop("relay", self.path),
            **options,
        )
        media.startService()
        self.addCleanup(media.stopService)
        return media

    def party(self, host: str = "127.0.0.1") -> Party:
        party = Party()
        port = reactor.listenUDP(0, party, host, maxPacketSize=65536)
        self.addCleanup(port.stopListening)
        return party

    def passes(
        self, sender: Side, method: str, status: int | None, body: bytes, host: str, **more: Any
    ) -> tuple[str, int]:
        """Where the body that comes out says that media goes."""
        out = self.media.message_passes(
            CALL,
            sender=sender,
            method=method,
            status=status,
            cseq=more.pop("cseq", 1),
            to_tag=None if status is None else "b",
            content_type="application/sdp",
            body=body,
            source=Hop("UDP", host, 5060),
            **more,
        )
        line = SessionDescription.parse(out).media[0]
        return line.host, line.port

    def call(
        self, caller: Party, callee: Party, host: str = "127.0.0.1", callee_host: str = "127.0.0.1"
    ) -> Any:
        target = Hop("UDP", callee_host, 5060)
        for_callee = self.passes(Side.CALLER, "INVITE", None, sdp(host, caller.port), host, target=target)
        for_caller = self.passes(Side.CALLEE, "INVITE", 200, sdp(callee_host, callee.port), callee_host)
        return for_caller, for_callee

    async def test_audio_both_ways(self) -> None:
        """What one party sends to the relay reaches the other, from the port that it was told (RFC 4961)."""
        caller, callee = self.party(), self.party()
        for_caller, for_callee = self.call(caller, callee)
        for n in range(10):
            caller.say(rtp(n), for_caller)
            callee.say(rtp(100 + n), for_callee)
        await callee.hears(10)
        await caller.hears(10)
        self.assertEqual(callee.heard, [(rtp(n), for_callee) for n in range(10)])
        self.assertEqual(caller.heard, [(rtp(100 + n), for_caller) for n in range(10)])
        await self.media.counted()
        (snapshot,) = self.media.calls()
        assert snapshot.streams[0].caller is not None
        self.assertEqual(snapshot.streams[0].kernel, self.path == "kernel")
        self.assertTrue(snapshot.streams[0].caller.latched)
        self.assertEqual(snapshot.streams[0].caller.packets, 10)

    async def test_large_datagrams(self) -> None:
        """What came in fragments goes on whole, also before a side is latched: nothing is cut."""
        caller, callee = self.party(), self.party()
        for_caller, for_callee = self.call(caller, callee)
        sizes = (2036, 2037, 8988, 60000)
        for n, size in enumerate(sizes):
            callee.say(rtp(n, b"x" * size), for_callee)
            caller.say(rtp(n, b"y" * size), for_caller)
        await caller.hears(len(sizes))
        await callee.hears(len(sizes))
        self.assertEqual([data for data, _ in caller.heard], [rtp(n, b"x" * s) for n, s in enumerate(sizes)])
        self.assertEqual([data for data, _ in callee.heard], [rtp(n, b"y" * s) for n, s in enumerate(sizes)])

    async def test_between_ip_versions(self) -> None:
        """An IPv4 caller and an IPv6 callee hear each other through a node that has both."""
        caller, callee = self.party(), self.party("::1")
        for_caller, for_callee = self.call(caller, callee, callee_host="::1")
        self.assertEqual((for_caller[0], for_callee[0]), (NODE, "::1"))
        caller.say(rtp(1), for_caller)
        callee.say(rtp(2), for_callee)
        await callee.hears(1)
        await caller.hears(1)
        self.assertEqual((callee.heard[0][0], caller.heard[0][0]), (rtp(1), rtp(2)))

    async def test_stranger_gets_and_injects_nothing(self) -> None:
        """A third address that sprays every relay port hears nothing, and nobody hears it (attacks M1, M2)."""
        caller, callee, stranger = self.party(), self.party(), self.party("127.0.0.9")
        for_caller, for_callee = self.call(caller, callee)
        ports = range(42000, 42016)
        for n in range(5):  # before the parties, and while they talk
            for port in ports:
                stranger.say(rtp(n, b"spray"), (NODE, port))
            caller.say(rtp(n), for_caller)
            callee.say(rtp(n), for_callee)
            await caller.hears(n + 1)
            await callee.hears(n + 1)
        self.assertEqual([data for data, _ in caller.heard], [rtp(n) for n in range(5)])
        self.assertEqual([data for data, _ in callee.heard], [rtp(n) for n in range(5)])
        self.assertEqual(stranger.heard, [])

    async def test_who_has_not_heard_of_the_end(self) -> None:
        """Ports go to the next call at once: who still sends for the former one is not heard in it, and hears nothing of it."""
        self.media.stopService()
        self.media = self.service(first=42990, quarantine=0)
        pairs = []
        for last in range(5, 15):
            caller, callee = self.party(f"127.0.0.{last}"), self.party(f"127.0.1.{last}")
            for_caller, for_callee = self.call(caller, callee, f"127.0.0.{last}", f"127.0.1.{last}")
            for old_caller, old_callee, *_ in pairs:
                for port in range(42990, 43000):
                    old_caller.say(rtp(last, b"late"), (NODE, port))
                    old_callee.say(rtp(last, b"late"), (NODE, port))
            caller.say(rtp(last), for_caller)
            callee.say(rtp(last), for_callee)
            await caller.hears(1)
            await callee.hears(1)
            self.media.call_ended(CALL, "BYE")
            pairs.append((caller, callee, for_caller, for_callee))
        self.assertLess(len({number for *_, one, other in pairs for number in (one[1], other[1])}), 20)
        for number, pair in enumerate(pairs, 5):
            for party in pair[:2]:
                self.assertEqual([data for data, _ in party.heard], [rtp(number)])

    async def test_true_peer_wins_the_race(self) -> None:
        """A source on the phone's own host that came first loses to the signalled address (attack M3)."""
        caller, callee, attacker = self.party(), self.party(), self.party()
        for_caller, for_callee = self.call(caller, callee)
        attacker.say(rtp(1, b"attack"), for_callee)
        await caller.hears(1)
        callee.say(rtp(2), for_callee)
        await caller.hears(2)
        attacker.say(rtp(3, b"attack"), for_callee)
        caller.say(rtp(4), for_caller)
        await callee.hears(1)
        callee.say(rtp(5), for_callee)
        await caller.hears(3)
        self.assertEqual([data for data, _ in caller.heard[1:]], [rtp(2), rtp(5)])
        self.assertEqual(attacker.heard, [])

    async def test_move_to_another_address(self) -> None:
        """A re-INVITE with a new address turns media there, through the same ports (RFC 3665 section 3.7)."""
        caller, callee, moved = self.party(), self.party(), self.party("127.0.0.2")
        for_caller, for_callee = self.call(caller, callee)
        caller.say(rtp(1), for_caller)
        callee.say(rtp(1), for_callee)
        await caller.hears(1)
        await callee.hears(1)
        again = self.passes(Side.CALLER, "INVITE", None, sdp("127.0.0.2", moved.port), "127.0.0.2", cseq=2)
        self.assertEqual(again, for_callee)
        self.passes(Side.CALLEE, "INVITE", 200, sdp("127.0.0.1", callee.port), "127.0.0.1", cseq=2)
        callee.say(rtp(2), for_callee)
        await moved.hears(1)
        moved.say(rtp(3), for_caller)
        await callee.hears(2)
        self.assertEqual(callee.heard[1][0], rtp(3))
        self.assertEqual(len(caller.heard), 1)

    async def test_rtcp_has_its_own_pair(self) -> None:
        """RTCP to the odd port reaches the far side's odd port (RFC 3550 section 11)."""
        caller, callee = self.party(), self.party()
        report = b"\x80\xc9\x00\x01ssrc"
        caller_sdp = sdp("127.0.0.1", 9) + b"a=rtcp:%d\r\n" % caller.port
        callee_sdp = sdp("127.0.0.1", 9) + b"a=rtcp:%d\r\n" % callee.port
        self.passes(Side.CALLER, "INVITE", None, caller_sdp, "127.0.0.1")
        host, number = self.passes(Side.CALLEE, "INVITE", 200, callee_sdp, "127.0.0.1")
        caller.say(report, (host, number + 1))
        await callee.hears(1)
        self.assertEqual(callee.heard[0][0], report)

    async def test_video_bit_for_bit(self) -> None:
        """
        Every packet of a VP8 stream arrives as it was sent, and each kind of feedback on the way back, on its own port and on
        that of RTP (RFC 4585, RFC 5104, RFC 5761).
        """
        for mux in (False, True):
            self.media.call_ended(CALL, "next")
            sender, reports, viewer, feedback = (self.party() for _ in range(4))
            if mux:
                reports, feedback = sender, viewer
            for_viewer = self.passes(
                Side.CALLER, "INVITE", None, video_sdp(sender.port, reports.port, mux=mux), "127.0.0.1"
            )
            for_sender = self.passes(
                Side.CALLEE, "INVITE", 200, video_sdp(viewer.port, feedback.port, mux=mux), "127.0.0.1"
            )
            (host, number), shift = for_viewer, 0 if mux else 1
            viewer.say(rtp(0), for_viewer)
            await sender.hears(1)
            sent: list[bytes] = []
            for frame, kind in zip(vp8(40, seed=mux), cycle(FEEDBACK), strict=False):
                for packet in frame:
                    sender.say(packet, for_sender)
                sent += frame
                await viewer.hears(len(sent))
                heard = len(reports.heard)
                feedback.say(FEEDBACK[kind], (host, number + shift))
                await reports.hears(heard + 1)
            self.assertEqual([data for data, _ in viewer.heard], sent)
            said = [data for data, _ in reports.heard if data != rtp(0)]
            self.assertEqual(
                said, [FEEDBACK[kind] for kind, _ in zip(cycle(FEEDBACK), range(40), strict=False)]
            )

    async def test_silent_destination_does_not_hurt(self) -> None:
        """ICMP errors from a closed phone port change nothing for the other direction."""
        caller = self.party()
        closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        closed.bind(("127.0.0.1", 0))
        number = closed.getsockname()[1]
        self.passes(Side.CALLER, "INVITE", None, sdp("127.0.0.1", caller.port), "127.0.0.1")
        for_callee = self.passes(Side.CALLER, "INVITE", None, sdp("127.0.0.1", caller.port), "127.0.0.1")
        for_caller = self.passes(Side.CALLEE, "INVITE", 200, sdp("127.0.0.1", number), "127.0.0.1")
        closed.sendto(rtp(1), for_callee)
        await caller.hears(1)
        closed.close()
        for n in range(3):
            caller.say(rtp(n), for_caller)
            await self.turns(5)
        again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(again.close)
        again.bind(("127.0.0.1", number))
        again.sendto(rtp(2), for_callee)
        await caller.hears(2)

    async def test_without_the_group(self) -> None:
        """Ports that hang on the reactor one by one, the plain way, relay the same (reference of L{PortGroup})."""
        self.media.stopService()
        self.media = self.service(readers=lambda reactor: reactor)
        await self.test_audio_both_ways()

    async def test_packets_that_wait_for_each_other(self) -> None:
        """Many packets at once are gathered, and all of them arrive, in their order; then nothing waits any more."""
        groups: list[PortGroup] = []

        def readers(reactor: Any) -> PortGroup:
            groups.append(PortGroup(reactor, gather=0.001))
            return groups[0]

        self.media.stopService()
        self.media = self.service(readers=readers, relay="userspace")
        caller, callee = self.party(), self.party()
        for_caller, for_callee = self.call(caller, callee)
        sent = 0
        while not groups[0].gathers and sent < 4000:
            for _ in range(20):
                caller.say(rtp(sent), for_caller)
                sent += 1
            await callee.hears(sent)
        for n in range(200):
            callee.say(rtp(n), for_callee)
            caller.say(rtp(sent), for_caller)
            sent += 1
        await callee.hears(sent)
        await caller.hears(200)
        self.assertTrue(groups[0].gathers)
        self.assertEqual([data for data, _ in callee.heard], [rtp(n) for n in range(sent)])
        self.assertEqual([data for data, _ in caller.heard], [rtp(n) for n in range(200)])
        while groups[0].gathers:
            await self.turns(1)

    async def test_media_timeout(self) -> None:
        """A call whose parties fall silent is told to its owner, and its ports are free (design: media time-out)."""
        self.media.stopService()
        self.media = self.service(timeout=0.5)
        over: Deferred[CallKey] = Deferred()
        over.addTimeout(10, reactor)
        self.media.on_timeout = over.callback
        self.call(self.party(), self.party())
        self.assertEqual(await over, CALL)
        await self.turns(1)
        self.assertEqual(self.media.calls(), [])

    async def turns(self, count: int) -> None:
        """Let the reactor go round."""
        for _ in range(count):
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn

    def test_everything_is_closed_at_the_end(self) -> None:
        """After the call its ports can be bound by anybody, and no reader is left."""
        before = set(reactor.getReaders())
        caller, callee = self.party(), self.party()
        media = self.media
        for_caller, for_callee = self.call(caller, callee)
        media.call_ended(CALL, "BYE")
        media.call_ended(CALL, "BYE")
        for host, number in (for_caller, for_callee):
            for port in (number, number + 1):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind((host, port))
        self.assertEqual(media.statistics().sessions, 0)
        media.stopService()
        self.assertLessEqual({r for r in reactor.getReaders() if type(r).__name__ == "PortGroup"}, before)


class KernelTests(UserSpaceTests):
    """The same, relayed by the kernel as soon as both sides are latched."""

    path = "kernel"
    skip = (
        None
        if os.geteuid() == 0
        else "nftables needs root, in a network namespace of its own (script/test as root)"
    )
