"""The signed list of the cluster's members."""

from __future__ import annotations

import base64
import json

from attrs import evolve
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.link_network import CLUSTER, Authority
from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified
from voipcluster.net.roster import MAX_MEMBERS, Member, Roster, sign, verify


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
        value = json.loads(sign(self.roster, self.authority.ca_key)["roster"])
        value["weather"] = value["members"][0]["colour"] = "blue"
        self.assertEqual(verify(self.signed(json.dumps(value)), self.authority.ca), self.roster)

    def signed(self, text: str) -> dict[str, str]:
        """What the CA's key says of any text."""
        signature = self.authority.ca_key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return {"roster": text, "signature": base64.b64encode(signature).decode()}

    def test_a_signed_text_of_another_form(self) -> None:
        """A right signature is not enough: types are checked, and so is the number of members."""
        good = json.loads(sign(self.roster, self.authority.ca_key)["roster"])
        member = good["members"][0]
        for changed in (
            {**good, "generation": "4"},
            {**good, "generation": True},
            {**good, "members": {"b": member}},
            {**good, "members": [{**member, "port": "8787"}]},
            {**good, "members": [{**member, "name": None}]},
            {**good, "members": [{"name": "b"}]},
            {**good, "members": [member] * (MAX_MEMBERS + 1)},
            [good],
        ):
            error = self.assertRaises(PeerError, verify, self.signed(json.dumps(changed)), self.authority.ca)
            self.assertIn("not a signed roster", str(error))
        self.assertRaises(PeerError, verify, self.signed("[" * 100_000), self.authority.ca)
        most = self.signed(json.dumps({**good, "members": [member] * MAX_MEMBERS}))
        self.assertEqual(len(verify(most, self.authority.ca).members), MAX_MEMBERS)

    def test_why_somebody_is_no_member(self) -> None:
        """The text says whether it is a stranger, has an old key, or another role; the status is 403."""
        for certified, said in (
            (Certified("x", "secondary", "00ff"), "not a member"),
            (Certified("b", "secondary", "0000"), "joined anew"),
            (Certified("b", "primary", "00ff"), "is secondary, its certificate says primary"),
        ):
            error = self.assertRaises(PeerError, self.roster.check, certified)
            self.assertIn(said, str(error))
            self.assertEqual(error.status_hint, 403)
        self.assertIs(self.roster.check(Certified("b", "secondary", "00ff")), self.member)
        self.assertIsNone(self.roster.get("x"))

    def test_changes_count_generations(self) -> None:
        """Each change makes a newer roster; a member keeps its place when it joins anew."""
        other = Member("c", "secondary", "127.0.0.3", 8787, "11")
        grown = self.roster.with_member(other).with_member(evolve(self.member, key="22"))
        self.assertEqual((grown.generation, [one.key for one in grown.members]), (6, ["22", "11"]))
        self.assertEqual(grown.without("b").members, (other,))

    def test_only_the_present_key_and_role_of_a_member_count(self) -> None:
        """A stranger, an old key and another role are refused though the CA has certified them."""
        self.roster.check(Certified("b", "secondary", "00ff"))
        for name, role, key in (
            ("x", "secondary", "00ff"),
            ("b", "secondary", "0000"),
            ("b", "primary", "00ff"),
        ):
            self.assertRaises(PeerError, self.roster.check, Certified(name, role, key))
