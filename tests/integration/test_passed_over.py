"""When a test of the order of nodes may begin anew: for what a node was for a moment, and for nothing else."""

from __future__ import annotations

from typing import Any

from attrs import asdict, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import FailTest, TestCase

from tests.integration.passed_over import TRIES, PassedOver, Placing, again_if_passed_over, moments
from tests.unit.balance.test_membership import members, report
from voipcluster.balance.decision import Gates, Own, PlacementRequest
from voipcluster.balance.membership import LinkLost, Membership, ReportReceived
from voipcluster.balance.placement import Placement
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy, InSequence, LeastLoaded
from voipcluster.balance.report import NOTHING
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

LIMIT = 20  # calls
OPEN, SHED, FULL = NodeState.OPEN, NodeState.SHED, NodeState.FULL
B_FIRST = InSequence(("b", "c", "a"))


class _Case(Placing, TestCase):
    """Decisions of node a about a call that is to go to b, made by the placement of a real node."""

    def setUp(self) -> None:
        self.table = Membership("a")
        self.table.feed(members("a", "b", "c"))
        self.own = Own(Workload())
        self._told = 0
        self.tell("b")
        self.tell("c")

    def tell(self, name: str, state: NodeState = OPEN, calls: int = 0, **load: float) -> None:
        workload = Workload(calls=calls / LIMIT, **load)
        self._told += 1
        told = evolve(
            report(name, seq=self._told, state=state, calls=calls), workload=workload, value=workload.value
        )
        self.table.feed(ReportReceived(told, 0.0))

    def decide(self, policy: IBalancingPolicy = B_FIRST, **request: Any) -> dict[str, Any]:
        placement = Placement(lambda: self.own, self.table, policy, Gates())
        row = asdict(
            placement.place(PlacementRequest("call", **request), 0.0, lambda: 0.5).explanation, recurse=False
        )
        row["candidates"] = [asdict(one) for one in row["candidates"]]
        return row


class MomentTests(_Case):
    def moments(self, *nodes: str, **request: Any) -> list[str]:
        return moments(self.decide(**request), nodes or ("b",), LIMIT)

    def test_none(self) -> None:
        """Nothing excuses a node that was open, be it taken, not asked, or passed over by another policy."""
        self.assertEqual(self.moments("a", "b", "c"), [])
        self.assertEqual(self.moments("a", "b", "c", policy=InSequence(("a", "b", "c"))), [])

    def test_calls(self) -> None:
        """A node that is full of calls is what it is for longer than a moment."""
        self.tell("b", SHED, calls=15)
        self.assertEqual(self.moments(), [])
        self.tell("b", FULL, calls=19)
        self.assertEqual(self.moments(), [])
        self.own = Own(Workload(calls=0.8), SHED)
        self.assertEqual(self.moments("a", "b"), [])

    def test_busy(self) -> None:
        """A node that waits for the processor, and one that has just done so."""
        for load in ({"lag": 0.8123}, {"cpu": 0.77}, {}):
            self.tell("b", SHED, calls=3, **load)
            (why,) = self.moments()
            self.assertIn("above its threshold", why)
            self.assertEqual(self.moments("c"), [], "nobody asks for c")

    def test_silent(self) -> None:
        """A node whose link broke, one that refused, and one that owes an answer."""
        self.table.feed(LinkLost("b"))
        self.assertIn("silent or failing", self.moments()[0])
        self.tell("b")
        self.assertIn("refused it", self.moments(refused=("b",))[0])

    def test_waits(self) -> None:
        """A node that is below its threshold, where more waits than elsewhere."""
        for name, delay, capacity in (("b", 0.2, 10.0), ("c", 0.0, 5.0)):
            self._told += 1
            told = report(name, seq=self._told, capacity=capacity, delay=delay)
            self.table.feed(ReportReceived(told, 0.0))
        self.own = Own(Workload(calls=0.8), SHED, capacity=1000.0)
        (why,) = moments(self.decide(Planned()), ("b",), LIMIT)
        self.assertIn("as much waits there", why)

    def test_stopped(self) -> None:
        """A node that was not run for a second says that it can serve nothing, and takes a part of its share behind that."""
        self._told += 1
        self.table.feed(ReportReceived(evolve(report("b", seq=self._told), capacity=NOTHING), 0.0))
        self.assertIn("can serve nothing now", self.moments()[0])
        self._told += 1
        self.table.feed(ReportReceived(evolve(report("b", seq=self._told), weight=0.1), 0.0))
        self.tell("c", calls=5)
        self.own = Own(Workload(calls=0.8), SHED)
        (why,) = moments(self.decide(LeastLoaded()), ("b",), LIMIT)
        self.assertIn("takes a part of its share", why)

    def test_itself(self) -> None:
        """The node that was asked had no time, or gave a part of its clients' requests away."""
        self.own = Own(Workload(lag=0.9), FULL)
        self.assertIn("a was at 0.90 for its lag", self.moments("a")[0])
        self.assertEqual(self.moments("b"), [])
        row = self.decide() | {"own": 0.0, "delay": 0.02, "reason": "the plan gives this share away"}
        self.assertIn("waited 0.020 s", moments(row, ("a",), LIMIT)[0])


class PlacedTests(_Case):
    """
    What becomes of a test.

    @ivar found: where its call went, each time that it ran.
    """

    def setUp(self) -> None:
        super().setUp()
        self.cluster: Any = self
        self.primary, self.nodes = self, [self]
        self.name = "b"
        self.found: list[str] = []
        self.runs = 0

    def ask(self, command: str, call_id: str) -> Deferred[list[dict[str, Any]]]:
        self.assertEqual((command, call_id), ("explain", "call"))
        return succeed([self.decide()])

    async def begin_anew(self) -> None:
        """The nodes are other ones."""

    @again_if_passed_over
    async def goes_to_b(self) -> None:
        self.runs += 1
        await self.placed(self.found.pop(0), "b", ["call"], limit=LIMIT)

    async def test_as_wanted(self) -> None:
        """A call that went where it was to go is asked for no reason, and one that went elsewhere for one is made again."""
        self.tell("b", SHED, lag=0.8123)
        self.found = ["c", "c", "b"]
        await self.goes_to_b()
        self.assertEqual(self.runs, 3)

    async def test_never(self) -> None:
        """A node that is busy each time is not what a test can be about."""
        self.tell("b", SHED, lag=0.8123)
        self.found = ["c"] * (TRIES + 1)
        with self.assertRaisesRegex(PassedOver, "c instead of b, since b at 0.81 to a: above its threshold"):
            await self.goes_to_b()
        self.assertEqual(self.runs, TRIES)

    async def test_elsewhere(self) -> None:
        """Without a reason it fails at once."""
        self.found = ["c", "b"]
        with self.assertRaises(FailTest) as failed:
            await self.goes_to_b()
        self.assertNotIsInstance(failed.exception, PassedOver)
        self.assertEqual(self.runs, 1)
