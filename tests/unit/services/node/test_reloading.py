"""Reading the configuration again: all or nothing, at one node and at all, while calls go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.config import Config
from voipcluster.errors import UsageError
from voipcluster.gateway.gateway import Gateway
from voipcluster.services.node.reloading import Reloading


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    return evolve(config, **{key: evolve(getattr(config, key), **given) for key, given in sections.items()})


class ReloadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World("abc", seed=5)
        for name in "abc":
            self.has_file(name, lambda name=name: self.config(name))

    def config(self, name: str = "a") -> Config:
        return self.world.nodes[name].service.config

    def has_file(self, name: str, read: Callable[[], Config]) -> None:
        service = self.world.nodes[name].service
        service.reloading = Reloading(service, read)

    def result(self, asked: Deferred[Any]) -> Any:
        self.world.until(lambda: asked.called, "there is an answer")
        return self.successResultOf(asked)

    def reload(self, read: Callable[[], Config], dry: bool = False) -> Any:
        self.has_file("a", read)
        return self.result(self.world.nodes["a"].service.view.reload(False, dry))

    def refused(self, read: Callable[[], Config]) -> str:
        before = self.config()
        self.has_file("a", read)
        error = self.failureResultOf(self.world.nodes["a"].service.view.reload(False, False), UsageError)
        self.assertIs(self.config(), before)
        return error.getErrorMessage()

    def test_a_call_goes_on(self) -> None:
        """What can change has changed, what cannot is named, and a call that is up ends as its phones want it."""
        self.world.phones(callers=1, callees=1, at="a")
        attempt = self.world.call(self.world.callers[0], self.world.callees[0], 5.0)
        self.world.until(lambda: attempt.answered, "the call is up")
        new = changed(
            self.config(), cluster={"threshold": 0.5}, sip={"port": 5070}, node={"address": "10.0.0.9"}
        )
        (row,) = self.reload(lambda: new)
        self.assertEqual((row["node"], row["changed"], row["done"]), ("a", ["cluster.threshold"], True))
        self.assertEqual(row["later"], ["sip.port", "node.address"])
        self.assertEqual(row["alike"], ["cluster.threshold", "sip.port"])
        self.assertEqual((self.config().cluster.threshold, self.config().sip.port), (0.5, 5060))
        (again,) = self.reload(lambda: new)
        self.assertEqual((again["changed"], again["later"]), ([], row["later"]))
        self.world.settle()
        self.assertEqual(attempt.status, 200)
        self.world.check()

    def test_what_takes_a_start(self) -> None:
        """Ports, and whom messages are told to or kept for, stay as they are: each is named, and is in the log as well."""
        new = changed(
            self.config(),
            web={"port": 8081, "host": "10.0.0.1", "tls": True},
            websocket={"port": 8082, "tls": False, "origins": ("https://a.example",)},
            hep={
                "server": "10.0.0.9:9060",
                "transport": "tcp",
                "share": 0.5,
                "mask": False,
                "quality": False,
            },
            trace={"memory": 1 << 20, "mask": False, "outlines": 0},
        )
        with capturedLogs() as events:
            (row,) = self.reload(lambda: new)
        names = [
            "web.port", "web.host", "web.tls", "websocket.port", "websocket.tls", "websocket.origins", "hep.server",
            "hep.transport", "hep.share", "hep.mask", "hep.quality", "trace.memory", "trace.mask", "trace.outlines",
        ]  # fmt: skip
        self.assertEqual((sorted(row["later"]), row["changed"]), (sorted(names), []))
        self.assertEqual(self.config().hep.share, 1.0)
        told = {formatEvent(event) for event in events}
        self.assertLessEqual({f"{name}: takes effect at the next start" for name in names}, told)

    def test_dry(self) -> None:
        new = changed(self.config(), limits={"calls": 5})
        (row,) = self.reload(lambda: new, dry=True)
        self.assertEqual((row["changed"], row["done"], row["alike"]), (["limits.calls"], False, []))
        self.assertNotEqual(self.config().limits.calls, 5)

    def test_mistakes_change_nothing(self) -> None:
        """A mistake of the file, a policy that nobody knows, a gateway that could be taken for one of the database."""

        def wrong() -> Config:
            raise UsageError("x.toml:3: limits.calls: found 0, allowed is ...")

        self.assertIn("x.toml:3", self.refused(wrong))
        policy = changed(self.config(), cluster={"policy": "nobody"}, limits={"calls": 1})
        self.assertIn("cluster.policy", self.refused(lambda: policy))
        node = self.world.nodes["a"].service
        self.result(node.view.gateway_add("kept", {"servers": ["192.0.2.9"], "probe": 0}))
        twin = evolve(self.config(), gateways=(Gateway("twin", servers=("192.0.2.9",)),))
        self.assertIn("gateway kept of the database", self.refused(lambda: twin))

    def test_no_such_node(self) -> None:
        """A name in the sequence that no node has is refused, by all nodes alike; not one that stood there before."""
        for order in (("b", "x", "a", "y"), ("x", "y")):
            new = changed(self.config(), cluster={"policy": "sequence", "sequence": order})
            said = self.refused(lambda new=new: new)
            self.assertIn(
                "cluster.sequence: no node of the cluster is called x, y; its nodes are a, b, c", said
            )
        self.reload(
            lambda: changed(self.config(), cluster={"sequence": ("x",)})
        )  # of no use with this policy
        good = changed(self.config(), cluster={"policy": "sequence", "sequence": ("c", "b", "a")})
        (row,) = self.reload(lambda: good)
        self.assertEqual(row["changed"], ["cluster.policy", "cluster.sequence"])
        service = self.world.nodes["a"].service
        service.config = changed(
            service.config, cluster={"sequence": ("c", "gone")}
        )  # and then it was forgotten
        (row,) = self.reload(
            lambda: changed(self.config(), cluster={"sequence": ("b", "gone"), "threshold": 0.6})
        )
        self.assertEqual(row["changed"], ["cluster.threshold", "cluster.sequence"])

    def test_nobody_knows_how(self) -> None:
        """A node of an application that does not say how; and one that does not run any more."""
        node = self.world.nodes["a"].service
        error = self.assertRaises(UsageError, Reloading(node, None).reload)
        self.assertIn("does not say how", str(error))
        stopped = node.stopService()
        self.world.until(lambda: stopped.called, "stopped", 10.0)
        self.assertRaises(UsageError, node.reloading.reload)

    def test_everywhere(self) -> None:
        """Each node reads its own file; one that cannot be reached is named."""
        for name in "ab":
            self.has_file(name, lambda name=name: changed(self.config(name), limits={"calls": 77}))
        self.world.nodes["c"].crash()
        self.world.run(5.0)
        rows = self.result(self.world.nodes["b"].service.view.reload(True, False))
        self.assertEqual([(row["node"], row.get("changed"), row.get("absent")) for row in rows], [
            ("a", ["limits.calls"], None), ("b", ["limits.calls"], None), ("c", None, True),
        ])  # fmt: skip
        self.assertEqual([self.config(name).limits.calls for name in "ab"], [77, 77])

    def test_one_mistake_stops_all(self) -> None:
        """Nobody changes anything when one node finds a mistake in its file, and that is told with its name."""

        def wrong() -> Config:
            raise UsageError("x.toml:3: not\nTOML")

        self.has_file("a", lambda: changed(self.config("a"), limits={"calls": 77}))
        self.has_file("c", wrong)
        rows = self.result(self.world.nodes["a"].service.view.reload(True, False))
        self.assertEqual([row.get("error") for row in rows], [None, None, "x.toml:3: not TOML"])
        self.assertEqual(self.config("a").limits.calls, 2000)
