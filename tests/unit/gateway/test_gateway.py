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

    def test_secret(self) -> None:
        """Its password is in no log."""
        self.assertNotIn("sesame", repr(Gateway("a", password="sesame")))
