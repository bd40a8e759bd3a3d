"""The opening handshake of SIP over WebSocket."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.server import Site

import twisted
from tests.unit.net.fakes import FakeReactor, FakeSink, FakeTransport
from tests.unit.net.tls_peer import built
from tests.unit.net.websocket_client import WebSocketClient
from voipcluster.address import Flow
from voipcluster.errors import UsageError
from voipcluster.net.connections import Connections
from voipcluster.net.sink import SinkErrors
from voipcluster.net.stream import StreamLimits
from voipcluster.net.timers import TimerWheel
from voipcluster.net.websocket_resource import Origins, SipWebSocketResource

LOCAL, REMOTE = ("192.0.2.1", 8080), ("198.51.100.9", 40000)
MESSAGE = "OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
HEADERS = {
    "Host": "192.0.2.1:8080",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "xmpp, sip",
    "Sec-WebSocket-Extensions": "permessage-deflate",
}


class ResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink = FakeReactor(), FakeSink()
        self.build()

    def build(self, **limits: Any) -> None:
        self.table = Connections(
            self.reactor,
            self.sink,
            SinkErrors(self.reactor),
            TimerWheel(self.reactor),
            StreamLimits(**limits),
        )
        resource = SipWebSocketResource(
            lambda remote, frames: self.table.accept_websocket("WS", LOCAL, remote, frames),
            Origins(domains=("example.com",)),
        )
        self.site: Any = Site(resource, reactor=self.reactor, timeout=None)

    def test_other_twisted(self) -> None:
        """A release of Twisted without the hook is named at the start, not when the first phone connects."""
        self.patch(http, "HTTPChannel", type("HTTPChannel", (), {}))
        error = self.assertRaises(UsageError, SipWebSocketResource, lambda remote, frames: None, Origins())
        self.assertIn(f"Twisted {twisted.__version__}", str(error))
        self.assertIn("web.port and websocket.port to 0", str(error))
        self.assertEqual(len(str(error).splitlines()), 1)

    def ask(self, start: str = "GET /sip HTTP/1.1", **changed: str | None) -> tuple[bytes, FakeTransport]:
        """@return: the answer to a handshake with other headers (underscores for hyphens), and the connection."""
        headers = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
        lines = [start, *(f"{k}: {v}" for k, v in headers.items() if v is not None)]
        transport = FakeTransport(self.reactor, REMOTE, LOCAL)
        transport.connect(built(self.site, REMOTE))
        transport.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode("latin-1"))
        self.addCleanup(self.reactor.run_for, 1.0)
        self.addCleanup(transport.lose, ConnectionDone())
        return transport.written, transport

    def assertStatus(self, status: int, **changed: str | None) -> bytes:
        answer, _ = self.ask(**changed)
        self.assertEqual(int(answer.split()[1]), status, answer)
        return answer

    def test_accepted(self) -> None:
        """101 names the sub-protocol sip and no extension (RFC 7118 section 4.1), and the accept key (RFC 6455 section 1.3)."""
        answer = self.assertStatus(101).lower()
        self.assertIn(b"\r\nsec-websocket-protocol: sip\r\n", answer)
        self.assertIn(b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n", answer)
        self.assertNotIn(b"extensions", answer)

    def test_messages_pass(self) -> None:
        """From then on it is a connection of the table: messages come in, and go out over its flow."""
        answer, transport = self.ask()
        client = WebSocketClient()
        transport.protocol.dataReceived(client.text(MESSAGE))
        [(_, data, flow)] = self.sink.calls
        self.assertEqual((data, flow[:3]), (MESSAGE.encode(), ("WS", LOCAL, REMOTE)))
        self.assertEqual(self.table.by_transport(), {"WS": 1})
        self.table.send(b"SIP/2.0 200 OK\r\n\r\n", flow, None)
        client.receive(transport.written[len(answer) :])
        self.assertEqual(client.messages, ["SIP/2.0 200 OK\r\n\r\n"])
        transport.lose(ConnectionDone())
        self.assertEqual(self.sink.calls[-1], ("lost", flow))
        self.assertEqual(len(self.table), 0)

    def test_without_sip(self) -> None:
        """Who does not offer sip is refused (RFC 7118 section 4.1)."""
        for offered in (None, "xmpp", "sips", "SIP-ish, x"):
            answer = self.assertStatus(400, Sec_WebSocket_Protocol=offered)
            self.assertIn(b"the sub-protocol sip is not offered", answer)
        self.assertEqual(len(self.table), 0)

    def test_no_handshake(self) -> None:
        """What is no handshake, or one of another version, is told what is wanted (RFC 6455 section 4.4)."""
        for changed in (
            {"Upgrade": None}, {"Connection": "close"}, {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Version": "8"},
            {"Host": "\xfc\xff.example"},
        ):  # fmt: skip
            answer = self.assertStatus(426, **changed).lower()
            self.assertIn(b"\r\nsec-websocket-version: 13\r\n", answer)
            self.assertIn(b"\r\nupgrade: websocket\r\n", answer)
        self.assertEqual(self.ask("GET /sip HTTP/1.0")[0].split()[1], b"426")

    def test_other_methods(self) -> None:
        """A handshake is a GET (RFC 6455 section 4.1); a path that is no ASCII is no fault of ours (found by bench/fuzz)."""
        for start in (
            "POST /sip HTTP/1.1",
            "HEAD /sip HTTP/1.1",
            "POST \xafsip HTTP/1.1",
            "PUT \xaf HTTP/1.1",
        ):
            answer, _ = self.ask(start)
            self.assertEqual(answer.split()[1], b"405", start)
            self.assertIn(b"\r\nAllow: GET\r\n", answer)

    def test_key(self) -> None:
        """There is one key, of 16 octets (RFC 6455 sections 4.2.1 and 11.3.1); wsproto takes any (found by bench/fuzz)."""
        key = HEADERS["Sec-WebSocket-Key"]
        for wrong in (
            f"{key}\r\nSec-WebSocket-Key: {key}",
            f"{key}, {key}",
            key[:-1],
            "x",
            key.replace("Q==", "R=="),
        ):
            self.assertIn(
                b"one Sec-WebSocket-Key of 16 octets", self.assertStatus(400, Sec_WebSocket_Key=wrong)
            )
        self.assertEqual(len(self.table), 0)

    def test_origin(self) -> None:
        """A page of somewhere else is refused before anything else is looked at."""
        self.assertStatus(403, Origin="https://evil.example", Sec_WebSocket_Protocol=None)
        self.assertStatus(101, Origin="https://app.example.com")

    def test_origin_that_is_no_text(self) -> None:
        """Octets that are no UTF-8 are a strange origin, not a fault of ours (found by bench/fuzz)."""
        self.assertStatus(403, Origin="https://\xcc.example.net")
        self.assertStatus(403, Origin="\xcc")

    def test_two_origins(self) -> None:
        """Each of several is looked at."""
        good, bad = "https://app.example.com", "https://evil.example"
        for first, second in ((good, bad), (bad, good)):
            self.assertStatus(403, Origin=f"{first}\r\nOrigin: {second}")

    def test_no_room(self) -> None:
        """When the table takes no more, it is 503."""
        self.build(connections=1)
        _, transport = self.ask()
        transport.protocol.dataReceived(WebSocketClient().text(MESSAGE))
        self.assertStatus(503)

    def test_flow_is_not_opened(self) -> None:
        """Nothing is sent to a browser that is gone (RFC 7118 section 5.3)."""
        failures: list[str] = []
        self.table.send(b"x", Flow("WS", LOCAL, REMOTE), lambda error: failures.append(str(error)))
        self.reactor.advance(0)
        self.assertEqual(len(failures), 1)


class OriginTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without a list: no browser, the same host, our domains and what is below them."""
        origins = Origins(domains=("example.com",))
        for origin, good in (
            (None, True), ("http://192.0.2.1:8090", True), ("https://192.0.2.1", True), ("https://example.com", True),
            ("https://Phone.Example.com:8443", True), ("https://badexample.com", False), ("null", False), ("", False),
            ("https://example.com.evil.example", False), ("http://[", False), ("http://192.0.2.11", False),
        ):  # fmt: skip
            self.assertIs(origins.allows(origin, "192.0.2.1"), good, origin)
        self.assertTrue(Origins().allows("http://[2001:db8::1]:8090", "[2001:db8::1]"))

    def test_list(self) -> None:
        """With a list, these and no others; a star means any."""
        origins = Origins(frozenset({"https://phone.example"}), ("example.com",))
        for origin, good in (
            (None, True), ("https://PHONE.example", True), ("https://phone.example:8443", False),
            ("http://phone.example", False), ("https://example.com", False), ("null", False),
        ):  # fmt: skip
            self.assertIs(origins.allows(origin, "phone.example"), good, origin)
        self.assertTrue(Origins(frozenset({"*"})).allows("null", "x"))
