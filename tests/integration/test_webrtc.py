"""WebRTC through the relay: JsSIP in Chromium, with ICE, DTLS and BUNDLE, and what it hears and sees."""

from __future__ import annotations

from typing import Any

from tests.integration.harness import ClusterTestCase
from tests.integration.run_browser import Browser


class BrowserTests(ClusterTestCase):
    async def start(self, *options: str, **phones: dict[str, Any]) -> Browser:
        browser = Browser(self.reactor, self.address(100))
        await self.start_cluster("--set", f'websocket.origins=["{browser.origin}"]', *options, nodes="a")
        await self.add_users("alice", "bob", "carol")
        self.at_end(browser.stop)
        self._programs.append(await browser.start())
        url = f"ws://{self.primary.address}:8080/sip"
        for phone, more in phones.items():
            browser.tell(
                phone, "register", url=url, domain="example.com", password=self.passwords[phone], **more
            )
        await self.until(
            lambda: all(browser.said(phone, "registered") for phone in phones), "all are registered", 40
        )
        await self.reachable(*phones)
        return browser

    async def happens(self, browser: Browser, since: int, event: str, *phones: str) -> None:
        for phone in phones:
            await self.until(
                lambda phone=phone: browser.said(phone, event, since) or browser.said(phone, "failed", since),
                f"{event} at {phone}",
            )
            self.assertIsNone(browser.said(phone, "failed", since), browser.events)

    async def sees(self, browser: Browser, phone: str) -> dict[str, Any]:
        since = len(browser.events)
        browser.tell(phone, "look")
        seen = await self.until(lambda: browser.said(phone, "seen", since), f"{phone} looks")
        return dict(seen)

    async def hears(self, browser: Browser, phone: str, hz: int) -> dict[str, Any]:
        async def heard() -> dict[str, Any] | None:
            seen = await self.sees(browser, phone)
            return seen if abs(seen["hz"] - hz) < 15 else None

        return dict(await self.until(heard, f"{phone} hears {hz} Hz"))

    async def sees_more(self, browser: Browser, phone: str) -> dict[str, Any]:
        """Frames of video go on coming, and the phone reports on them."""
        before = await self.sees(browser, phone)

        async def more() -> dict[str, Any] | None:
            seen = await self.sees(browser, phone)
            return seen if seen.get("frames", 0) > before.get("frames", 0) + 5 else None

        return dict(await self.until(more, f"{phone} sees the other one"))

    async def test_browsers(self) -> None:
        """
        Two browsers hear and see each other through the relay alone, in one BUNDLE group, after an ICE restart and a hold.
        """
        video = {"video": "yes"}
        browser = await self.start(alice={"hz": 500} | video, bob={"hz": 900} | video)
        since = len(browser.events)
        browser.tell("alice", "call", to="sip:bob@example.com")
        await self.happens(browser, since, "confirmed", "alice", "bob")
        await self.both_hear(browser)
        for phone in ("alice", "bob"):
            seen = await self.sees_more(browser, phone)
            self.assertTrue(seen["remote"].startswith(f"{self.primary.address}:"), seen)
        [row] = await self.primary.ask("calls", call_id=None)
        [call] = await self.primary.ask("calls", call_id=row["call_id"])
        self.assertEqual(len(call["streams"]), 1, "one transport for both lines")
        browser.tell("alice", "restartIce")
        await self.happens(browser, since, "restarted", "alice")
        await self.both_hear(browser)
        browser.tell("alice", "hold")
        await self.happens(browser, since, "held", "alice")
        await self.hears(browser, "bob", 0)
        browser.tell("alice", "resume")
        await self.happens(browser, since, "resumed", "alice")
        await self.both_hear(browser)
        await self.sees_more(browser, "bob")
        browser.tell("alice", "hangUp")
        await self.happens(browser, since, "ended", "bob")

    async def both_hear(self, browser: Browser) -> None:
        await self.hears(browser, "alice", 900)
        await self.hears(browser, "bob", 500)

    async def test_browser_and_phone(self) -> None:
        """
        A browser and baresip, which has DTLS-SRTP but neither ICE nor one port for RTP and RTCP, hear each other, whoever calls.
        """
        browser = await self.start(alice={"hz": 500})
        carol = await self.baresip("carol", hz=1200, answer=True, encryption="dtls_srtp")
        await self.reachable("carol")
        since = len(browser.events)
        browser.tell("alice", "call", to="sip:carol@example.com")
        await self.happens(browser, since, "confirmed", "alice")
        await self.hears(browser, "alice", 1200)
        await self.until(lambda: carol.hears() == 500, "baresip hears the browser")
        browser.tell("alice", "hangUp")
        await self.happens(browser, since, "ended", "alice")
        since = len(browser.events)
        await carol.dial("sip:alice@example.com")
        await self.happens(browser, since, "confirmed", "alice")
        await self.hears(browser, "alice", 1200)
        await self.until(lambda: carol.hears() == 500, "baresip hears the browser")
        await carol.hang_up()
        await self.happens(browser, since, "ended", "alice")
