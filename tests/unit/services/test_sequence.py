"""Names in cluster.sequence without a node."""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.sequence import SequenceCheck


class SequenceCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def told(self) -> list[str]:
        lines = [str(event["missing"]) for event in self.events if "missing" in event]
        self.events.clear()
        return lines

    def test_missing(self) -> None:
        """Said once, again when it changed, and not any more when all have joined."""
        check = SequenceCheck(("b", "a", "typo"))
        check.members_changed("a")
        self.assertEqual(self.told(), ["b, typo"])
        check.members_changed("a")
        self.assertEqual(self.told(), [])
        check.members_changed("ab")
        self.assertEqual((self.told(), check.missing), (["typo"], ("typo",)))
        check.members_changed(["a", "b", "typo"])
        self.assertEqual((self.told(), check.missing), ([], ()))
        check.members_changed("ab")
        self.assertEqual(self.told(), ["typo"])

    def test_no_sequence(self) -> None:
        """Nothing to say about an empty one."""
        SequenceCheck(()).members_changed("abc")
        self.assertEqual(self.told(), [])
