"""Public and temporary GRUUs (RFC 5627)."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.sip.gruu import Gruus, public_gruu
from voipcluster.sip.location import Binding
from voipcluster.sip.uri import parse_uri
from voipcluster.sip.values import parse_name_addr

KEY = bytes(range(32))
AOR = "alice@example.com"
BINDING = Binding(
    AOR, "sip:a@h", 4600.0, 1000.0, "call", 1, instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


class PublicTests(SynchronousTestCase):
    def test_as_in_the_rfc(self) -> None:
        """The address of record with the instance behind it (section 3.1.1)."""
        self.assertEqual(
            public_gruu(BINDING), "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
        )

    @settings(max_examples=200, deadline=None)
    @given(TEXT)
    def test_any_instance(self, instance: str) -> None:
        """Whatever a phone calls itself becomes a URI that leads back to it, and to no other one."""
        binding = evolve(BINDING, instance=f"<{instance}>")
        uri = parse_uri(public_gruu(binding))
        gruu = Gruus(KEY).read(uri, AOR)
        self.assertTrue(gruu.leads_to(binding))
        self.assertTrue(gruu.leads_to(evolve(binding, call_id="another", contact="sip:b@h")))
        self.assertFalse(gruu.leads_to(evolve(binding, instance=f"<{instance}x>")))
        self.assertFalse(gruu.leads_to(evolve(binding, instance="")))

    def test_letters_of_a_urn(self) -> None:
        """Upper and lower case are one instance (RFC 4122 section 3)."""
        uri = parse_uri(public_gruu(evolve(BINDING, instance=BINDING.instance.upper())))
        self.assertTrue(Gruus(KEY).read(uri, AOR).leads_to(BINDING))


class TemporaryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gruus = Gruus(KEY)

    def test_it_hides_who_it_is(self) -> None:
        """Neither user nor instance is in it, and two of one phone have nothing in common (section 3.1.2)."""
        one, other = (self.gruus.temporary(BINDING, now) for now in (1000.0, 1001.0))
        self.assertNotEqual(one, other)
        for text in ("alice", "f81d4fae", "urn"):
            self.assertNotIn(text, one)
        self.assertEqual((parse_uri(one).host, parse_uri(one).param("gr")), ("example.com", ""))

    def test_every_node_reads_it(self) -> None:
        """It says whose it is, and leads to the instance while it is registered with that Call-ID (section 5.4)."""
        uri = parse_uri(self.gruus.temporary(BINDING, 1000.5))
        gruu = Gruus(KEY).read(uri, uri.aor())
        self.assertEqual((gruu.aor, gruu.instance, gruu.issued), (AOR, None, 1000.5))
        self.assertTrue(gruu.leads_to(evolve(BINDING, contact="sip:b@h", cseq=9)))
        self.assertFalse(gruu.leads_to(evolve(BINDING, call_id="another")))
        self.assertFalse(gruu.leads_to(evolve(BINDING, instance="<urn:uuid:2>")))

    def test_what_is_none(self) -> None:
        """Altered, cut, of another cluster, or nothing of the kind: 404."""
        good = self.gruus.temporary(BINDING, 1000.0)
        for text in (
            good.replace("tgruu.", "tgruu.A"), good.replace(good[20], "_", 1), "sip:tgruu.@example.com;gr",
            "sip:alice@example.com;gr", "sip:alice@example.com;gr=", Gruus(KEY[::-1]).temporary(BINDING, 1000.0),
            "sip:tgruu.%41@example.com;gr",
        ):  # fmt: skip
            uri = parse_uri(text)
            error = self.assertRaises(PeerError, self.gruus.read, uri, uri.aor())
            self.assertEqual(error.status_hint, 404, text)

    def test_contact_parameters(self) -> None:
        """Both, quoted, as a phone reads them in the 200 (section 5.3)."""
        contact = parse_name_addr(f"<sip:a@h>{self.gruus.params(BINDING, 1000.0)}")
        self.assertEqual(contact.param("pub-gruu"), public_gruu(BINDING))
        self.assertEqual(contact.param("temp-gruu"), self.gruus.temporary(BINDING, 1000.0))
