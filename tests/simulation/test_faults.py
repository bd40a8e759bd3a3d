"""Whole nodes under faults: what their callers get, and what must hold whatever happens (L{tests.simulation.oracles})."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.costs import Costs
from tests.simulation.world import World
from voipcluster.balance.state import NodeState


class FaultCase(SynchronousTestCase):
    """
    Three nodes, of which phones know the first; at C{scale} 100 a node has time for some 40 calls a second.

    C{limits.calls} makes the first one hand on about half of what comes.
    """

    rate, hold, seconds = 15.0, 1.5, 6.0

    def world(self, names: str = "abc", **how: Any) -> World:
        options = {"limits": {"calls": 20}, **how.pop("options", {})}
        world = World(names, costs=Costs(scale=100.0), options=options, **how)
        world.phones(callers=6, callees=6, at="a")
        return world

    def go(self, world: World) -> None:
        """Traffic, then silence until all has ended, then the oracles."""
        world.traffic(self.rate, self.hold, self.seconds)
        world.settle()
        world.check()

    def soon(self, world: World, seconds: float) -> None:
        """Whose call did not come up knows it so soon."""
        waits = [
            one.ended_at - one.at for one in world.attempts if not one.answered and one.ended_at is not None
        ]
        self.assertTrue(waits, "the fault was none")
        self.assertLess(max(waits), seconds)

    def all_up(self, world: World) -> None:
        self.assertEqual(set(world.outcome), {"up"}, world.outcome)
        self.assertGreater(world.outcome["up"], self.rate * self.seconds / 2)


class SlowTests(FaultCase):
    def test_good_day(self) -> None:
        """Without a fault every call comes up and ends, and all nodes take their part."""
        world = self.world()
        self.go(world)
        self.all_up(world)
        world.empty()
        for node in world.nodes.values():
            self.assertGreater(node.service.calls.started, 10, node.name)
            self.assertEqual(len(node.service.calls), 0)

    def test_slow_node(self) -> None:
        """
        A node that becomes ten times slower loses no call, and gets next to nothing new as long as it lasts.

        Only who calls a phone that is reached through it may hear 503: it says how much it may be sent (RFC 7339).
        """
        world = self.world(options={"limits": {"calls": 30}})
        slow = world.nodes["b"]
        world.at(1.0, slow.slow_down, 10.0)
        world.begin_traffic(self.rate, self.hold, self.seconds)
        world.run(2.0)
        before = slow.service.calls.started
        world.run(self.seconds - 2.0)
        self.assertLess(slow.service.calls.started - before, 0.1 * len(world.attempts))
        world.settle()
        world.check()
        behind = {phone.aor for phone in world.callees if phone.line.proxy.host == slow.host}
        failed = [one for one in world.attempts if not one.answered]
        self.assertEqual([one for one in failed if one.callee not in behind or one.status != 503], [])
        self.assertLess(len(failed), 0.05 * len(world.attempts))

    def test_garbage_collection(self) -> None:
        """Pauses of 300 ms at each node in turn cost no call."""
        world = self.world()
        for number in range(6):
            world.at(0.5 + number, world.nodes["abc"[number % 3]].reactor.pause, 0.3)
        self.go(world)
        self.all_up(world)

    def test_clocks_apart(self) -> None:
        """Clocks that are five seconds apart change nothing: nodes tell each other ages."""
        world = self.world()
        world.run(2.0)  # the registrations are on the disks
        for name, skew in (("b", 5.0), ("c", -5.0)):
            world.nodes[name].crash()
            world.nodes[name].skew = skew
            world.nodes[name].start()
        world.until(world.linked, "all nodes are linked again")
        world.run(2.0)
        self.go(world)
        self.all_up(world)
        self.assertGreater(world.nodes["b"].service.calls.started, 10)

    def test_clock_is_set(self) -> None:
        """
        A clock that is set forward by twenty seconds costs no call. Set back, the node is silent for as long: its timers stand
        still: what is under way to it from others when they take it for dead may fail, and its own callers notice nothing.
        """
        for by, state in ((20.0, NodeState.OPEN), (-20.0, NodeState.UNKNOWN)):
            world = self.world()
            world.run(2.0)
            world.at(1.0, world.nodes["a"].set_clock, by)
            self.go(world)
            self.assertGreaterEqual(
                world.outcome["up"], len(world.attempts) - (0 if by > 0 else 3), world.outcome
            )
            known = world.nodes["b"].service.membership.get("a")
            assert known is not None
            self.assertIs(known.state, state)
            world.until(lambda known=known: known.state is NodeState.OPEN, "it reports again", 20.0)


class NetworkTests(FaultCase):
    def test_bad_network(self) -> None:
        """Loss, copies and detours between nodes, of reports too, cost time and no call."""
        world = self.world()
        world.between_nodes(loss=0.1, duplication=0.1, reordering=0.1)
        self.go(world)
        self.all_up(world)

    def test_partition(self) -> None:
        """While the first node reaches no other one it serves alone and refuses what is too much; nobody is forgotten."""
        world = self.world()
        world.at(1.0, world.cut, "a", "bc")
        world.at(4.0, world.cut, "a", "bc", cut=False)
        self.go(world)
        self.assertLessEqual(set(world.outcome), {"up", "480", "503"})
        self.assertGreater(world.outcome["up"], self.rate * self.seconds / 2)
        self.assertTrue(world.linked())


class CrashTests(FaultCase):
    def test_process_dies(self) -> None:
        """Of a node whose process ends the others know at once; who waits for it hears so after three periods."""
        world = self.world()
        world.at(2.0, world.nodes["b"].crash)
        world.begin_traffic(self.rate, self.hold, self.seconds)
        world.run(2.2)
        known = world.nodes["a"].service.membership.get("b")
        assert known is not None
        self.assertIs(known.state, NodeState.UNKNOWN)
        world.run(self.seconds - 2.2)
        world.settle()
        world.check()
        self.soon(world, 5.0)
        self.assertGreater(world.outcome["up"], 0.9 * len(world.attempts))

    def test_machine_dies(self) -> None:
        """Of a machine that is silent the others know after three periods, and so does who waits for it."""
        world = self.world()
        world.at(2.0, world.nodes["b"].crash, silent=True)
        self.go(world)
        self.soon(world, 5.0)
        self.assertGreater(world.outcome["up"], 0.65 * len(world.attempts))

    def test_restart(self) -> None:
        """A node that comes back is linked, knows the phones, and takes calls again; it ended what it does not know."""
        world = self.world()
        again = world.nodes["b"]
        world.at(1.0, again.crash)
        world.at(2.5, again.start)
        self.go(world)
        self.soon(world, 5.0)
        self.assertTrue(world.linked() and world.registered())
        self.assertGreater(again.service.calls.started, 5)
        self.assertNotIn("404", world.outcome)

    def test_first_node_restarts(self) -> None:
        """Who calls while the machine that all know starts anew gets through: it knows the phones before it reads an INVITE."""
        world = self.world(options={"limits": {"calls": 60}})
        world.run(2.0)  # the registrations are on the disks
        first = world.nodes["a"]
        world.between_nodes(latency=0.02)
        first.crash(silent=True)
        world.at(3.0, first.start)
        self.go(world)
        self.all_up(world)

    def test_registered_just_before(self) -> None:
        """A registration is not lost with the node that took it, though it was not on its disk yet."""
        world = self.world()
        world.at(0.0, world.nodes["b"].crash)
        world.at(0.5, world.nodes["b"].start)
        world.run(3.0)
        self.assertTrue(world.linked() and world.registered())
        world.run(10.0)
        self.assertTrue(world.registered())
        self.go(world)
        self.all_up(world)

    def test_stopped_while_it_starts(self) -> None:
        """A node that waits for the registrations of others, and is stopped then, leaves nothing open."""
        world = self.world()
        for node in world.nodes.values():
            node.crash(silent=True)
        alone = world.nodes["b"]
        alone.start()
        world.run(0.5)
        self.assertFalse(alone.service.transport.running)
        self.assertEqual(len(alone.reactor.sockets), 1)
        stopped = alone.service.stopService()
        world.run(5.0)
        self.successResultOf(stopped)
        self.assertFalse(alone.service.transport.running or alone.service.running)
        self.assertEqual((alone.reactor.sockets, alone.reactor.listening), ({}, {}))
        self.assertEqual(alone.reactor.getDelayedCalls(), [])

    def test_others_are_down(self) -> None:
        """It does not wait for ever, and serves alone."""
        world = self.world()
        world.run(2.0)
        for name in "bc":
            world.nodes[name].crash(silent=True)
        world.nodes["a"].crash()
        world.nodes["a"].start()
        world.until(lambda: world.nodes["a"].service.running, "it serves", 2.5)
        near = next(phone for phone in world.callees if phone.line.proxy.host == world.nodes["a"].host)
        attempt = world.call(world.callers[0], near, hold=1.0)
        world.settle()
        world.check()
        self.assertTrue(attempt.answered)
