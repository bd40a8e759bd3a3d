"""Claims about placement, shown in virtual time with the real classes."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.cluster import World
from voipcluster.balance.decision import Gates
from voipcluster.balance.planned import Planned
from voipcluster.balance.policy import IBalancingPolicy, InSequence, LeastLoaded, TwoChoices
from voipcluster.balance.state import NodeState

POLICIES: tuple[IBalancingPolicy, ...] = (Planned(), LeastLoaded(), TwoChoices(), InSequence())


class SpreadTests(SynchronousTestCase):
    def test_54_calls_at_one_node(self) -> None:
        """C1: three nodes of 20 calls, 54 calls offered to one: all are up, 18 +-3 each, none above 19."""
        for every in (0.0005, 0.01, 0.2):
            for policy in POLICIES:
                for seed in range(5):
                    world = World(policy=policy, seed=seed)
                    world.offer_all(54, "a", every)
                    held = world.held()
                    self.assertEqual(sum(held.values()), 54, (policy, every, held, world.outcome()))
                    self.assertTrue(all(15 <= calls <= 19 for calls in held.values()), (policy, every, held))
                    self.assertLessEqual(max(node.peak for node in world.nodes.values()), 19)

    def test_54_calls_at_all_nodes(self) -> None:
        """The same with calls offered to all nodes in turn."""
        for seed in range(5):
            world, random = World(seed=seed), Random(seed)
            for _ in range(54):
                world.offer(random.choice("abc"))
                world.clock.advance(random.expovariate(50.0))
            world.clock.advance(2.0)
            held = world.held()
            self.assertEqual(sum(held.values()), 54)
            self.assertTrue(all(15 <= calls <= 19 for calls in held.values()), held)

    def test_a_freed_place_is_used_at_once(self) -> None:
        """A node that fell below its threshold serves the next call itself: calls have no hysteresis."""
        world = World()
        world.offer_all(15, "a", 0.01)
        self.assertEqual(world.held(), {"a": 15, "b": 0, "c": 0})
        world.nodes["a"].hang_up()
        self.assertEqual(world.offer("a").served, "a")
        world.offer_all(1, "a", 0.01)
        self.assertEqual(sum(world.held()[name] for name in "bc"), 1)


class SequenceTests(SynchronousTestCase):
    def test_filled_in_order(self) -> None:
        """C4, C5, C18, C20: each up to the threshold and not beyond, whichever node is asked."""
        for asked in "abc":
            world = World(policy=InSequence(("c", "a", "b")))
            for offered, expected in (
                (15, (0, 0, 15)),
                (15, (15, 0, 15)),
                (10, (15, 10, 15)),
                (5, (15, 15, 15)),
            ):
                world.offer_all(offered, asked, 0.01)
                self.assertEqual(tuple(world.held().values()), expected)

    def test_order_of_joining(self) -> None:
        """Without a sequence the order of joining counts."""
        world = World(policy=InSequence())
        world.offer_all(20, "c", 0.01)
        self.assertEqual(world.held(), {"a": 15, "b": 5, "c": 0})

    def test_first_one_again_when_it_has_room(self) -> None:
        """A call that ends at the first node makes it the first one below the threshold again."""
        world = World(policy=InSequence())
        world.offer_all(20, "a", 0.01)
        world.nodes["a"].hang_up()
        world.offer_all(2, "b", 0.01)
        self.assertEqual(world.held(), {"a": 15, "b": 6, "c": 0})


class ChainTests(SynchronousTestCase):
    def test_third_takes_it(self) -> None:
        """C10: the first two are above the threshold, the third takes it."""
        for policy in POLICIES:
            world = World(policy=policy)
            for name in "ab":
                world.nodes[name].load.calls = 16
                world.nodes[name].service.touch()
            world.clock.advance(1.0)
            call = world.offer("a")
            world.clock.advance(1.0)
            self.assertEqual((call.served, call.path), ("c", ["a", "c"]))

    def test_over_two_hops(self) -> None:
        """C10: a node that filled up unseen hands the call on; two hops, nobody twice."""
        world = World(policy=InSequence(("a", "b", "c")), spontaneous=False, period=30.0)
        for name in "ab":
            world.nodes[name].load.calls = 18
            world.nodes[name].service.touch()
        call = world.offer("a")
        world.clock.advance(1.0)
        self.assertEqual((call.served, call.path), ("c", ["a", "b", "c"]))

    def test_all_above(self) -> None:
        """C10: served below the hard limit, refused above it."""
        world = World()
        for node in world.nodes.values():
            node.load.calls = 18
            node.service.touch()
        world.clock.advance(1.0)
        call = world.offer("a")
        self.assertEqual((call.served, call.path), ("a", ["a"]))
        for node in world.nodes.values():
            node.load.calls = 19
            node.service.touch()
        world.clock.advance(1.0)
        refused = world.offer("a")
        self.assertEqual((refused.served, refused.path), ("-", ["a"]))

    def test_last_places(self) -> None:
        """All 57 places below the hard limit are found, the 58th call is refused."""
        world = World()
        world.offer_all(60, "a", 0.01)
        self.assertEqual((world.held(), world.outcome()["-"]), ({"a": 19, "b": 19, "c": 19}, 3))

    def test_nobody_twice_and_within_the_budget(self) -> None:
        """At 0.3 to 2 times the capacity, with stale tables and crashes: no node twice, no more hops than the budget."""
        for policy in POLICIES:
            for budget in (1, 2):
                world = World(
                    6, policy=policy, seed=budget, spontaneous=False, gates=Gates(hop_budget=budget)
                )
                random = Random(budget)
                for step in range(600):
                    world.offer(random.choice("abcdef"))
                    world.clock.advance(random.expovariate(100.0))
                    alive = [node for node in world.nodes.values() if node.load.calls and node.alive]
                    if step % 3 and alive:
                        random.choice(alive).hang_up()
                    if step == 300:
                        world.nodes["f"].crash(links_break=False)
                world.clock.advance(3.0)
                for call in world.calls:
                    self.assertEqual(len(call.path), len(set(call.path)), call)
                for node in world.nodes.values():
                    for call in world.calls:
                        for explained in node.log.get(call.call_id):
                            self.assertLessEqual(explained.hops, budget)
                            self.assertFalse(explained.outcome == "hand-over" and explained.hops >= budget)


class ReportTests(SynchronousTestCase):
    def test_spontaneous(self) -> None:
        """C8: with a period of 30 s a node that jumps above its threshold is avoided within 0.2 s."""
        world = World(period=30.0)
        world.nodes["a"].load.calls = world.nodes["b"].load.calls = 16
        for name in "ab":
            world.nodes[name].service.touch()
        world.clock.advance(0.2)
        calls = [world.offer("a") for _ in range(8)]
        world.clock.advance(1.0)
        self.assertEqual({tuple(call.path) for call in calls}, {("a", "c")})

    def test_periodic(self) -> None:
        """C7: with spontaneous reports lost it is known after one period."""
        world = World(period=30.0, spontaneous=False)
        world.nodes["b"].load.calls = 16
        world.nodes["b"].service.touch()
        world.clock.advance(30.1)
        node = world.nodes["a"].table.get("b")
        assert node is not None
        self.assertEqual(node.state, NodeState.SHED)

    def test_cpu_is_told_too(self) -> None:
        """A node whose reactor is busy is SHED to the others within half a second, and OPEN again some seconds after."""
        world = World(period=30.0)
        world.nodes["b"].load.cpu = 0.9
        table = world.nodes["a"].table
        world.clock.advance(0.6)
        node = table.get("b")
        assert node is not None
        self.assertNotEqual(node.state, NodeState.OPEN)
        world.nodes["b"].load.cpu = 0.0
        world.clock.advance(5.0)
        self.assertEqual(node.state, NodeState.OPEN)

    def test_rate(self) -> None:
        """A storm of changes makes at most 50 reports a second and loses no last value."""
        world = World(period=30.0)
        before = world.reports
        for step in range(1000):
            world.nodes["a"].load.calls = 1 + step % 10
            world.nodes["a"].service.touch()
            world.clock.advance(0.001)
        self.assertLessEqual(world.reports - before, 50)
        self.assertGreaterEqual(world.reports - before, 40)
        world.clock.advance(0.1)
        node = world.nodes["b"].table.get("a")
        assert node is not None
        self.assertEqual(node.value, 0.5)


class CrashTests(SynchronousTestCase):
    def fill(self, world: World) -> None:
        world.nodes["a"].load.calls = 15
        world.nodes["a"].service.touch()
        world.clock.advance(0.1)

    def test_silent_node_is_avoided(self) -> None:
        """A node silent for three periods is UNKNOWN and gets nothing; until then failures lead around it."""
        world = World()
        self.fill(world)
        world.nodes["b"].crash(links_break=False)
        world.clock.advance(4.1)
        node = world.nodes["a"].table.get("b")
        assert node is not None
        self.assertEqual(node.state, NodeState.UNKNOWN)
        calls = [world.offer("a") for _ in range(5)]
        world.clock.advance(2.0)
        self.assertEqual({tuple(call.path) for call in calls}, {("a", "c")})

    def test_two_failures(self) -> None:
        """Two requests without an answer make it UNKNOWN before the silence does, and no call is lost."""
        world = World(period=30.0, policy=InSequence(("a", "b", "c")))
        self.fill(world)
        world.nodes["b"].crash(links_break=False)
        world.offer_all(10, "a", 0.3)
        self.assertEqual(world.outcome(), {"c": 10})
        node = world.nodes["a"].table.get("b")
        assert node is not None
        self.assertEqual((node.state, node.assigned.pending), (NodeState.UNKNOWN, 0))

    def test_broken_link(self) -> None:
        """A node whose link broke is avoided at once."""
        world = World()
        self.fill(world)
        world.nodes["b"].crash(links_break=True)
        calls = [world.offer("a") for _ in range(5)]
        world.clock.advance(2.0)
        self.assertEqual({tuple(call.path) for call in calls}, {("a", "c")})


class StallTests(SynchronousTestCase):
    """A node whose machine gives it no time, while the others idle."""

    def test_stalled_node_refuses_nobody(self) -> None:
        """Ten seconds of a stalled node that all clients know: every call is up, on the others."""
        for policy in POLICIES:
            world = World(policy=policy, limit=200)
            world.nodes["a"].load.stalled = 0.2
            world.clock.advance(2.0)
            self.assertTrue(world.nodes["a"].service.own().drowning)
            world.offer_all(60, "a", 1 / 6)
            self.assertEqual(world.outcome()["-"], 0, policy)
            held = world.held()
            self.assertEqual((held["a"], sum(held.values())), (0, 60), (policy, held))

    def test_all_stalled(self) -> None:
        """When all are stalled nothing is sent around: each call is refused by the node that it came to."""
        world = World()
        for node in world.nodes.values():
            node.load.stalled = 0.2
        world.clock.advance(2.0)
        world.offer_all(20, "a", 0.05)
        self.assertEqual(world.outcome(), {"-": 20})
        self.assertEqual({tuple(call.path) for call in world.calls}, {("a",)})


class TraceTests(SynchronousTestCase):
    def digest(self, seed: int) -> str:
        world, random = World(5, seed=seed), Random(seed)
        for _ in range(200):
            world.offer(random.choice("abcde"))
            world.clock.advance(random.expovariate(100.0))
        return world.trace.hexdigest()

    def test_same_seed_same_trace(self) -> None:
        """A run is repeatable: the same seed gives the same decisions at the same times, another seed others."""
        self.assertEqual(self.digest(1), self.digest(1))
        self.assertNotEqual(self.digest(1), self.digest(2))
