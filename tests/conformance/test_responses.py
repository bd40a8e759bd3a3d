"""Checklist D: what a proxy does with responses, Timer C, transport errors and CANCEL (RFC 3261 sections 16.7 to 16.10, 9.1)."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.embedded import TIMER_C
from tests.conformance.marks import requirement
from tests.conformance.shared_node import EmbeddedNode

ON_A_BUSY_MACHINE = 15.0  # seconds that what is due may be late


class ResponseCase(ConformanceTestCase):
    async def ringing_at(self, *users: str, q: str = "") -> tuple[Peer, Message, list[tuple[Peer, Message]]]:
        """
        A call to bob that has arrived at each of his phones.

        @param users: a name for each phone.
        @return: the caller, its INVITE; and (phone, INVITE that it got) of each.
        """
        caller = self.udp("alice")
        phones = [await self.binding("bob", q) for _ in users]
        invite = caller.invite("bob")
        caller.send(invite)
        return caller, invite, [(phone, await phone.expect("INVITE")) for phone in phones]

    async def binding(self, user: str, q: str = "") -> Peer:
        """One more phone of a user."""
        phone = self.udp(user)
        await phone.register(contact=f"<{phone.uri}>" + (f";q={q}" if q else ""))
        return phone

    async def refused(self, caller: Peer, invite: Message, *statuses: int, seconds: float = 10.0) -> Message:
        final = await caller.final(invite, seconds)
        caller.ack(invite, final)
        self.assertIn(final.status, statuses, final.start)
        return final

    async def is_cancelled(self, phone: Peer, arrived: Message, seconds: float = 10.0) -> Message:
        """A phone gets the CANCEL of the INVITE that it got, and obeys."""
        cancel = await phone.expect("CANCEL", seconds=seconds)
        phone.reply(cancel, 200)
        phone.reply(arrived, 487)
        await phone.expect("ACK")
        return cancel


class ForwardingTests(ResponseCase):
    @requirement(88)
    async def test_stray(self) -> None:
        """What belongs to no client transaction is dropped, a 2xx to INVITE too (16.7 step 1, RFC 6026 section 7.3)."""
        caller, invite, ((callee, arrived),) = await self.ringing_at("bob")
        own = arrived.values("via")[0]
        for status, via, cseq in (
            (200, own.replace(arrived.branch, "z9hG4bKneverMade"), arrived["cseq"]),
            (180, own.replace(arrived.branch, "z9hG4bKneverMade"), arrived["cseq"]),
            (200, own, f"{arrived.cseq[0]} MESSAGE"),  # the method is part of the match (17.1.3)
        ):
            stray = Message(f"SIP/2.0 {status} Stray", [("Via", via), ("Via", invite["via"])])
            stray.add("From", invite["from"]).add("To", f"{invite['to']};tag=stray").add(
                "Call-ID", invite.call_id
            )
            callee.send(stray.add("CSeq", cseq).add("Contact", f"<{callee.uri}>"))
        await caller.expect(100)
        await caller.silence()
        callee.reply(arrived, 486)
        await self.refused(caller, invite, 486)

    @requirement(89)
    async def test_own_via(self) -> None:
        """Our Via is taken off, and only ours; a response that has no other is for us and goes nowhere (16.7 step 3)."""
        caller = self.udp("alice")
        callee = await self.phone("bob")
        lower = "SIP/2.0/UDP upstream.example.net:5070;branch=z9hG4bKupstream;hidden"
        invite = caller.invite("bob").add("Via", lower)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        self.assertEqual(len(arrived.values("via")), 3)
        ours_alone = arrived.copy().set("Via", arrived.values("via")[0])
        ours_alone.answer = arrived.answer
        callee.reply(ours_alone, 180, tag="lost")
        await caller.silence(180)
        callee.reply(arrived, 183)
        progress = await caller.expect(183)
        self.assertEqual(progress.values("via"), [invite.values("via")[0], lower])
        callee.reply(ours_alone, 486)
        final = await self.refused(
            caller, invite, 502
        )  # it does end, though not with what nobody can tell whose it is
        self.assertEqual(final.values("via"), [invite.values("via")[0], lower])

    @requirement(14)
    @requirement(89)
    async def test_2xx_without_the_right_vias(self) -> None:
        """
        A 2xx for a call goes up only with our Via on top (18.1.2) and another one below (16.7 step 3).

        Without our Via it is dropped, and the right one still counts. With ours alone nobody can tell whose it is: the caller
        gets 502, no call is left here, and no copy of that 2xx goes anywhere.
        """
        caller, callee = self.udp("alice"), await self.phone("bob")
        base = await self.counts()
        for last in (200, 502):
            invite = caller.invite("bob")
            caller.send(invite)
            arrived = await callee.expect("INVITE")
            ours, theirs = arrived.values("via")
            foreign = ours.replace(f"{self.node.address}:5060", "proxy.example.com")
            for vias in ((), (theirs,), (theirs, ours), (foreign, theirs), (foreign, ours, theirs)):
                broken = arrived.copy().drop("Via")
                if vias:
                    broken.set("Via", *vias)
                broken.answer = arrived.answer
                callee.reply(broken, 200, body=callee.sdp(), tag="lost")
            await caller.silence(200)
            if last == 502:
                arrived.set("Via", ours)
            callee.reply(arrived, 200, body=callee.sdp())
            if last == 200:
                dialog = Dialog.of_caller(caller, invite, await caller.expect(200))
                dialog.ack()
                await callee.expect("ACK")
                caller.send(dialog.request("BYE"))
                callee.reply(await callee.expect("BYE"), 200)
                await caller.expect(200, "BYE")
            else:
                await self.refused(caller, invite, 502)
                callee.reply(arrived, 200, body=callee.sdp())
                await caller.silence(200)
                await callee.silence("ACK")
            self.assertEqual((await self.counts())["voipcluster_calls"], base["voipcluster_calls"])

    @requirement(90)
    async def test_provisional(self) -> None:
        """1xx go up at once and in their order, but for 100; so does the 2xx (16.7 step 5)."""
        caller, invite, ((callee, arrived),) = await self.ringing_at("bob")
        await caller.expect(100)
        callee.reply(arrived, 100)
        for status in (183, 180, 199, 180):
            callee.reply(arrived, status)
            await caller.expect(status)
        callee.reply(arrived, 200, body=callee.sdp())
        Dialog.of_caller(caller, invite, await caller.expect(200)).ack()
        await callee.expect("ACK")
        self.assertEqual([m.status for m in caller.heard], [100, 183, 180, 199, 180, 200])

    @requirement(91)
    async def test_behind_the_final_response(self) -> None:
        """Behind a final response only a 2xx to INVITE still goes up: no 1xx, no failure (16.7 step 5)."""
        caller, invite, phones = await self.ringing_at("one", "two", "three")
        (one, first), (two, second), (three, third) = phones
        for phone, arrived in phones[1:]:
            phone.reply(arrived, 180, tag="early")
            await caller.expect(180)
        one.reply(first, 200, tag="one", body=one.sdp())
        self.assertEqual((await caller.expect(200)).tag("to"), "one")
        two.reply(second, 180, tag="late")
        three.reply(third, 486, tag="late")
        await three.expect("ACK")
        await caller.expect(100)
        await caller.silence()
        two.reply(second, 200, tag="two", body=two.sdp())
        late = await caller.expect(200)
        self.assertEqual(late.tag("to"), "two")
        Dialog.of_caller(caller, invite, late).ack()
        await two.expect("ACK")

    @requirement(92)
    async def test_6xx(self) -> None:
        """It cancels all other branches, no new one is started, and it goes up when all have ended (16.7 step 5)."""
        lower = await self.binding("bob", "0.1")
        caller, invite, phones = await self.ringing_at("one", "two", q="0.9")
        (one, first), (two, second) = phones
        one.reply(first, 180)
        await caller.expect(180)
        two.reply(second, 603)
        cancel = await one.expect("CANCEL")
        one.reply(cancel, 200)
        await caller.silence(603)
        one.reply(first, 487)
        final = await self.refused(caller, invite, 603)
        self.assertEqual(final.tag("to"), "tag-bob")
        await lower.silence()

    @requirement(93)
    async def test_best_response(self) -> None:
        """6xx before all, then the lowest class, and in 4xx what tells the caller what to change (16.7 step 6)."""
        caller = self.udp("alice")
        phones = [await self.binding("bob") for _ in range(3)]
        for statuses, best in (
            ((486, 404, 503), (486, 404)), ((503, 500, 302), (302,)), ((503, 504, 503), (504,)),
            ((404, 415, 486), (415,)), ((484, 404, 500), (484,)), ((486, 480, 420), (420,)),
            ((407, 486, 404), (407,)), ((600, 302, 401), (600,)), ((500, 604, 486), (604,)),
        ):  # fmt: skip
            invite = caller.invite("bob")
            caller.send(invite)
            for phone, status in zip(phones, statuses, strict=True):
                arrived = await phone.expect("INVITE")
                more = [("Proxy-Authenticate", 'Digest realm="x", nonce="1"')] if status == 407 else []
                phone.reply(arrived, status, *more)
                await phone.expect("ACK", where=lambda m, i=invite: m.call_id == i.call_id)
            final = await self.refused(caller, invite, *best)
            self.assertEqual(final.call_id, invite.call_id)

    @requirement(95)
    async def test_503(self) -> None:
        """A 503 is not passed on: the next target is tried, and 500 told when there is none (16.7 step 6)."""
        spare = await self.binding("bob", "0.1")
        caller, invite, ((callee, arrived),) = await self.ringing_at("bob", q="0.9")
        callee.reply(arrived, 503, ("Retry-After", "3600"))
        spare.reply(await spare.expect("INVITE"), 200, body=spare.sdp())
        Dialog.of_caller(caller, invite, await caller.expect(200)).ack()
        await spare.expect("ACK")
        invite = caller.invite("bob")
        caller.send(invite)
        callee.reply(await callee.expect("INVITE"), 503, ("Retry-After", "3600"))
        spare.reply(await spare.expect("INVITE"), 503)
        final = await self.refused(caller, invite, 500)
        self.assertNotIn("retry-after", final)
        self.assertNotIn(503, [m.status for m in caller.heard])

    @requirement(96)
    async def test_challenges(self) -> None:
        """All challenges of all branches go up together, those of a branch in their order (16.7 step 7, RFC 8760 section 2.5)."""
        caller, invite, phones = await self.ringing_at("one", "two", "three")
        given = [
            (407, [("Proxy-Authenticate", f'Digest realm="p", nonce="{n}", algorithm={n}') for n in ("SHA-256", "MD5")]),
            (401, [("WWW-Authenticate", 'Digest realm="w", nonce="3"'), ("Subject", "x")]),
            (407, [("Proxy-Authenticate", 'Digest realm="q", nonce="4"')]),
        ]  # fmt: skip
        for (phone, arrived), (status, headers) in zip(phones, given, strict=True):
            phone.reply(arrived, status, *headers)
            await phone.expect("ACK")
        final = await self.refused(caller, invite, 401, 407)
        values = [value for _, headers in given for name, value in headers if name == "Proxy-Authenticate"]
        got = final.lines("proxy-authenticate")
        self.assertEqual(sorted(got), sorted(values))
        self.assertLess(got.index(values[0]), got.index(values[1]))
        self.assertEqual(final.lines("www-authenticate"), [given[1][1][0][1]])

    @requirement(97)
    async def test_record_route_of_others(self) -> None:
        """No Record-Route but our own changes, in request or response; ours is in front of others (16.7 step 8, 16.6 step 4)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        above = "<sip:up.example.net;lr;maddr=192.0.2.1;x=%22a%22>;hidden=1"
        below = "<sip:down.example.net:5099;transport=tcp;lr=on;ftag=1>"
        invite = caller.invite("bob")
        invite.headers.insert(0, ("Record-Route", above))  # above Via, as many proxies write it
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        ours = arrived.values("record-route")[:-1]
        self.assertEqual(arrived.values("record-route")[-1], above)
        seen = [below, *arrived.values("record-route")]
        arrived.set("Record-Route", *seen)
        callee.reply(arrived, 183)
        self.assertEqual((await caller.expect(183)).values("record-route"), seen)
        callee.reply(arrived, 200, body=callee.sdp())
        ok = await caller.expect(200)
        self.assertEqual(ok.values("record-route"), [below, *ours, above])

    @requirement(98)
    async def test_to_tags(self) -> None:
        """The To tag of a response is its phone's, whichever branch it came on (16.7 step 9)."""
        caller, invite, phones = await self.ringing_at("one", "two")
        for number, (phone, arrived) in enumerate(phones):
            for status in (180, 183):
                phone.reply(arrived, status, tag=f"fork-{number}")
                self.assertEqual((await caller.expect(status)).tag("to"), f"fork-{number}")
        for number, (phone, arrived) in enumerate(phones):
            phone.reply(arrived, 480, tag=f"fork-{number}")
        self.assertIn((await self.refused(caller, invite, 480)).tag("to"), ("fork-0", "fork-1"))

    @requirement(99)
    async def test_others_are_cancelled(self) -> None:
        """With the final response each branch that is open gets a CANCEL, a silent one with its first 1xx (16.7 step 10)."""
        caller, invite, phones = await self.ringing_at("one", "two", "three")
        (one, first), (two, second), (three, third) = phones
        two.reply(second, 180)
        await caller.expect(180)
        one.reply(first, 200, body=one.sdp())
        Dialog.of_caller(caller, invite, await caller.expect(200)).ack()
        await one.expect("ACK")
        await self.is_cancelled(two, second)
        await three.silence("CANCEL")
        three.reply(third, 180)
        await self.is_cancelled(three, third)
        await one.silence()
        self.assertEqual([m.status for m in caller.heard], [100, 180, 200])

    @requirement(101)
    async def test_unreachable(self) -> None:
        """A branch that cannot be sent counts as a 503: the next target is tried; alone it is no 503 upstream (16.9)."""
        caller = self.udp("alice")
        gone = await self.binding("bob", "0.9")
        await gone.close_udp()
        invite = caller.invite("bob")
        caller.send(invite)
        await self.refused(caller, invite, 480, 500)
        spare = await self.binding("bob", "0.1")
        invite = caller.invite("bob")
        caller.send(invite)
        spare.reply(await spare.expect("INVITE"), 486)
        await self.refused(caller, invite, 486)

    @requirement(101)
    async def test_caller_has_gone(self) -> None:
        """A response that cannot be sent up changes nothing: nobody hears anything of it (16.9)."""
        caller, callee, invite, arrived = await self.left_by_its_caller()
        callee.reply(arrived, 200, body=callee.sdp())
        await self.node_answers()
        waiting = self.tcp_server("alice", host=caller.host, port=5070)
        await callee.silence()
        await waiting.silence()
        callee.reply(arrived, 200, body=callee.sdp())  # nobody has acknowledged it
        ok = await waiting.expect(200)
        self.assertEqual((ok.branch, ok.tag("to")), (invite.branch, "tag-bob"))


class CancelTests(ResponseCase):
    @requirement(102)
    async def test_cancel(self) -> None:
        """It is answered 200 at once, and goes to all open branches; the INVITE ends with 487 (16.10, 9.2)."""
        caller, invite, phones = await self.ringing_at("one", "two", "three")
        for phone, arrived in phones:
            phone.reply(arrived, 180)
        (one, first), *others = phones
        one.reply(first, 480)
        await one.expect("ACK")
        cancel = caller.cancel(invite)
        ok = await caller.final(cancel)
        self.assertEqual((ok.status, ok.branch), (200, invite.branch))
        self.assertNotIn(487, [m.status for m in caller.heard])
        for phone, arrived in others:
            await self.is_cancelled(phone, arrived)
        await self.refused(caller, invite, 487)
        await one.silence()

    @requirement(102)
    async def test_no_such_call(self) -> None:
        """A CANCEL of nothing gets 481; so does one with another branch than the INVITE's (16.10, 9.2)."""
        caller, invite, ((callee, arrived),) = await self.ringing_at("bob")
        callee.reply(arrived, 180)
        await caller.expect(180)
        other = caller.invite("bob").set("Call-ID", invite.call_id).set("From", invite["from"])
        cancel = caller.cancel(other.set("CSeq", invite["cseq"]))
        self.assertEqual((await caller.final(cancel)).status, 481)
        await callee.silence()
        callee.reply(arrived, 486)
        await self.refused(caller, invite, 486)

    @requirement(103)
    async def test_waits_for_a_provisional_response(self) -> None:
        """Nothing is cancelled where nothing was heard yet: CANCEL follows the first 1xx, also a 100 (9.1)."""
        for status in (100, 180):
            caller, invite, ((callee, arrived),) = await self.ringing_at("bob")
            cancel = caller.cancel(invite)
            self.assertEqual((await caller.final(cancel)).status, 200)
            await callee.silence("CANCEL")
            callee.reply(arrived, status)
            await self.is_cancelled(callee, arrived)
            await self.refused(caller, invite, 487)
            await callee.silence("CANCEL")
            await self.unregister("bob")

    @requirement(104)
    async def test_what_a_cancel_says(self) -> None:
        """It is the INVITE of that hop once more: Request-URI, Via alone, From, To, Call-ID, CSeq number, Route (9.1)."""
        caller, callee = self.udp("alice"), self.udp("bob")
        path = "<sip:edge.example.net;lr;x=1>"
        await callee.register(("Path", f"<sip:{callee.where};lr>, {path}"), ("Supported", "path"))
        invite = caller.invite("bob", ("Require", "x"), ("Priority", "urgent"))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        self.assertEqual(arrived.values("route"), [f"<sip:{callee.where};lr>", path])
        callee.reply(arrived, 180)
        await caller.expect(180)
        caller.cancel(invite)
        cancel = await self.is_cancelled(callee, arrived)
        self.assertEqual(cancel.uri, arrived.uri)
        self.assertEqual(cancel.values("via"), arrived.values("via")[:1])
        for name in ("from", "to", "call-id"):
            self.assertEqual(cancel[name], arrived[name])
        self.assertEqual(cancel.cseq, (arrived.cseq[0], "CANCEL"))
        self.assertEqual(cancel.values("route"), arrived.values("route"))
        for name in ("require", "proxy-require", "contact", "content-type"):
            self.assertNotIn(name, cancel)
        await self.refused(caller, invite, 487)


class SilenceTests(ResponseCase):
    options = ("--set", "sip.t1=0.02")  # 64*T1 are 1.3 s

    @requirement(94)
    async def test_nobody_answers(self) -> None:
        """When no branch brought a final response it is 408, also when one of several was heard (16.7 step 6)."""
        caller, invite, _ = await self.ringing_at("one", "two")
        final = await self.refused(caller, invite, 408, seconds=1.3 + ON_A_BUSY_MACHINE)
        self.assertTrue(final.tag("to"))


class TimerCTests(ResponseCase):
    """At a node whose Timer C is short."""

    node_kind = EmbeddedNode

    @requirement(100)
    async def test_timer_c(self) -> None:
        """A branch that rings for too long is cancelled; each 1xx but 100 sets the time anew (16.8, 16.7 step 2)."""
        caller, invite, ((callee, arrived),) = await self.ringing_at("bob")
        callee.reply(arrived, 180)
        await caller.expect(180)
        early = 0.4 * TIMER_C
        await self.hold(early, lambda: not callee.inbox, "it may ring")
        callee.reply(arrived, 180)
        ringing = await caller.expect(180)
        cancel = await self.is_cancelled(callee, arrived, TIMER_C + ON_A_BUSY_MACHINE)
        self.assertGreater(cancel.at - ringing.at, TIMER_C - 0.1)
        await self.refused(caller, invite, 408, 487)

    @requirement(100)
    async def test_timer_c_of_a_fork(self) -> None:
        """Each branch of a fork has a Timer C of its own (16.6 step 11, 16.8)."""
        caller, invite, phones = await self.ringing_at("one", "two")
        (one, first), (two, second) = phones
        for phone, arrived in phones:
            phone.reply(arrived, 180)
            await caller.expect(180)
        await self.hold(0.4 * TIMER_C, lambda: not one.inbox, "it may ring")
        one.reply(first, 180)
        ringing = await caller.expect(180)
        earlier = await self.is_cancelled(two, second, TIMER_C + ON_A_BUSY_MACHINE)
        later = await self.is_cancelled(one, first, TIMER_C + ON_A_BUSY_MACHINE)
        self.assertLess(earlier.at, later.at)
        self.assertGreater(later.at - ringing.at, TIMER_C - 0.1)
        await self.refused(caller, invite, 408, 487)

    @requirement(100)
    async def test_no_provisional_response(self) -> None:
        """A branch that was not heard of is treated as if it had answered 408, without CANCEL (16.8)."""
        caller, invite, ((callee, _),) = await self.ringing_at("bob")
        await self.refused(caller, invite, 408, seconds=TIMER_C + ON_A_BUSY_MACHINE)
        await callee.silence("CANCEL")
