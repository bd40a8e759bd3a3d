"""A relay on fake sockets, with a call from Alice to Bob."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.fakes import FakeNetwork, FakeReaders
from voipcluster.address import Hop
from voipcluster.media.offer_answer import Side
from voipcluster.media.sdp import SessionDescription
from voipcluster.media.target import Address
from voipcluster.services.media.kernel_path import NoKernel
from voipcluster.services.media.relay import CallKey, MediaService, RelayAddress

A, B = Side.CALLER, Side.CALLEE
CALL = CallKey("c1@example.com", "tag-a")
NODE, NODE6 = "192.0.2.1", "2001:db8::1"
ALICE, BOB = "198.51.100.7", "203.0.113.9"
RTP = b"\x80\x00" + bytes(170)


def sdp(host: str, *lines: str) -> bytes:
    family = "IP6" if ":" in host else "IP4"
    text = f"v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n"
    return (text + "".join(f"{line}\r\n" for line in lines)).encode()


def audio(host: str, port: int, *more: str) -> bytes:
    return sdp(host, f"m=audio {port} RTP/AVP 0", *more)


class MediaTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.network, self.readers = Clock(), FakeNetwork(), FakeReaders()
        self.media = self.service()

    def service(self, **options: Any) -> MediaService:
        settings: dict[str, Any] = {
            "ports": (30000, 30019),
            "addresses": [RelayAddress(NODE), RelayAddress(NODE6)],
            "readers": lambda reactor: self.readers,
            "open_port": self.network.open_port,
            "kernel": NoKernel(),
            "trusted": lambda host: True,  # phones may name addresses on other hosts
        }
        media = MediaService(self.clock, **{**settings, **options})
        media.startService()
        self.addCleanup(media.stopService)
        return media

    def tearDown(self) -> None:
        self.media.stopService()
        self.assertEqual((self.network.open_numbers(), self.readers.readers), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def passes(
        self,
        sender: Side,
        method: str,
        body: bytes = b"",
        status: int | None = None,
        cseq: int = 1,
        **more: Any,
    ) -> bytes:
        arguments: dict[str, Any] = {
            "to_tag": None if (status is None and cseq == 1) else "tag-b",
            "content_type": "application/sdp" if body else None,
            "source": Hop("UDP", ALICE if sender is A else BOB, 5060),
        }
        call = more.pop("call", CALL)
        return self.media.message_passes(
            call, sender=sender, method=method, status=status, cseq=cseq, body=body, **{**arguments, **more}
        )

    def address(self, body: bytes, index: int = 0) -> Address:
        line = SessionDescription.parse(body).media[index]
        return Address(line.host, line.port)

    def establish(self) -> tuple[Address, Address]:
        """A call from Alice to Bob; gives where Alice sends, and where Bob sends."""
        for_bob = self.address(self.passes(A, "INVITE", audio(ALICE, 4000)))
        for_alice = self.address(self.passes(B, "INVITE", audio(BOB, 5000), 200))
        self.passes(A, "ACK")
        return for_alice, for_bob
