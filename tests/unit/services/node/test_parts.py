"""Tests of what the parts of a node tell each other, in virtual time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.phones import Attempt
from tests.simulation.world import World
from voipcluster.balance.messages import Account
from voipcluster.balance.state import NodeState
from voipcluster.services.gateway.allowances import GATEWAY, USER
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import ELSEWHERE
from voipcluster.store.accounts import key_of_text


class PartsTests(SynchronousTestCase):
    def world(self, names: str = "a") -> World:
        world = World(names, seed=3)
        world.phones(callers=1, callees=1, at="a")
        self.node = world.nodes["a"].service
        return world

    def call(self, world: World, hold: float) -> Attempt:
        attempt = world.call(world.callers[0], world.callees[0], hold)
        world.until(lambda: attempt.answered, "the call is up")
        return attempt

    def test_record_of_a_call(self) -> None:
        """A call that was answered is remembered when it has ended, and its ports and its place in the journal are free."""
        world = self.world()
        attempt = self.call(world, 1.0)
        self.assertEqual(list(self.node.records.find(attempt.call_id)), [])
        world.settle()
        [record] = self.node.records.find(attempt.call_id)
        self.assertEqual((record.reason, record.call.key.call_id), ("bye", attempt.call_id))
        self.assertEqual((len(self.node.calls), self.node.media.statistics().sessions), (0, 0))

    def test_a_user_who_is_removed(self) -> None:
        """Nobody can call him any more, while his call goes on."""
        world = self.world()
        self.call(world, 30.0)
        aor = world.callees[0].aor.removeprefix("sip:")
        self.assertEqual(len(self.node.registrar.lookup(aor)), 1)
        username, domain = key_of_text(aor)
        self.node.accounts.put(Account(username=username, domain=domain, removed=True))
        world.run(1.0)
        attempt = world.callers[0].call(f"sip:{aor}")
        world.run(5.0)
        self.assertEqual((attempt.answered, self.node.registrar.lookup(aor)), (False, []))
        self.assertEqual(len(self.node.calls), 1)

    def test_no_record_of_what_was_never_up(self) -> None:
        """A call that nobody answered is no record."""
        world = self.world()
        attempt = world.callers[0].call("sip:nobody@example.com")
        world.run(5.0)
        self.assertEqual((attempt.answered, list(self.node.records.find(attempt.call_id))), (False, []))

    def test_no_record_of_what_another_node_has_served(self) -> None:
        """That node has it; here it was counted while nobody knew which one that would be."""
        for reason, noted in (("failed 486", 1), (ELSEWHERE, 0)):
            world = self.world()
            attempt = world.call(world.callers[0], world.callees[0])
            world.until(lambda: len(self.node.calls), "the call has come")
            self.node.calls.failed(next(iter(self.node.calls)).key, reason)
            self.assertEqual(len(self.node.calls), 0)
            self.assertEqual(len(list(self.node.outlines.find(attempt.call_id))), noted, reason)

    def test_who_is_heard(self) -> None:
        """The node itself always, another one while its reports come, a stranger never."""
        world = self.world("ab")
        self.assertEqual([self.node.is_heard(name) for name in "abx"], [True, True, False])
        world.nodes["b"].crash(silent=True)
        world.run(10.0)
        self.assertEqual([self.node.is_heard(name) for name in "ab"], [True, False])

    def test_who_is_a_user(self) -> None:
        """An account makes one, in its own domain."""
        world = self.world()
        self.node.view.user_add("alice", "example.com", "secret")
        world.run(0.1)
        asked = ("alice@example.com", "alice@example.org", "bob@example.com", "alice", "")
        self.assertEqual([self.node.is_user(aor) for aor in asked], [True, False, False, False, False])

    def test_drain(self) -> None:
        """A node that drains takes nothing new, keeps its calls, and takes requests again when it is told."""
        world = self.world()
        self.call(world, 60.0)
        self.node.drain(True)
        self.assertEqual(self.node.workload.own().state, NodeState.DRAIN)
        refused = world.call(world.callers[0], world.callees[0])
        world.run(3.0)
        self.assertEqual((refused.answered, len(self.node.calls)), (False, 1))
        self.node.drain(False)
        self.call(world, 1.0)

    def test_stop_waits_for_the_last_call(self) -> None:
        """A node that is to stop does so when its last call has ended, and at once without any."""
        world = self.world()
        attempt = self.call(world, 5.0)
        self.node.stop_when_empty()
        world.run(3.0)
        self.assertTrue(world.nodes["a"].alive)
        world.until(lambda: not world.nodes["a"].alive, "it has stopped", 10.0)
        self.assertEqual(attempt.status, 200)
        world = self.world()
        self.node.stop_when_empty()
        world.run(2.0)
        self.assertFalse(world.nodes["a"].alive)

    def test_minutes_outlive_the_process(self) -> None:
        """What a user had today is known after kill -9, but for the last ten seconds."""
        world = self.world()
        key = CallKey("1", "t")
        self.node.allowances.begun(key, "alice@example.com")
        self.node.allowances.answered(key, "g")
        world.run(25.0)
        world.nodes["a"].crash()
        world.run(1.0)
        world.nodes["a"].start()
        node = world.nodes["a"].service
        world.until(lambda: node.running, "it runs again")
        used = [
            node.allowances.usage(*whose).seconds for whose in ((USER, "alice@example.com"), (GATEWAY, "g"))
        ]
        self.assertEqual(used, [20, 20])
