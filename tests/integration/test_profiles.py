"""
Clients as they are used, each on a host of its own, the caller behind a NAT: a softphone on a PC, and a video client.

The phone behind a satellite is in L{test_satellite}, the analogue adapter in L{tests.conformance.test_adapter}, browsers in
L{test_webrtc}.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from tests.integration.harness import DOMAIN, listens
from tests.integration.run_linphone import Linphone
from tests.integration.run_sipp import SCENARIOS, credentials
from tests.integration.test_hosts import HostsTestCase
from tests.integration.video import FEEDBACK, SSRC, vp8
from tests.network import Host

VIDEO = (
    "b=TIAS:1500000",
    "a=rtpmap:96 VP8/90000",
    "a=rtcp-fb:* nack pli",
    "a=rtcp-fb:* ccm fir",
    "a=rtcp-mux",
)
CALLEE_VIDEO = 7000


class SoftphoneTests(HostsTestCase):
    relay = "kernel"

    def linphone(self, host: Host, user: str, hz: int) -> Linphone:
        with host.inside():
            made = Linphone(
                self.reactor, user, DOMAIN, self.passwords[user], self.primary.hop(), hz, rate=48_000
            )
        self._programs.append(made.program)
        self.at_end(made.stop)
        return made

    async def hear_each_other(self, alice: Linphone, bob: Linphone) -> None:
        await self.until(lambda: alice.hears() == 1300, "alice hears bob", 40)
        await self.until(lambda: bob.hears() == 700, "bob hears alice", 40)

    async def test_softphone(self) -> None:
        """Two of them call each other both ways, hold and go on, and hear each other; each ends one of the calls."""
        alice = self.linphone(self.caller_host, "alice", 700)
        bob = self.linphone(self.callee_host, "bob", 1300)
        await self.reachable("alice", "bob")
        for calling, called, name in ((alice, bob, "bob"), (bob, alice, "alice")):
            up = calling.dial(f"sip:{name}@{DOMAIN}")
            await called.answer()
            await up
            await self.hear_each_other(alice, bob)
            await calling.hold()
            await calling.resume()
            await self.hear_each_other(alice, bob)
            await called.hang_up()

            async def over() -> bool:
                return not await self.primary.ask("calls")

            await self.until(over, "the call is over")


class _Port(DatagramProtocol):
    """An RTP port of a client: what it got."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.got.append(datagram)


class VideoTests(HostsTestCase):
    def scenario(self, name: str, port: str) -> Path:
        """A scenario whose descriptions have a line of video too, at that port."""
        text = (SCENARIOS / f"{name}.xml").read_text()
        line = "\n".join((f"m=video {port} RTP/AVPF 96", *VIDEO))
        path = self.folder / f"{name}_video.xml"
        path.write_text(text.replace("a=rtpmap:0 PCMU/8000\n", f"a=rtpmap:0 PCMU/8000\n{line}\n"))
        return path

    def port(self, host: Host, number: int) -> _Port:
        made = _Port()
        with host.inside():
            listening = self.reactor.listenUDP(number, made, interface=host.addresses[0])

        async def close() -> None:
            await listening.stopListening()

        self.at_end(close)
        return made

    def video_of(self, messages: str) -> tuple[str, int]:
        """Where the last description in what a sipp got and sent wants video."""
        node = re.escape(self.relay_host.addresses[0])
        found = re.findall(rf"c=IN IP4 ({node})\r?\n[\s\S]*?m=video (\d+)", messages)
        self.assertTrue(found, messages)
        return found[-1][0], int(found[-1][1])

    async def test_video_client(self) -> None:
        """A call with audio and video: each packet of VP8 arrives as it was sent, and each kind of feedback on the way back."""
        callee, caller = self.callee_host.addresses[0], self.caller_host.addresses[0]
        answer = credentials("bob", self.passwords["bob"])
        with self.callee_host.inside():
            register = self.sipp(
                "register", callee, self.primary.hop(), rows=[("bob", answer, f"{callee}:5060")]
            )
        await register.finished(30)
        with self.callee_host.inside():
            called = self.sipp(self.scenario("uas", str(CALLEE_VIDEO)), callee)

        def is_there() -> bool:
            with self.callee_host.inside():
                return listens(callee, 5060)

        await self.until(is_there, "the callee listens")
        viewer, sender = self.port(self.callee_host, CALLEE_VIDEO), self.port(self.caller_host, 7002)
        row = ("alice", credentials("alice", self.passwords["alice"]), "bob", "7004")
        with self.caller_host.inside():
            calling = self.sipp(
                self.scenario("call", "7002"), caller, self.primary.hop(), rows=[row], hold=None
            )
        await self.until(lambda: calling.up, "the call is up")
        for_sender, for_viewer = self.video_of(calling.messages), self.video_of(called.messages)

        hello = b"\x80\x60\x00\x00" + bytes(4) + b"recv"
        await self.latched(sender, for_sender, viewer, for_viewer, hello)
        sent: list[bytes] = []
        said: list[bytes] = []
        for frame, kind in zip(vp8(30, seed=5), cycle(FEEDBACK), strict=False):
            for packet in frame:
                sender.transport.write(packet, for_sender)
            sent += frame
            await self.until(
                partial(self.are_there, partial(self.video, viewer), len(sent)), "the frame has come"
            )
            viewer.transport.write(FEEDBACK[kind], for_viewer)
            said.append(FEEDBACK[kind])
            await self.until(
                partial(self.are_there, partial(self.feedback, sender), len(said)), "the feedback has come"
            )
        self.assertEqual(self.video(viewer), sent)
        self.assertEqual(self.feedback(sender), said)
        counted = self.counted_by_kernel()
        self.assertTrue(counted >= len(sent) if self.relay == "kernel" else not counted, counted)
        with self.caller_host.inside():
            calling.hang_up()
        await calling.finished(30)

    def are_there(self, got: Callable[[], list[bytes]], count: int) -> bool:
        return len(got()) >= count

    def video(self, port: _Port) -> list[bytes]:
        return [datagram for datagram in port.got if datagram[8:12] == SSRC]

    def feedback(self, port: _Port) -> list[bytes]:
        return [datagram for datagram in port.got if datagram[1] in range(192, 224)]

    async def latched(
        self, sender: _Port, for_sender: Any, viewer: _Port, for_viewer: Any, hello: bytes
    ) -> None:
        """Return once packets pass both ways; until both sides have spoken the relay may not know where they are."""

        def both() -> bool:
            sender.transport.write(hello, for_sender)
            viewer.transport.write(hello, for_viewer)
            return bool(sender.got and viewer.got) and self.counted_by_kernel() >= (self.relay == "kernel")

        await self.until(both, "packets pass both ways")

    def counted_by_kernel(self) -> int:
        """The most packets that an element of the kernel path has relayed."""
        rules = self.relay_host.run("nft", "list", "ruleset")
        return max(map(int, re.findall(r"counter packets (\d+)", rules)), default=0)


class KernelVideoTests(VideoTests):
    relay = "kernel"
