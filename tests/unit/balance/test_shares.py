"""Shares of what is scarce."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.shares import fair_shares


class FairSharesTests(SynchronousTestCase):
    def test_those_who_ask_for_little_get_it(self) -> None:
        """The rest is split evenly among those who ask for more."""
        self.assertEqual(fair_shares(100.0, [10.0, 500.0, 80.0]), [10.0, 45.0, 45.0])

    def test_what_is_left_is_lent(self) -> None:
        """When all are content, each may grow by as much."""
        self.assertEqual(fair_shares(100.0, [10.0, 30.0]), [40.0, 60.0])

    def test_nobody(self) -> None:
        self.assertEqual(fair_shares(100.0, []), [])
