"""Overload control (RFC 7339, RFC 7415): a node and peers that take part, or do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from twisted.internet.task import LoopingCall

from tests.conformance.case import ConformanceTestCase, Dialog
from tests.conformance.flow_case import FlowTestCase
from tests.conformance.marks import requirement
from tests.conformance.peer import Peer
from tests.conformance.wire import Message

TOLD = re.compile(r';oc=(\d+);oc-algo="(\w+)";oc-validity=(\d+);oc-seq=(\d{1,12}\.\d{1,5})(?=;|$)')


def told(message: Message) -> tuple[int, str, int, float]:
    """Value, algorithm, validity in ms and sequence in the topmost Via."""
    found = TOLD.search(message.lines("via")[0])
    assert found is not None, message.lines("via")
    return int(found[1]), found[2], int(found[3]), float(found[4])


class StrangerTests(ConformanceTestCase):
    """What the node tells somebody whom it does not know."""

    @requirement(139, 140)
    async def test_told_like_all(self) -> None:
        """As all others whom it does not know, so that none gets a part of his own; with C{loss}, which all know."""
        proxy, bob = self.udp("proxy"), await self.phone("bob")
        proxy.send(proxy.request("OPTIONS", "bob", via=';oc;oc-algo="loss,rate"'))
        bob.reply(await bob.expect("OPTIONS"), 200)
        self.assertEqual(told(await proxy.expect(200, "OPTIONS"))[:3], (0, "loss", 0))


class ServerTests(ConformanceTestCase):
    """What the node tells a proxy that takes part."""

    options: ClassVar = ("--set", 'limits.trusted=["127.0.0.0/8"]')

    @requirement(139, 140)
    async def test_without_overload(self) -> None:
        """Each answer names the algorithm that was chosen, which stays (5.8), with oc=0 and oc-validity=0 (5.7)."""
        proxy, bob = self.udp("proxy"), await self.phone("bob")
        for algorithms in ('"loss"', '"loss,rate"', '"rate, A, loss"'):
            proxy.send(proxy.request("OPTIONS", "bob", via=f";rport;oc;oc-algo={algorithms}"))
            received = await bob.expect("OPTIONS")
            bob.reply(received, 200)
            value, algorithm, validity, _ = told(await proxy.expect(200, "OPTIONS"))
            self.assertEqual((value, algorithm, validity), (0, "loss", 0))
        other = self.udp("other")
        other.send(other.request("OPTIONS", "bob", via=';oc;oc-algo="loss,rate"'))
        bob.reply(await bob.expect("OPTIONS"), 200)
        self.assertEqual(told(await other.expect(200, "OPTIONS"))[1], "rate")

    @requirement(139)
    async def test_answers_of_its_own(self) -> None:
        """Also those without state, such as 481, and a 100."""
        proxy, bob = self.udp("proxy"), await self.phone("bob")
        bye = proxy.request("BYE", "bob", to="<sip:bob@example.com>;tag=x", via=";oc")
        self.assertEqual(told(await proxy.exchange(bye))[:2], (0, "loss"))
        proxy.send(invite := proxy.invite("bob", via=";oc"))
        self.assertEqual(told(await proxy.expect(100, "INVITE"))[:2], (0, "loss"))
        bob.reply(await bob.expect("INVITE"), 486)
        busy = await proxy.expect(486, "INVITE")
        self.assertEqual(told(busy)[:2], (0, "loss"))
        proxy.ack(invite, busy)
        await bob.expect("ACK")

    @requirement(142)
    async def test_one_hop(self) -> None:
        """What a client offers is not passed on (5.6), nor is what somebody behind us writes into the answer (5.4)."""
        proxy, bob = self.udp("proxy"), await self.phone("bob")
        proxy.send(proxy.request("OPTIONS", "bob", via=";oc;oc-algo=loss;x=y"))
        received = await bob.expect("OPTIONS")
        self.assertEqual([received.via("oc", 1), received.via("oc-algo", 1)], [None, None])
        self.assertEqual(received.via("x", 1), "y")
        vias = [
            f'{via};oc=100;oc-algo="loss";oc-validity=60000;oc-seq=9999999999.0'
            for via in received.lines("via")
        ]
        answered = received.copy().set("Via", *vias)
        answered.answer = received.answer
        bob.reply(answered, 200)
        answer = await proxy.expect(200, "OPTIONS")
        self.assertEqual((str(answer.lines("via")).count(";oc="), told(answer)[0]), (1, 0))
        self.assertEqual(answer.via("x"), "y")

    @requirement(140)
    async def test_who_does_not_take_part(self) -> None:
        """Hears nothing of it; and phones are not asked to take part."""
        alice, bob = self.udp(), await self.phone("bob")
        alice.send(alice.request("OPTIONS", "bob", via=";rport"))
        received = await bob.expect("OPTIONS")
        self.assertNotIn("oc", str([via.partition("branch=")[2][25:] for via in received.lines("via")]))
        bob.reply(received, 200)
        self.assertIsNone((await alice.expect(200, "OPTIONS")).via("oc"))


class ClientTests(ConformanceTestCase):
    """What the node does for a server that takes part: one of another domain."""

    async def arrived(self, server: Peer, count: int) -> int:
        """How many of so many MESSAGEs of as many calls get there; the others are answered with 503 without Retry-After."""
        alice = self.udp()
        before = len(server.heard)
        for _ in range(count):
            message = alice.request("MESSAGE", f"sip:carol@{server.where}")
            alice.send(message)
            answer = await alice.final(message)
            if answer.status == 503:
                self.assertEqual(answer.lines("retry-after"), [])
        return len(server.heard) - before

    def answer_all(self, server: Peer, params: str) -> None:
        """Answer each request at once, with these parameters in the topmost Via."""

        def took(message: Message) -> None:
            if message.method:
                vias = message.lines("via")
                answered = message.copy().set("Via", vias[0].partition(";oc")[0] + params, *vias[1:])
                answered.answer = message.answer
                server.reply(answered, 200)

        server.on_message = took

    @requirement(141)
    async def test_loss(self) -> None:
        """With oc=50 at most half is sent on (5.5), here of requests that are all of the first category."""
        carol = self.udp("carol")
        self.answer_all(carol, ';oc=50;oc-algo="loss";oc-validity=60000;oc-seq=1.1')
        arrived = await self.arrived(carol, 200)
        self.assertTrue(30 <= arrived <= 115, arrived)

    @requirement(141)
    async def test_offers(self) -> None:
        """
        oc without a value, and a quoted list with loss (4.1, 4.2), in each request to a server; no validity and number. No
        list of more than one before it is known to take part, for there are servers that cannot read a Via with a comma.
        """
        carol = self.udp("carol")
        self.answer_all(carol, "")
        self.assertEqual(await self.arrived(carol, 3), 3)
        for message in carol.heard:
            self.assertIn(';oc;oc-algo="loss"', message.lines("via")[0])
            self.assertNotIn("oc-validity", message.lines("via")[0])
            self.assertNotIn("oc-seq", message.lines("via")[0])

    @requirement(141)
    async def test_nothing_at_all(self) -> None:
        """oc=100: the first request has brought the answer, and is the last one."""
        carol = self.udp("carol")
        self.answer_all(carol, ';oc=100;oc-algo="loss";oc-validity=60000;oc-seq=1.1')
        self.assertEqual(await self.arrived(carol, 20), 1)

    async def test_rate(self) -> None:
        """RFC 7415: so many a second, and what the bucket lets through at once."""
        carol = self.udp("carol")
        self.answer_all(carol, ';oc=1;oc-algo="rate";oc-validity=60000;oc-seq=1.1')
        self.assertLessEqual(await self.arrived(carol, 60), 12)


class FloodTests(ConformanceTestCase):
    """More than the node can do, from somebody who does not take part."""

    options: ClassVar = (
        "--set",
        'limits.trusted=["127.0.0.0/8"]',
        "--set",
        "limits.unanswered_calls_per_address=0",
    )

    @requirement(143)
    async def test_flood(self) -> None:
        """
        503 without Retry-After; a call that is up ends as ever, an emergency is looked at (5.10.1), and who does take part is
        told how much it may send, also with its first answer.
        """
        alice, bob, eve, proxy = self.udp(), await self.phone("bob"), self.udp("eve"), self.udp("proxy")
        bob.on_message = self.callee(bob)
        invite = alice.invite("bob")
        answer = await alice.exchange(invite)
        dialog = Dialog.of_caller(alice, invite, answer)
        dialog.ack()
        template = eve.invite("nobody").to_bytes()
        branch = template.partition(b"branch=")[2].partition(b"\r\n")[0].partition(b";")[0]
        number, statuses = 0, list[int]()
        while statuses.count(503) < 50:
            for _ in range(100):
                number += 1
                eve.send(template.replace(branch, b"%b%d" % (branch, number)))
            await self.tick(0.001)
            for message in eve.inbox:
                if message.status == 503:
                    self.assertEqual(message.lines("retry-after"), [])
                statuses.append(message.status)
            eve.inbox.clear()
            eve.heard.clear()
            self.assertLess(number, 200_000, "it never came to an overload")
        sos = alice.invite("urn:service:sos")
        refused = await self.answer(alice, sos)
        self.assertNotEqual(refused.status, 503)
        alice.ack(sos, refused)
        options = await self.answer(proxy, proxy.request("OPTIONS", "bob", via=";oc"))
        self.assertEqual(told(options)[1], "loss")
        self.assertEqual((await self.answer(alice, dialog.request("BYE"))).status, 200)
        while (await self.answer(alice, alice.request("OPTIONS", "bob"))).status == 503:
            await self.tick(0.1)  # behind the flood the node is what it was

    async def answer(self, peer: Peer, request: Message) -> Message:
        """The final answer; it is sent again until then, as by Timer E, since the socket's buffer may be full."""
        begun = self.reactor.seconds()
        while self.reactor.seconds() < begun + 30:
            peer.send(request)
            try:
                return await peer.final(request, 0.5)
            except self.failureException:
                continue
        raise self.failureException(f"{peer.user} gets no answer to {request}")

    def callee(self, bob: Peer) -> Callable[[Message], None]:
        def took(message: Message) -> None:
            if message.method and message.method != "ACK":
                bob.reply(message, 200, body=bob.sdp() if message.method == "INVITE" else b"")

        return took


class RelayBoundTests(FlowTestCase):
    """The packets of the relay are what is too much, and not signalling (RFC 6357 section 1)."""

    # a tenth of what the two say: it stays too much when this process waits for the processor in between
    options = ("--set", "limits.packets_per_second=20", "--set", "media.relay=userspace")

    async def test_only_calls_that_need_the_relay_are_refused(self) -> None:
        """INVITE gets 503; registrations, messages and what belongs to a call go on, and calls, too, when there is room again."""
        alice, bob, carol = self.udp("alice"), await self.phone("bob"), self.udp("carol")
        talk = await self.talk(alice, bob)
        speaking = LoopingCall(lambda: (talk.spoken.say(talk.for_caller), talk.answered.say(talk.for_callee)))
        speaking.clock = self.reactor
        speaking.start(0.02)
        try:
            await self.until(self.is_full, "the relay has more to do than it may", 30.0)
            invite = carol.invite("bob", body=self.media(carol).sdp())
            refused = await carol.exchange(invite)
            self.assertEqual(refused.status, 503)
            carol.ack(invite, refused)
            self.assertEqual((await carol.register()).status, 200)
            for method in ("MESSAGE", "OPTIONS"):
                message = carol.request(method, "bob")
                carol.send(message)
                bob.reply(await bob.expect(method), 200)
                self.assertEqual((await carol.final(message)).status, 200, method)
            await self.passes(
                talk.callee,
                talk.caller,
                "INVITE",
                body=talk.answered.sdp(version=2),
                answer=talk.spoken.sdp(version=2),
            )
            await self.both_hear(talk)
        finally:
            speaking.stop()
        await self.until(self.has_room, "the relay has room again", 30.0)
        again = await self.talk(carol, bob)
        await self.hangs_up(again.caller, again.callee)
        await self.hangs_up(talk.caller, talk.callee)

    async def packets(self) -> float:
        numbers = await self.node.numbers()
        return numbers['voipcluster_workload_component{resource="packets"}']

    async def is_full(self) -> bool:
        return await self.packets() >= 3.0

    async def has_room(self) -> bool:
        return await self.packets() < 0.5
