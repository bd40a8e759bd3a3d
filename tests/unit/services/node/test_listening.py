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
from voipcluster.services.media.ports import RelayAddress
from voipcluster.services.node.listening import (
    listen_addresses,
    make_tls,
    make_web,
    own_names,
    own_ports,
    relay_addresses,
)
from voipcluster.services.transaction.transport import ListenAddress, TransportService
from voipcluster.web.gate import Gate

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
        services = make_web(reactor, config, transport, tls, FakeNode(), Gate())
        for service in services:
            service.startService()
        ports = list(reactor.ports)
        transport.startService()
        self.addCleanup(transport.stopService)
        return ports, transport

    def test_one_address(self) -> None:
        """A node has the one address, for SIP and media, if nothing else is said."""
        config = self.config()
        self.assertEqual(listen_addresses(config), [ListenAddress("127.0.0.1")])
        self.assertEqual(relay_addresses(config), [RelayAddress("127.0.0.1")])
        self.assertEqual(own_names(config), {("127.0.0.1", 5060), ("127.0.0.1", 8080)})

    def test_more_addresses(self) -> None:
        """One of the other IP version is listened on as well; behind a NAT the first one is called by what is seen outside."""
        node = NodeOptions(address="10.0.0.1", also=("2001:db8::1",), advertised="198.51.100.1")
        config = Config(node=node, web=WebOptions(port=0))
        self.assertEqual(
            listen_addresses(config),
            [ListenAddress("10.0.0.1", advertised_host="198.51.100.1"), ListenAddress("2001:db8::1")],
        )
        self.assertEqual(
            relay_addresses(config), [RelayAddress("10.0.0.1", "198.51.100.1"), RelayAddress("2001:db8::1")]
        )
        names = {("10.0.0.1", 5060), ("198.51.100.1", 5060), ("2001:db8::1", 5060)}
        self.assertEqual(own_names(config), names)

    def test_websocket_behind_a_nat(self) -> None:
        """What browsers come to is named as it is seen outside, too."""
        config = Config(node=NodeOptions(address="127.0.0.1", advertised="198.51.100.1"))
        _, transport = self.listening(config)
        self.assertEqual(transport.sent_by("WS"), ("198.51.100.1", 8080))

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
        self.assertEqual(str(error), "tls.certificate: /none.pem: No such file or directory")
