"""Claims 4, 5, 18 and 20: the first node found whose workload is below the threshold, in the predefined order."""

from __future__ import annotations

from tests.integration.claims import ClaimTestCase, user_of
from tests.integration.passed_over import again_if_passed_over

SEQUENCE = ("c", "a", "b")  # neither the order of joining nor that of who is asked
LIMIT = 4
EACH = 3  # calls up to the threshold of 0.75


class Claims4And5And18And20(ClaimTestCase):
    @again_if_passed_over
    async def test_c4_c5_c18_c20_filled_in_the_order_of_the_sequence(self) -> None:
        """
        C4/C5/C18/C20 with policy sequence: nodes filled in the order of the sequence, each up to the threshold and not beyond.
        """
        await self.start_cluster(
            *("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["c", "a", "b"]'),
            *("--set", f"limits.calls={LIMIT}"),
        )
        await self.start_callee()
        # asked is the last of the sequence, then the first, then the one between: it makes no difference
        offered = []
        for round_, (asked, last) in enumerate((("b", 102), ("c", 103), ("a", 104))):
            callers = [f"from{EACH * round_ + n}" for n in range(EACH)]
            offered.append(await self.offer(callers, self.node(asked), last=last))
            calls = await self.are_at(dict.fromkeys(SEQUENCE[: round_ + 1], EACH), LIMIT)
            # the others were told at once, or the next round would not know
            await self.cluster.when(
                lambda nodes, full=SEQUENCE[round_]: nodes[full]["state"] == "shed", "it sheds"
            )
        places = {user_of(call["from"]): call["node"] for call in calls}
        in_order = {f"from{n}": SEQUENCE[n // EACH] for n in range(3 * EACH)}
        await self.placed(places, in_order, [call["call_id"] for call in calls], limit=LIMIT)
        await self.heard(*offered)

        # one place becomes free in the first node of the sequence, and the next call gets it
        gone = next(call for call in calls if call["node"] == SEQUENCE[0])
        next(sipp for sipp in offered if gone["call_id"] in sipp.up).hang_up(gone["call_id"])
        await self.calls_up(3 * EACH - 1)
        await self.cluster.when(
            lambda nodes: nodes[SEQUENCE[0]]["state"] == "open", "b knows", node=self.node("b")
        )
        await self.offer(["late"], self.node("b"), last=105)
        calls = await self.are_at(dict.fromkeys(SEQUENCE, EACH), LIMIT)
        late = next(call for call in calls if user_of(call["from"]) == "late")
        self.assertEqual(late["node"], SEQUENCE[0])
        # and why: nobody in front of it was passed over, those behind it were not asked
        decision = (await self.explain(late["call_id"]))[0]
        self.assertEqual((decision["node"], decision["outcome"], decision["chosen"]), ("b", "hand-over", "c"))
        self.assertEqual(decision["policy"], "sequence")
