"""The rule without guards, which is there to be compared with."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_membership import members, report
from voipcluster.balance.decision import Decision, Gates, HandOver, Own, PlacementRequest, Serve
from voipcluster.balance.membership import Membership, ReportReceived
from voipcluster.balance.workload import Workload
from voipcluster.simulate.literal import LiteralRule


class LiteralRuleTests(SynchronousTestCase):
    def place(self, own: float, hops: int = 0, visited: tuple[str, ...] = (), **calls: int) -> Decision:
        table = Membership("a")
        table.feed(members("a", "b", "c"))
        for name, count in calls.items():
            table.feed(ReportReceived(report(name, seq=1, calls=count), 0.0))
        rule = LiteralRule(lambda: Own(Workload(calls=own)), table, Gates())
        return rule.place(PlacementRequest("x", visited=visited, hops=hops), 0.0, Random(1).random)

    def test_below(self) -> None:
        """Below the threshold a node serves."""
        self.assertIsInstance(self.place(0.74, b=0, c=0), Serve)

    def test_above(self) -> None:
        """Above it whoever looks to be below gets the request, and anybody when nobody does."""
        decision = self.place(0.75, b=19, c=3)
        assert isinstance(decision, HandOver)
        self.assertEqual(decision.node, "c")
        self.assertIsInstance(self.place(0.75, b=19, c=19), HandOver)

    def test_ends(self) -> None:
        """It ends when the hops are used up, or when all have been visited."""
        self.assertIsInstance(self.place(0.9, hops=3, b=0, c=0), Serve)
        self.assertIsInstance(self.place(0.9, hops=2, visited=("b", "c"), b=0, c=0), Serve)
