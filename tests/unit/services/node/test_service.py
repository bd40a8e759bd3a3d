"""Tests of a node's life, in virtual time."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.errors import UsageError
from voipcluster.services.node.service import STALL, NodeService
from voipcluster.services.node.surroundings import MACHINE


class LifeTests(SynchronousTestCase):
    def test_without_address(self) -> None:
        """A node must know where it is; nothing was opened until then."""
        config = World("a").nodes["a"].config
        config = evolve(config, node=evolve(config.node, address=""))

        def open_state(*arguments: Any) -> Any:
            raise AssertionError("opened")

        node = NodeService(None, config, {}, surroundings=evolve(MACHINE, open_state=open_state))
        error = self.assertRaises(UsageError, node.privilegedStartService)
        self.assertEqual(str(error), "node.address is missing")

    def test_stops_and_stops_again(self) -> None:
        """A stop closes all sockets and timers of its own; a second one is harmless."""
        world = World("a")
        node = world.nodes["a"]
        self.assertTrue(node.reactor.sockets)
        done: Deferred[None] = node.service.stopService()
        world.until(lambda: done.called, "stopped", 10.0)
        self.assertEqual(node.reactor.sockets, {})
        self.successResultOf(node.service.stopService())

    def test_told_when_founded(self) -> None:
        """A primary that is alone gives a join token, one with members gives none."""
        for names, tokens in (("a", 1), ("ab", 0)):
            world = World(names)
            node = world.nodes["a"]
            told: list[str] = []
            node.crash()
            world.run(1.0)
            made = NodeService.__init__

            def init(
                service: NodeService, *arguments: Any, made: Any = made, told: Any = told, **more: Any
            ) -> None:
                made(service, *arguments, **more, founded=told.append)

            self.patch(NodeService, "__init__", init)
            node.start()
            world.run(2.0)
            self.patch(NodeService, "__init__", made)
            self.assertEqual(len(told), tokens)
            self.assertTrue(all(token.endswith("@10.0.0.1") for token in told), told)

    def test_stall(self) -> None:
        """A node that stood still does not take the others for silent: it was itself that heard nothing."""
        world = World("ab", seed=3)
        node = world.nodes["a"]
        node.reactor.pause(10 * STALL)
        world.run(10 * STALL + 1.0)
        self.assertTrue(node.service.is_heard("b"))

    def test_history(self) -> None:
        """A sample a second, of each node that is known; nothing for one that is not heard of."""
        world = World("ab")
        world.run(5.0)
        world.nodes["b"].crash(silent=True)
        world.run(10.0)
        shown = world.nodes["a"].service.history.read()
        self.assertEqual({round(b - a) for a, b in zip(shown["time"], shown["time"][1:], strict=False)}, {1})
        self.assertIsNotNone(shown["nodes"]["b"][3])
        self.assertIsNone(shown["nodes"]["b"][-1])
        self.assertIsNotNone(shown["nodes"]["a"][-1])
