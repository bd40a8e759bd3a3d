"""A gateway's servers as URIs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.servers import server_uri


class ServerUriTests(SynchronousTestCase):
    def uri(self, server: str, transport: str = "udp") -> str:
        return str(server_uri(Gateway("gw", (server,), transport=transport), server))

    def test_addresses(self) -> None:
        """An address says all that is needed; what is the default is left out."""
        for server, transport, uri in (
            ("192.0.2.1", "udp", "sip:192.0.2.1"),
            ("192.0.2.1:5060", "udp", "sip:192.0.2.1"),
            ("192.0.2.1:5070", "udp", "sip:192.0.2.1:5070"),
            ("192.0.2.1", "tcp", "sip:192.0.2.1;transport=tcp"),
            ("192.0.2.1", "tls", "sip:192.0.2.1;transport=tls"),
            ("192.0.2.1:5060", "tls", "sip:192.0.2.1:5060;transport=tls"),
            ("192.0.2.1:5061", "tls", "sip:192.0.2.1;transport=tls"),
            ("[2001:db8::1]:5070", "udp", "sip:[2001:db8::1]:5070"),
            ("2001:db8::1", "udp", "sip:[2001:db8::1]"),
        ):
            self.assertEqual(self.uri(server, transport), uri)

    def test_names(self) -> None:
        """A name with a port is one host; one without is looked up, and the transport says which SRV set (RFC 3263)."""
        self.assertEqual(self.uri("SIP.carrier.example"), "sip:sip.carrier.example;transport=udp")
        self.assertEqual(self.uri("sip.carrier.example", "tls"), "sip:sip.carrier.example;transport=tls")
        self.assertEqual(self.uri("gw.example:5060"), "sip:gw.example:5060;transport=udp")

    def test_user(self) -> None:
        """The number that is called stands before it."""
        gateway = Gateway("gw", ("192.0.2.1",))
        self.assertEqual(str(server_uri(gateway, "192.0.2.1", "+4930123")), "sip:+4930123@192.0.2.1")
