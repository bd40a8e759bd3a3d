"""Asserted identities and privacy (RFC 3325, RFC 3323)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import VIA, request
from voipcluster.sip.identity import asserted_uris, identity_towards, preferred, privacy_of
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import forward_request

MINE = "sip:alice@example.com"
NUMBER = "sip:+493012345@example.com;user=phone"
SAID = 'P-Asserted-Identity: "Ann" <sip:ann@carrier.example>, <tel:+4940>'
PREFERRED = "P-Preferred-Identity: <sip:+493012345@example.com;user=phone>"


def copied(headers: list[str], heard: bool, goes: bool, own: tuple[str, ...] = (MINE, NUMBER)) -> Request:
    """What the target of a request with these headers sees."""
    source = request(headers=headers)
    identity = identity_towards(source, heard_from_trusted=heard, goes_to_trusted=goes, own=own)
    wire = forward_request(
        source, uri="sip:x@192.0.2.7", via=VIA, max_forwards=69, drop_lines=identity.drop, add=identity.add
    )
    message = parse(wire)
    assert isinstance(message, Request)
    return message


class IdentityTests(SynchronousTestCase):
    def test_our_caller(self) -> None:
        """Who is known to us is asserted to whom we trust, as his first identity or as the one that he prefers (section 6)."""
        self.assertEqual(copied([], False, True).get_all("p-asserted-identity"), [f"<{MINE}>"])
        copy = copied([PREFERRED], False, True)
        self.assertEqual(copy.get_all("p-asserted-identity"), [f"<{NUMBER}>"])
        self.assertFalse(copy.has("p-preferred-identity"))
        self.assertEqual(copied([], False, True, ()).get_all("p-asserted-identity"), [])

    def test_strangers_wish(self) -> None:
        """An identity that is not his is not asserted; what he asserts himself goes (section 5)."""
        for wish in ("<sip:bob@example.com>", "<tel:+49>", '"broken', "<x>"):
            copy = copied([f"P-Preferred-Identity: {wish}", SAID], False, True)
            self.assertEqual(copy.get_all("p-asserted-identity"), [f"<{MINE}>"], wish)
            self.assertFalse(copy.has("p-preferred-identity"))

    def test_trusted_peer(self) -> None:
        """What a peer of the trust domain asserts stands, and nothing is added to it."""
        copy = copied([SAID], True, True)
        self.assertEqual(
            copy.values("p-asserted-identity"), ['"Ann" <sip:ann@carrier.example>', "<tel:+4940>"]
        )
        self.assertEqual(asserted_uris(copy), ["sip:ann@carrier.example", "tel:+4940"])

    def test_untrusted_target(self) -> None:
        """It leaves the trust domain only when the caller wants to be known (section 7)."""
        for wish, shown in ((None, 0), ("id", 0), ("user;id;critical", 0), ("none", 1), ("NONE", 1)):
            headers = [SAID] if wish is None else [SAID, f"Privacy: {wish}"]
            copy = copied(headers, True, False)
            self.assertEqual(len(copy.get_all("p-asserted-identity")), shown, wish)
            self.assertFalse(copied(headers, False, False).has("p-asserted-identity"))

    def test_privacy_goes_along(self) -> None:
        """Inside the trust domain the wish for privacy travels with the identity, for whoever is at its edge (section 9.3)."""
        copy = copied([SAID, "Privacy: id"], True, True)
        self.assertTrue(copy.has("p-asserted-identity"))
        self.assertEqual(privacy_of(copy), {"id"})

    def test_untouched(self) -> None:
        """From, Diversion and History-Info go on as they came."""
        lines = ["Diversion: <sip:+49@x>;reason=no-answer", "History-Info: <sip:bob@example.com>;index=1"]
        copy = copied([*lines, SAID], False, False)
        for line in lines:
            self.assertIn(line.encode(), copy.lines)
        self.assertEqual(copy.get("from"), "<sip:alice@example.com>;tag=a1")

    def test_broken(self) -> None:
        """What cannot be read is nobody's identity."""
        self.assertEqual(asserted_uris(request(headers=['P-Asserted-Identity: "x'])), [])
        self.assertEqual(
            preferred(request(headers=["P-Preferred-Identity: <sips:alice@example.com>"]), [MINE]), MINE
        )
        self.assertEqual(preferred(request(), []), "")
