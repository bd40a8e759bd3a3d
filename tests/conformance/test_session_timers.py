"""Checklist G: session timers at a proxy (RFC 4028 section 8)."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Dialog, Message
from tests.conformance.marks import requirement

TIMER = ("Supported", "timer")


class SessionCase(ConformanceTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.caller, self.callee = self.udp("alice"), await self.phone("bob")

    async def arrives(self, *headers: tuple[str, str]) -> Message:
        """An INVITE with these headers as it reaches the callee, who is busy."""
        caller, callee = self.caller, self.callee
        invite = caller.invite("bob", *headers)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 486)
        caller.ack(invite, await caller.final(invite))
        return arrived

    async def answered(
        self, answer: tuple[tuple[str, str], ...], *headers: tuple[str, str]
    ) -> tuple[Message, Dialog, Dialog]:
        """What the caller gets when the callee takes the call with C{answer}; the sides of the dialog."""
        caller, callee = self.caller, self.callee
        invite = caller.invite("bob", *headers)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        given = callee.reply(arrived, 200, *answer, body=callee.sdp())
        ok = await caller.expect(200, "INVITE")
        ours = Dialog.of_caller(caller, invite, ok)
        ours.ack()
        await callee.expect("ACK")
        return ok, ours, Dialog.of_callee(callee, arrived, given)

    async def hang_up(self, ours: Dialog, theirs: Dialog) -> None:
        caller, callee = ours.peer, theirs.peer
        caller.send(ours.request("BYE"))
        callee.reply(await callee.expect("BYE"), 200)
        await caller.expect(200, "BYE")


class NothingWantedTests(SessionCase):
    @requirement(135)
    async def test_untouched(self) -> None:
        """A proxy that wants nothing changes nothing, and adds nothing (8.1)."""
        arrived = await self.arrives(TIMER)
        self.assertNotIn("session-expires", arrived)
        self.assertNotIn("min-se", arrived)
        for name in ("Session-Expires", "x"):
            arrived = await self.arrives(TIMER, (name, "90;refresher=uas"), ("Min-SE", "90"))
            self.assertEqual(arrived.lines("session-expires"), ["90;refresher=uas"])
            self.assertEqual(arrived.lines("min-se"), ["90"])

    @requirement(135)
    async def test_below_its_own_minimum(self) -> None:
        """An interval below the Min-SE of its own request becomes equal to that, whoever sent it; the refresher stays (8.1)."""
        for supported in (("Supported", "timer"), ("Supported", "100rel")):
            arrived = await self.arrives(
                supported, ("Session-Expires", "120;refresher=uac"), ("Min-SE", "200")
            )
            self.assertEqual(arrived.lines("session-expires"), ["200;refresher=uac"])
            self.assertEqual(arrived.lines("min-se"), ["200"])

    @requirement(137)
    async def test_answer_stays(self) -> None:
        """Session-Expires of a 2xx is never changed; none is added when nobody asked, or to a caller without timers (8.2)."""
        for answer, headers in (
            ((("Require", "timer"), ("Session-Expires", "500;refresher=uas")), (TIMER,)),
            ((("Session-Expires", "500;refresher=uac"),), (TIMER, ("Session-Expires", "800"))),
            ((), (TIMER,)),
            ((), (("Session-Expires", "800"),)),
        ):
            ok, ours, theirs = await self.answered(answer, *headers)
            for name in ("session-expires", "require"):
                self.assertEqual(
                    ok.lines(name), [value for header, value in answer if header.lower() == name], headers
                )
            await self.hang_up(ours, theirs)


class WantedTests(SessionCase):
    options = ("--set", "sip.session_expires=600", "--set", "sip.min_session_expires=300")

    @requirement(135)
    async def test_asked_for(self) -> None:
        """Where nobody asks, the proxy does, without a refresher, and not for less than Min-SE (8.1)."""
        self.assertEqual((await self.arrives()).lines("session-expires"), ["600"])
        arrived = await self.arrives(TIMER, ("Min-SE", "700"))
        self.assertEqual((arrived.lines("session-expires"), arrived.lines("min-se")), (["700"], ["700"]))

    @requirement(135)
    async def test_lowered(self) -> None:
        """It may get shorter, but not shorter than Min-SE; what is short enough stays (8.1)."""
        for sent, minimum, arrives in (
            ("1800;refresher=uas", "", "600;refresher=uas"),
            ("1800", "900", "900"),
            ("1800", "1800", "1800"),
            ("400;refresher=uac", "", "400;refresher=uac"),
        ):
            headers = [TIMER, ("Session-Expires", sent), *([("Min-SE", minimum)] if minimum else [])]
            arrived = await self.arrives(*headers)
            self.assertEqual(arrived.lines("session-expires"), [arrives], headers)
            self.assertEqual(arrived.lines("min-se"), [minimum] if minimum else [])

    @requirement(136)
    async def test_too_small(self) -> None:
        """Too small an interval of a caller with timers is 422 with our Min-SE; nothing reaches the callee (8.1)."""
        caller, callee = self.caller, self.callee
        for minimum in ((), (("Min-SE", "90"),)):
            invite = caller.invite("bob", TIMER, ("Session-Expires", "299"), *minimum)
            response = await caller.exchange(invite)
            self.assertEqual((response.status, response.lines("min-se")), (422, ["300"]))
        await callee.silence()
        base = await self.counts()
        self.assertEqual(base["voipcluster_calls"], 0)

    @requirement(136)
    async def test_too_small_without_support(self) -> None:
        """Of one without timers Min-SE and the interval are raised, so that the callee does not refuse it in vain (8.1)."""
        for minimum in ((), (("Min-SE", "100"),)):
            arrived = await self.arrives(("Session-Expires", "120"), *minimum)
            self.assertEqual(arrived.lines("min-se"), ["300"])
            self.assertEqual(arrived.lines("session-expires"), ["300"])

    @requirement(136)
    async def test_refresh_too_small(self) -> None:
        """The same within a dialog, for INVITE and UPDATE from either side (7.4, 8.1)."""
        _, ours, theirs = await self.answered(())
        for side, other in ((ours, theirs), (theirs, ours)):
            for method in ("INVITE", "UPDATE"):
                request = side.request(method, TIMER, ("Session-Expires", "200"))
                if method == "INVITE":
                    request.add("Contact", f"<{side.peer.uri}>")
                response = await side.peer.exchange(request)
                self.assertEqual((response.status, response.lines("min-se")), (422, ["300"]), method)
            await other.peer.silence("UPDATE")
        await self.hang_up(ours, theirs)

    @requirement(137)
    async def test_callee_without_timers(self) -> None:
        """A caller with timers whose callee has none is made the refresher, also with each copy of the 2xx (8.2)."""
        caller, callee = self.caller, self.callee
        invite = caller.invite("bob", TIMER, ("Session-Expires", "1800"))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        for _ in range(2):
            answer = callee.reply(arrived, 200, ("Require", "x-other"), body=callee.sdp())
            ok = await caller.expect(200, "INVITE")
            self.assertEqual(ok.lines("session-expires"), ["600;refresher=uac"])
            self.assertEqual(sorted(ok.values("require")), ["timer", "x-other"])
        ours = Dialog.of_caller(caller, invite, ok)
        ours.ack()
        await callee.expect("ACK")
        for method in ("UPDATE", "INVITE"):
            refresh = ours.request(method, TIMER, ("Session-Expires", "600;refresher=uac"))
            refresh.add("Contact", f"<{caller.uri}>")
            caller.send(refresh)
            request = await callee.expect(method)
            self.assertEqual(request.lines("session-expires"), ["600;refresher=uac"])
            callee.reply(request, 200)
            ok = await caller.final(refresh)
            self.assertEqual(ok.lines("session-expires"), ["600;refresher=uac"])
        (shown,) = await self.node.ask("calls", call_id=invite.call_id)
        self.assertGreater(shown["session"], 590.0)
        self.assertLessEqual(shown["session"], 600.0)
        ours.ack()
        await self.hang_up(ours, Dialog.of_callee(callee, arrived, answer))

    @requirement(137)
    async def test_nobody_has_timers(self) -> None:
        """When neither has timers nothing is added: the session does not end by itself (8.2)."""
        ok, ours, theirs = await self.answered(())
        self.assertNotIn("session-expires", ok)
        self.assertNotIn("require", ok)
        await self.hang_up(ours, theirs)
