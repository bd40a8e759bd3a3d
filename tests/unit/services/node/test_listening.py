"""What a node listens with, from its configuration."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import FakeNode
from tests.unit.net.fakes import FakeReactor, FakeSink, FakeSocket
from tests.unit.net.tls_peer import authority
from voipcluster.config import Config, NodeOptions, TlsOptions, WebOptions, WebSocketOptions
from voipcluster.errors import UsageError
from voipcluster.net.sip_tls import SipTls, TlsFactory
from voipcluster.services.node.listening import make_tls, make_web, own_ports
from voipcluster.services.sip.transport import TransportService

NODE = NodeOptions(address="127.0.0.1")


class ListeningTests(SynchronousTestCase):
    def config(self, **sections: Any) -> Config:
        return Config(node=NODE, **sections)

    def tls(self) -> TlsOptions:
        pair = authority(self).issue("node")
        return TlsOptions(certificate=str(pair.certificate), key=str(pair.key))

    def listening(self, config: Config, tls: SipTls | None = None) -> tuple[list[Any], TransportService]:
        """@return: the ports that the web listens on, and the transports behind them."""
        reactor = FakeReactor()
        transport = TransportService(
            reactor,
            FakeSink(),
            [("127.0.0.1", 5060)],
            open_socket=FakeSocket,
        )
        services = make_web(reactor, config, transport, tls, FakeNode())
        for service in services:
            service.startService()
        ports = list(reactor.ports)
        transport.startService()
        self.addCleanup(transport.stopService)
        return ports, transport

    def test_plain(self) -> None:
        """Without anything said: no TLS, and WebSocket under the web page's port."""
        config = self.config()
        self.assertIsNone(make_tls(config))
        self.assertEqual(own_ports(config), {"WS": 8080})
        ports, transport = self.listening(config)
        self.assertEqual([(port.host, port.port) for port in ports], [("127.0.0.1", 8080)])
        self.assertEqual(transport.sent_by("WS"), ("127.0.0.1", 8080))

    def test_all(self) -> None:
        """A port of its own is what is named, over TLS unless told otherwise; the page may be secure, too."""
        config = self.config(tls=self.tls(), web=WebOptions(tls=True), websocket=WebSocketOptions(port=8443))
        self.assertEqual(own_ports(config), {"TLS": 5061, "WSS": 8443})
        ports, transport = self.listening(config, make_tls(config))
        self.assertEqual([port.port for port in ports], [8443, 8080])
        self.assertTrue(all(isinstance(port.factory, TlsFactory) for port in ports))
        self.assertEqual(transport.sent_by("WSS"), ("127.0.0.1", 8443))
        self.assertTrue(transport.is_ours("127.0.0.1", 8080))

    def test_two_kinds(self) -> None:
        """One port plain, the other one secure: each transport has its own."""
        config = self.config(tls=self.tls(), websocket=WebSocketOptions(port=8443))
        self.assertEqual(own_ports(config), {"TLS": 5061, "WS": 8080, "WSS": 8443})

    def test_off(self) -> None:
        """Without web page and port of its own there is no WebSocket."""
        config = self.config(web=WebOptions(port=0))
        self.assertEqual(own_ports(config), {})
        ports, _ = self.listening(config)
        self.assertEqual(ports, [])

    def test_bad_files(self) -> None:
        """A certificate that is not there is named."""
        error = self.assertRaises(UsageError, make_tls, self.config(tls=TlsOptions(certificate="/none.pem")))
        self.assertEqual(str(error), "/none.pem: No such file or directory")
