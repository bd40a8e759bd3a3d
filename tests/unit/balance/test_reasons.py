"""What is written down about a placement."""

from __future__ import annotations

from attrs import define, evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_membership import members, report
from voipcluster.balance.decision import Gates, Own, PlacementRequest
from voipcluster.balance.explain import Explanation
from voipcluster.balance.membership import LinkLost, Membership, ReportReceived
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy
from voipcluster.balance.reasons import PICTURE, Reasons
from voipcluster.balance.workload import Workload


@define
class Rules:
    policy: IBalancingPolicy
    gates: Gates


class ReasonsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = Membership("a")
        self.table.feed(members("a", "b", "c"))
        for name in "bc":
            self.table.feed(ReportReceived(evolve(report(name, seq=1), delay=0.01), 0.0))
        self.reasons = Reasons(self.table, Rules(Planned(), Gates()))

    def explain(self, now: float, **seen: str) -> Explanation:
        own = Own(Workload(cpu=0.5), delay=0.02)
        return self.reasons.explain(
            PlacementRequest("x"), own, 0.75, now, "serve", "a", "below the gate", seen
        )

    def test_asked_first(self) -> None:
        """Those that were looked at come first, with why; the others follow, each once."""
        explained = self.explain(0.5, c="full")
        self.assertEqual(
            [(one.node, one.reason, one.age) for one in explained.candidates],
            [("c", "full", 0.5), ("b", "not asked", 0.5)],
        )
        self.assertEqual(len(explained.candidates), 2)
        self.assertEqual((explained.leading, explained.delay), ("cpu", 0.02))

    def test_picture(self) -> None:
        """What nobody asked about is looked at ten times a second, and when a node became something else."""
        first = self.explain(1.0)
        self.assertIs(self.explain(1.0 + PICTURE / 2).candidates, first.candidates)
        self.assertEqual(self.explain(1.0 + PICTURE).candidates[0].age, 1.0 + PICTURE)
        self.table.feed(LinkLost("b"))
        self.assertEqual(self.explain(1.0 + PICTURE).candidates[0].state, "unknown")

    def test_plan(self) -> None:
        """The share and the rooms of the plan, while there is one that looks at rates."""
        self.assertEqual((self.explain(0.0).share, self.explain(0.0).fresh), (-1.0, True))
        own = evolve(self.table.get("b"), arrival_rate=150.0, capacity=100.0)
        others = [evolve(self.table.get("c"), capacity=100.0)]
        self.reasons.planned(Planned().plan(own, others, False), False)
        explained = self.explain(5.0)
        self.assertAlmostEqual(explained.share, 0.5)
        self.assertFalse(explained.fresh)
        self.assertEqual({one.node: round(one.room) for one in explained.candidates}, {"b": -1, "c": 75})
