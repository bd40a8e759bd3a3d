"""Counts over all nodes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.messages import Tally
from voipcluster.services.cluster.tallies import Tallies


class TalliesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard = {"b", "c"}
        self.told: list[Tally] = []
        self.tallies = Tallies(self.heard.__contains__, self.told.append)

    def test_own(self) -> None:
        """What is counted here is told as it is now, down to nothing."""
        for amount in (2, -1, -1):
            self.tallies.add("x", amount)
        self.assertEqual([(tally.key, tally.count) for tally in self.told], [("x", 2), ("x", 1), ("x", 0)])
        self.assertEqual(list(self.tallies.snapshot()), [])
        self.assertEqual((self.tallies.own("x"), self.tallies.total("x")), (0, 0))

    def test_never_below_nothing(self) -> None:
        """A count that would go below zero is a mistake of ours, and shown as one."""
        self.assertRaises(AssertionError, self.tallies.add, "x", -1)

    def test_total(self) -> None:
        """All nodes that are heard of count; a silent one counts again when it is back."""
        self.tallies.add("x", 1)
        self.tallies.received("b", Tally(key="x", count=10))
        self.tallies.received("c", Tally(key="x", count=100))
        self.assertEqual(self.tallies.total("x"), 111)
        self.heard.remove("c")
        self.assertEqual(self.tallies.total("x"), 11)
        self.heard.add("c")
        self.assertEqual((self.tallies.total("x"), self.tallies.own("x")), (111, 1))
        self.tallies.forget("c")
        self.tallies.received("b", Tally(key="x"))
        self.assertEqual(self.tallies.total("x"), 1)

    def test_copy_begins(self) -> None:
        """A node that tells everything anew has nothing of what it told before."""
        self.tallies.received("b", Tally(key="x", count=10))
        self.tallies.begin_copy("b")
        self.assertEqual(self.tallies.total("x"), 0)
