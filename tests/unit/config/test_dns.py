"""C{[dns]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class DnsTests(SectionCase):
    def test_ranges(self) -> None:
        self.assert_range("dns.timeout", "0.1", "60", "0", "61")
        self.assert_range("dns.queries", "1", "10000", "0", "10001")
        self.assert_range("dns.next_after", "0", "32", "-0.1", "32.5")

    def test_servers(self) -> None:
        """Addresses, with or without a port: a name would have to be looked up itself."""
        dns = self.taken('dns.servers=["127.0.0.1:5353", "::1"]').dns
        self.assertEqual(dns.servers, ("127.0.0.1:5353", "[::1]:53"))
        self.assertIn("dns.servers", self.refused('dns.servers=["dns.example"]'))
