"""The planned policy: a plan on rates, a correction on what waits."""

from __future__ import annotations

import math
from itertools import islice

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_policy import OWN, first, node
from voipcluster.balance.membership import Node
from voipcluster.balance.planned import SETTLE, Planned, rate_plan
from voipcluster.balance.policy import Even
from voipcluster.balance.report import NOTHING, Report
from voipcluster.balance.state import NodeState

SHED, FULL, DRAIN = NodeState.SHED, NodeState.FULL, NodeState.DRAIN


class RatePlanTests(SynchronousTestCase):
    def test_gives_what_is_above_the_mean(self) -> None:
        """Loads 150, 50 and 50 of capacity 100 each: a gives away the part above 5/6, b and c take half each."""
        own = evolve(OWN, arrival_rate=150.0)
        others = [node(name, arrival_rate=50.0, capacity=100.0) for name in "bc"]
        plan = rate_plan(own, others)
        self.assertAlmostEqual(plan.base, (150 - 100 * 250 / 300) / 150)
        self.assertAlmostEqual(*plan.rooms)

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
            rate_plan(evolve(OWN, capacity=0.0, arrival_rate=9.0), [node("b", capacity=5.0)]),
            (0.0, 0.0, [0.0], 0.0),
        )
        plan = rate_plan(evolve(OWN, arrival_rate=150.0), [node("b"), node("c", capacity=100.0)])
        self.assertEqual(plan.rooms[0], 0.0)
        self.assertGreater(plan.base, 0.0)

    def test_no_capacity(self) -> None:
        """A node that can serve nothing takes nothing, and gives what its clients send; one that does not know keeps it."""
        others = [node("b", capacity=NOTHING), node("c", arrival_rate=50.0, capacity=1000.0)]
        plan = rate_plan(evolve(OWN, arrival_rate=150.0), others)
        self.assertLess(plan.rooms[0], NOTHING)
        self.assertGreater(plan.base, 0.3)
        plan = rate_plan(evolve(OWN, capacity=NOTHING, arrival_rate=9.0), [node("b", capacity=500.0)])
        self.assertApproximates(plan.base, 1.0, 0.001)

    def test_hand_over_costs(self) -> None:
        """What handing over costs is given away, too: all nodes end with the same utilisation."""
        own, other = evolve(OWN, arrival_rate=150.0), node("b", capacity=100.0)
        plan = rate_plan(own, [other], cost=0.2)
        given, (room,) = plan.base * 150.0, plan.rooms
        self.assertApproximates(150.0 - given + 0.2 * given, given, 0.2)
        self.assertApproximates(room, given, 0.2)

    def test_draining(self) -> None:
        """A node that drains takes nothing, and gives all that its clients send; others may be busy as they are."""
        own = evolve(OWN, arrival_rate=150.0)
        others = [
            Node(name, 1, state=state, capacity=200.0)
            for name, state in zip("bcd", (SHED, FULL, DRAIN), strict=True)
        ]
        room = rate_plan(own, others).rooms
        self.assertEqual(room[2], 0.0)
        self.assertAlmostEqual(room[0], room[1])
        self.assertGreater(room[0], 0.0)
        self.assertEqual(rate_plan(evolve(own, state=DRAIN), [node("b", capacity=500.0)]).base, 1.0)

    def test_slow_start(self) -> None:
        """A node of a tenth of its weight gets no more than a tenth of its capacity."""
        others = [node("b", capacity=1000.0, weight=0.1), node("c", capacity=1000.0)]
        young, old = rate_plan(evolve(OWN, arrival_rate=550.0), others).rooms
        self.assertApproximates(young * 10, old, 0.5)


class QueueTests(SynchronousTestCase):
    """What waits is part of the plan."""

    def nodes(self, *delays: float, heard: float = 10.0) -> list[Node]:
        return [
            node(name, delay=delay, arrival_rate=50.0, capacity=100.0, heard=heard)
            for name, delay in zip("bc", delays, strict=True)
        ]

    def own(self, delay: float = 0.0, **rest: float) -> Node:
        return evolve(OWN, **{"delay": delay, "arrival_rate": 130.0, "heard": 10.0, **rest})

    def test_shorter_queue(self) -> None:
        """Of two with equal rates the one with less to wait takes more, by just what levels them in SETTLE."""
        even, uneven = (
            rate_plan(self.own(0.02), self.nodes(*delays)) for delays in ((0.02, 0.02), (0.01, 0.03))
        )
        self.assertAlmostEqual(*even.rooms)
        self.assertApproximates(uneven.rooms[0] - even.rooms[0], 0.01 * 100 / SETTLE, 0.1)
        self.assertApproximates(even.rooms[1] - uneven.rooms[1], 0.01 * 100 / SETTLE, 0.1)

    def test_own_queue(self) -> None:
        """A longer own queue gives away more, a shorter one less and in the end nothing, without a new plan."""
        plan = Planned().plan(self.own(0.02), self.nodes(0.02, 0.02), True)
        level, longer, empty = (plan.share_at(delay) for delay in (0.02, 0.04, 0.0))
        self.assertEqual(level, plan.share)
        self.assertGreater(longer, level)
        self.assertLess(empty, level)
        self.assertEqual(evolve(plan, base=-0.5).share_at(0.0), 0.0)

    def test_old_news(self) -> None:
        """That a node lacks something counts less when it was heard a while ago, since all have been filling it since."""
        told = []
        for age in (0.0, 0.1, 1.0):
            short, level = self.nodes(0.0, 0.02, heard=10.0 - age)
            rooms = rate_plan(self.own(0.02), [short, level]).rooms
            told.append(rooms[0] - rooms[1])
        self.assertApproximates(told[2], 0.0, 0.01)
        self.assertApproximates((told[1] - told[2]) / (told[0] - told[2]), math.exp(-0.1 / SETTLE), 0.01)

    def test_long_queue_is_believed(self) -> None:
        """A node with a long queue gets nothing until it says something else, however long that takes: it may be slow now."""
        for age in (0.0, 1.0):
            slow, level = self.nodes(0.3, 0.02, heard=10.0 - age)
            slow.report = Report(node="b", epoch=1, seq=1)
            rooms = rate_plan(self.own(0.02), [slow, level]).rooms
            self.assertEqual(rooms[0], 0.0)
            self.assertGreater(rooms[1], 0.0)

    def test_silence_that_says_nothing(self) -> None:
        """A node that does not report changes at once had a long queue a second ago: by now only its rates count."""
        slow, level = self.nodes(0.3, 0.02, heard=9.0)
        slow.report = Report(node="b", epoch=1, seq=1, spontaneous=False)
        rooms = rate_plan(self.own(0.16), [slow, level]).rooms
        self.assertApproximates(rooms[0], rooms[1], 0.5)
        self.assertGreater(rooms[0], 0.0)

    def test_all_wait(self) -> None:
        """When as much waits everywhere only the rates count."""
        quiet, busy = (rate_plan(self.own(delay), self.nodes(delay, delay)) for delay in (0.0, 0.5))
        for one, other in zip(quiet.rooms, busy.rooms, strict=True):
            self.assertAlmostEqual(one, other)
        self.assertAlmostEqual(quiet.base, busy.base + busy.slope * 0.5)

    def test_all_together(self) -> None:
        """However many senders there are, all of them together send a node what it lacks, and not each of them."""
        for senders in (1, 10):
            short = node("z", delay=0.0, arrival_rate=90.0, capacity=100.0, heard=10.0)
            own = self.own(0.02, arrival_rate=110.0)
            alike = [
                node(f"s{number}", delay=0.02, arrival_rate=110.0, capacity=100.0, heard=10.0)
                for number in range(senders - 1)
            ]
            plan = rate_plan(own, [short, *alike])
            sent = senders * (plan.base + plan.slope * 0.02) * own.arrival_rate
            lacks = 10.0 + plan.wait * 100.0 / SETTLE
            self.assertLess(sent, 1.2 * lacks, senders)
            self.assertGreater(sent, 0.5 * min(lacks, 10.0 * senders), senders)


class PlannedTests(SynchronousTestCase):
    def test_share_goes_where_it_fits(self) -> None:
        """The planned share is drawn by what each one can take."""
        others = [node("b", arrival_rate=90.0, capacity=100.0), node("c", capacity=100.0)]
        plan = Planned().plan(evolve(OWN, arrival_rate=150.0), others, True)
        self.assertGreater(plan.share, 0.0)
        self.assertEqual(first(plan, planned=True), {"c": 1.0})

    def test_spread_evenly(self) -> None:
        """Drawn by even numbers the parts come in turn: of any eight requests two with a quarter of the room go there."""
        others = [node("b", arrival_rate=67.5, capacity=100.0), node("c", arrival_rate=12.5, capacity=100.0)]
        plan = Planned().plan(evolve(OWN, arrival_rate=300.0, capacity=200.0), others, True)
        even = Even(at=0.3)
        names = [next(plan.order(even.draw, True)) for _ in range(400)]
        counts = {names[at : at + 8].count("b") for at in range(392)}
        self.assertLessEqual(counts, {1, 2, 3})
        self.assertApproximates(names.count("b"), 100, 1)

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
