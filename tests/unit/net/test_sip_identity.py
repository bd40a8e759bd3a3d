"""Whom a certificate speaks for."""

from __future__ import annotations

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.tls_peer import authority
from voipcluster.net.sip_identity import sip_identities


class IdentityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ca = authority(self)

    def identities(
        self, *names: str, addresses: tuple[str, ...] = (), uris: tuple[str, ...] = ()
    ) -> set[str]:
        pair = self.ca.issue("x.example", names, addresses, uris)
        return set(sip_identities(x509.load_pem_x509_certificate(pair.certificate.read_bytes())))

    def test_uris_come_first(self) -> None:
        """With a SIP URI the DNS names do not count (RFC 5922 section 7.1)."""
        self.assertEqual(self.identities("dns.example", uris=("sip:Sip.Example",)), {"sip.example"})

    def test_other_uris_do_not_count(self) -> None:
        """One of another scheme, or with a user, is about something else; then the DNS names count."""
        uris = ("https://web.example", "sip:alice@alice.example", "sips:s.example", "sip:[")
        self.assertEqual(self.identities("DNS.example", "b.example", uris=uris), {"dns.example", "b.example"})

    def test_common_name(self) -> None:
        """The common name counts only where there is no subjectAltName (section 7.1)."""
        self.assertEqual(self.identities(), {"x.example"})
        self.assertEqual(self.identities(uris=("https://web.example",)), set())

    def test_addresses(self) -> None:
        """An address is proved by itself alone, in its short form."""
        self.assertEqual(
            self.identities(addresses=("192.0.2.1", "2001:db8:0:0::1")), {"192.0.2.1", "2001:db8::1"}
        )

    def test_wildcards_are_names_of_nobody(self) -> None:
        """A wildcard stays as it stands, and equals no domain (section 7.2)."""
        self.assertEqual(self.identities("*.example.com"), {"*.example.com"})
