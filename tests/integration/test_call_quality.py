"""Two real phones through a node: what their RTCP says is shown while they talk, and afterwards."""

from __future__ import annotations

import re
from typing import Any

from tests.integration.harness import ClusterTestCase


class OwnPhoneTests(ClusterTestCase):
    async def test_own_phones(self) -> None:
        """The phones of the demo report, too: loss, jitter, a round trip on each leg and a MOS in both directions."""
        await self.start_cluster(nodes="a")
        await self.add_users("alice", "bob")
        alice = self.phone("alice", host=self.address(100), rtcp=True)
        bob = self.phone("bob", host=self.address(101), rtcp=True)
        await self.register(alice, bob)
        call = await alice.call("bob@example.com")

        async def complete() -> list[dict[str, Any]] | None:
            rows = await self.primary.ask("calls", call_id=call.call_id)
            ways = rows[0]["streams"][0]["directions"]
            return ways if all(one["mos"] and one["round_trip"] is not None for one in ways) else None

        for one in await self.until(complete, "both phones have reported", 30.0):
            self.assertEqual((one["lost"], one["loss"]), (0, 0.0))
            self.assertTrue(0 <= one["round_trip"] < 1.0, one)
            self.assertTrue(0 <= one["jitter"] < 0.1, one)
            self.assertTrue(4.0 < one["mos"] <= 4.5, one)
        await call.hang_up()


class CallQualityTests(ClusterTestCase):
    async def test_two_phones(self) -> None:
        """No loss, a round trip on each leg and MOS above 4 in both directions; the ended call is still found."""
        await self.start_cluster(nodes="a")
        await self.add_users("alice", "bob")
        node = self.node("a")
        await self.baresip("bob", hz=440, answer=True)
        alice = await self.baresip("alice", hz=1200)
        await self.reachable("bob")
        await alice.dial("sip:bob@example.com")
        (call,) = await node.ask("calls", call_id=None)

        async def directions() -> list[dict[str, Any]]:
            rows = await node.ask("calls", call_id=call["call_id"])
            return list(rows[0]["streams"][0]["directions"])

        async def complete() -> bool:
            return all(one["mos"] and one["round_trip"] is not None for one in await directions())

        await self.until(complete, "both phones have reported", 30.0)  # each every 5 s
        for one in await directions():
            self.assertEqual((one["lost"], one["loss"]), (0, 0.0))
            self.assertTrue(0 <= one["round_trip"] < 1.0, one)
            self.assertTrue(0 <= one["jitter"] < 0.1, one)
            self.assertTrue(4.0 < one["mos"] <= 4.5, one)
            self.assertGreater(one["packets"], 100)
            self.assertEqual(len(one["course"]), one["reports"])
        text = await node.voipctl("calls", call["call_id"])
        self.assertIn("media 1: audio, RTP/AVP, PCMU/8000", text)
        self.assertRegex(text, r"caller +callee +\d+ +\d+ +0 +0\.0% ")
        await alice.hang_up()

        async def over() -> Any:
            (row,) = await node.ask("calls", call_id=call["call_id"])
            return row["state"] == "ended" and row

        row = await self.until(over, "the call has ended")
        self.assertEqual([one["loss"] for one in row["streams"][0]["directions"]], [0.0, 0.0])
        self.assertIn("ended after", await node.voipctl("calls", call["call_id"]))
        assert node.program is not None, "it runs"
        await node.program.saw(
            rf"call {re.escape(call['call_id'])} .*\(bye\): audio PCMU: caller hears MOS 4"
        )
        metrics = str(await node.ask("metrics"))
        self.assertIn('voipcluster_call_mos_count{side="callee"} 1.0', metrics)
        self.assertIn('voipcluster_rtcp_round_trip_seconds_count{side="caller"}', metrics)
