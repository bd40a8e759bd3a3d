"""A sips URI with a name: found over the DNS, brought over TLS to who proves that name, and to nobody else."""

from __future__ import annotations

from twisted.names import dns

from tests.conformance.dns_server import DnsServer
from tests.conformance.marks import attack, requirement
from tests.integration.test_tls import TlsTestCase
from voipcluster.phone.phone_call import CallFailed

NET = "callee.example"


class NamesTests(TlsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dns = DnsServer(self.reactor)
        ports = self.dns.listen(self.address(53), 5353)

        async def close() -> None:
            self.dns.close()
            for port in ports:
                await port.stopListening()

        self.at_end(close)
        for order, service, name in ((10, b"SIP+D2U", "_sip._udp"), (20, b"SIPS+D2T", "_sips._tcp")):
            self.dns.add(NET, dns.Record_NAPTR(order, 1, b"s", service, b"", f"{name}.{NET}"))
        self.dns.add(f"_sip._udp.{NET}", dns.Record_SRV(1, 1, 5060, f"one.{NET}"))
        for priority, name, last in ((1, "one", 50), (2, "two", 51)):
            self.dns.add(f"_sips._tcp.{NET}", dns.Record_SRV(priority, 1, 5061, f"{name}.{NET}"))
            self.dns.add(f"{name}.{NET}", dns.Record_A(self.address(last)))

    @requirement(82, 84)
    @attack("S27")
    async def test_the_name_that_was_asked_for(self) -> None:
        """
        Of the NAPTR records only that for TLS counts (RFC 3263 section 4.1); the certificate has to name the domain of the URI,
        not the server that the DNS, which anybody may have forged, says (RFC 5922 section 4). Who cannot is passed over.
        """
        await self.start("--set", f'dns.servers=["{self.address(53)}:5353"]')
        await self.add_users("alice")
        alice = self.phone("alice")
        await alice.register()
        wrong = await self.server(self.ca.issue("one", [f"one.{NET}"], [self.address(50)]))
        right = await self.server(self.ca.issue("two", [NET]), 51)
        calling = alice.call(f"sips:x@{NET}")
        await self.until(lambda: b"\r\n\r\n" in right.received, "the second server gets the INVITE")
        self.assertTrue(
            right.received.startswith(f"INVITE sips:x@{NET} SIP/2.0\r\n".encode()), right.received
        )
        self.assertIn(f"\r\nVia: SIP/2.0/TLS {self.primary.address}:5061;branch=".encode(), right.received)
        self.assertEqual(wrong.received, b"")
        self.assertEqual([question for question in self.dns.asked if " _sip._udp" in question], [])
        for _ in range(2):
            await self.stop_server()
        right.wire.abortConnection()
        with self.assertRaises(CallFailed) as caught:
            await calling
        self.assertIn(caught.exception.status, (480, 500, 503))
