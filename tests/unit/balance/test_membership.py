"""The table of the other nodes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.membership import (
    STRANGERS,
    CallAnswered,
    CallFailed,
    Effect,
    LinkLost,
    Membership,
    MembersListed,
    Node,
    NodeLeaves,
    ReportDropped,
    ReportReceived,
    Resumed,
    RiderReceived,
    StateLearnt,
    Tick,
)
from voipcluster.balance.messages import Member
from voipcluster.balance.report import NOTHING, Report
from voipcluster.balance.rider import Rider
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

OPEN, SHED, UNKNOWN = NodeState.OPEN, NodeState.SHED, NodeState.UNKNOWN


def members(*names: str) -> MembersListed:
    return MembersListed(tuple(Member(name=name, role="secondary", address="127.0.0.1") for name in names))


def report(node: str, epoch: int = 1, seq: int = 1, calls: int = 0, **rest: object) -> Report:
    load = Workload(calls=calls / 20)
    return Report(node=node, epoch=epoch, seq=seq, workload=load, calls=calls, calls_limit=20, **rest)


class MembershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = Membership("a")
        self.table.feed(members("a", "b", "c"))

    def node(self, name: str) -> Node:
        node = self.table.get(name)
        assert node is not None
        return node

    def test_first_report(self) -> None:
        """A listed node is UNKNOWN until its first report."""
        self.assertEqual((self.node("b").state, self.node("b").age(5.0)), (UNKNOWN, -1.0))
        effects = self.table.feed(ReportReceived(report("b", calls=10), 5.0))
        self.assertEqual(effects, [StateLearnt("b", UNKNOWN, OPEN, "reported")])
        self.assertEqual((self.node("b").load, self.node("b").age(5.5)), (0.5, 0.5))

    def test_much_slower(self) -> None:
        """What is urgent for its node makes all plan anew at once; what is not waits for the next plan."""
        for seq, changed, urgent in (
            (1, {"delay": 0.01, "capacity": 100.0}, True),  # it is known now
            (2, {"delay": 0.02, "capacity": 90.0}, False),
            (3, {"delay": 0.05, "capacity": 90.0}, True),
            (4, {"delay": 0.0, "capacity": 40.0}, True),
            (5, {"delay": 0.0, "capacity": 100.0}, False),
        ):
            before = self.table.generation
            self.table.feed(ReportReceived(report("b", seq=seq, **changed), float(seq)))
            self.assertEqual(self.table.generation > before, urgent, changed)

    def test_own_pause_is_nobodys_silence(self) -> None:
        """A node that was stopped for 4 s reads first what came meanwhile; from then on silence counts as ever."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        self.table.feed(Resumed(4.0))
        self.assertEqual(self.table.feed(Tick(4.0)), [])
        self.assertEqual((self.node("b").state, self.node("b").age(4.0)), (OPEN, 4.0))
        self.assertEqual(self.table.feed(Tick(6.9)), [])
        self.assertEqual(self.table.feed(Tick(7.0)), [StateLearnt("b", OPEN, UNKNOWN, "silent for 7.0 s")])

    def test_leaves(self) -> None:
        """A node that stops in good order is no target, and is told from one that is lost until it is heard again."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        self.table.feed(ReportReceived(report("c"), 0.0))
        self.assertEqual(self.table.feed(NodeLeaves("b")), [StateLearnt("b", OPEN, UNKNOWN, "it stops")])
        self.assertEqual(self.table.feed(LinkLost("b")), [])
        self.table.feed(LinkLost("c"))
        self.assertEqual((self.node("b").left, self.node("c").left), (True, False))
        self.table.feed(ReportReceived(report("b", 2), 9.0))
        self.assertEqual((self.node("b").state, self.node("b").left), (OPEN, False))
        self.assertEqual(self.table.feed(NodeLeaves("nobody")), [])

    def test_not_newer(self) -> None:
        """A report whose (epoch, seq) is not greater is dropped and counted."""
        self.table.feed(ReportReceived(report("b", 2, 5, calls=10), 0.0))
        for number, (epoch, seq) in enumerate(((2, 5), (2, 4), (1, 99)), 1):
            effects = self.table.feed(ReportReceived(report("b", epoch, seq), 1.0))
            self.assertEqual(effects, [ReportDropped("b", "not newer than the one before", number)])
        self.assertEqual((self.node("b").load, self.node("b").heard), (0.5, 0.0))

    def test_new_epoch(self) -> None:
        """A restarted node is heard at once, whatever its sequence; what it was handed before is forgotten."""
        self.table.feed(ReportReceived(report("b", 1, 1000, calls=10), 0.0))
        self.node("b").assigned.assigned(True, 0.0)
        self.table.feed(ReportReceived(report("b", 2, 0), 0.1))
        self.assertEqual((self.node("b").load, self.node("b").assigned.pending), (0.0, 0))

    def test_silence(self) -> None:
        """Three periods of silence make a node UNKNOWN, a report brings it back."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        self.assertEqual(self.table.feed(Tick(2.9)), [])
        self.assertEqual(self.table.feed(Tick(3.0)), [StateLearnt("b", OPEN, UNKNOWN, "silent for 3.0 s")])
        self.assertEqual(self.table.feed(Tick(4.0)), [])
        self.table.feed(ReportReceived(report("b", seq=2), 5.0))
        self.assertEqual(self.node("b").state, OPEN)

    def test_own_period_of_the_sender(self) -> None:
        """A node that says that it reports every 30 s is silent after 90 s."""
        self.table.feed(ReportReceived(report("b", period=30.0), 0.0))
        self.assertEqual(self.table.feed(Tick(89.0)), [])
        self.assertEqual(len(self.table.feed(Tick(90.0))), 1)

    def test_failed_forwards(self) -> None:
        """Two failures in a row make it UNKNOWN; an answer or a report in between starts the count anew."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        for event in (CallAnswered("b"), ReportReceived(report("b", seq=2), 1.0)):
            self.assertEqual(self.table.feed(CallFailed("b")), [])
            self.table.feed(event)
        self.assertEqual(self.table.feed(CallFailed("b")), [])
        self.assertEqual(
            self.table.feed(CallFailed("b")), [StateLearnt("b", OPEN, UNKNOWN, "failed 2 requests in a row")]
        )

    def test_link_lost(self) -> None:
        """Without a link nothing is known of it."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        self.assertEqual(self.table.feed(LinkLost("b")), [StateLearnt("b", OPEN, UNKNOWN, "link lost")])

    def test_state_and_generation(self) -> None:
        """A changed state changes the generation, changed numbers only the version."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        generation, version = self.table.generation, self.table.version
        self.table.feed(ReportReceived(report("b", seq=2, calls=3), 0.1))
        self.assertEqual(self.table.generation, generation)
        self.assertNotEqual(self.table.version, version)
        self.table.feed(ReportReceived(report("b", seq=3, state=SHED), 0.2))
        self.assertNotEqual(self.table.generation, generation)

    def test_members_come_and_go(self) -> None:
        """A new list keeps what is known of those that stay, and forgets those that left."""
        self.table.feed(ReportReceived(report("b", calls=10), 0.0))
        self.table.feed(members("b", "d", "a"))
        self.assertEqual(
            [(node.name, node.place, node.load) for node in self.table], [("b", 0, 0.5), ("d", 1, 0.0)]
        )
        self.assertEqual((self.table.own_place, self.table.get("c")), (2, None))

    def test_heard_before_listed(self) -> None:
        """A report may come before the list does: it is kept, for a bounded number of strangers."""
        for number in range(STRANGERS):
            self.assertEqual(len(self.table.feed(ReportReceived(report(f"n{number}", calls=10), 0.0))), 1)
        effects = self.table.feed(ReportReceived(report("one-more"), 0.0))
        self.assertEqual(effects, [ReportDropped("one-more", "not a member", 0)])
        self.table.feed(members("a", "b", "c", "n0"))
        self.assertEqual((self.node("n0").load, len(self.table)), (0.5, 3))

    def test_own_and_unknown_names(self) -> None:
        """An echo of the own report and events about strangers do nothing."""
        for event in (ReportReceived(report("a"), 0.0), LinkLost("x"), CallFailed("x"), CallAnswered("x")):
            self.assertEqual(self.table.feed(event), [])
        self.assertEqual(len(self.table), 2)

    def test_load_with_what_was_handed_over(self) -> None:
        """Calls handed over count until a report shows them, requests without an answer lengthen the wait."""
        self.table.feed(ReportReceived(report("b", calls=10, delay=0.01, capacity=100.0), 0.0))
        node = self.node("b")
        tickets = [node.assigned.assigned(True, 0.0) for _ in range(2)]
        self.assertEqual((node.load, node.wait), (0.6, 0.03))
        for ticket in tickets:
            node.assigned.answered(ticket, True, 0.01)
        self.table.feed(ReportReceived(report("b", seq=2, calls=12), 0.02))
        self.assertEqual((node.load, node.wait), (0.6, 0.0))

    def test_serves_nothing(self) -> None:
        """A node that can serve nothing is told from one that does not know yet; a wait for it is bounded as in the reports."""
        for seq, (capacity, nothing) in enumerate(((0.0, False), (NOTHING, True), (1.0, False)), 1):
            self.table.feed(ReportReceived(report("b", seq=seq, capacity=capacity), 0.0))
            self.assertEqual((self.node("b").capacity, self.node("b").serves_nothing), (capacity, nothing))
        self.table.feed(ReportReceived(report("b", seq=9, capacity=NOTHING), 0.0))
        for _ in range(9):
            self.node("b").assigned.assigned(True, 0.0)
        self.assertEqual(self.node("b").wait, 3600.0)

    def test_heartbeat(self) -> None:
        """The table shows a node as it is while no report is overdue and it reports spontaneously."""
        self.table.feed(ReportReceived(report("b"), 0.0))
        self.assertEqual([self.node("b").heartbeat(now) for now in (1.5, 1.6)], [True, False])
        self.table.feed(ReportReceived(report("b", seq=2, spontaneous=False), 2.0))
        self.assertFalse(self.node("b").heartbeat(2.0))


class RiderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = Membership("a")
        self.table.feed(members("a", "b"))
        self.table.feed(ReportReceived(report("b", epoch=5, seq=1), 0.0))

    def ride(
        self, seq: int, now: float = 1.0, epoch: int = 5, state: NodeState = NodeState.SHED, after: int = 1
    ) -> list[Effect]:
        rider = Rider(epoch, after, seq, state, 0.8, 0.05, 10.0, 20.0, 0.5)
        return self.table.feed(RiderReceived("b", rider, now))

    def test_newer(self) -> None:
        """It updates what the plan and the correction go by, and the state; the calls stay the link's to count."""
        effects = self.ride(1)
        node = self.table.get("b")
        assert node is not None
        self.assertEqual(
            effects, [StateLearnt("b", NodeState.OPEN, NodeState.SHED, "said so with a request")]
        )
        self.assertEqual((node.delay, node.arrival_rate, node.capacity, node.weight), (0.05, 10.0, 20.0, 0.5))
        self.assertEqual(node.age(1.5), 0.5)

    def test_old_or_of_another_start(self) -> None:
        """One that was overtaken, and one of a start that is over or not known yet, is passed over."""
        self.ride(2)
        for seq, epoch in ((1, 5), (2, 5), (9, 4), (9, 6)):
            self.assertEqual(self.ride(seq, epoch=epoch, state=NodeState.DRAIN), [])

    def test_overtaken_by_a_report(self) -> None:
        """What left before a report that is here already says nothing new: a node that drains stays so."""
        self.table.feed(ReportReceived(report("b", epoch=5, seq=2, state=NodeState.DRAIN), 1.0))
        self.assertEqual(self.ride(1, state=NodeState.OPEN), [])
        self.assertEqual(len(self.ride(2, state=NodeState.OPEN, after=2)), 1)

    def test_not_for_the_lost(self) -> None:
        """A node whose link is lost, or that nobody has heard of, does not come back by it."""
        self.table.feed(LinkLost("b"))
        self.assertEqual(self.ride(1), [])
        self.assertEqual(
            self.table.feed(RiderReceived("x", Rider(5, 1, 1, NodeState.OPEN, 0, 0, 0, 0, 1), 1.0)), []
        )

    def test_silence_is_the_links(self) -> None:
        """It does not hide that the reports are missing."""
        self.ride(1, now=2.9)
        self.table.feed(Tick(3.1))
        node = self.table.get("b")
        assert node is not None
        self.assertEqual(node.state, NodeState.UNKNOWN)
