"""Tests of the node as other members see it, in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.simulation.world import World
from voipcluster.balance import codec
from voipcluster.balance.membership import ReportDropped
from voipcluster.balance.messages import Drain
from voipcluster.balance.state import NodeState
from voipcluster.errors import PeerError
from voipcluster.services.cluster.received import IClusterUser
from voipcluster.services.node.cluster_side import ClusterSide


class ClusterSideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World("ab", seed=3)
        self.node = self.world.nodes["a"].service
        self.side: ClusterSide = self.node.cluster_side

    def test_interface(self) -> None:
        """It is what the mesh tells."""
        verifyObject(IClusterUser, self.side)

    def test_report(self) -> None:
        """It says what the node is like; one whose sockets are closed is not to be handed anything."""
        self.assertEqual((self.side.report(7).seq, self.side.report(8).state), (7, NodeState.OPEN))
        self.node.transport.stopService()
        self.assertEqual(self.side.report(9).state, NodeState.DRAIN)

    def test_questions(self) -> None:
        """What is asked is answered, what is not known or not ours is the asker's fault."""
        self.assertEqual(self.side.asked("calls", {}), {"calls": []})
        self.assertEqual(self.side.asked("explain", {"call_id": "x"}), {"hops": []})
        self.assertEqual(self.side.asked("counters", {})["handed_over"], 0)
        for kind, params in (
            ("passwords", {}),
            ("calls", {"call_id": 7}),
            ("explain", {"call_id": "x" * 513}),
        ):
            self.assertRaises(PeerError, self.side.asked, kind, params)

    def test_registration_of_another_node(self) -> None:
        """A registration is taken over by the node that it names, and by no other one."""
        self.world.phones(callers=0, callees=1)
        [binding] = [binding for part in self.side.full_bindings() for binding in part.items]
        body = codec.encode(binding)
        error = self.assertRaises(
            PeerError, self.world.nodes["b"].service.cluster_side.asked, "binding", body
        )
        self.assertEqual((str(error), error.status_hint), ("the binding is of node 'a'", 403))

    def order(self, **what: bool) -> Drain:
        return Drain(node="a", epoch=1, seq=1, target="b", **what)

    def test_orders(self) -> None:
        """Drain and back; a stop ends a node that has no calls."""
        b = self.world.nodes["b"]
        b.service.cluster_side.drain_requested(self.order(on=True))
        self.world.run(2.0)
        self.assertEqual(self.node.membership.get("b").state, NodeState.DRAIN)
        b.service.cluster_side.drain_requested(self.order(on=False))
        self.world.run(2.0)
        self.assertEqual(self.node.membership.get("b").state, NodeState.OPEN)
        b.service.cluster_side.drain_requested(self.order(on=True, stop=True))
        self.world.run(2.0)
        self.assertFalse(b.alive)

    def test_member_that_was_removed(self) -> None:
        """A node that is no member any more has no address, and its registrations are gone."""
        world = self.world
        phone = world.phone("bob", "b")
        phone.register()
        world.until(lambda: self.node.registrar.lookup("bob@example.com"), "a knows bob")
        self.assertIn("b", self.node.core.addresses)
        self.side.members_changed(tuple(m for m in self.node.cluster.members() if m.name == "a"))
        self.assertEqual(set(self.node.core.addresses), {"a"})
        self.assertEqual(list(self.node.registrar.lookup("bob@example.com")), [])

    def test_dropped_reports(self) -> None:
        """They are counted, and the first of them, the second, the fourth ... told."""
        self.side.learn([ReportDropped("b", "older than the last one", number) for number in (1, 2, 3)])
        self.assertEqual(self.side.reports_dropped, 3)
