"""What a node waits for before it reads its first SIP message."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.node.first_copies import PATIENCE, FirstCopies


class FirstCopiesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wanted = {"b", "c"}
        self.copies = FirstCopies(self.missing)

    def missing(self, come: Collection[str]) -> set[str]:
        return self.wanted - set(come)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_have_come(self) -> None:
        """It waits for the copy of each other member, whenever it came."""
        self.copies.came("b")
        waiting = self.copies.wait(self.clock)
        self.assertNoResult(waiting)
        self.copies.came("b")
        self.assertNoResult(waiting)
        self.copies.came("c")
        self.assertIsNone(self.successResultOf(waiting))
        self.copies.came("c")  # after another start of that node

    def test_alone(self) -> None:
        """A node without others does not wait."""
        self.wanted.clear()
        self.successResultOf(self.copies.wait(self.clock))

    def test_somebody_is_down(self) -> None:
        """Nor does it wait for ever: a member may be down."""
        waiting = self.copies.wait(self.clock)
        self.clock.advance(PATIENCE - 0.01)
        self.assertNoResult(waiting)
        self.clock.advance(0.01)
        self.successResultOf(waiting)

    def test_ended(self) -> None:
        """Who stops the node ends the wait; a second end is harmless."""
        waiting = self.copies.wait(self.clock)
        self.copies.end()
        self.successResultOf(waiting)
        self.copies.end()
