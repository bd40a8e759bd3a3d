"""A node that is drained: nothing new, its calls go on, its phones go elsewhere, and at the end it stops."""

from __future__ import annotations

from tests.integration.harness import ClusterTestCase


class DrainTests(ClusterTestCase):
    async def test_drained_until_empty(self) -> None:
        """
        A phone of a draining node is steered to another one by the answer to its next REGISTER; the call that is up goes on with
        audio; the node stops when that has ended.
        """
        await self.start_cluster(nodes="ab")
        await self.add_users("alice", "bob")
        a, b = self.cluster.nodes
        alice = self.phone("alice", b, host=self.address(100), tone=1200, capacity=4)
        bob = self.phone("bob", a, host=self.address(101), tone=700, capacity=4)
        await self.register(alice, bob)
        await self.reachable("alice", "bob")
        first = await alice.call("bob@example.com")
        await self.until(lambda: first.heard_hz == 700, "alice hears bob")
        served = await a.ask("calls", call_id=first.call_id)
        self.assertEqual([row["node"] for row in served], ["b"])

        await a.voipctl("stop", "b")
        await self.cluster.when(lambda nodes: nodes["b"]["state"] == "drain", "a knows that b drains")
        await alice.register()
        second = await alice.call("bob@example.com")
        rows = await a.ask("calls", call_id=second.call_id)
        # not through b: the Service-Route of the REGISTER's answer names a
        self.assertEqual([(row["node"], row["ingress"]) for row in rows], [("a", "a")])
        await self.until(lambda: second.heard_hz == 700, "alice hears bob in the second call")
        hops = await a.ask("explain", call_id=second.call_id)
        self.assertEqual([(hop["node"], hop["outcome"]) for hop in hops], [("a", "serve")])

        heard = first.packets_received
        await self.until(lambda: first.packets_received > heard + 50, "the call of the draining node goes on")
        assert b.program is not None
        self.assertIsNone(b.program.status, "it runs while it has a call")
        await first.hang_up()
        await self.left(b)
        heard = second.packets_received
        await self.until(lambda: second.packets_received > heard + 50, "the call of the other node goes on")
        await second.hang_up()
