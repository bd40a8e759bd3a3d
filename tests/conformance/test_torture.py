"""The messages of RFC 4475 and RFC 5118, byte for byte, over UDP and TCP (tests/data)."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from tests.conformance.case import ConformanceTestCase, Peer
from tests.conformance.marks import torture
from tests.conformance.torture import MESSAGES, Torture, is_right

Test = Callable[[Any], Coroutine[Any, Any, None]]

FINAL = 8.0  # seconds for an answer: what is forwarded to names may wait for a resolver
GIVEN_UP = 20.0  # seconds until a connection with an unfinished message is closed


class TortureTestCase(ConformanceTestCase):
    """Timers are fast, for many of the messages have one branch and sender: to a server these are copies of one request."""

    domains = ("example.com", "example.net", "example.org")
    options = ("--set", "sip.t1=0.01")
    _sent: ClassVar[set[tuple[str, bytes]]] = set()

    async def is_new(self, message: Torture) -> None:
        """Return once the node has forgotten what it would take the message for a copy of."""
        key = (self.node.address, message.top_via)
        if key in self._sent:

            async def forgotten() -> bool:
                return (await self.node.numbers())['voipcluster_transactions{side="server"}'] == 0

            await self.until(forgotten, "earlier transactions end")
        self._sent.add(key)

    def listener(self, message: Torture) -> Peer:
        """A UDP peer where the answer is sent: at the port of the Via (RFC 3261 section 18.2.2)."""
        return self.udp("tester", port=message.via_port)

    async def check(self, peer: Peer, message: Torture) -> None:
        """What came back to the peer is what the message deserves."""
        if message.silence:
            await self.node_answers()
        else:
            await self.until(lambda: statuses(peer), "an answer", FINAL)
        self.assertTrue(is_right(message.udp, statuses(peer)), f"{message.name}: {peer.heard}")

    async def send_udp(self, message: Torture) -> None:
        await self.is_new(message)
        peer = self.listener(message)
        peer.send(message.data)
        await self.check(peer, message)
        await self.unregister(peer)

    async def unregister(self, peer: Peer) -> None:
        """Take back what was registered: over the other transport the message is none that was overtaken (10.3 step 7)."""
        for answer in peer.heard:
            if answer.status == 200 and answer.cseq[1] == "REGISTER":
                to = re.sub(r";tag=[^;]*", "", answer["to"])
                other = self.udp("cleaner", port=0)
                request = other.request(
                    "REGISTER", f"sip:{self.domain}", ("Contact", "*"), ("Expires", "0"), to=to
                )
                self.assertEqual((await other.exchange(request)).status, 200)

    async def send_tcp(self, message: Torture) -> None:
        await self.is_new(message)
        peer = await self.tcp("tester")
        connection = peer.connection
        assert connection is not None
        peer.send(message.data)
        if message.stream.startswith("wait"):
            await self.until(lambda: connection.is_closed, "the node closes the connection", GIVEN_UP)
            self.assertNotIn(200, statuses(peer))
        elif message.stream == "two requests":
            await self.until(
                lambda: {m.cseq[1] for m in peer.heard if m.status >= 200} == {"REGISTER", "INVITE"}, "both"
            )
        elif message.stream == "400 and close":
            await self.until(lambda: connection.is_closed, "the node closes the connection")
            self.assertEqual(statuses(peer), [400])
        else:
            await self.check(peer, message)
        await self.unregister(peer)


def statuses(peer: Peer) -> list[int]:
    """The final answers that a peer has got."""
    return [message.status for message in peer.heard if message.status >= 200]


def add_tests(case: type[TortureTestCase], rfc: str, transport: str) -> None:
    """One test method for each message of an RFC."""
    for message in MESSAGES[rfc]:
        test = _test_of(message, transport)
        test.__name__ = f"test_{re.sub('[^a-z0-9]', '_', message.name)}"
        test.__doc__ = f"{message.name} over {transport} (section {message.section})."
        setattr(case, test.__name__, torture(rfc, message.name)(test))


def _test_of(message: Torture, transport: str) -> Test:
    async def over_udp(self: TortureTestCase) -> None:
        await self.send_udp(message)

    async def over_tcp(self: TortureTestCase) -> None:
        await self.send_tcp(message)

    return over_udp if transport == "UDP" else over_tcp


class Rfc4475UdpTests(TortureTestCase):
    """One test a message, see L{add_tests}."""


class Rfc4475TcpTests(TortureTestCase):
    """The same over TCP, at another node: to one that has had a REGISTER over UDP this one is a replay."""

    share = "TCP"


class Rfc5118UdpTests(TortureTestCase):
    """Over IPv6. There is one loopback address only, so the node has another port than those of the Via values."""

    node_host = "::1"
    node_port = 5062

    def peer_host(self, number: int) -> str:
        return "::1"

    def prober_host(self) -> str:
        return "::1"


class Rfc5118TcpTests(Rfc5118UdpTests):
    node_port = 5064


add_tests(Rfc4475UdpTests, "rfc4475", "UDP")
add_tests(Rfc4475TcpTests, "rfc4475", "TCP")
add_tests(Rfc5118UdpTests, "rfc5118", "UDP")
add_tests(Rfc5118TcpTests, "rfc5118", "TCP")
