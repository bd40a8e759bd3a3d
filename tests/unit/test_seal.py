"""Sealed tokens."""

from __future__ import annotations

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.seal import Concealer, Sealer

KEY = bytes(range(32))
FLOW = Sealer(KEY, b"flow")


class SealerTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=80))
    def test_what_is_sealed_opens(self, payload: bytes) -> None:
        """A token is URI-safe text and opens to its payload, at every node that has the key."""
        token = FLOW.seal(payload)
        self.assertRegex(token, r"\A[A-Za-z0-9_-]+\Z")
        self.assertEqual(Sealer(KEY, b"flow").open(token), payload)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=40), st.data())
    def test_one_changed_character_is_refused(self, payload: bytes, data: st.DataObject) -> None:
        """Each character counts, the last one too: 403 (RFC 5626 section 5.3.1)."""
        token = FLOW.seal(payload)
        place = data.draw(st.integers(0, len(token) - 1))
        other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
        changed = token[:place] + other + token[place + 1 :]
        if changed == token:
            return
        with self.assertRaises(PeerError) as caught:
            FLOW.open(changed)
        self.assertEqual(caught.exception.status_hint, 403)

    def test_bound(self) -> None:
        """A token that is bound to something opens with that only, and is no longer for it."""
        token = FLOW.seal(b"payload", b"192.0.2.1")
        self.assertEqual(FLOW.open(token, b"192.0.2.1"), b"payload")
        self.assertEqual(len(token), len(FLOW.seal(b"payload")))
        for bound in (b"", b"192.0.2.10", b"192.0.2.2"):
            error = self.assertRaises(PeerError, FLOW.open, token, bound)
            self.assertEqual(error.status_hint, 403)
        self.assertRaises(PeerError, FLOW.open, FLOW.seal(b"payload"), b"192.0.2.1")

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60))
    def test_any_text_is_refused_with_a_peer_error(self, text: str) -> None:
        """Strangers' text raises PeerError and nothing else."""
        with self.assertRaises(PeerError):
            FLOW.open(text)

    def test_another_purpose_or_key_does_not_open_it(self) -> None:
        """A nonce is no flow token, and another cluster's token is none of ours."""
        token = FLOW.seal(b"payload")
        for sealer in (Sealer(KEY, b"nonce"), Sealer(KEY[::-1], b"flow")):
            with self.assertRaises(PeerError):
                sealer.open(token)


class ConcealerTests(SynchronousTestCase):
    @given(st.binary(max_size=200))
    def test_what_is_concealed_opens(self, payload: bytes) -> None:
        """Any payload comes back, and long ones are not to be seen in the token."""
        concealer = Concealer(KEY, b"gruu")
        token = concealer.seal(payload)
        self.assertEqual(concealer.open(token), payload)
        if len(payload) > 4:
            self.assertNotIn(payload, base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    def test_one_changed_character_is_refused(self) -> None:
        """Wherever it is; so are the tokens of other keys and purposes, cut ones, and what is none (RFC 5626 section 5.3.1)."""
        token = Concealer(KEY, b"gruu").seal(b"alice" * 30)
        bad = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
        bad += [token[:20], token[:-4], "", "\u00e9", "a", "====", Sealer(KEY, b"gruu").seal(b"alice")]
        bad += [Concealer(KEY, b"other").seal(b"alice"), Concealer(KEY[::-1], b"gruu").seal(b"alice")]
        for text in bad:
            error = self.assertRaises(PeerError, Concealer(KEY, b"gruu").open, text)
            self.assertEqual(error.status_hint, 403)

    def test_tokens_differ(self) -> None:
        """Nothing links two tokens of one user: no part of one is found in the other."""
        concealer = Concealer(KEY, b"gruu")
        one, other = (concealer.seal(number.to_bytes(8, "big") + b"alice" * 9) for number in (1, 2))
        self.assertFalse(
            {one[at : at + 6] for at in range(len(one) - 6)}
            & {other[at : at + 6] for at in range(len(other) - 6)}
        )
