"""The hand-over token: claims C6 and C9, and the 403 for a forged one."""

from __future__ import annotations

import base64

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import TCP, UDP, WSS, Flow
from voipcluster.balance.handover import Handover, HandoverTokens
from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

KEY, NOW = b"k" * 32, 1_760_000_000.5
UDP_FLOW = Flow(UDP, ("10.0.0.1", 5060), ("192.0.2.7", 40000))
FULL = Handover(
    flow=Flow(WSS, ("2001:db8::1", 8080), ("2001:db8::ffff:7", 65535), 2**32 - 1),
    ingress="alpha",
    user="josé@example.com",
    visited=("alpha", "b"),
    hops=2,
)


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tokens = HandoverTokens(KEY)

    def refused(self, token: str, call_id: str = "c", now: float = NOW) -> None:
        error = self.assertRaises(PeerError, self.tokens.open, token, call_id, now)
        self.assertEqual(error.status_hint, 403)

    def test_round_trip(self) -> None:
        """The client's address, port, transport, connection and user come out as they went in, IPv4 and IPv6."""
        for handover in (
            Handover(UDP_FLOW, "a"),
            Handover(UDP_FLOW._replace(transport=TCP, connection=7), "a", user=""),
            FULL,
            FULL.onward("c"),
            FULL.for_redirect(),
            evolve(FULL, gateway="carrier-a"),
            Handover(UDP_FLOW, "a", gateway="carrier-a"),
        ):
            self.assertEqual(self.tokens.open(self.tokens.seal(handover, "c", NOW), "c", NOW), handover)

    def test_steps(self) -> None:
        """A hop appends the node and counts; a redirect forgets the user, who authenticates at the target."""
        onward, redirect = FULL.onward("c"), FULL.for_redirect()
        self.assertEqual((onward.visited, onward.hops), (("alpha", "b", "c"), 3))
        onward = FULL.onward("c", ("d", "e"))  # which had been asked in vain, and so are not asked again
        self.assertEqual((onward.visited, onward.hops), (("alpha", "b", "c", "d", "e"), 3))
        crowd = FULL.onward("c", tuple(f"node-{number}" for number in range(300)))
        self.assertLess(len(self.tokens.seal(crowd, "c", NOW)), 400)
        self.assertEqual((redirect.user, redirect.redirected), (None, True))
        self.assertEqual(evolve(FULL, gateway="carrier-a").for_redirect().gateway, "", "so does a gateway")

    def test_fits_into_a_uri(self) -> None:
        """It needs no escaping, and is short: an INVITE must stay below the path MTU (RFC 3261 section 18.1.1)."""
        token = self.tokens.seal(
            Handover(UDP_FLOW, "a", user="alice@example.com", visited=("a",), hops=1), "c", NOW
        )
        self.assertRegex(token, r"^[A-Za-z0-9_-]+$")
        self.assertLess(len(token), 140)

    def test_every_altered_character(self) -> None:
        """No character can be changed, added or left out."""
        token = self.tokens.seal(FULL, "c", NOW)
        for at, old in enumerate(token):
            self.refused(token[:at] + ("A" if old != "A" else "B") + token[at + 1 :])
            self.refused(token[:at] + token[at + 1 :])
        self.refused(token + "A")
        self.refused("")

    def test_other_key_and_purpose(self) -> None:
        """A token of another cluster, or one of this cluster that is not a hand-over, is refused."""
        self.refused(HandoverTokens(b"x" * 32).seal(FULL, "c", NOW))
        self.refused(Sealer(KEY, b"flow").seal(b"anything"))

    def test_other_call(self) -> None:
        """It is bound to the Call-ID."""
        self.refused(self.tokens.seal(FULL, "c", NOW), call_id="C")

    def test_age(self) -> None:
        """32 s old is too old, and so is one from as far in the future; in between clocks may differ."""
        token = self.tokens.seal(FULL, "c", NOW)
        for offset in (-31.0, 0.0, 31.0):
            self.assertEqual(self.tokens.open(token, "c", NOW + offset), FULL)
        for offset in (-33.0, 33.0):
            self.refused(token, now=NOW + offset)

    def test_another_format(self) -> None:
        """Sealed by the cluster, but of another version or cut short: 403, never another exception."""
        sealer, token = Sealer(KEY, b"handover"), self.tokens.seal(FULL, "c", NOW)
        payload = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:-16]
        self.assertEqual(sealer.seal(payload), token)
        for end in range(len(payload)):
            self.refused(sealer.seal(payload[:end]))
        self.refused(sealer.seal(payload + b"\0"))
        for at in range(len(payload)):
            for value in (0, 4, 255):
                altered = payload[:at] + bytes([value]) + payload[at + 1 :]
                try:
                    self.tokens.open(sealer.seal(altered), "c", NOW)
                except PeerError as error:
                    self.assertEqual(error.status_hint, 403)
