"""What goes into a placement and what comes out."""

from __future__ import annotations

from attrs import evolve
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.decision import Gates, HandOver, Own, PlacementRequest, Refuse, Serve, Ticket
from voipcluster.balance.explain import Explanation
from voipcluster.balance.state import Levels, NodeState
from voipcluster.balance.workload import Workload

EXPLANATION = Explanation("c", "a", 1.0, 0, 0.5, "calls", 0.75, 0.95, "planned", "serve", "a", "room")


class InputTests(SynchronousTestCase):
    def test_a_plain_request(self) -> None:
        """Of a client, for a call, and nobody has had it before."""
        request = PlacementRequest("c")
        self.assertTrue(request.call)
        self.assertEqual((request.visited, request.hops, request.refused), ((), 0, ()))
        self.assertFalse(request.committed)

    def test_the_gates_fit_together(self) -> None:
        """The gate of the last hop of the budget is not below that of the first, and a step is less than a rise."""
        gates = Gates()
        self.assertLess(gates.threshold, gates.hard_limit)
        self.assertLess(gates.threshold + gates.rise, gates.hard_limit)
        self.assertLess(gates.step, gates.rise)
        self.assertGreaterEqual(gates.hop_budget, 1)
        self.assertGreater(gates.headroom, 1.0, "else two nodes hand a call to each other")
        levels = Levels()
        self.assertEqual((gates.threshold, gates.hard_limit), (levels.threshold, levels.hard_limit))

    def test_own_node(self) -> None:
        """A node takes calls unless it says otherwise; what it says is a value."""
        own = Own(Workload(calls=0.5))
        self.assertEqual((own.state, own.drowning, own.capacity), (NodeState.OPEN, False, 0.0))
        self.assertEqual(evolve(own, state=NodeState.DRAIN).workload.value, 0.5)
        with self.assertRaises(FrozenInstanceError):
            own.drowning = True


class OutcomeTests(SynchronousTestCase):
    def test_each_outcome_explains_itself(self) -> None:
        """Whatever is decided, the record for the operator is there."""
        ticket = Ticket("b", 7)
        for decision in (Serve(EXPLANATION), HandOver("b", ticket, EXPLANATION), Refuse(EXPLANATION)):
            self.assertIs(decision.explanation, EXPLANATION)

    def test_refusal(self) -> None:
        """503 unless the reason has another status (RFC 7339 section 5.10.2: without Retry-After)."""
        self.assertEqual(Refuse(EXPLANATION).status, 503)
        self.assertEqual(Refuse(EXPLANATION, 480).status, 480)

    def test_tickets_are_told_apart(self) -> None:
        """Two assignments to one node are closed one by one."""
        self.assertNotEqual(Ticket("b", 1), Ticket("b", 2))
        self.assertEqual(len({Ticket("b", 1), Ticket("b", 1), Ticket("c", 1)}), 2)

    def test_outcomes_are_told_apart_by_pattern(self) -> None:
        """The service matches on the class, so none is a case of another."""
        decisions = (Serve(EXPLANATION), HandOver("b", Ticket("b", 1), EXPLANATION), Refuse(EXPLANATION))
        names = []
        for decision in decisions:
            match decision:
                case Serve(explanation):
                    names.append(f"serve {explanation.call_id}")
                case HandOver(node, ticket, _):
                    names.append(f"hand over {node} {ticket.number}")
                case Refuse(_, status):
                    names.append(f"refuse {status}")
        self.assertEqual(names, ["serve c", "hand over b 1", "refuse 503"])
