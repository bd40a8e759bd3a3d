"""The CA of a cluster and the certificates of its nodes."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.link_network import CLUSTER, NOW, Authority
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates
from voipcluster.net.roster import Member, Roster, sign, verify

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


class TheRoster(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority()
        self.member = Member("b", "secondary", "127.0.0.2", 8787, "00ff")
        self.roster = Roster(CLUSTER, 4, (self.member,))

    def test_signed_roster_is_read_back(self) -> None:
        """Signing and verifying are inverse."""
        signed = sign(self.roster, self.authority.ca_key)
        self.assertEqual(verify(signed, self.authority.ca), self.roster)

    def test_altered_or_foreign_roster_is_refused(self) -> None:
        """Nobody but the holder of the CA's key can change who the members are."""
        signed = sign(self.roster, self.authority.ca_key)
        altered = {**signed, "roster": signed["roster"].replace("127.0.0.2", "127.0.0.3")}
        self.assertRaises(PeerError, verify, altered, self.authority.ca)
        self.assertRaises(PeerError, verify, signed, Authority().ca)

    def test_what_is_no_roster_is_refused(self) -> None:
        """Any shape of input gives a PeerError and nothing else."""
        for bad in (None, [], {}, {"roster": 1, "signature": "x"}, {"roster": "{}", "signature": "ä"}):
            self.assertRaises(PeerError, verify, bad, self.authority.ca)

    def test_a_newer_format_is_understood(self) -> None:
        """Fields that a later version adds are ignored."""
        import base64  # noqa: PLC0415
        import json  # noqa: PLC0415

        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        value = json.loads(sign(self.roster, self.authority.ca_key)["roster"])
        value["weather"] = value["members"][0]["colour"] = "blue"
        text = json.dumps(value)
        signature = self.authority.ca_key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        signed = {"roster": text, "signature": base64.b64encode(signature).decode()}
        self.assertEqual(verify(signed, self.authority.ca), self.roster)

    def test_changes_count_generations(self) -> None:
        """Each change makes a newer roster; a member keeps its place when it joins anew."""
        other = Member("c", "secondary", "127.0.0.3", 8787, "11")
        grown = self.roster.with_member(other).with_member(evolve(self.member, key="22"))
        self.assertEqual((grown.generation, [one.key for one in grown.members]), (6, ["22", "11"]))
        self.assertEqual(grown.without("b").members, (other,))

    def test_only_the_present_key_and_role_of_a_member_count(self) -> None:
        """A stranger, an old key and another role are refused though the CA has certified them."""
        self.roster.check(certificates.Certified("b", "secondary", "00ff"))
        for name, role, key in (
            ("x", "secondary", "00ff"),
            ("b", "secondary", "0000"),
            ("b", "primary", "00ff"),
        ):
            self.assertRaises(PeerError, self.roster.check, certificates.Certified(name, role, key))
