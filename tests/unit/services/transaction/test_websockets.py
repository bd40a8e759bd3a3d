"""The port of its own for SIP over WebSocket."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.unit.net.fakes import FakeReactor, FakeTransport
from voipcluster.services.transaction.websockets import OPENING, WebSocketService
from voipcluster.web.connections import MOST_CONNECTIONS


class _Upgrading(Resource):
    """Takes every connection over."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        request.channel.transport.upgraded()
        request.channel.setTimeout(None)
        return b"yours"


class WebSocketServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.service = WebSocketService(self.reactor, "192.0.2.1", 8443, _Upgrading())
        self.service.startService()
        [self.port] = self.reactor.ports
        self.transports: list[FakeTransport] = []

    def tearDown(self) -> None:
        for transport in self.transports:
            transport.lose(ConnectionDone())
        self.successResultOf(self.service.stopService())
        self.successResultOf(self.service.stopService())
        self.assertFalse(self.port.listening)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def connect(self, request: bytes = b"") -> FakeTransport:
        remote = ("198.51.100.1", 1024 + len(self.transports))
        transport = FakeTransport(self.reactor, remote, ("192.0.2.1", 8443))
        transport.connect(self.port.factory.buildProtocol(IPv4Address("TCP", *remote)))
        transport.protocol.dataReceived(request)
        self.transports.append(transport)
        return transport

    def test_opening_in_time(self) -> None:
        """Who has opened no WebSocket after 10 s is disconnected, however it trickles; who has, stays."""
        good, slow = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), self.connect(b"GET / HTTP/1.1\r\n")
        for _ in range(int(OPENING) - 1):
            self.reactor.run_for(1.0, 0.5)
            slow.protocol.dataReceived(b"X: y\r\n")
        self.assertFalse(slow.aborted)
        self.reactor.run_for(1.1)
        self.assertTrue(slow.aborted)
        self.assertFalse(good.aborted)

    def test_silence_keeps_nobody_out(self) -> None:
        """When too many are silent, the oldest one makes room."""
        first, *_ = [self.connect() for _ in range(MOST_CONNECTIONS)]
        self.assertFalse(first.aborted)
        good = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(first.aborted)
        self.assertIn(b"yours", good.written)

    def test_secure(self) -> None:
        """With TLS the factory is wrapped."""
        wrapped: list[Any] = []
        service = WebSocketService(
            self.reactor,
            "192.0.2.1",
            8444,
            _Upgrading(),
            lambda factory: wrapped.append(factory) or "tls",
        )
        service.startService()
        self.assertEqual((self.reactor.ports[-1].factory, len(wrapped)), ("tls", 1))
        service.stopService()
