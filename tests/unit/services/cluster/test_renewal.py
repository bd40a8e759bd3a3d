"""Certificates that are renewed in time, and by nobody but the cluster's CA."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.cluster.cluster_case import ClusterCase
from voipcluster.errors import PeerError
from voipcluster.net import certificates
from voipcluster.net.certificates import Identity
from voipcluster.services.cluster.admission import load_identity
from voipcluster.services.cluster.renewal import renewed

NOW, DAY = 1.7e9, 86400.0
CLUSTER = "0011"
B = (CLUSTER, "b", "secondary")


class RenewedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ca, self.ca_key = certificates.create_ca(CLUSTER, NOW)
        self.key = certificates.new_key()
        self.identity = Identity(CLUSTER, "b", self.issued(), self.key, self.ca)

    def issued(
        self, who: tuple[str, str, str] = B, key: object = None, now: float = NOW
    ) -> certificates.x509.Certificate:
        public = self.key.public_key() if key is None else certificates.new_key().public_key()
        return certificates.issue(self.ca, self.ca_key, public, who, now)

    def pem(self, certificate: certificates.x509.Certificate) -> str:
        return certificates.certificate_to_pem(certificate).decode()

    def refusal(self, answer: object, now: float = NOW) -> str:
        return str(self.assertRaises(PeerError, renewed, self.identity, answer, now))

    def test_renewed(self) -> None:
        """The certificate is the new one; name, key and CA stay."""
        later = NOW + 250 * DAY
        certificate = self.issued(now=later)
        identity = renewed(self.identity, self.pem(certificate), later)
        self.assertEqual(identity.certificate, certificate)
        self.assertEqual((identity.name, identity.key, identity.ca), ("b", self.key, self.ca))

    def test_what_is_none(self) -> None:
        """An answer without a certificate, of a wrong type or damaged, is refused."""
        for answer in (None, 7, "", "rubbish", "\ud800", self.pem(self.issued()).replace("M", "N", 1), b"x"):
            self.assertEqual(self.refusal(answer), "what came is not a certificate", answer)

    def test_of_another_ca(self) -> None:
        """A primary that is none cannot give this node another identity."""
        ca, ca_key = certificates.create_ca(CLUSTER, NOW)
        forged = certificates.issue(ca, ca_key, self.key.public_key(), B, NOW)
        self.assertIn("not issued by the cluster's CA", self.refusal(self.pem(forged)))

    def test_not_valid_now(self) -> None:
        """One that has run out, or begins later, would end every link."""
        for now in (NOW - 30 * DAY, NOW + 500 * DAY):
            self.assertIn("not valid now", self.refusal(self.pem(self.issued()), now))

    def test_of_somebody_else(self) -> None:
        """Another name, role, cluster or key is not a renewal."""
        for who in ((CLUSTER, "c", "secondary"), (CLUSTER, "b", "primary")):
            self.assertIn("names somebody else", self.refusal(self.pem(self.issued(who))))
        self.assertIn("names somebody else", self.refusal(self.pem(self.issued(key="new"))))
        self.assertIn("not of this cluster", self.refusal(self.pem(self.issued(("2233", "b", "secondary")))))


class OverTheLink(ClusterCase):
    def test_certificates_are_renewed_over_the_link(self) -> None:
        """With a third of the year left, primary and secondary get new certificates for the same key and go on."""
        self.three()
        later = 250 * 86400.0
        meshes = [self.cluster.service(name).mesh for name in "ab"]
        before = [mesh._tls.identity for mesh in meshes]
        for mesh in meshes:
            mesh._wall_clock = lambda: time.time() + later
            if mesh.admission is not None:
                mesh.admission._wall_clock = mesh._wall_clock
        self.network.pass_time(61, step=1)
        for mesh, old in zip(meshes, before, strict=True):
            new = mesh._tls.identity
            self.assertGreater(new.certificate.not_valid_after_utc, old.certificate.not_valid_after_utc)
            self.assertEqual(new.key, old.key)
            kept = load_identity(self.cluster[mesh.node].state)
            self.assertEqual(kept.certificate, new.certificate)
