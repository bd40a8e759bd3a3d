"""The CA of a cluster and the certificates of its nodes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.link_network import CLUSTER, NOW, Authority
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates

DAY = 86400.0


class Certificates(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority()
        self.identity = self.authority.identity("b")

    def test_a_certificate_names_node_role_and_key(self) -> None:
        """What was certified is what is read."""
        found = certificates.certified(self.identity.certificate, CLUSTER)
        digest = certificates.key_digest(self.identity.key.public_key())
        self.assertEqual(found, certificates.Certified("b", "secondary", digest))

    def test_another_cluster_is_refused(self) -> None:
        """A certificate that names another cluster names nobody here."""
        other = self.authority.identity("b", cluster="c2")
        self.assertRaises(PeerError, certificates.certified, other.certificate, CLUSTER)

    def test_the_ca_itself_is_no_node(self) -> None:
        """The CA's certificate has no name of a node."""
        self.assertRaises(PeerError, certificates.certified, self.authority.ca, CLUSTER)

    def test_issued_by_another_ca_or_expired_is_refused(self) -> None:
        """The issuer's signature and the validity are both checked (RFC 5280 section 6.1.3)."""
        certificates.check_issued(self.identity.certificate, self.authority.ca, NOW)
        foreign = Authority().identity("b").certificate  # the CA has the same name and another key
        self.assertRaises(PeerError, certificates.check_issued, foreign, self.authority.ca, NOW)
        late = NOW + 366 * DAY
        self.assertRaises(
            PeerError, certificates.check_issued, self.identity.certificate, self.authority.ca, late
        )

    def test_renewal_is_due_when_a_third_is_left(self) -> None:
        """A year's certificate is renewed after about 243 days."""
        self.assertFalse(certificates.renewal_due(self.identity.certificate, NOW + 240 * DAY))
        self.assertTrue(certificates.renewal_due(self.identity.certificate, NOW + 247 * DAY))

    def test_a_request_gives_its_key(self) -> None:
        """The key of a signing request survives the PEM (RFC 2986)."""
        key = certificates.new_key()
        found = certificates.requested_key(certificates.create_request("b", key))
        self.assertEqual(certificates.key_digest(found), certificates.key_digest(key.public_key()))

    def test_a_damaged_request_is_refused(self) -> None:
        """Neither rubbish nor an altered request gives a key."""
        pem = certificates.create_request("b", certificates.new_key())
        for bad in (b"", b"rubbish", pem[:-90] + pem[-80:]):
            self.assertRaises(PeerError, certificates.requested_key, bad)

    def test_key_survives_pem(self) -> None:
        """A key is the same one after it was written and read."""
        key = certificates.key_from_pem(certificates.key_to_pem(self.identity.key))
        self.assertEqual(key.private_numbers(), self.identity.key.private_numbers())

    def test_names(self) -> None:
        """Names are letters, digits, - and _, at most 63."""
        for good in ("a", "node-1", "B_2", "x" * 63):
            self.assertEqual(certificates.check_name(good), good)
        for bad in ("", "-a", "a b", "a.b", "x" * 64, "a\n", "ä"):
            self.assertRaises(UsageError, certificates.check_name, bad)
