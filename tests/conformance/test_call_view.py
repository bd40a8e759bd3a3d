"""The web page's view of one call, in a real browser."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.conformance.flow_case import Talk
from tests.conformance.test_call_quality import NTP, CallQualityCase
from tests.integration.run_page import Page
from tests.rtcp_packets import block, receiver_report, sender_report

HOSTILE = "<img src=x onerror=document.title=1>"


class CallViewTests(CallQualityCase):
    options = (*CallQualityCase.options, "--set", "web.port=8080")

    async def told(self, page: Page, element: str) -> str:
        return str(await page.run(f"document.getElementById({json.dumps(element)}).textContent"))

    async def reported(self, talk: Talk) -> None:
        """A report of each side, and a second one 10 % worse of the callee."""
        for of_caller in (True, False):
            await self.report(talk, sender_report(1 + of_caller, NTP), of_caller=of_caller)
        for of_caller, lost, highest in ((True, 0, 250), (False, 0, 250), (False, 25, 500)):
            told = block(2 - of_caller, fraction=lost and 26, lost=lost, highest=highest, last=0xB7052000)
            await self.report(talk, receiver_report(1 + of_caller, told), of_caller=of_caller)

    async def test_what_was_said(self) -> None:
        """
        The ladder of a call: an outline before anybody traces, then an arrow for each message, live without a reload; and what
        came from the network is text.
        """
        caller, callee = self.udp("alice"), await self.phone("bob")
        await self.node.ask("trace-on", user="bob", address=None, call_id=None, all=False, seconds=60)
        talk = await self.talk(caller, callee)
        page = Page(self.reactor)
        self.at_end(page.close)
        await page.open(f"http://{self.node.address}:8080/")
        await self.until(lambda: page.run("!!document.querySelector('#calls button')"), "the call is listed")
        await page.run(f"openCall({json.dumps(talk.invite.call_id)}).then(() => true)")
        await self.until(
            lambda: page.run("document.querySelectorAll('#call-ladder .step').length >= 6"), "it is drawn"
        )
        text = await self.told(page, "call-ladder")
        for part in (
            "INVITE UDP",
            "180 Whatever",
            "200 Whatever",
            "ACK",
            f"node {self.node.name}",
            "INVITE from sip:alice",
            "answered",
        ):
            self.assertIn(part, text)
        self.assertNotIn("BYE", text)
        await self.hangs_up(talk.caller, talk.callee)
        bye = "document.getElementById('call-ladder').textContent.includes('ended by BYE')"
        await self.until(lambda: page.run(bye), "the end is drawn, too")
        self.assertIn("BYE UDP", await self.told(page, "call-ladder"))
        if folder := os.environ.get("SCREENSHOTS"):
            await page.run("document.getElementById('call-ladder').scrollIntoView()")
            await page.screenshot(Path(folder) / "ladder.png")

        step = {"at": 1.0, "after": 0.0, "from": 0, "to": 1, "repeat": True, "unseen": False}
        words = dict.fromkeys(("transport", "label", "cseq"), HOSTILE)
        trace = {
            "participants": [{"name": HOSTILE, "node": False}, {"name": HOSTILE, "node": True}],
            "steps": [{**step, **words}, {**step, **words, "to": 0}],
            "events": [{"at": 1.0, "after": 0.0, "node": HOSTILE, "text": HOSTILE}],
            "silent": [HOSTILE],
        }
        seen = "[document.getElementById('call-ladder').textContent, document.querySelectorAll('#call-ladder img').length]"
        # at once, since the page asks again each second
        text, images = await page.run(f"Ladder.show({json.dumps(trace)}); {seen}")
        self.assertGreaterEqual(text.count("<img src=x"), 8)
        self.assertEqual(images, 0)
        await self.node.ask("trace-off", forget=True)

    async def test_a_call_is_clicked_on(self) -> None:
        """Streams, figures and their course of a call, text of strangers as text, and what is left when it has ended."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        talk = await self.talk(caller, callee)
        await self.reported(talk)
        page = Page(self.reactor)
        self.at_end(page.close)
        await page.open(f"http://{self.node.address}:8080/")
        await self.until(lambda: page.run("!!document.querySelector('#calls button')"), "the call is listed")
        await page.run("document.querySelector('#calls button').click()")
        await self.until(lambda: page.run("!!document.querySelector('#call-media td')"), "its media is shown")
        text = await self.told(page, "call-media")
        for part in (
            "audio, RTP/AVP, PCMU/8000",
            "from end to end and back",
            "caller",
            "callee",
            "10.0 %",
            "0.0 %",
        ):
            self.assertIn(part, text)
        self.assertIn(talk.invite.call_id, await self.told(page, "call-id"))
        await self.until(lambda: page.run("!!document.querySelector('#call-hops h3')"), "why this node")
        [row] = await self.node.ask("calls", call_id=talk.invite.call_id)
        # two reports that were read in the same moment are one point
        points = {
            way["to"]: len({one["at"] for one in way["course"]}) for way in row["streams"][0]["directions"]
        }
        expected = [
            [f"{side} {what}", points[side]]
            for side in ("callee", "caller")
            for what in ("hears, MOS", "lost, %")
        ]
        # a browser that has to wait for the processor draws later than it writes
        drawn = (
            "courseChart && courseChart.uplot && courseChart.uplot.series.slice(1).map("
            "(one, at) => [one.label, courseChart.uplot.data[at + 1].filter((y) => typeof y === 'number').length])"
        )

        async def is_drawn() -> bool:
            return await page.run(drawn) == expected

        await self.until(is_drawn, f"the course is drawn: {expected}")
        if folder := os.environ.get("SCREENSHOTS"):
            await page.screenshot(Path(folder) / "call.png")
        await self.hangs_up(talk.caller, talk.callee)
        ended = "document.getElementById('call-facts').textContent.includes('ended after')"
        await self.until(lambda: page.run(ended), "its end is shown")
        row = dict.fromkeys(("kind", "protocol", "codec", "trouble", "missing"), HOSTILE)
        call = {
            "from": HOSTILE,
            "reason": HOSTILE,
            "state": "ended",
            "streams": [{**row, "directions": [{"from": HOSTILE}]}],
        }
        seen = "[document.getElementById('call').textContent, document.querySelectorAll('#call img').length]"
        # at once, since the page asks again each second
        text, images = await page.run(f"showCall({json.dumps(call)}); {seen}")
        self.assertGreaterEqual(text.count(HOSTILE), 6)
        self.assertEqual(images, 0)
