"""The site, driven over a transport of strings: what it answers, and what it refuses."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import Data
from zope.interface.verify import verifyObject

from tests.unit.fake_node import BINDING, CALL, HOP, STATUS, FakeNode
from voipcluster.errors import UsageError
from voipcluster.web import site as site_module
from voipcluster.web.site import STATIC, CappedFactory, WebService, chart_library, is_own_name, node_site
from voipcluster.web.view import INodeView

PEER = IPv4Address("TCP", "127.0.0.1", 40000)


class Answer:
    """One parsed HTTP answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = FakeNode()
        self.clock = Clock()
        self.channels: list[Any] = []
        self.site = node_site(self.clock, self.node, "127.0.0.1")

    def send(self, raw: bytes) -> StringTransport:
        channel, transport = self.site.buildProtocol(PEER), StringTransport(peerAddress=PEER)
        transport.abortConnection = transport.loseConnection
        channel.makeConnection(transport)
        channel.dataReceived(raw)
        self.channels.append(channel)
        return transport

    def tearDown(self) -> None:
        """No request leaves a timer behind."""
        for channel in self.channels:
            channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def get(self, path: str, *, method: str = "GET", host: str = "127.0.0.1:8080", more: str = "") -> Answer:
        # HTTP/1.0, so that bodies are not cut into chunks.
        return Answer(self.send(f"{method} {path} HTTP/1.0\r\nHost: {host}\r\n{more}\r\n".encode()).value())

    def test_fake(self) -> None:
        """The fake node is a view."""
        self.assertTrue(verifyObject(INodeView, self.node))

    def test_json(self) -> None:
        """Each page of the API says what the node says, and no cache keeps it."""
        self.node.past.sample(5.0, {"a": 0.5})
        for path, expected in (
            ("/api/status", STATUS),
            ("/api/calls", [CALL]),
            ("/api/calls?call_id=1/2@host", [CALL]),
            ("/api/registrations", [BINDING]),
            ("/api/registrations?aor=alice%40example.com", [BINDING]),
            ("/api/explain/1/2@host", [HOP]),
            ("/api/explain/1%2F2%40host", [HOP]),
            ("/api/history", {"started": 1000.0, "time": [5.0], "nodes": {"a": [0.5]}}),
            ("/api/history?since=5.0", {"started": 1000.0, "time": [], "nodes": {}}),
        ):
            answer = self.get(path)
            self.assertEqual((answer.code, answer.json), (200, expected), path)
            self.assertEqual(answer.headers["content-type"], "application/json; charset=utf-8")
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertIn(("registrations", "alice@example.com"), self.node.asked)
        self.assertIn(("explain", "1/2@host"), self.node.asked)

    def test_metrics(self) -> None:
        """/metrics is text for Prometheus."""
        answer = self.get("/metrics")
        self.assertEqual((answer.code, answer.body), (200, b"voipcluster_calls 10.0\n"))
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))

    def test_security_headers(self) -> None:
        """Every answer, errors too, forbids foreign scripts, frames and guessing of types."""
        for answer in (self.get("/"), self.get("/nothing"), self.get("/api/status", host="evil.example")):
            policy = answer.headers["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["x-frame-options"], "DENY")
            self.assertNotIn("twisted", answer.headers["server"].lower())

    def test_page_needs_nothing_from_elsewhere(self) -> None:
        """The page has no inline script or style, and everything that it names is there."""
        page = self.get("/").body.decode("utf-8")
        self.assertNotIn("style=", page)
        self.assertEqual(re.findall(r"<script(?! src=)", page) + re.findall(r"\son\w+=", page), [])
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        self.assertGreaterEqual(len(named), 5)
        for path in named:
            self.assertTrue(path.startswith("/static/"), path)
            self.assertEqual(self.get(path).code, 200, path)

    def test_scripts_only_make_text(self) -> None:
        """Nothing from the network becomes markup or code."""
        for name in ("dashboard.js", "plot.js"):
            text = (STATIC / name).read_text("utf-8")
            self.assertEqual(
                re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text),
                [],
            )

    def test_files(self) -> None:
        """A file is sent compressed to who takes that, and not at all to who has it."""
        plain = self.get("/static/chart.js")
        self.assertEqual(plain.body, chart_library().read_bytes())
        zipped = self.get("/static/chart.js", more="Accept-Encoding: br, gzip\r\n")
        self.assertEqual(gzip.decompress(zipped.body), plain.body)
        again = self.get("/static/chart.js", more=f"If-None-Match: {plain.headers['etag']}\r\n")
        self.assertEqual((again.code, again.body), (304, b""))

    def test_read_only(self) -> None:
        """Every method but GET and HEAD is refused, and the node is not asked."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "FLY"):
            answer = self.get("/api/calls", method=method)
            self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD"), method)
        self.assertEqual(self.node.asked, [])
        self.assertEqual(self.get("/api/status", method="HEAD").body, b"")

    def test_bodies(self) -> None:
        """A request that announces a body is cut off before the body is read."""
        for head in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
            transport = self.send(f"POST /api/calls HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n".encode())
            self.assertTrue(transport.disconnecting, head)
        self.assertEqual(self.node.asked, [])

    def test_rebinding(self) -> None:
        """On a loopback address, a name that is pointed here by someone else is refused."""
        for host in (
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ):
            self.assertEqual(self.get("/api/status", host=host).code, 403, host)
        for host in ("localhost", "localhost:8080", "127.0.0.2:8080", "[::1]:8080", "node.localhost"):
            self.assertEqual(self.get("/api/status", host=host).code, 200, host)
        self.assertFalse(is_own_name("mylocalhost"))
        self.site = node_site(self.clock, self.node, "10.0.0.1")
        self.assertEqual(self.get("/api/status", host="voip.example").code, 200)

    def test_missing(self) -> None:
        """What does not exist is 404, and no path leads out of the files."""
        for path in (
            "/nothing",
            "/api",
            "/api/fly",
            "/static/",
            "/static/../site.py",
            "/static/%2e%2e/site.py",
            "/x/y/z",
        ):
            self.assertEqual(self.get(path).code, 404, path)

    def test_bad_questions(self) -> None:
        """A value of the wrong shape is 400 and does not reach the node."""
        for path in (
            "/api/history?since=x", "/api/history?since=nan", "/api/calls?call_id=%00", "/api/explain/", "/api/explain/%0a",
            f"/api/calls?call_id={'x' * 600}",
        ):  # fmt: skip
            self.assertEqual(self.get(path).code, 400, path)
        self.assertEqual(self.node.asked, [])

    def test_errors(self) -> None:
        """The node's own words are 404 with a text; a bug is logged and shows nothing."""
        answer = self.get("/api/explain/unknown")
        self.assertEqual((answer.code, answer.json), (404, {"error": "no node knows unknown"}))
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.assertEqual(transport.value(), b"")
        self.node.later.errback(KeyError("secret"))
        answer = Answer(transport.value())
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_client_leaves(self) -> None:
        """An answer that comes after the client has left goes nowhere."""
        self.node.later = Deferred()
        transport = self.send(b"GET /api/calls HTTP/1.0\r\nHost: localhost\r\n\r\n")
        self.channels.pop().connectionLost(Failure(ConnectionDone()))
        self.node.later.errback(UsageError("too late"))
        self.assertEqual(transport.value(), b"")

    def test_too_many_connections(self) -> None:
        """Beyond the limit a connection is closed at once; one that left makes room."""
        self.patch(site_module, "MOST_CONNECTIONS", 2)
        factory = CappedFactory(self.site)
        opened = []
        for _ in range(2):
            protocol = factory.buildProtocol(PEER)
            assert protocol is not None
            protocol.makeConnection(StringTransport(peerAddress=PEER))
            opened.append(protocol)
        self.assertIsNone(factory.buildProtocol(PEER))
        opened[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(factory.buildProtocol(PEER))
        opened[1].connectionLost(Failure(ConnectionDone()))

    def test_upgraded_connections_count_elsewhere(self) -> None:
        """What has become something else than HTTP takes no room; its end is harmless."""
        self.patch(site_module, "MOST_CONNECTIONS", 1)
        factory = CappedFactory(self.site)
        protocol: Any = factory.buildProtocol(PEER)
        protocol.makeConnection(StringTransport(peerAddress=PEER))
        protocol.upgraded()
        self.assertEqual(len(factory.protocols), 0)
        self.assertIsNotNone(factory.buildProtocol(PEER))
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_sip(self) -> None:
        """What takes WebSockets is under /sip, and nothing is there without it."""
        request = b"GET /sip HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self.assertEqual(Answer(self.send(request).value()).code, 404)
        self.site = node_site(self.clock, self.node, "127.0.0.1", Data(b"here", "text/plain"))
        self.assertEqual(Answer(self.send(request).value()).body, b"here")


class WebServiceTests(SynchronousTestCase):
    def test_secure(self) -> None:
        """With TLS the factory is wrapped."""
        reactor = MemoryReactorClock()
        WebService(
            reactor, "127.0.0.2", 8080, FakeNode(), None, lambda factory: ("TLS", factory)
        ).startService()
        ((_, (tls, inner), _, _),) = reactor.tcpServers
        self.assertEqual((tls, type(inner)), ("TLS", CappedFactory))

    def test_listens_where_it_is_told(self) -> None:
        """It listens on its address only, and a second stop is harmless."""
        reactor = MemoryReactorClock()
        service = WebService(reactor, "127.0.0.2", 8080, FakeNode())
        service.startService()
        ((port, _, _, interface),) = reactor.tcpServers
        self.assertEqual((port, interface), (8080, "127.0.0.2"))
        self.successResultOf(service.stopService())
        self.successResultOf(service.stopService())
