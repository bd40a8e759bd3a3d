"""A node that is drained: nothing new, its calls go on, its phones go elsewhere, and at the end it stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from tests.integration.claims import ClaimTestCase
from tests.integration.heard import Heard
from tests.integration.passed_over import again_if_passed_over
from voipcluster.phone import Phone, PhoneCall
from voipcluster.phone.media import PACKET_TIME

CALLS = 40


class DrainTests(ClaimTestCase):
    @again_if_passed_over
    async def test_with_40_calls(self) -> None:
        """
        C{voipctl drain b} at a node with 40 calls: from that moment no new call comes to it, whoever asks whom; no running call
        loses audio; after their next REGISTER its phones go to the other node. C{stop} ends it at zero calls, and not before.
        """
        await self.start_cluster(
            "--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a"]', nodes="ab"
        )
        await self.add_users("alice", "bob")
        a, b = self.cluster.nodes
        alice = self.phone("alice", b, host=self.address(100), tone=1200, capacity=CALLS + 4)
        bob = self.phone("bob", a, host=self.address(101), tone=700, capacity=CALLS + 4)
        answered: list[PhoneCall] = []
        bob.incoming = answered.append
        await self.register(alice, bob)
        await self.reachable("alice", "bob")
        calls: list[PhoneCall] = []
        while len(calls) < CALLS:
            calls += await gatherResults(
                [alice.call("bob@example.com") for _ in range(10)], consumeErrors=True
            )
        await self.are_at({"b": CALLS})
        await self.go_on([*calls, *answered])

        heard = [Heard(call) for call in (*calls, *answered)]
        begun = await self.metric(b, "calls_total")
        await a.voipctl("drain", "b")
        await self.cluster.when(lambda nodes: nodes["b"]["state"] == "drain", "a knows that b drains")
        through_b = await self.served_by_a(alice, "bob", ingress="b")  # it has not registered again yet
        await self.register(alice, bob)
        through_a = await self.served_by_a(alice, "bob", ingress="a")  # Service-Route of the answer
        to_alice = await self.served_by_a(bob, "alice", ingress="a")
        self.assertEqual(
            await self.metric(b, "calls_total"), begun, "no new call came to the node that drains"
        )
        hops = await self.explain(through_a.call_id)
        self.assertEqual([(hop["node"], hop["outcome"]) for hop in hops], [("a", "serve")])
        await self.go_on([*calls, *answered], packets=50)
        self.no_gaps(heard)

        await a.voipctl("stop", "b")
        for call in calls[1:]:
            call.hang_up()
        await self.calls_up(4)
        assert b.program is not None
        self.assertIsNone(b.program.status, "it runs while it has a call")
        await self.go_on([calls[0]])
        calls[0].hang_up()
        await self.left(b)
        await self.go_on([through_b, through_a, to_alice])
        await self.served_by_a(bob, "alice", ingress="a")
        for call in (through_b, through_a, to_alice):
            call.hang_up()
        await self.calls_up(1)

    async def served_by_a(self, caller: Phone, callee: str, ingress: str) -> PhoneCall:
        """Call, and see that node a serves it; C{ingress}: where it came in."""
        call = await caller.call(f"{callee}@example.com")
        rows: list[dict[str, Any]] = await self.node("a").ask("calls", call_id=call.call_id)
        self.assertEqual([(row["node"], row["ingress"]) for row in rows], [("a", ingress)])
        await self.until(lambda: call.heard_hz, "the caller hears the callee")
        return call

    async def go_on(self, calls: list[PhoneCall], packets: int = 25) -> None:
        """Return once all of these heard so many packets more."""
        wanted = {call: call.packets_received + packets for call in calls}
        await self.until(
            lambda: all(call.packets_received >= most and call.heard_hz for call, most in wanted.items()),
            "audio goes on in every call",
            30.0,
        )
        self.assertEqual([call.reason for call in calls if call.over], [])

    def no_gaps(self, heard: list[Heard]) -> None:
        """Nothing that one would hear: no silence of 100 ms, and one packet of a hundred at most."""
        missing = [gap for one in heard for gap in one.missing]
        packets = sum(len(one.numbers) for one in heard)
        self.assertLessEqual(sum(missing), packets / 100, f"of {packets}")
        self.assertLess((max(missing, default=0) + 1) * PACKET_TIME, 0.1)
