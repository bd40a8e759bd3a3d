"""Checklist E: transactions and their timers (RFC 3261 section 17, RFC 6026)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from tests.conformance.case import ConformanceTestCase, Dialog, Message
from tests.conformance.marks import requirement

T1 = 0.1  # seconds at the node with fast timers
TICK = 0.05  # seconds that a timer of the node may be late on an idle machine
LATE = 2.0  # seconds that it may be on a busy one


def methods(messages: Sequence[Message]) -> list[str]:
    return [message.method or str(message.status) for message in messages]


class TransactionTests(ConformanceTestCase):
    """With standard timers: what happens at once."""

    @requirement(105)
    async def test_trying(self) -> None:
        """An INVITE whose callee says nothing gets a 100 within 200 ms, from the node (17.2.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        watch = self.stopwatch()
        caller.send(caller.invite("bob"))
        await caller.expect(100)
        self.assertLess(watch.seconds, 0.2 + LATE)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 100)
        callee.reply(arrived, 486)
        await caller.expect(486)
        self.assertEqual(
            [m.status for m in caller.heard], [100, 486]
        )  # that of the callee ends here (16.7 step 5)

    @requirement(108, 112)
    async def test_ack_for_a_failure(self) -> None:
        """
        The ACK for a failure is made by the node: its own Via alone, with the branch of its INVITE (17.1.1.3); that of the
        caller ends at the node (17.2.1).
        """
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        refusal = callee.reply(arrived, 486, tag="busy")
        ack = await callee.expect("ACK")
        self.assertEqual(ack.values("via"), arrived.values("via")[:1])
        self.assertEqual(ack["to"], refusal["to"])
        self.assertEqual((ack.uri, ack["from"], ack.call_id), (arrived.uri, arrived["from"], arrived.call_id))
        self.assertEqual(ack.cseq, (arrived.cseq[0], "ACK"))
        self.assertEqual(ack.lines("route"), arrived.lines("route"))
        caller.ack(invite, await caller.expect(486))
        await callee.silence()

    @requirement(113)
    async def test_copies(self) -> None:
        """A copy of a request gets the last response once more, and nothing before there is one (17.2.2)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        request = caller.request("MESSAGE", "bob")
        caller.send(request)
        arrived = await callee.expect("MESSAGE")
        caller.send(request)
        await caller.silence()
        callee.reply(arrived, 202)
        first = await caller.final(request)
        caller.send(request)
        self.assertEqual((await caller.final(request)).raw, first.raw)
        await callee.silence("MESSAGE")

    @requirement(114)
    async def test_matching(self) -> None:
        """Branch, sent-by and method say which transaction it is (17.2.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        request = caller.request("MESSAGE", "bob")
        other_host = request.copy().set("Via", request["via"].replace(caller.host, "pc.example.com"))
        other_branch = request.copy().set("Via", request["via"] + "x")
        other_method = request.copy().set("CSeq", f"{request.cseq[0]} INFO")
        other_method.start = request.start.replace("MESSAGE", "INFO")
        for sent in (request, other_host, other_branch, other_method):
            caller.send(sent)
            caller.send(sent)
        for method in ("MESSAGE", "MESSAGE", "MESSAGE", "INFO"):
            callee.reply(await callee.expect(method), 200)
        await callee.silence()

    @requirement(114)
    async def test_rfc2543(self) -> None:
        """Without the cookie the whole request says it: Request-URI, tags, Call-ID, CSeq, Via (17.2.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for via in (
            f"SIP/2.0/UDP {caller.where}",
            f"SIP/2.0/UDP {caller.where};branch=1",
            f"SIP/2.0/UDP {caller.where};branch=z9hG4bK",
        ):
            invite = caller.invite("bob").set("Via", via)
            again = caller.invite("bob").set("Via", via)  # another call, though with the same branch
            for sent in (invite, invite, again, again):
                caller.send(sent)
            for sent in (invite, again):
                arrived = await callee.expect("INVITE", where=lambda m, s=sent: m.call_id == s.call_id)
                callee.reply(arrived, 486)
                refusal = await caller.final(sent)
                caller.ack(sent, refusal)
                await callee.expect("ACK", where=lambda m, s=sent: m.call_id == s.call_id)
            await callee.silence()
            await self.node_answers()

    @requirement(115)
    async def test_copy_of_an_accepted_invite(self) -> None:
        """A late copy of an INVITE makes no second call; only the callee repeats its 2xx (RFC 6026 section 7.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 200, body=callee.sdp())
        ok = await caller.expect(200)
        caller.send(invite)
        await callee.silence("INVITE")
        await caller.silence(200)
        callee.reply(arrived, 200, body=callee.sdp())
        self.assertEqual((await caller.expect(200)).tag("to"), ok.tag("to"))
        dialog = Dialog.of_caller(caller, invite, ok)
        dialog.ack()
        await callee.expect("ACK")
        caller.send(invite)
        await callee.silence()

    @requirement(116)
    async def test_two_callees_accept(self) -> None:
        """Each 2xx of a fork goes up, also one that comes behind another (RFC 6026 section 7.2)."""
        caller, one, two = self.udp("alice"), await self.phone("bob"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        first, second = await one.expect("INVITE"), await two.expect("INVITE")
        one.reply(first, 200, tag="one", body=one.sdp())
        self.assertEqual((await caller.expect(200)).tag("to"), "one")
        two.reply(second, 200, tag="two", body=two.sdp())
        late = await caller.expect(200)
        self.assertEqual(late.tag("to"), "two")
        two.reply(second, 200, tag="two", body=two.sdp())
        await caller.expect(200, where=lambda m: m.tag("to") == "two")
        Dialog.of_caller(caller, invite, late).ack()
        self.assertEqual((await two.expect("ACK")).tag("to"), "two")

    @requirement(117)
    async def test_response_that_cannot_be_sent(self) -> None:
        """A caller that has gone when its answer comes gets it when it asks again (RFC 6026 section 6)."""
        caller, callee, invite, arrived = await self.left_by_its_caller()
        callee.reply(arrived, 486)
        await callee.expect("ACK")
        await self.node_answers()  # and has tried to open a connection to port 5070, where nobody was
        waiting = self.tcp_server("alice", host=caller.host, port=5070)
        await caller.connect()
        caller.send(invite)
        refusal = await waiting.expect(486)
        self.assertEqual(refusal.branch, invite.branch)
        await callee.silence()
        caller.ack(invite, refusal)

    @requirement(119)
    async def test_ack_for_a_2xx(self) -> None:
        """The ACK for a 2xx is a request of its own: along the route set, with another branch, never answered (13.2.2.4)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 200, body=callee.sdp())
        await caller.expect(100)
        dialog = Dialog.of_caller(caller, invite, await caller.expect(200))
        branches = {arrived.branch}
        for _ in range(2):  # a repeated one passes like the first
            sent = dialog.ack()
            ack = await callee.expect("ACK")
            self.assertEqual(len(ack.values("via")), 2)
            self.assertNotIn(ack.branch, branches)
            self.assertEqual((ack.uri, ack.cseq, ack.tag("to")), (callee.uri, sent.cseq, "tag-bob"))
            self.assertNotIn("route", ack)
            branches.add(ack.branch)
        await caller.silence()


class TimerTests(ConformanceTestCase):
    """With fast timers: T1 is 0.1 s, T2 0.8 s, T4 1 s, and 64*T1 are 6.4 s."""

    options = ("--set", f"sip.t1={T1}")

    def assert_times(self, messages: Sequence[Message], intervals: Sequence[float], since: float) -> None:
        """
        The times between messages: not shorter, and longer only by what a busy machine needs.

        @param since: when the first of them was caused; for the lower bound they are added up from then on, because a message
            that we read late makes the time behind it short.
        """
        got = [round(b.at - a.at, 3) for a, b in pairwise(messages)]
        self.assertEqual(len(got), len(intervals), got)
        for message, measured, wanted, due in zip(
            messages[1:], got, intervals, accumulate(intervals), strict=True
        ):
            self.assertGreater(message.at - since, due - TICK - 0.03, got)
            self.assertLess(measured, wanted + LATE, got)

    @requirement(106, 118)
    async def test_invite_repeats(self) -> None:
        """INVITE over UDP is repeated after T1, 2*T1, 4*T1 ..., and given up at 64*T1: 408 (17.1.1.2, 16.8)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        begun = self.reactor.seconds()
        caller.send(invite)
        answer = await caller.final(invite, 64 * T1 + 20)
        self.assertEqual(answer.status, 408)
        copies = [m for m in callee.heard if m.method == "INVITE"]
        self.assert_times(copies[:6], [T1 * factor for factor in (1, 2, 4, 8, 16)], begun)
        self.assertLessEqual(len(copies), 7)  # the last one is due 0.1 s before the end
        self.assertEqual(len({copy.raw for copy in copies}), 1)
        self.assertGreater(answer.at - begun, 64 * T1 - TICK)
        caller.ack(invite, answer)

    @requirement(107, 118)
    async def test_nothing_repeats_over_tcp(self) -> None:
        """Over TCP a request is sent once (17.1.1.2 and 17.1.2.2)."""
        caller, callee = self.udp("alice"), await self.tcp("bob")
        await callee.register()
        invite, message = caller.invite("bob"), caller.request("MESSAGE", "bob")
        caller.send(invite)
        caller.send(message)
        answer = await caller.final(invite, 64 * T1 + 20)
        self.assertEqual(answer.status, 408)
        self.assertEqual(sorted(m.method for m in callee.heard if m.method), ["INVITE", "MESSAGE"])
        caller.ack(invite, answer)

    @requirement(109)
    async def test_repeated_failures(self) -> None:
        """Each copy of a failure gets an ACK of its own, until Timer D has passed (17.1.1.2)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 486)
        caller.ack(invite, await caller.expect(486))
        acks = [await callee.expect("ACK")]
        for wait in (0.0, 0.0, 1.0, 4.5):
            await self.hold(wait, lambda: self.node.running, "the node runs")
            if wait == 1.0:  # the node may have repeated it until it came to the caller's ACK
                heard = len(caller.heard)
            callee.reply(arrived, 486)
            acks.append(await callee.expect("ACK"))
        self.assertEqual(len({ack.raw for ack in acks}), 1)
        self.assertEqual(sorted({m.status for m in caller.heard}), [100, 486])
        self.assertEqual(len(caller.heard), heard)

    @requirement(110)
    async def test_non_invite_repeats(self) -> None:
        """Other requests: after T1, 2*T1, ... up to T2; at T2 once something came; given up at 64*T1 (17.1.2.2)."""
        caller, silent, slow = self.udp("alice"), await self.phone("bob"), await self.phone("carol")
        begun = self.reactor.seconds()
        caller.send(caller.request("MESSAGE", "bob"))
        caller.send(caller.request("MESSAGE", "carol"))
        slow.reply(await slow.expect("MESSAGE"), 100)
        t2 = 8 * T1
        await self.until(lambda: len(silent.heard) - 1 >= 10, "ten copies", 64 * T1 + 20)
        copies = [m for m in silent.heard if m.method == "MESSAGE"]
        self.assert_times(copies[:7], [T1, 2 * T1, 4 * T1, t2, t2, t2], begun)
        progress = [m for m in slow.heard if m.method == "MESSAGE"]
        self.assert_times(progress[1:4], [t2, t2], begun)
        await self.hold(
            2 * t2, lambda: len([m for m in silent.heard if m.method]) <= 11, "no more behind 64*T1"
        )
        self.assertEqual([m for m in caller.heard if m.status == 408], [])  # RFC 4320 section 4.2

    @requirement(111)
    async def test_failure_repeats(self) -> None:
        """A failure to an INVITE is repeated over UDP until its ACK comes (17.2.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob", ("Subject", "room for repeats" * 100))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        begun = self.reactor.seconds()
        callee.reply(arrived, 486)
        await self.until(lambda: methods(caller.heard).count("486") >= 4, "three repeats", 30.0)
        copies = [m for m in caller.heard if m.status == 486]
        self.assert_times(copies[:4], [T1, 2 * T1, 4 * T1], begun)
        caller.ack(invite, copies[0])
        await self.node_answers()
        await self.tick()  # what came before that answer is read
        count = len(caller.heard)
        await self.hold(2.0, lambda: len(caller.heard) == count, "nothing is repeated behind the ACK")

    @requirement(120)
    async def test_state_ends(self) -> None:
        """Behind a call, a failure, and a request without answer nothing is left (17)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        await self.until(self.is_idle, "what others have left ends", 20)
        base = await self.counts()
        ours, _ = await self.call(caller, callee)
        bye = ours.request("BYE")
        caller.send(bye)
        callee.reply(await callee.expect("BYE"), 200)
        await caller.final(bye)
        refused = caller.invite("bob")
        caller.send(refused)
        callee.reply(await callee.expect("INVITE"), 486)
        caller.ack(refused, await caller.expect(486))
        caller.send(caller.request("MESSAGE", "bob"))
        await callee.expect("MESSAGE")
        self.assertNotEqual(await self.counts(), base)
        await self.returns_to(base, 20)

    async def is_idle(self) -> bool:
        counts = await self.counts()
        return not any(value for name, value in counts.items() if "transactions" in name)
