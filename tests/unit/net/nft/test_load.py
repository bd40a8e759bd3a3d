"""libnftables, where it is missing; what it loads is in tests/integration/test_nft.py."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.nft.load import load


class LoadTests(SynchronousTestCase):
    def test_missing(self) -> None:
        """The error names the package to install."""
        with self.assertRaises(OSError) as caught:
            load("add table inet x", "libnone.so.1")
        self.assertEqual(caught.exception.strerror, "libnone.so.1 is missing (Debian package libnftables1)")
