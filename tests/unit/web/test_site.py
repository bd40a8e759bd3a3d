"""The site, driven over a transport of strings: what it answers, and what it refuses."""

from __future__ import annotations

import re

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import Data
from zope.interface.verify import verifyObject

from tests.unit.fake_node import FakeNode
from tests.unit.web.site_case import Answer, SiteCase
from voipcluster.web.connections import CappedFactory
from voipcluster.web.gate import Gate, GateOptions
from voipcluster.web.hosts import Hosts
from voipcluster.web.site import STATIC, WebService, node_site
from voipcluster.web.view import INodeView

PEER = IPv4Address("TCP", "127.0.0.1", 40000)


class SiteTests(SiteCase):
    def test_fake(self) -> None:
        """The fake node is a view."""
        self.assertTrue(verifyObject(INodeView, self.node))

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
        for path in ("/static/uplot/LICENSE", "/static/uplot", "/static/uplot/README.md"):
            self.assertEqual(self.get(path).code, 404, path)

    def test_small(self) -> None:
        """All that the page needs is sent in less than 50 kB, so that it opens on a phone at the edge of a network."""
        named = re.findall(r'(?:src|href)="([^"]+)"', self.get("/").body.decode("utf-8"))
        zipped = "Accept-Encoding: gzip\r\n"
        sizes = {path: len(self.get(path, more=zipped).body) for path in ("/", *named)}
        self.assertLess(sum(sizes.values()), 50_000, sizes)

    def test_scripts_only_make_text(self) -> None:
        """Nothing from the network becomes markup or code."""
        scripts = [*STATIC.glob("*.js"), STATIC / "uplot" / "uPlot.iife.min.js"]
        self.assertGreater(len(scripts), 4)
        for script in scripts:
            text = script.read_text("utf-8")
            self.assertEqual(
                re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", text),
                [],
                script.name,
            )

    def test_bodies(self) -> None:
        """A request that announces a long body, or does not say how long it is, is told so and cut off before it is read."""
        for head, code in (("Content-Length: 1000000000", 413), ("Transfer-Encoding: chunked", 411)):
            for path in ("/api/calls", "/api/drain", "/"):
                transport = self.send(
                    f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n\r\n{{}}".encode()
                )
                self.assertTrue(transport.disconnecting, head)
                self.assertEqual(Answer(transport.value()).code, code)
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
        self.assertEqual(self.gate.refused["host"], 5)
        outside = Gate(GateOptions(hosts=Hosts(domains=("voip.example",), loopback=False)))
        self.site = node_site(self.clock, self.node, outside)
        self.assertEqual(self.get("/api/status", host="voip.example").code, 200)
        answer = self.get("/api/status", host="evil.example")
        self.assertEqual(answer.code, 403)
        self.assertIn("web.hosts", answer.json["error"])

    def test_sip(self) -> None:
        """What takes WebSockets is under /sip, and nothing is there without it."""
        request = b"GET /sip HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self.assertEqual(Answer(self.send(request).value()).code, 404)
        self.site = node_site(self.clock, self.node, self.gate, Data(b"here", "text/plain"))
        self.assertEqual(Answer(self.send(request).value()).body, b"here")


class WebServiceTests(SynchronousTestCase):
    def test_secure(self) -> None:
        """With TLS the factory is wrapped."""
        reactor = MemoryReactorClock()
        WebService(
            reactor, "127.0.0.2", 8080, FakeNode(), Gate(), None, lambda factory: ("TLS", factory)
        ).startService()
        ((_, (tls, inner), _, _),) = reactor.tcpServers
        self.assertEqual((tls, type(inner)), ("TLS", CappedFactory))

    def test_listens_where_it_is_told(self) -> None:
        """It listens on its address only, and a second stop is harmless."""
        reactor = MemoryReactorClock()
        service = WebService(reactor, "127.0.0.2", 8080, FakeNode(), Gate())
        service.startService()
        ((port, _, _, interface),) = reactor.tcpServers
        self.assertEqual((port, interface), (8080, "127.0.0.2"))
        self.successResultOf(service.stopService())
        self.successResultOf(service.stopService())
