"""Tests that send the recorded messages: what comes back, and what arrives behind the proxy."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.marks import torture
from tests.conformance.torture import MESSAGES, Torture, is_right

Test = Callable[[Any], Coroutine[Any, Any, None]]

FINAL = 20.0  # seconds for an answer: what is forwarded to names may wait for a resolver
GIVEN_UP = 40.0  # seconds until a connection with an unfinished message is closed


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


BY_NAME = {message.name: message for messages in MESSAGES.values() for message in messages}
OURS = ("max-forwards", "route", "record-route")  # what a proxy changes


def header_lines(data: bytes) -> list[bytes]:
    """The header lines of a message as they stand on the wire, a folded one as one."""
    head = data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
    return re.split(rb"\r\n(?![ \t])", head)[1:]


def kept(lines: Sequence[bytes], without: Sequence[str]) -> list[bytes]:
    names = [re.split(rb"[ \t\r\n]*:", line, maxsplit=1)[0].decode().lower() for line in lines]
    return [line for name, line in zip(names, lines, strict=True) if name not in without]


class DownstreamTestCase(ConformanceTestCase):
    async def next_hop(self, uri: str, user: str = "next") -> Peer:
        """A phone that is registered for the address of record in C{uri}, until the test ends."""
        peer = self.udp(user)
        domain = uri.rpartition("@")[2].partition(";")[0]
        binding = peer.request("REGISTER", f"sip:{domain}", to=f"<{uri}>").add("Contact", f"<{peer.uri}>")
        self.assertEqual((await peer.exchange(binding)).status, 200)

        async def leave() -> None:
            removal = binding.copy().set("CSeq", f"{peer.next_cseq()} REGISTER").add("Expires", "0")
            await peer.exchange(removal.set("Via", removal["via"] + "x"))

        self.at_end(leave)
        return peer

    async def forwarded(
        self, name: str, uri: str = "", method: str = "", *, data: bytes = b"", port: int = 0
    ) -> Message:
        """Send the message; give what arrives at the next hop for C{uri} (by default its Request-URI)."""
        message = BY_NAME[name]
        data = data or message.data
        start = data.split(b" ")
        callee = await self.next_hop(uri or start[1].decode())
        caller = self.udp("tester", port=port or message.via_port)
        caller.send(data)
        arrived = await callee.expect(method or start[0].decode())
        callee.reply(arrived, 486)
        await self.until(lambda: [m for m in caller.heard if m.status == 486], "the answer comes back")
        return arrived

    def assert_untouched(self, data: bytes, arrived: Message, *without: str) -> None:
        """All header lines but what a proxy changes are there, octet for octet, in their order; so is the body."""
        vias = [line for line in header_lines(data) if re.match(rb"(v|via)[ \t]*:", line, re.I)]
        sent = kept(header_lines(data), (*OURS, *without))
        got = kept(header_lines(arrived.raw), (*OURS, *without))
        sent.remove(vias[0])  # the topmost gets a received parameter
        self.assertEqual([line for line in got if line in sent], sent)
        length = int(arrived["content-length"])
        self.assertEqual(arrived.body, data.lstrip(b"\r\n").partition(b"\r\n\r\n")[2][:length])
