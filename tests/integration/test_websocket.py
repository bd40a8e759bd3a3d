"""SIP over WebSocket from outside: JsSIP in Chromium, and a client that does it wrong."""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tests.certificates import Authority
from tests.conformance.marks import requirement
from tests.integration.harness import ClusterTestCase
from tests.integration.run_browser import Browser
from tests.unit.net.websocket_client import WebSocketClient
from voipcluster.phone.phone_call import CallFailed

HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "sip",
}


class Client(Protocol):
    """
    A client that can do it wrong.

    @ivar answer: to its opening handshake; C{frames}: what came behind that.
    """

    def __init__(self) -> None:
        self.answer = b""
        self.frames = WebSocketClient()
        self.ended: Failure | None = None
        self.wire: Any = None

    def connectionMade(self) -> None:
        self.wire = self.transport

    def dataReceived(self, data: bytes) -> None:
        if b"\r\n\r\n" in self.answer:
            self.frames.receive(data)
            return
        self.answer += data
        head, found, rest = self.answer.partition(b"\r\n\r\n")
        if found and self.status == 101:
            self.answer = head + found
            self.frames.receive(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason

    @property
    def status(self) -> int:
        return int(self.answer.split()[1]) if b"\r\n\r\n" in self.answer else 0

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.decode() for one in self.frames.messages]

    async def close(self) -> None:
        if self.ended is None:
            self.wire.abortConnection()


class BrowserTests(ClusterTestCase):
    async def test_browsers_call_each_other(self) -> None:
        """
        JsSIP registers over ws at one node and over wss at another one, calls and hangs up, from either side.

        Digest is asked for (RFC 7118 section 7), and only pages of the origin that is listed may connect.
        """
        browser = Browser(self.reactor, self.address(100))
        ca = Authority(self.folder)
        pair = ca.issue("node", ["example.com"])
        await self.start_cluster(
            *("--set", f"tls.certificate={pair.certificate}", "--set", f"tls.key={pair.key}"),
            *("--set", "websocket.port=8443", "--set", f'websocket.origins=["{browser.origin}"]'),
            nodes="ab",
        )
        await self.add_users("alice", "bob")
        self.at_end(browser.stop)
        self._programs.append(await browser.start())
        for phone, url in (
            ("alice", f"ws://{self.primary.address}:8080/sip"),
            ("bob", f"wss://{self.node('b').address}:8443/"),
        ):
            browser.tell(phone, "register", url=url, domain="example.com", password=self.passwords[phone])
        await self.until(
            lambda: browser.said("alice", "registered") and browser.said("bob", "registered"),
            "both are registered", 40,
        )  # fmt: skip
        await self.reachable("alice", "bob")
        found = {}
        for user in ("alice", "bob"):
            [binding] = await self.primary.ask("registrations", aor=f"{user}@example.com")
            found[user] = (binding["transport"], binding["node"])
        self.assertEqual(found, {"alice": ("WS", "a"), "bob": ("WSS", "b")})
        for caller, callee, ends in (("alice", "bob", "alice"), ("bob", "alice", "alice")):
            since = len(browser.events)
            browser.tell(caller, "call", to=f"sip:{callee}@example.com")
            for phone in (caller, callee):
                await self.until(
                    lambda phone=phone, since=since: (
                        browser.said(phone, "confirmed", since) or browser.said(phone, "failed", since)
                    ),
                    f"the call is up at {phone}",
                )
                self.assertIsNone(browser.said(phone, "failed", since), browser.events)
            browser.tell(ends, "hangUp")
            for phone in (caller, callee):
                await self.until(
                    lambda phone=phone, since=since: browser.said(phone, "ended", since),
                    f"the call is over at {phone}",
                )
            ended = browser.said("bob", "ended", since)
            assert ended is not None
            self.assertEqual((ended["originator"], ended["cause"]), ("remote", "Terminated"))
        await self.until(self._no_calls, "no node counts a call")

    async def _no_calls(self) -> bool:
        return not await self.primary.ask("calls", call_id=None)


class ClientTests(ClusterTestCase):
    async def connect(self, **changed: str | None) -> Client:
        """Open a WebSocket at the primary, with other headers (underscores for hyphens)."""
        client: Client = await connectProtocol(
            TCP4ClientEndpoint(self.reactor, self.primary.address, 8080, timeout=30), Client()
        )
        self.at_end(client.close)
        headers = HEADERS | {"Host": f"{self.primary.address}:8080"}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        client.wire.write("\r\n".join(["GET /sip HTTP/1.1", *lines, "", ""]).encode())
        await self.until(lambda: client.status, "the handshake is answered")
        return client

    def request(self, method: str, uri: str, *headers: str) -> str:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 70", "From: <sip:bob@example.com>;tag=b1", "To: <sip:bob@example.com>",
            f"Call-ID: {secrets.token_hex(6)}", f"CSeq: 1 {method}", *headers,
        ]  # fmt: skip
        return "\r\n".join([*lines, "", ""])

    async def answers(self, client: Client, count: int) -> list[str]:
        await self.until(lambda: len(client.texts) >= count, f"{count} answers")
        return [text.split(" ")[1] for text in client.texts]

    @requirement(144, 145, 147)
    async def test_handshake_and_frames(self) -> None:
        """
        101 says sip; who does not offer it, or is from another site, is refused; text and binary, a message each, nothing else.
        """
        await self.start_cluster(nodes="a")
        await self.add_users("bob")
        refused = {
            (await self.connect(Sec_WebSocket_Protocol=None)).status,
            (await self.connect(Sec_WebSocket_Protocol="xmpp")).status,
        }
        self.assertEqual(refused, {400})
        self.assertEqual((await self.connect(Origin="https://evil.example")).status, 403)
        client = await self.connect(Origin="https://phone.example.com")
        self.assertEqual(client.status, 101)
        self.assertIn(b"\r\nSec-WebSocket-Protocol: sip\r\n", client.answer)
        uri = f"sip:{self.primary.address}"
        first, second = self.request("OPTIONS", uri), self.request("OPTIONS", uri)
        client.wire.write(client.frames.text(first) + client.frames.text(second))
        self.assertEqual(await self.answers(client, 2), ["200", "200"])  # no two of them in one message
        self.assertIsInstance(client.frames.messages[0], str)
        client.wire.write(client.frames.binary(self.request("OPTIONS", uri).encode()))
        self.assertEqual(await self.answers(client, 3), ["200"] * 3)
        self.assertIsInstance(client.frames.messages[2], bytes)
        # half of a message is none: it is not waited for the rest
        half = self.request("MESSAGE", "sip:bob@example.com", "Content-Length: 10") + "hello"
        client.wire.write(client.frames.text(half))
        self.assertEqual((await self.answers(client, 4))[3], "400")
        contact = "Contact: <sip:b@df7jal23ls0d.invalid;transport=ws>"
        client.wire.write(client.frames.text(self.request("REGISTER", "sip:example.com", contact)))
        self.assertEqual((await self.answers(client, 5))[4], "401")
        client.wire.write(client.frames.text("GET / HTTP/1.1\r\n\r\n"))
        await self.until(lambda: client.frames.closed and client.ended, "it is closed")
        self.assertEqual(client.frames.closed, 1003)

    @requirement(145, 146, 148)
    async def test_requests_to_a_client(self) -> None:
        """
        A call for a Contact that resolves nowhere comes over the client's own connection, at whichever node, once, with Via WS.
        """
        await self.start_cluster("--set", "auth.required=false", nodes="ab")
        client = await self.connect()
        contact = "Contact: <sip:b@df7jal23ls0d.invalid;transport=ws>;expires=600"
        client.wire.write(client.frames.text(self.request("REGISTER", "sip:example.com", contact)))
        self.assertEqual(await self.answers(client, 1), ["200"])
        await self.reachable("bob")
        alice = self.phone("alice", self.node("b"))
        calling = alice.call("bob@example.com")
        await self.until(lambda: len(client.texts) == 2, "the call is there")
        invite = client.texts[1].split("\r\n")
        self.assertEqual(invite[0], "INVITE sip:b@df7jal23ls0d.invalid;transport=ws SIP/2.0")
        vias = [line for line in invite if line.startswith("Via: ")]
        self.assertTrue(vias[0].startswith(f"Via: SIP/2.0/WS {self.primary.address}:8080;branch="), vias)
        # Timer A would have fired twice by then (17.1.1.2)
        await self.hold(1.8, lambda: len(client.texts) == 2, "it is sent once")
        kept = [line for line in invite if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))]
        to = next(line for line in invite if line.startswith("To:"))
        busy = ["SIP/2.0 486 Busy Here", *kept, f"{to};tag=b2", "Content-Length: 0", "", ""]
        client.wire.write(client.frames.binary("\r\n".join(busy).encode()))
        with self.assertRaises(CallFailed) as caught:
            await calling
        self.assertEqual(caught.exception.status, 486)
        await self.until(lambda: len(client.texts) == 3, "the ACK is there")
        self.assertTrue(client.texts[2].startswith("ACK "))
        await client.close()

        async def gone() -> bool:
            return not await self.node("b").ask("registrations", aor="bob@example.com")

        await self.until(gone, "its registration ends with the connection, everywhere")
