"""Encoding names that are known."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.codecs import is_known


class KnownTests(SynchronousTestCase):
    def test_known(self) -> None:
        """However they are written; a misspelt one is not."""
        self.assertTrue(all(is_known(name) for name in ("PCMA", "pcmu", "OPUS", "telephone-event", "H264")))
        self.assertFalse(any(is_known(name) for name in ("PCMZ", "", "G.722")))
