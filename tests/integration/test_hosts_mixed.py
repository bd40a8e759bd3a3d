"""A caller with IPv4 behind a NAT, a callee with IPv6: the relay on a third host, which has both, lets them hear each other."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed_reactor

from tests.integration.harness import IntegrationTestCase
from tests.network import Network, NetworkReactor, refused
from voipcluster.address import Hop
from voipcluster.media.offer_answer import Side
from voipcluster.media.sdp import SessionDescription
from voipcluster.phone.media import AudioClock, AudioStream
from voipcluster.services.media.relay import CallKey, MediaService, RelayAddress

CALL = CallKey("mixed@example.com", "a")
RELAY, RELAY6, ROUTER, CALLER, CALLEE = (
    "198.51.100.1", "2001:db8::1", "198.51.100.254", "10.9.0.10", "2001:db8::20",
)  # fmt: skip


class MixedTests(IntegrationTestCase):
    skip = refused() or None

    def setUp(self) -> None:
        super().setUp()
        self.net = Network()
        self.addCleanup(self.net.close)
        self.relay_host = self.net.host("relay", f"{RELAY}/24", f"{RELAY6}/64")
        self.net.host("callee", f"{CALLEE}/64")
        router = self.net.nat("router", [f"{ROUTER}/24"], ["10.9.0.1/24"])
        self.net.host("caller", f"{CALLER}/24", lan=router.lan, gateways=["10.9.0.1"])
        self.reactor = NetworkReactor(installed_reactor, self.net)
        self.media = MediaService(
            installed_reactor, ports=(42000, 42099), addresses=[RelayAddress(RELAY), RelayAddress(RELAY6)]
        )
        self.media.startService()
        self.addCleanup(self.media.stopService)
        self.clock = AudioClock(self.reactor)

    def stream(self, host: str, hz: int) -> AudioStream:
        made = AudioStream(self.clock, hz, hz)
        made.open(self.reactor, host)
        self.addCleanup(made.close)
        return made

    def passes(self, stream: AudioStream, source: str, **more: Any) -> tuple[str, int]:
        """A description of that stream passes; where the other side is told to send."""
        host, port = stream.address
        family = "IP6" if ":" in host else "IP4"
        body = f"v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        with self.relay_host.inside():  # where its ports are opened
            out = self.media.message_passes(
                CALL, method="INVITE", cseq=1, content_type="application/sdp", body=body.encode(),
                source=Hop("UDP", source, 5060), **more,
            )  # fmt: skip
        line = SessionDescription.parse(out).media[0]
        return line.host, line.port

    async def test_both_hear(self) -> None:
        """Each is told an address of its own IP version, and hears the tone of the other one."""
        caller, callee = self.stream(CALLER, 700), self.stream(CALLEE, 1200)
        target = Hop("UDP", CALLEE, 5060)
        for_callee = self.passes(caller, ROUTER, sender=Side.CALLER, status=None, to_tag=None, target=target)
        for_caller = self.passes(callee, CALLEE, sender=Side.CALLEE, status=200, to_tag="b")
        self.assertEqual((for_caller[0], for_callee[0]), (RELAY, RELAY6))
        caller.aim(for_caller)
        callee.aim(for_callee)
        await self.until(lambda: (caller.heard_hz, callee.heard_hz) == (1200, 700), "both hear each other")
        self.assertEqual((caller.source, callee.source), (for_caller, for_callee))
