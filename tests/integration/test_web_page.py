"""The web page in a real browser."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.integration.claims import ClaimTestCase
from tests.integration.run_browser import FLAGS

TO_B = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a"]')
RENDERED = "--virtual-time-budget=4000"  # ms of the page's time, which stands while it waits for the network


class ExplainTests(ClaimTestCase):
    async def test_each_hop(self) -> None:
        """
        Of each hop of a placed request the page says who the candidates were, with what workload, how old the report was, and
        why each was taken or not.
        """
        await self.start_cluster(*TO_B, nodes="ab")
        await self.start_callee(self.node("b"))
        sipp = await self.offer(["caller"])
        await self.calls_up(1)
        (call_id,) = sipp.up
        hops = await self.explain(call_id)
        self.assertEqual(
            [(hop["node"], hop["outcome"]) for hop in hops], [("a", "hand-over"), ("b", "serve")]
        )
        for node in self.cluster.nodes:
            text = await self.page(f"http://{node.address}:8080/#call={quote(call_id, safe='')}")
            first, second = text.partition("2. b: serve")[::2]
            self.assertIn("1. a: hand-over to b", first)
            self.assertIn("policy sequence", first)
            # candidate, state, workload, wait, room, age of the report, reason
            self.assertRegex(first, r"\bb open 0\.\d\d \d+ ms \S [\d.]+ s first below the threshold")
            self.assertRegex(second, r"\ba \w+ 0\.\d\d \d+ ms \S [\d.]+ s \w+")
        sipp.hang_up()
        await sipp.finished()

    async def page(self, url: str) -> str:
        """The words of a page, with a space between cells."""
        browser = self.program(
            "chromium",
            ["chromium", *FLAGS, f"--user-data-dir={self.folder / 'chromium'}", RENDERED, "--dump-dom", url],
        )
        self.assertEqual(await browser.ended(60), 0)
        dialog = browser.standard_output.partition('id="call"')[2]
        return " ".join(re.sub(r"<[^>]*>", " ", dialog).split())
