"""Who serves a request: the gate and its guards."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balance.test_membership import members, report
from voipcluster.balance.codec import decode, encode
from voipcluster.balance.decision import Decision, Gates, HandOver, Own, PlacementRequest, Refuse, Serve
from voipcluster.balance.membership import (
    LinkLost,
    Membership,
    ReportReceived,
    Resumed,
    RiderReceived,
    Tick,
)
from voipcluster.balance.placement import AS_LATE, NO_CAPACITY, OVERDUE, REFUSED_FOR, STUCK, Placement
from voipcluster.balance.planned import SETTLE_OWN, Planned
from voipcluster.balance.policy import IBalancingPolicy, InSequence, LeastLoaded, TwoChoices
from voipcluster.balance.report import NOTHING
from voipcluster.balance.rider import Rider
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

OPEN, SHED, FULL, DRAIN = NodeState.OPEN, NodeState.SHED, NodeState.FULL, NodeState.DRAIN
CALL = PlacementRequest("call")


def state_of(calls: int) -> NodeState:
    return FULL if calls >= 19 else SHED if calls >= 15 else OPEN


class PlacementCase(SynchronousTestCase):
    """A placement of node a among b, c and d, whose calls are told to the table; the limit is 20."""

    policy: IBalancingPolicy = LeastLoaded()

    def setUp(self) -> None:
        self.own, self.now, self.seq = Own(Workload()), 0.0, 0
        self.table = Membership("a")
        self.table.feed(members("a", "b", "c", "d"))
        self.placement = Placement(lambda: self.own, self.table, self.policy, Gates())

    def at(self, calls: int = 0, **load: float) -> None:
        self.own = Own(Workload(calls=calls / 20, **load), state_of(calls))

    def tell(self, **calls: int) -> None:
        self.seq += 1
        for name, count in calls.items():
            self.table.feed(
                ReportReceived(report(name, seq=self.seq, calls=count, state=state_of(count)), self.now)
            )

    def place(self, request: PlacementRequest = CALL) -> Decision:
        return self.placement.place(request, self.now, Random(1).random)

    def assertServed(self, request: PlacementRequest = CALL) -> None:
        self.assertIsInstance(self.place(request), Serve)

    def assertRefused(self, request: PlacementRequest = CALL) -> None:
        decision = self.place(request)
        assert isinstance(decision, Refuse), decision
        self.assertEqual(decision.status, 503)

    def assertHanded(self, name: str, request: PlacementRequest = CALL) -> HandOver:
        decision = self.place(request)
        assert isinstance(decision, HandOver), decision
        self.assertEqual(decision.node, name)
        return decision


class GateTests(PlacementCase):
    def test_below(self) -> None:
        """Below the threshold a node serves itself, also when others are emptier."""
        self.tell(b=0, c=0, d=0)
        self.at(14)
        self.assertServed()

    def test_at_the_threshold(self) -> None:
        """From the threshold on the first one below it takes the request."""
        self.tell(b=16, c=3, d=15)
        self.at(15)
        self.assertHanded("c")

    def test_candidate_must_be_below(self) -> None:
        """A candidate at the threshold is none; with everybody there the node serves."""
        self.tell(b=15, c=15, d=15)
        self.at(15)
        self.assertServed()

    def test_rises_with_the_hops(self) -> None:
        """A node serves a handed-over request up to 0.85, then 0.95, so that it comes to rest."""
        self.tell(b=0, c=0, d=0)
        self.at(16)
        self.assertIsInstance(self.place(), HandOver)
        self.assertServed(PlacementRequest("x", visited=("b",), hops=1))
        self.at(17)
        self.assertIsInstance(self.place(PlacementRequest("x", visited=("b",), hops=1)), HandOver)

    def test_not_listed(self) -> None:
        """A node that is not a member yet is no target."""
        self.table.feed(members("a"))
        self.tell(x=0)
        self.at(16)
        self.assertServed()

    def test_alone(self) -> None:
        """A single node serves up to the hard limit."""
        self.table.feed(members("a"))
        self.at(18)
        self.assertServed()
        self.at(19)
        self.assertRefused()


class GuardTests(PlacementCase):
    def setUp(self) -> None:
        super().setUp()
        self.at(16)

    def test_visited(self) -> None:
        """No request comes to a node twice."""
        self.tell(b=0, c=10, d=10)
        self.at(17)
        self.assertNotEqual(self.place(PlacementRequest("x", visited=("b",), hops=1)).explanation.chosen, "b")

    def test_refused_before(self) -> None:
        """Who had it in vain does not get it again."""
        self.tell(b=0, c=16, d=16)
        self.assertServed(PlacementRequest("x", refused=("b",)))

    def test_hop_budget(self) -> None:
        """After the budget is spent the node serves or refuses."""
        self.tell(b=0, c=0, d=0)
        spent = PlacementRequest("x", visited=("x", "y"), hops=2)
        self.at(18)
        self.assertServed(spent)
        self.at(19)
        self.assertRefused(spent)

    def test_committed(self) -> None:
        """A redirected client is not sent on: served below the hard limit, refused above."""
        self.tell(b=0, c=0, d=0)
        committed = PlacementRequest("x", committed=True)
        self.assertServed(committed)
        self.at(19)
        self.assertRefused(committed)

    def test_unknown(self) -> None:
        """A node that is silent, or whose link broke, is never a target (RFC 5390 REQ 8)."""
        self.assertServed()
        self.tell(b=0)
        self.assertHanded("b")
        self.table.feed(LinkLost("b"))
        self.assertServed()

    def test_too_old(self) -> None:
        """A report older than three periods is none, also before a tick says so; a tick makes it UNKNOWN."""
        self.tell(b=0)
        self.now = 3.0
        self.assertServed()
        self.table.feed(Tick(self.now))
        self.assertServed()

    def test_states(self) -> None:
        """Only an OPEN node is below its threshold, whatever number it tells."""
        for state in (SHED, FULL, DRAIN, NodeState.UNKNOWN):
            self.seq += 1
            self.table.feed(ReportReceived(report("b", seq=self.seq, state=state, calls=14), self.now))
            decision = self.place()
            self.assertEqual(
                isinstance(decision, HandOver), state is SHED, state
            )  # SHED: it only has more room


class LevelTests(PlacementCase):
    def test_one_step_is_enough_for_calls(self) -> None:
        """Between threshold and hard limit calls level out: to the one with most room, if it is a step better."""
        self.tell(b=17, c=16, d=17)
        self.at(17)
        self.assertHanded("c")
        self.tell(c=17)
        self.assertServed()

    def test_own_assignments_count(self) -> None:
        """The second of two calls at once does not go where the first one has just gone."""
        self.tell(b=17, c=16, d=17)
        self.at(17)
        self.assertHanded("c")
        self.assertServed()

    def test_at_the_hard_limit(self) -> None:
        """A node full of calls hands over to whoever is below the hard limit, and refuses only when nobody is."""
        self.tell(b=19, c=18, d=19)
        self.at(19)
        handed = self.assertHanded("c")
        self.assertRefused()
        self.placement.answered(handed.ticket, 503, self.now)
        self.assertRefused()
        self.now = REFUSED_FOR
        self.assertHanded("c")

    def test_only_once(self) -> None:
        """Levelling is the first node's; one that got the request serves it while it may."""
        self.tell(b=19, c=15, d=19)
        self.at(18)
        self.assertServed(PlacementRequest("x", visited=("b",), hops=1))
        self.at(19)
        self.assertHanded("c", PlacementRequest("x", visited=("b",), hops=1))

    def test_short_of_time(self) -> None:
        """Where CPU is short one step is not enough: handing over costs CPU here and there."""
        self.at(0, cpu=0.85)
        self.tell(b=16, c=16, d=16)
        self.assertServed()
        self.at(0, cpu=0.92)
        self.assertIsInstance(self.place(), HandOver)

    def test_register(self) -> None:
        """A REGISTER fills no place: it is neither levelled nor refused for want of places."""
        register = PlacementRequest("r", call=False)
        self.tell(b=16, c=16, d=16)
        self.at(20)
        self.assertServed(register)
        self.at(20, memory=1.0)
        self.assertIsInstance(self.place(register), HandOver)


class LevellingTests(PlacementCase):
    """Time is short at all nodes: what waits is levelled, and the rates are."""

    policy = Planned()

    def busy(self, delay: float = 0.0, arrivals: float = 0.0, draining: bool = False) -> None:
        state = DRAIN if draining else SHED
        self.own = Own(Workload(cpu=0.9), state, delay=delay, arrival_rate=arrivals, capacity=100.0)

    def tell_delays(self, state: NodeState = SHED, **delays: float) -> None:
        self.seq += 1
        for name, delay in delays.items():
            busy = evolve(
                report(name, seq=self.seq, state=state), workload=Workload(cpu=0.9), value=0.9, delay=delay,
                capacity=100.0, arrival_rate=50.0,
            )  # fmt: skip
            self.table.feed(ReportReceived(busy, self.now))

    def test_short_queue(self) -> None:
        """With little to wait for a request stays, for a hop costs time as well."""
        self.tell_delays(b=0.0, c=0.0, d=0.0)
        self.busy(delay=self.placement.gates.slow - 0.001)
        self.assertServed()

    def test_long_queue(self) -> None:
        """From some wait on it goes where clearly less waits, and says so."""
        self.tell_delays(b=0.0, c=0.0, d=0.0)
        self.busy(delay=0.1)
        decision = self.place()
        assert isinstance(decision, HandOver)
        self.assertIn("much less waits there", decision.explanation.reason)

    def test_as_long_there(self) -> None:
        """Not to one where as much waits."""
        self.tell_delays(b=0.06, c=0.06, d=0.06)
        self.busy(delay=0.2)
        self.assertServed()
        self.assertIn("as much waits there", {one.reason for one in self.place().explanation.candidates})

    def test_full_by_time_only(self) -> None:
        """FULL by a peak of its queue that is over is no reason; a used-up limit is, and so is DRAIN."""
        self.busy(delay=0.1)
        self.tell_delays(FULL, b=0.0, c=0.0, d=0.0)
        self.assertIsInstance(self.place(), HandOver)
        self.tell_delays(DRAIN, b=0.0, c=0.0, d=0.0)
        self.assertServed()
        self.tell(b=19, c=19, d=19)
        self.assertServed()

    def test_refused_just_now(self) -> None:
        """Half of what would go to a node that refused goes there still: keeping all away from it makes waves."""
        self.tell_delays(b=0.0)
        self.busy(delay=0.1)
        first = self.place()
        assert isinstance(first, HandOver)
        self.placement.answered(first.ticket, 503, 0.0)
        random, given = Random(1).random, 0
        for _ in range(400):
            decision = self.placement.place(CALL, 0.0, random)
            if isinstance(decision, HandOver):
                given += 1
                self.placement.answered(decision.ticket, 486, 0.0)
        self.assertApproximates(given / 400, 0.5, 0.08)

    def test_refused_once(self) -> None:
        """What one node refused is not carried around: it is served, or the overload control refuses it."""
        self.tell_delays(b=0.0, c=0.0, d=0.0)
        self.busy(delay=0.1)
        self.assertServed(PlacementRequest("x", refused=("b",)))

    def old_reports(self, **delays: float) -> None:
        for name, delay in delays.items():
            old = evolve(
                report(name, seq=99), workload=Workload(cpu=0.1), value=0.1, delay=delay, capacity=100.0,
                arrival_rate=50.0, spontaneous=False,
            )  # fmt: skip
            self.table.feed(ReportReceived(old, self.now))

    def test_old_reports_are_not_believed(self) -> None:
        """That somebody was below its threshold some time ago is no reason: all would go to the same one."""
        self.old_reports(b=0.0, c=0.2, d=0.2)
        self.busy(delay=0.02, arrivals=50.0)
        self.assertServed()

    def test_old_reports_and_the_plan(self) -> None:
        """The rates are good for longer, and so is what the own queue says: both decide how much goes, not where it waited."""
        self.old_reports(b=0.02, c=0.02, d=0.02)
        longer = (0.05 - 0.0275) * 100 / SETTLE_OWN  # than the mean of all, in requests a second
        for delay, expected in ((0.02, (170 - 80) / 170), (0.05, (170 - 80 + longer) / 170)):
            self.busy(delay=delay, arrivals=170.0)
            random, given = Random(1).random, 0
            for _ in range(1000):
                decision = self.placement.place(CALL, 0.0, random)
                if isinstance(decision, HandOver):
                    given += 1
                    self.assertIn("the reports are old", decision.explanation.reason)
                    self.placement.answered(decision.ticket, 486, 0.0)
            self.assertApproximates(given / 1000, expected, 0.05)

    def test_draining_while_all_are_busy(self) -> None:
        """A node that drains gives to whoever has something left but time; only who has no places is none to give to."""
        self.tell_delays(FULL, b=0.2, c=0.1)
        self.tell(d=19)
        self.busy(draining=True)
        self.assertIn(self.place().explanation.chosen, ("b", "c"))
        self.tell(b=19, c=19)
        self.assertRefused()

    def test_planned_share(self) -> None:
        """By the rates half of the requests are too many here: they go, long before the queue is long."""
        self.tell_delays(b=0.0, c=0.0, d=0.0)
        self.busy(delay=0.002, arrivals=170.0)
        random = Random(1).random
        given = 0
        for _ in range(400):
            decision = self.placement.place(CALL, 0.0, random)
            if isinstance(decision, HandOver):
                given += 1
                self.placement.answered(decision.ticket, 486, 0.0)
        self.assertApproximates(given / 400, (170 - 80) / 170, 0.08)

    def test_explained(self) -> None:
        """It says what plan and comparison went by: waits, rooms, the share, and whether reports are fresh."""
        self.tell_delays(b=0.01, c=0.02, d=0.2)
        self.busy(delay=0.1, arrivals=170.0)
        explained = self.place().explanation
        self.assertEqual((explained.delay, explained.fresh), (0.1, True))
        self.assertApproximates(explained.share, (170 - 80 + (0.1 - 0.0825) * 100 / SETTLE_OWN) / 170, 0.01)
        seen = {one.node: one for one in explained.candidates}
        self.assertEqual(set(seen), set("bcd"))
        self.assertTrue(all(one.reason and one.age == 0.0 for one in seen.values()), seen)
        self.assertGreater(seen["b"].room, seen["c"].room)
        self.assertGreater(seen["c"].room, 30.0)
        self.assertEqual(seen["d"].room, 0.0)
        self.assertEqual(seen["d"].wait, 0.2)
        self.placement.policy = LeastLoaded()
        self.tell_delays(b=0.01)
        self.now = 1.0
        other = self.place().explanation
        self.assertEqual((other.share, other.candidates[0].room), (-1.0, -1.0))

    def test_one_hop(self) -> None:
        """Who was handed a request does not hand it on where all are busy."""
        self.tell_delays(c=0.0, d=0.0)
        self.busy(delay=STUCK - 0.001, arrivals=170.0)
        self.assertServed(PlacementRequest("x", visited=("b",), hops=1))

    def test_stuck(self) -> None:
        """
        Unless it waits here for so long that who handed it over cannot have known: then it goes where clearly less waits, one
        hop more, and never back.
        """
        handed = PlacementRequest("x", visited=("b",), hops=1)
        self.tell_delays(b=0.0, c=0.0, d=0.0)
        self.busy(delay=STUCK)
        for _ in range(20):
            decision = self.place(handed)
            assert isinstance(decision, HandOver)
            self.assertIn(decision.node, ("c", "d"))
            self.assertIn("longer than who handed it over can know", decision.explanation.reason)
            self.placement.answered(decision.ticket, 486, 0.0)
        self.assertServed(PlacementRequest("x", visited=("b", "c"), hops=2))  # the budget is used up
        self.assertServed(PlacementRequest("x", visited=("b",), hops=1, refused=("c",)))
        self.tell_delays(c=0.05, d=0.05)
        self.assertServed(handed)  # as much waits there
        self.tell_delays(b=0.09, c=0.09, d=0.09)
        self.assertServed(handed)  # and all of them are slow

    def test_stuck_with_old_reports(self) -> None:
        """Nobody knows where less waits."""
        self.old_reports(b=0.0, c=0.0, d=0.0)
        self.busy(delay=STUCK)
        self.assertServed(PlacementRequest("x", visited=("b",), hops=1))

    def test_below_first(self) -> None:
        """A node below its threshold comes before all this."""
        self.tell_delays(b=0.0, c=0.0)
        self.tell(d=0)
        self.busy(delay=0.1, arrivals=170.0)
        self.assertHanded("d")


class SlowStartTests(PlacementCase):
    """One node among equals has just started, and says that it takes a tenth."""

    policy = LeastLoaded()

    def start(self, **weights: float) -> None:
        self.at(15)
        for name, weight in weights.items():
            self.table.feed(ReportReceived(evolve(report(name, seq=1), weight=weight), 0.0))

    def shares(self) -> dict[str, float]:
        random, counted = Random(1).random, Counter[str]()
        for _ in range(1000):
            decision = self.placement.place(PlacementRequest("r", call=False), 0.0, random)
            assert isinstance(decision, HandOver)
            counted[decision.node] += 1
        return {name: count / 1000 for name, count in counted.items()}

    def test_a_part_of_its_share(self) -> None:
        """It takes a tenth of what it would, although it is as idle as the others."""
        self.start(b=0.1, c=1.0, d=1.0)
        self.assertApproximates(self.shares()["b"], 0.1 / 3, 0.02)

    def test_all_new(self) -> None:
        """In a cluster that has just started nobody is held back."""
        self.own = Own(Workload(calls=0.75), SHED, weight=0.1)
        self.start(b=0.1, c=0.1, d=0.1)
        self.own = Own(Workload(calls=0.75), SHED, weight=0.1)
        self.assertApproximates(self.shares()["b"], 1 / 3, 0.05)

    def test_better_than_nobody(self) -> None:
        """The only one below the threshold is taken, whatever its weight is."""
        self.start(b=0.1)
        self.assertEqual(self.shares(), {"b": 1.0})

    def test_sequence(self) -> None:
        """A predefined order is kept: the operator wants that node first."""
        self.placement.policy = InSequence(("b", "c", "d", "a"))
        self.start(b=0.1, c=1.0, d=1.0)
        self.assertEqual(self.shares(), {"b": 1.0})


class DrowningTests(PlacementCase):
    def drown(self, arrivals: float = 6.0, capacity: float = 100.0) -> None:
        self.own = Own(Workload(lag=1.0), FULL, drowning=True, arrival_rate=arrivals, capacity=capacity)

    def test_hands_over_to_idle_ones(self) -> None:
        """A node that stalls gives its clients' calls to one below the threshold, and says why."""
        self.tell(b=16, c=3, d=19)
        self.drown()
        decision = self.assertHanded("c")
        self.assertIn("lag at the hard limit for too long", decision.explanation.reason)
        self.drown(capacity=0.0)  # not known yet: it has served next to nothing, so this is no flood
        self.assertHanded("c")
        self.drown(
            capacity=NOTHING
        )  # while it was stopped; that it decides something shows that it runs again
        self.assertHanded("c")

    def test_asks_the_next_one(self) -> None:
        """Who refused is passed over; with nobody left it is refused, not served."""
        self.tell(b=0, c=0)
        self.drown()
        self.assertHanded("c", PlacementRequest("call", refused=("b",)))
        self.assertRefused(PlacementRequest("call", refused=("b", "c")))

    def test_refuses_when_nobody_is_below(self) -> None:
        """A hop to a node that is as busy wins nothing and costs both time: refused, although others have more room."""
        self.tell(b=15, c=16, d=16)
        self.drown()
        self.assertRefused()

    def test_refuses_what_is_too_much_to_hand_over(self) -> None:
        """A flood that would fill the node with hand-overs is refused, which is cheaper; no candidate is looked at."""
        self.tell(b=0, c=0, d=0)
        self.drown(arrivals=201.0)
        self.assertRefused()
        self.assertEqual({one.reason for one in self.place().explanation.candidates}, {"not asked"})
        self.drown(arrivals=200.0)
        self.assertIsInstance(self.place(), HandOver)

    def test_refuses_what_it_was_handed(self) -> None:
        """Who handed it here has the time to ask another one; so has a client that was sent here none to be sent on."""
        self.tell(b=0, c=0, d=0)
        self.drown()
        self.assertRefused(PlacementRequest("call", visited=("b",), hops=1))
        self.assertRefused(PlacementRequest("call", committed=True))

    def test_own_pause(self) -> None:
        """After a stall of its own a node knows the others as before it: nobody is too old to be asked."""
        self.tell(b=0)
        self.now = 4.0
        self.drown()
        self.assertRefused()
        self.table.feed(Resumed(self.now))
        self.assertHanded("b")

    def test_a_peak_refuses_nobody(self) -> None:
        """One late sample gives requests away; with nobody to take them they are served."""
        self.own = Own(Workload(lag=1.0), FULL, drowning=False)
        self.assertServed()
        self.tell(b=0)
        self.assertHanded("b")

    def test_drain(self) -> None:
        """A draining node serves nothing new: others do, or nobody."""
        self.own = Own(Workload(), DRAIN)
        self.assertRefused()
        self.tell(b=16)
        self.assertHanded("b")
        self.tell(c=0)
        self.assertHanded("c")


class TicketTests(PlacementCase):
    def setUp(self) -> None:
        super().setUp()
        self.at(15)
        self.tell(b=14)

    def test_counted_until_reported(self) -> None:
        """An assignment fills the place at once, and a report takes its part over."""
        ticket = self.assertHanded("b").ticket
        self.assertServed()
        self.placement.answered(ticket, 100, self.now)
        self.assertServed()
        self.now = 0.1
        self.tell(b=14)
        self.assertHanded("b")

    def test_refused(self) -> None:
        """A delegate that says 503 is left alone for half a second, one that says 486 is not."""
        self.placement.answered(self.assertHanded("b").ticket, 486, self.now)
        self.placement.answered(self.assertHanded("b").ticket, 503, self.now)
        self.assertServed()
        self.now += REFUSED_FOR
        self.assertHanded("b")

    def test_failed_twice(self) -> None:
        """Two requests without an answer make the delegate UNKNOWN."""
        self.placement.failed(self.assertHanded("b").ticket, self.now)
        self.placement.failed(self.assertHanded("b").ticket, self.now)
        self.assertServed()
        node = self.table.get("b")
        assert node is not None
        self.assertEqual(node.state, NodeState.UNKNOWN)

    def test_member_gone(self) -> None:
        """The ticket of a node that left is harmless."""
        ticket = self.assertHanded("b").ticket
        self.table.feed(members("a"))
        self.placement.answered(ticket, 503, self.now)
        self.placement.failed(ticket, self.now)

    def test_no_answer(self) -> None:
        """A node that does not come to what it was handed gets nothing more until it does, whatever its reports say."""
        self.tell(b=0, c=10)
        handed = self.assertHanded("b")
        self.now += 0.1
        self.assertHanded("b")
        self.now += 0.01
        self.assertHanded("c")
        self.tell(b=0, c=10)
        decision = self.assertHanded("c")
        self.assertEqual(
            [row.reason for row in decision.explanation.candidates if row.node == "b"], [OVERDUE]
        )
        self.placement.answered(handed.ticket, 180, self.now)
        self.assertHanded("b")

    def test_who_can_serve_nothing(self) -> None:
        """A node that says so gets nothing, whatever the policy; one that has not measured yet does."""
        for policy in (LeastLoaded(), TwoChoices(), Planned(), InSequence(("b", "c", "d", "a"))):
            self.placement.use(policy, Gates())
            for capacity in (NOTHING, 0.0):
                self.seq += 1
                self.table.feed(ReportReceived(report("b", seq=self.seq, capacity=capacity), self.now))
                if capacity:
                    decision = self.place()
                    assert isinstance(decision, Serve), (policy, decision)
                    why = [row.reason for row in decision.explanation.candidates if row.node == "b"]
                    self.assertEqual(why, [NO_CAPACITY], policy)
                else:
                    self.placement.answered(self.assertHanded("b").ticket, 486, self.now)

    def test_who_can_serve_nothing_is_better_than_a_refusal(self) -> None:
        """It may have been stopped, and run by now; but who has not stopped comes first."""
        self.at(19)
        self.table.feed(ReportReceived(report("b", capacity=NOTHING), 0.0))
        self.assertHanded("b")
        self.table.feed(ReportReceived(report("c", calls=14), 0.0))
        self.assertHanded("c")

    def test_no_answer_is_better_than_a_refusal(self) -> None:
        """When nobody else can take it it goes there all the same: it may be we who were stopped, and read the answers next."""
        self.tell(b=0)
        self.assertHanded("b")
        self.now += 0.2
        self.assertServed()
        self.at(19)
        self.assertHanded("b")
        self.assertRefused(PlacementRequest("x", refused=("b",)))


class SequenceTests(PlacementCase):
    policy = InSequence(("b", "a", "c"))

    def test_own_place(self) -> None:
        """The first of the sequence below the threshold, whoever was asked."""
        self.tell(b=14, c=0, d=0)
        self.assertHanded("b")
        self.assertServed()
        self.at(15)
        self.assertHanded("c")

    def test_after_a_hop(self) -> None:
        """Who got it serves it below the threshold, which does not rise; above, those behind it are tried."""
        self.tell(b=0, c=0, d=0)
        handed = PlacementRequest("x", visited=("d",), hops=1)
        self.at(14)
        self.assertServed(handed)
        self.at(15)
        self.assertHanded("b", handed)


class PlannedTests(PlacementCase):
    policy = Planned()

    def test_share(self) -> None:
        """A node with more than its part gives some away below the gate, if requests wait there at all."""
        self.table.feed(ReportReceived(report("b", seq=9, capacity=100.0), 0.0))
        served: dict[float, int] = {}
        for delay in (0.0, 0.01):
            self.own = Own(Workload(cpu=0.5), delay=delay, arrival_rate=50.0, capacity=50.0)
            random, count = Random(1), 0
            for _ in range(300):
                decision = self.placement.place(CALL, self.now, random.random)
                count += isinstance(decision, Serve)
                if isinstance(decision, HandOver):
                    self.placement.answered(decision.ticket, 486, self.now)
            served[delay] = count
        self.assertEqual(served[0.0], 300)
        self.assertApproximates(served[0.01] / 300, 1 / 3, 0.08)

    def test_idle_and_slow(self) -> None:
        """
        A node that is below its threshold, since it got nothing, gets no more than it has answered but for what it can do soon.

        All that two nodes with too much to do hand on came to it at once, before it could say that it is slow.
        """
        self.own = Own(Workload(cpu=0.9), SHED, delay=0.02, arrival_rate=90.0, capacity=100.0)
        self.table.feed(ReportReceived(report("b", capacity=30.0), 0.0))
        first, second = (self.assertHanded("b") for _ in range(2))
        decision = self.place()
        assert isinstance(decision, Serve)
        self.assertEqual(decision.explanation.candidates[0].reason, AS_LATE)
        self.placement.answered(first.ticket, 180, 0.01)
        self.assertHanded("b")
        self.placement.answered(second.ticket, 180, 0.02)
        rider = Rider(1, 1, 1, OPEN, 0.0, 0.06, 0.0, 30.0, 1.0)
        self.table.feed(RiderReceived("b", rider, 0.02))
        self.assertServed()

    def test_plan_is_kept(self) -> None:
        """A plan serves until a state changes, or numbers changed and 50 ms passed."""
        made = []

        class Counting:
            name, own_place = "counting", False

            def plan(self, *args: Any) -> Any:
                made.append(self_test.now)
                return LeastLoaded().plan(*args)

        self_test = self
        self.placement.policy = Counting()
        self.at(16)
        self.tell(b=0)
        for _ in range(10):
            self.place()
        self.now = 0.01
        self.tell(b=1)
        self.place()
        self.assertEqual(made, [0.0])
        self.now = 0.05
        self.place()
        self.assertEqual(made, [0.0, 0.05])
        self.tell(b=16)
        self.place()
        self.assertEqual(made, [0.0, 0.05, 0.05])


class ExplanationTests(PlacementCase):
    def test_says_why(self) -> None:
        """Each candidate with workload, age and reason, and it travels over the link."""
        self.tell(b=16, c=0)
        self.now = 0.5
        self.at(16)
        explanation = self.place().explanation
        self.assertEqual(
            (explanation.outcome, explanation.chosen, explanation.own, explanation.leading, explanation.gate),
            ("hand-over", "c", 0.8, "calls", 0.75),
        )
        self.assertEqual(
            {one.node: (one.workload, one.age, one.reason) for one in explanation.candidates},
            {
                "b": (0.8, 0.5, "above its threshold"),
                "c": (0.0, 0.5, "first below the threshold"),
                "d": (0.0, -1.0, "silent or failing"),
            },
        )
        self.assertEqual(decode("explanation", encode(explanation)), explanation)

    def test_served_and_refused(self) -> None:
        """A refusal and a service name what decided."""
        self.assertEqual(self.place().explanation.reason, "below the gate")
        self.at(19)
        refused = self.place().explanation
        self.assertEqual(
            (refused.outcome, refused.chosen, refused.reason),
            ("refuse", "", "at the hard limit, and nobody can take it"),
        )


class RelayTests(PlacementCase):
    """Packets are what is too much: only what needs the relay is kept out (RFC 6357 section 1)."""

    def test_a_call_that_needs_the_relay_leaves(self) -> None:
        self.tell(b=3, c=16, d=16)
        self.at(0, packets=0.97)
        self.assertHanded("b")

    def test_nobody_can_take_it(self) -> None:
        self.tell(b=20, c=20, d=20)
        self.at(0, packets=0.97)
        self.assertRefused()

    def test_what_needs_none_is_served_here(self) -> None:
        """REGISTER, MESSAGE and calls whose packets go past us, also where others have room."""
        self.tell(b=0, c=0, d=0)
        self.at(0, packets=0.97)
        self.assertServed(PlacementRequest("register", call=False, relay=False))
        self.assertServed(PlacementRequest("call", relay=False))

    def test_other_shortages_count_all_the_same(self) -> None:
        self.tell(b=3, c=16, d=16)
        self.at(0, packets=0.97, cpu=0.9)
        self.assertHanded("b", PlacementRequest("register", call=False, relay=False))


class ControlledTests(PlacementCase):
    """Overload control stands in front."""

    def test_a_node_without_time_serves_what_was_let_in(self) -> None:
        """What nobody else takes: it was let in because the node can do as much."""
        self.tell(b=20, c=20, d=20)
        self.own = Own(Workload(lag=1.0), NodeState.FULL, drowning=True, controlled=True)
        self.assertServed()
        self.own = evolve(self.own, controlled=False)
        self.assertRefused()

    def test_what_another_node_hands_over_it_refuses(self) -> None:
        """That one can ask the next."""
        self.own = Own(Workload(lag=1.0), NodeState.FULL, drowning=True, controlled=True)
        self.assertRefused(PlacementRequest("call", visited=("b",), hops=1))
