"""Claim 10: forwarding goes on until a node is below the threshold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.integration.claims import CALLERS, ClaimTestCase, user_of
from tests.integration.passed_over import again_if_passed_over

SEQUENCE = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "c", "a"]')
LIMIT = 4
FOUR = ("--set", f"limits.calls={LIMIT}")  # the threshold is at 3
SELDOM = (
    "--set",
    "cluster.period=30",
)  # else a node whose reports are caught would soon be given up as silent


class Claim10(ClaimTestCase):
    async def fill_b_and_c(self, *options: str) -> None:
        """Bring b and c to the threshold, and leave each of them in the belief that the other one is empty."""
        await self.start_cluster(*SEQUENCE, *FOUR, *SELDOM, *options)
        await self.start_callee()
        b, c = self.node("b"), self.node("c")
        from_c, from_b = await self.proxied("c", "b"), await self.proxied("b", "c")
        await self.settled(from_c, c)
        await self.settled(from_b, b)
        first = await self.offer([f"first{n}" for n in range(3)], b, last=103)
        await self.are_at({"b": 3}, LIMIT)
        await self.cluster.when(lambda nodes: nodes["b"]["state"] == "shed", "c hears of b", node=c)
        from_c.catching = lambda report: True
        await self.offer([f"c{n}" for n in range(3)], c, last=104)
        await self.are_at({"b": 3, "c": 3}, LIMIT)
        first.hang_up()
        await first.finished()
        await self.cluster.when(
            lambda nodes: (nodes["b"]["state"], nodes["b"]["calls"]) == ("open", 0), "c hears of b", node=c
        )
        from_b.catching = lambda report: True
        await self.offer([f"b{n}" for n in range(3)], b, last=105)
        await self.are_at({"b": 3, "c": 3}, LIMIT)
        await self.until(lambda: from_b.caught and from_c.caught, "both report")
        for node, other in ((b, "c"), (c, "b")):
            known = (await self.cluster.status(node))[other]
            self.assertEqual((known["state"], known["calls"]), ("open", 0))

    @again_if_passed_over
    async def test_c10_the_third_takes_it(self) -> None:
        """
        C10: chain of three nodes with the first two above the threshold: the third takes it; no request visits a node twice.
        """
        await self.fill_b_and_c()
        sipp = await self.offer(["late"], self.node("b"))
        call = next(row for row in await self.calls_up(7) if user_of(row["from"]) == "late")
        way = call["ingress"], call["visited"], call["node"]
        await self.placed(way, ("b", ["b", "c"], "a"), [call["call_id"]], limit=LIMIT)
        self.assertEqual(call["client"], f"{self.address(CALLERS)}:5060")
        self.assertEqual(call["user"], "late@example.com")
        hops = await self.explain(call["call_id"])
        self.assertEqual(
            [(hop["node"], hop["hops"], hop["outcome"], hop["chosen"]) for hop in hops],
            [("b", 0, "hand-over", "c"), ("c", 1, "hand-over", "a"), ("a", 2, "serve", "a")],
        )
        # b is the first of the sequence, and c has no report of it since it was empty; but the hand-over said what b is like
        why = {one["node"]: (one["state"], one["reason"]) for one in hops[1]["candidates"]}
        self.assertEqual(why["b"], ("shed", "visited before"))
        await self.heard(sipp)
        sipp.hang_up()
        await sipp.finished()
        await self.calls_up(6)

    @again_if_passed_over
    async def test_c10_no_more_hops_than_the_budget(self) -> None:
        """C10: no request makes more hops than the budget: with hop_budget=1 the second node serves it, above its threshold."""
        await self.fill_b_and_c("--set", "cluster.hop_budget=1")
        await self.offer(["late"], self.node("b"))
        call = next(row for row in await self.calls_up(7) if user_of(row["from"]) == "late")
        await self.placed((call["visited"], call["node"]), (["b"], "c"), [call["call_id"]], limit=LIMIT)
        hops = await self.explain(call["call_id"])
        self.assertEqual(
            [(hop["node"], hop["hops"], hop["outcome"]) for hop in hops],
            [("b", 0, "hand-over"), ("c", 1, "serve")],
        )
        self.assertIn("hop budget", hops[1]["reason"])

    @again_if_passed_over
    async def test_c10_all_above_the_threshold(self) -> None:
        """
        C10: all above: served below the hard limit, refused with 503 above it; no request visits a node twice, none makes more
        hops than the budget.
        """
        await self.start_cluster(*FOUR, "--set", "cluster.threshold=0.5")
        await self.start_callee()
        below = await self.offer([f"below{n}" for n in range(6)], last=103)
        await self.are_at({"a": 2, "b": 2, "c": 2}, LIMIT)
        above = await self.offer([f"above{n}" for n in range(6)], last=104)
        calls = await self.are_at({"a": 4, "b": 4, "c": 4}, LIMIT)
        await self.heard(below, above)

        # full, each of them: 503 wherever it is tried, and nothing that keeps the client from trying again
        await self.add_users("late")
        refused = []
        for last, node in enumerate(self.cluster.nodes, 105):
            sipp = self.sipp_caller([("late", "to")], self.address(last), node, scenario="call_refused")
            await sipp.finished()
            self.assertEqual(sipp.successful, 1)
            self.assertNotIn("retry-after", sipp.messages.lower())
            refused += sorted(set(re.findall(r"^Call-ID: (\S+)", sipp.messages, re.MULTILINE)))
        self.assertEqual(len(refused), 3)
        await self.check_hops([call["call_id"] for call in calls] + refused)
        for sipp in (below, above):
            sipp.hang_up()
            await sipp.finished()
        await self.calls_up(0)

    async def check_hops(self, call_ids: Sequence[str], budget: int = 2) -> None:
        for call_id in call_ids:
            rows: list[dict[str, Any]] = await self.explain(call_id)
            visited = [rows[0]["node"]] + [row["chosen"] for row in rows if row["outcome"] == "hand-over"]
            self.assertEqual(len(visited), len(set(visited)), rows)
            self.assertLessEqual(max(row["hops"] for row in rows), budget)
            self.assertLessEqual(len(visited) - 1, budget)
