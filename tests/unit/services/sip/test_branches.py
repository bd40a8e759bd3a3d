"""The branches of our client transactions."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.sip.branches import Branches
from voipcluster.sip.message import COOKIE


class BranchesTests(SynchronousTestCase):
    def test_never_the_same(self) -> None:
        """Branches have the cookie and are never the same (RFC 3261 section 8.1.1.7)."""
        branches = Branches(os.urandom)
        made = {branches.new() for _ in range(10_000)}
        self.assertEqual(len(made), 10_000)
        self.assertTrue(all(branch.startswith(COOKIE) for branch in made))

    def test_from_the_source_of_chance(self) -> None:
        """What is unguessable in a branch comes from who was given to be asked, for many branches at once."""
        asked = []

        def octets(count: int) -> bytes:
            asked.append(count)
            return b"\xab" * count

        branches = Branches(octets)
        self.assertEqual({branches.new() for _ in range(200)}, {COOKIE + "ab" * 9})
        self.assertEqual(len(asked), 1)
