"""Each option that a running node takes reaches the part that it is for, in virtual time."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.balance.state import NodeState
from voipcluster.config import options
from voipcluster.config.changes import changes
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.routing import Route
from voipcluster.services.log import THRESHOLD
from voipcluster.services.node.retuning import RETUNED, retune


class CoverageTests(SynchronousTestCase):
    def test_every_live_option_is_applied(self) -> None:
        """By its own name or by that of its section; and nothing is applied that is not declared so."""
        applied = set().union(*(names for _, names in RETUNED))
        live = {option.name for option in options() if option.live}
        sections = {name for name in applied if "." not in name}
        self.assertEqual([name for name in live if not applied & {name, name.partition(".")[0]}], [])
        self.assertEqual([name for name in applied - sections if name not in live], [])


class RetuningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World("ab", seed=5)
        self.node = self.world.nodes["a"].service

    def change(self, **sections: dict[str, Any]) -> None:
        old = self.node.config
        new = evolve(old, **{key: evolve(getattr(old, key), **given) for key, given in sections.items()})
        found = changes(old, new)
        self.assertEqual(found.later, ())
        self.node.config = found.config
        retune(self.node, found.live)

    def test_threshold(self) -> None:
        """The state, the gate of placement and what the page shows follow at the next sample."""
        self.world.phones(callers=1, callees=1, at="a")
        self.change(limits={"calls": 10}, cluster={"threshold": 0.1})
        attempt = self.world.call(self.world.callers[0], self.world.callees[0], 60.0)
        self.world.until(lambda: attempt.answered, "the call is up")
        self.world.until(lambda: self.node.workload.own().state is NodeState.SHED, "a sheds")
        self.assertEqual(self.node.placement.gates.threshold, 0.1)
        self.change(cluster={"threshold": 0.75})
        self.world.until(lambda: self.node.workload.own().state is NodeState.OPEN, "a is open again")

    def test_page(self) -> None:
        """The page is closed and open again, goes by another name, and new sessions have another time."""
        self.change(web={"read": "login", "session": 60.0, "hosts": ("page.example",)})
        gate = self.node.gate
        self.assertEqual(gate.options.read, "login")
        self.assertTrue(gate.options.hosts.allows("page.example"))
        now = self.node.core.wall()
        self.assertEqual(gate.sessions.open(now, "x", bytes(16)).until, int(now + 60.0))
        self.change(web={"read": "open", "hosts": ()})
        self.assertEqual(gate.options.read, "open")
        self.assertFalse(gate.options.hosts.allows("page.example"))

    def test_policy_and_sequence(self) -> None:
        """Requests are placed by the new policy, and names without a node are said."""
        self.change(cluster={"policy": "sequence", "sequence": ("b", "a", "x")})
        self.assertEqual(self.node.placement.policy.name, "sequence")
        self.assertEqual(self.node.cluster_side.sequence.missing, ("x",))
        self.world.phones(callers=1, callees=1, at="a")
        attempt = self.world.call(self.world.callers[0], self.world.callees[0], 1.0)
        self.world.until(lambda: attempt.answered, "the call is up")
        self.assertEqual(len(self.world.nodes["b"].service.calls), 1)

    def test_mode(self) -> None:
        self.change(cluster={"mode": "redirect"})
        self.assertEqual(self.node.placing.mode, "redirect")

    def test_period(self) -> None:
        """Reports come as often as the new period says, and the others hear of it in them."""
        before = self.node.cluster.reports
        self.change(cluster={"period": 0.1})
        self.world.run(3.0)
        self.assertGreater(self.node.cluster.reports - before, 20)
        known = self.world.nodes["b"].service.membership.get("a")
        assert known is not None
        self.assertEqual(known.period, 0.1)

    def test_limits(self) -> None:
        """Trusted networks, what a source may send, what may ring, what is remembered."""
        limiting, remote = self.node.limiting, ("198.51.100.9", 5060)
        self.assertFalse(limiting.is_trusted(remote[0]))
        self.change(
            limits={"trusted": ("198.51.100.0/24",), "unanswered_calls_per_address": 3, "ended_calls": 0}
        )
        self.assertTrue(limiting.is_trusted(remote[0]))
        self.node.calls.unanswered["192.0.2.7"] = 3
        self.assertFalse(self.node.calls.has_room(None, "192.0.2.7"))
        self.change(limits={"unanswered_calls_per_address": 4})
        self.assertTrue(self.node.calls.has_room(None, "192.0.2.7"))
        self.change(limits={"trusted": (), "requests_per_address": 1.0})
        served = [limiting.check(remote, 0.0) for _ in range(20)]
        self.assertEqual(len(set(served)), 2)

    def test_registrations(self) -> None:
        """Who registers from now on gets no more than the new time."""
        self.change(sip={"max_expires": 120, "default_expires": 120, "min_expires": 60})
        self.world.phones(callers=0, callees=1, at="a")
        (binding,) = self.node.registrar.registrations(None)
        self.assertLessEqual(binding.expires_at - self.node.core.seconds(), 120.0)

    def test_authentication(self) -> None:
        self.change(auth={"algorithms": ("MD5",), "trust_source": False})
        challenges = self.node.authenticator.challenges("example.com", 1.0, b"12345678", ("192.0.2.1", 5060))
        self.assertEqual(["MD5" in text for text in challenges], [True])
        self.assertFalse(self.node.claims.trust_source)

    def test_sessions(self) -> None:
        self.change(sip={"session_expires": 600, "max_breadth": 5})
        self.assertEqual(self.node.serving.session_timer.wanted, 600)
        self.assertEqual(self.node.serving.within.session_timer.wanted, 600)
        self.assertEqual(self.node.core.max_breadth, 5)

    def test_overload(self) -> None:
        """Taking part is switched off and on; a new part knows what a call for help is."""
        self.change(overload={"offer": False, "feedback": False})
        self.assertIsNone(self.node.core.downstreams)
        self.assertEqual(self.node.transactions.taking_part, self.node.overload.leaving_out)
        self.change(overload={"offer": True, "feedback": True})
        assert self.node.core.downstreams is not None
        self.assertEqual(self.node.core.downstreams.for_help, self.node.overload.for_help)
        self.assertEqual(self.node.transactions.taking_part, self.node.overload.taking_part)

    def test_names(self) -> None:
        self.change(dns={"queries": 1, "next_after": 1.0, "penalty": 7.0})
        self.assertEqual((self.node.resolver.limits.queries, self.node.resolving.next_after), (1, 1.0))

    def test_gateways_and_routes(self) -> None:
        """A gateway comes with its route, and both go again."""
        self.assertIsNone(self.node.proxy.numbers)
        config = self.node.config
        gateway = Gateway("g", servers=("192.0.2.9:5060",), probe=0.0)
        self.node.config = evolve(config, gateways=(gateway,), routes=(Route("+49", "g"),))
        retune(self.node, ("gateway g", "routes"))
        self.assertEqual([row["gateway"] for row in self.node.view.routes("+4930123", None)], ["g"])
        self.assertIsNotNone(self.node.proxy.numbers)
        self.node.config = config
        retune(self.node, ("gateway g", "routes"))
        self.assertEqual((len(self.node.gateways), self.node.proxy.numbers), (0, None))

    def test_allowance(self) -> None:
        self.change(allowance={"calls_at_once": 2})
        self.assertEqual(self.node.allowances.of_user("alice@example.com").calls, 2)

    def test_log(self) -> None:
        self.addCleanup(THRESHOLD.set, "info")
        self.change(log={"level": "error"})
        self.assertIs(THRESHOLD.level, LogLevel.error)

    def test_records(self) -> None:
        """How long records are kept."""
        self.change(records={"days": 3})
        self.assertEqual(self.node.config.records.days, 3)
