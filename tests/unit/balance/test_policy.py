"""In which order nodes are tried."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from voipcluster.balance.membership import Node
from voipcluster.balance.policy import (
    IBalancingPolicy,
    InSequence,
    IPlan,
    LeastLoaded,
    Planned,
    TwoChoices,
    rank,
    rate_plan,
)
from voipcluster.balance.state import NodeState


def node(name: str, place: int = 0, **rest: object) -> Node:
    return Node(name, place, state=NodeState.OPEN, **rest)


OWN = node("a", arrival_rate=100.0, capacity=100.0)


def first(plan: IPlan, count: int = 4000, planned: bool = False) -> dict[str, float]:
    """How often each node comes first."""
    random = Random(1)
    counted = Counter(next(plan.order(random.random, planned)) for _ in range(count))
    return {name: seen / count for name, seen in counted.items()}


class InterfaceTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Policies and plans are what the placement asks for."""
        for policy in (InSequence(), LeastLoaded(), TwoChoices(), Planned()):
            verifyObject(IBalancingPolicy, policy)
            verifyObject(IPlan, policy.plan(OWN, [node("b")], True))

    def test_alone(self) -> None:
        """A node without others has nobody to try."""
        for policy in (LeastLoaded(), TwoChoices(), Planned()):
            for fresh in (True, False):
                plan = policy.plan(OWN, [], fresh)
                self.assertEqual((list(plan.order(Random(1).random, False)), plan.share), ([], 0.0))

    def test_every_open_node_is_tried(self) -> None:
        """Whatever is drawn, all that are open come in the end, and others do not."""
        others = [node(name) for name in "bcd"] + [Node("e", 5, state=NodeState.SHED)]
        for policy in (LeastLoaded(), TwoChoices(), Planned()):
            for fresh in (True, False):
                names = list(policy.plan(OWN, others, fresh).order(Random(1).random, False))
                self.assertEqual(set(names), set("bcd"))


class InSequenceTests(SynchronousTestCase):
    def order(self, *sequence: str) -> str:
        others = [node("c", 2), node("b", 0)]
        plan = InSequence(sequence).plan(evolve(OWN, place=1), others, True)
        return "".join(plan.order(Random(1).random, False))

    def test_order(self) -> None:
        """As configured; who is not named follows in the order of joining, who is no member is left out."""
        self.assertEqual(self.order(), "bac")
        self.assertEqual(self.order("c", "a", "b"), "cab")
        self.assertEqual(self.order("c"), "cba")
        self.assertEqual(self.order("x", "a"), "abc")


class LeastLoadedTests(SynchronousTestCase):
    def test_order(self) -> None:
        """The lowest workload first, with what was handed over since; equals at random."""
        others = [node("b", value=0.5), node("c", value=0.2), node("d", value=0.2)]
        plan = LeastLoaded().plan(OWN, others, True)
        shares = first(plan)
        self.assertNotIn("b", shares)
        self.assertApproximates(shares["c"], 0.5, 0.05)


class TwoChoicesTests(SynchronousTestCase):
    def test_by_capacity(self) -> None:
        """Equal nodes are drawn in proportion to what they can do."""
        plan = TwoChoices().plan(OWN, [node("b", capacity=100.0), node("c", capacity=300.0)], True)
        # The first drawn one of two equals is taken.
        self.assertApproximates(first(plan)["c"], 0.75, 0.03)

    def test_better_of_two(self) -> None:
        """The less loaded one comes first unless the other was drawn twice."""
        plan = TwoChoices().plan(OWN, [node("b", value=0.5), node("c", value=0.1)], True)
        self.assertApproximates(first(plan)["c"], 0.75, 0.03)

    def test_rank(self) -> None:
        """A hot node after all cold ones; among the cold ones the wait counts in steps, then the workload."""
        hot = node("h")
        for _ in range(3):
            hot.assigned.assigned(True, 0.0)
        slow, quick, busy = node("s", delay=0.05), node("q", delay=0.001, value=0.1), node("b", value=0.5)
        ranked = sorted((hot, slow, busy, quick), key=lambda one: rank(one, 2.0))
        self.assertEqual([one.name for one in ranked], ["q", "b", "s", "h"])


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

    def test_not_open(self) -> None:
        """A node above its threshold takes nothing, whatever its rates are."""
        shed = Node("b", 1, state=NodeState.SHED, capacity=100.0)
        self.assertEqual(rate_plan(evolve(OWN, arrival_rate=150.0), [shed]), (0.0, [0.0]))


class PlannedTests(SynchronousTestCase):
    def test_share_goes_where_it_fits(self) -> None:
        """The planned share is drawn by what each one can take."""
        others = [node("b", arrival_rate=90.0, capacity=100.0), node("c", capacity=100.0)]
        plan = Planned().plan(evolve(OWN, arrival_rate=150.0), others, True)
        self.assertGreater(plan.share, 0.0)
        self.assertEqual(first(plan, planned=True), {"c": 1.0})

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
