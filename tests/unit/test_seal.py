"""Sealed tokens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

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
