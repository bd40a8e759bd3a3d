"""What a gateway is known by."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.gateway import Gateway


class GatewayTests(SynchronousTestCase):
    def networks(self, **given: object) -> list[str]:
        servers = ("192.0.2.1:5080", "gw.example.com", "[2001:db8::1]")
        return [str(network) for network in Gateway("a", **{"servers": servers, **given}).networks]

    def test_known_by_its_servers(self) -> None:
        """Without anything else a gateway is known by the addresses of its servers; a name is no address."""
        self.assertEqual(self.networks(), ["192.0.2.1/32", "2001:db8::1/128"])

    def test_known_by_something_else(self) -> None:
        """Where something else was named, addresses that were not named count for nothing."""
        self.assertEqual(self.networks(sources=("192.0.2.0/24",)), ["192.0.2.0/24"])
        self.assertEqual(self.networks(certificates=("gw.example.com",)), [])
        self.assertEqual(self.networks(username="gw@example.com"), [])

    def test_which_servers_are_some_places(self) -> None:
        """By host and port in whatever form; without a port that of the transport is meant."""
        servers = ("192.0.2.1", "192.0.2.1:5061", "[2001:DB8:0::1]:5070", "GW.example.com", "192.0.2.2")
        places = [("192.0.2.1", 5060), ("2001:db8::1", 5070), ("gw.example.com", 5060)]
        found = list(Gateway("a", servers=servers).servers_among(places))
        self.assertEqual(found, list(zip((servers[0], *servers[2:4]), places, strict=True)))
        over_tls = Gateway("a", servers=servers, transport="tls").servers_among([("192.0.2.1", 5061)])
        self.assertEqual([server for server, _ in over_tls], list(servers[:2]))

    def test_secret(self) -> None:
        """Its password is in no log."""
        self.assertNotIn("sesame", repr(Gateway("a", password="sesame")))
