"""In which order nodes are tried."""

from __future__ import annotations

from collections import Counter
from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from voipcluster.balance.membership import Node
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import (
    Even,
    IBalancingPolicy,
    InSequence,
    IPlan,
    LeastLoaded,
    TwoChoices,
    capacities,
    rank,
)
from voipcluster.balance.report import NOTHING
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


class EvenTests(SynchronousTestCase):
    def test_part(self) -> None:
        """A share of 0.3 is three of any ten, and not by chance; 1.0 and more is all, 0.0 is none."""
        for share in (0.0, 0.3, 1.0, 1.5):
            even = Even()
            random = Random(1)
            given = [even.part(share, random.random) for _ in range(200)]
            least = min(1.0, share) * 10
            self.assertTrue(all(abs(sum(given[at : at + 10]) - least) <= 1 for at in range(190)), share)

    def test_draw(self) -> None:
        """Each tenth of the range is met by ten of a hundred numbers, give or take one; nodes begin at different places."""
        first, second = Even(), Even()
        first.part(0.5, Random(1).random)
        second.part(0.5, Random(2).random)
        drawn = [first.draw() for _ in range(100)]
        self.assertTrue(all(0.0 <= number < 1.0 for number in drawn))
        self.assertTrue(
            all(9 <= count <= 11 for count in Counter(int(number * 10) for number in drawn).values())
        )
        self.assertNotEqual(drawn[0], second.draw())


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


class CapacitiesTests(SynchronousTestCase):
    def test_not_known_and_nothing(self) -> None:
        """Who has not measured yet counts like the others; who can serve nothing does not, and says nothing of them."""
        nodes = [node("b", capacity=100.0), node("c"), node("d", capacity=NOTHING), node("e", capacity=300.0)]
        self.assertEqual(capacities(nodes), [100.0, 200.0, NOTHING, 300.0])
        self.assertEqual(capacities([node("b"), node("c", capacity=NOTHING)]), [1.0, NOTHING])


class TwoChoicesTests(SynchronousTestCase):
    def test_by_capacity(self) -> None:
        """Equal nodes are drawn in proportion to what they can do."""
        plan = TwoChoices().plan(OWN, [node("b", capacity=100.0), node("c", capacity=300.0)], True)
        # The first drawn one of two equals is taken.
        self.assertApproximates(first(plan)["c"], 0.75, 0.03)

    def test_nothing(self) -> None:
        """Who can serve nothing is not drawn; who has not measured yet is, as often as the others."""
        others = [node("b", capacity=100.0), node("c", capacity=NOTHING), node("d")]
        shares = first(TwoChoices().plan(OWN, others, True))
        self.assertNotIn("c", shares)
        self.assertApproximates(shares["d"], 0.5, 0.03)

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
