"""What takes minutes of real time, for these times may not be set to less: all of it at once."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Dialog
from tests.conformance.marks import requirement

TIMER = ("Supported", "timer")
SESSION = 90.0  # seconds, the shortest that RFC 4028 section 4 allows
TIMER_C = 185.0  # seconds, the default; more than three minutes


class MinutesTests(ConformanceTestCase):
    timeout = 260
    options = (
        "--set",
        "media.timeout=3600",
    )  # so that nothing but the session timer ends a call without media

    @requirement(77)
    @requirement(138)
    async def test_session_and_timer_c(self) -> None:
        """
        A session that nobody refreshes gives its call and ports back after its interval, and no BYE is sent (RFC 4028 8.3).
        One that is refreshed stays. A call that rings gets its CANCEL after more than three minutes (RFC 3261 16.6 step 11).
        """
        base = await self.counts()
        begin = self.reactor.seconds()
        ringing, called = self.udp("dave"), await self.phone("carol")
        invite = ringing.invite("carol")
        ringing.send(invite)
        waiting = await called.expect("INVITE")
        called.reply(waiting, 180)
        await ringing.expect(180)

        callers, callee = [self.udp("alice"), self.udp("eve")], await self.phone("bob")
        sides = []
        for caller in callers:
            request = caller.invite("bob", TIMER, ("Session-Expires", "90;refresher=uac"))
            caller.send(request)
            arrived = await callee.expect("INVITE")
            callee.reply(
                arrived, 200, ("Require", "timer"), ("Session-Expires", "90;refresher=uac"), body=callee.sdp()
            )
            side = Dialog.of_caller(caller, request, await caller.expect(200, "INVITE"))
            side.ack()
            await callee.expect("ACK")
            sides.append(side)
        answered = self.reactor.seconds()
        counts = await self.counts()
        self.assertEqual(counts["voipcluster_calls"], base["voipcluster_calls"] + 3)

        async def after(seconds: float) -> None:
            await self.until(
                lambda: self.reactor.seconds() >= answered + seconds, f"{seconds} s pass", seconds + 5
            )

        await after(SESSION / 2)
        refresh = sides[1].request("UPDATE", TIMER, ("Session-Expires", "90;refresher=uac"))
        callers[1].send(refresh)
        callee.reply(
            await callee.expect("UPDATE"), 200, ("Require", "timer"), ("Session-Expires", "90;refresher=uac")
        )
        await callers[1].final(refresh)
        await after(SESSION - 5)
        self.assertEqual((await self.counts())["voipcluster_calls"], base["voipcluster_calls"] + 3)
        await after(SESSION + 3)
        counts = await self.counts()
        self.assertEqual(counts["voipcluster_calls"], base["voipcluster_calls"] + 2)
        self.assertEqual(counts["voipcluster_media_streams"], base["voipcluster_media_streams"] + 2)
        await after(SESSION * 1.5 + 3)
        counts = await self.counts()
        self.assertEqual(counts["voipcluster_calls"], base["voipcluster_calls"] + 1)
        self.assertEqual([m for peer in (*callers, callee) for m in peer.heard if m.method == "BYE"], [])

        cancel = await called.expect("CANCEL", seconds=TIMER_C)
        self.assertGreater(cancel.at - begin, 180.0)
        self.assertLess(cancel.at - begin, TIMER_C + 3)
        called.reply(cancel, 200)
        called.reply(waiting, 487)
        final = await ringing.final(invite)
        self.assertIn(final.status, (408, 487))
        ringing.ack(invite, final)
        free = "voipcluster_media_ports_free"

        async def freed() -> bool:
            return (await self.counts())[free] >= base[free]

        await self.until(freed, "the ports are free again", 15.0)
