"""Claims 2 and 16: the primary balances automatically what all clients send to it."""

from __future__ import annotations

from tests.integration.claims import ClaimTestCase
from tests.integration.passed_over import again_if_passed_over

LIMIT = 8


class Claims2And16(ClaimTestCase):
    @again_if_passed_over
    async def test_c2_c16_nodes_join_and_leave_while_calls_run(self) -> None:
        """
        C2/C16: all clients know the primary only; nobody configures anything when a node joins or leaves while calls run.
        """
        limits = ("--set", f"limits.calls={LIMIT}")  # the threshold of 0.75 is at 6
        await self.start_cluster(*limits, nodes="ab")
        await self.start_callee()
        first = await self.offer([f"first{n}" for n in range(12)])
        await self.are_at({"a": 6, "b": 6}, LIMIT)
        await self.heard(first, packets=25)

        await self.cluster.join("c", self.address(3), *limits)
        await self.cluster.when(
            lambda nodes: "c" in nodes and nodes["c"]["state"] == "open", "the primary knows c"
        )
        second = await self.offer([f"second{n}" for n in range(6)], last=103)
        await self.are_at({"a": 6, "b": 6, "c": 6}, LIMIT)
        await self.heard(first, second, packets=25)

        await self.primary.voipctl("stop", "b")
        await self.cluster.when(lambda nodes: nodes["b"]["state"] == "drain", "b leaves")
        third = await self.offer([f"third{n}" for n in range(2)], last=104)
        await self.are_at({"a": 7, "b": 6, "c": 7}, LIMIT)
        await self.heard(first, second, third, packets=25)

        first.hang_up()
        await first.finished()
        await self.left(self.node("b"))  # with its last call
        await self.calls_up(8)
        fourth = await self.offer([f"fourth{n}" for n in range(4)], last=105)
        await self.are_at({"a": 5, "c": 7}, LIMIT)
        await self.heard(second, third, fourth, packets=25)
        for sipp in (second, third, fourth):
            sipp.hang_up()
            await sipp.finished()
        await self.calls_up(0)
