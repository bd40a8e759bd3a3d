"""The planned policy: a plan on rates, a correction on what waits."""

from __future__ import annotations

from itertools import islice

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_policy import OWN, first, node
from voipcluster.balance.membership import Node
from voipcluster.balance.planned import Planned, rate_plan
from voipcluster.balance.state import NodeState

SHED, FULL, DRAIN = NodeState.SHED, NodeState.FULL, NodeState.DRAIN


class RatePlanTests(SynchronousTestCase):
    def test_gives_what_is_above_the_mean(self) -> None:
        """Loads 150, 50 and 50 of capacity 100 each: a gives away the part above 5/6, b and c take half each."""
        own = evolve(OWN, arrival_rate=150.0)
        others = [node(name, arrival_rate=50.0, capacity=100.0) for name in "bc"]
        share, take = rate_plan(own, others)
        self.assertAlmostEqual(share, (150 - 100 * 250 / 300) / 150)
        self.assertAlmostEqual(take[0], take[1])

    def test_balanced(self) -> None:
        """Nobody has more than its part: nothing moves."""
        self.assertEqual(rate_plan(OWN, [node("b", arrival_rate=100.0, capacity=100.0)])[0], 0.0)

    def test_overload(self) -> None:
        """When nobody can take anything nothing is sent around, however much comes."""
        own = evolve(OWN, arrival_rate=500.0)
        self.assertEqual(rate_plan(own, [node("b", arrival_rate=400.0, capacity=100.0)])[0], 0.0)

    def test_unknown_capacity(self) -> None:
        """A node that does not know what it can do neither gives nor takes."""
        self.assertEqual(
            rate_plan(evolve(OWN, capacity=0.0, arrival_rate=9.0), [node("b", capacity=5.0)]), (0.0, [0.0])
        )
        share, take = rate_plan(evolve(OWN, arrival_rate=150.0), [node("b"), node("c", capacity=100.0)])
        self.assertEqual(take[0], 0.0)
        self.assertGreater(share, 0.0)

    def test_hand_over_costs(self) -> None:
        """What handing over costs is given away, too: all nodes end with the same utilisation."""
        own, other = evolve(OWN, arrival_rate=150.0), node("b", capacity=100.0)
        share, (room,) = rate_plan(own, [other], cost=0.2)
        given = share * 150.0
        self.assertAlmostEqual(150.0 - given + 0.2 * given, given, delta=0.2)
        self.assertAlmostEqual(room, given, delta=0.2)

    def test_draining(self) -> None:
        """A node that drains takes nothing, and gives all that its clients send; others may be busy as they are."""
        own = evolve(OWN, arrival_rate=150.0)
        others = [
            Node(name, 1, state=state, capacity=200.0)
            for name, state in zip("bcd", (SHED, FULL, DRAIN), strict=True)
        ]
        _, room = rate_plan(own, others)
        self.assertEqual(room[2], 0.0)
        self.assertAlmostEqual(room[0], room[1])
        self.assertGreater(room[0], 0.0)
        self.assertEqual(rate_plan(evolve(own, state=DRAIN), [node("b", capacity=500.0)])[0], 1.0)

    def test_slow_start(self) -> None:
        """A node of a tenth of its weight gets no more than a tenth of its capacity."""
        others = [node("b", capacity=1000.0, weight=0.1), node("c", capacity=1000.0)]
        _, (young, old) = rate_plan(evolve(OWN, arrival_rate=550.0), others)
        self.assertAlmostEqual(young * 10, old, delta=0.5)


class PlannedTests(SynchronousTestCase):
    def test_share_goes_where_it_fits(self) -> None:
        """The planned share is drawn by what each one can take."""
        others = [node("b", arrival_rate=90.0, capacity=100.0), node("c", capacity=100.0)]
        plan = Planned().plan(evolve(OWN, arrival_rate=150.0), others, True)
        self.assertGreater(plan.share, 0.0)
        self.assertEqual(first(plan, planned=True), {"c": 1.0})

    def test_large_cluster(self) -> None:
        """With many nodes reports are few, and the planned share is split by the rooms whatever waits there."""
        for count, expected in ((1, 0.75), (30, 0.5)):
            slow, quick = node("b", delay=0.04, capacity=100.0), node("c", capacity=100.0)
            idle = [
                node(f"n{number}") for number in range(2 * count - 2)
            ]  # of unknown capacity: they take nothing
            plan = Planned().plan(evolve(OWN, arrival_rate=200.0), [slow, quick, *idle], True)
            self.assertApproximates(first(plan, planned=True)["c"], expected, 0.03)

    def test_stale_table_is_not_compared(self) -> None:
        """With an old table the less delayed one is not always taken: all would take it."""
        others = [node("b", delay=0.02, capacity=1000.0), node("c", delay=0.0, capacity=1000.0)]
        own = evolve(OWN, arrival_rate=200.0)
        stale, fresh = (first(Planned().plan(own, others, freshness)) for freshness in (False, True))
        self.assertApproximates(fresh["c"], 0.75, 0.03)
        self.assertApproximates(stale["c"], (99 / 2 + 10) / 99, 0.03)

    def test_draws_are_few(self) -> None:
        """The order starts without looking at all nodes: each request costs the same with 3 nodes and with 300."""
        plan = Planned().plan(OWN, [node(f"n{number}") for number in range(300)], True)
        drawn = []

        def rand() -> float:
            drawn.append(1)
            return 0.5

        list(islice(plan.order(rand, False), 1))
        self.assertEqual(len(drawn), 2)
