"""
Requests that a proxy only passes on: reliable provisional responses (RFC 3262), UPDATE (RFC 3311), REFER (RFC 3515),
events (RFC 6665), MESSAGE (RFC 3428), PUBLISH (RFC 3903) and INFO (RFC 6086), within dialogs and without.
"""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.marks import requirement
from tests.conformance.peer import response_to

XML = b"<?xml version='1.0'?>\r\n<presence entity='pres:alice@example.com'>\x00\xff</presence>"


class MethodCase(ConformanceTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.caller, self.callee = self.udp("alice"), await self.phone("bob")

    async def relayed(self, sender: Peer, receiver: Peer, request: Message, status: int = 200) -> Message:
        """A request as it arrives; its answer is taken back whole."""
        sender.send(request)
        arrived = await receiver.expect(request.method)
        receiver.reply(arrived, status, ("X-Answer", "yes"))
        answer = await sender.final(request)
        self.assertEqual((answer.status, answer["x-answer"]), (status, "yes"))
        self.assertEqual(arrived.body, request.body)
        return arrived


class DialogTests(MethodCase):
    @requirement(20)
    async def test_within_a_call(self) -> None:
        """Each method goes both ways between the parties of a call, with its headers and body, and along no Route of ours."""
        ours, theirs = await self.call(self.caller, self.callee)
        for side, other in ((ours, theirs), (theirs, ours)):
            for method, headers in (
                ("INFO", [("Info-Package", "dtmf")]),
                ("UPDATE", [("Supported", "timer")]),
                ("MESSAGE", []),
                (
                    "REFER",
                    [
                        ("Refer-To", "<sip:carol@example.com?Replaces=a%3Bto-tag%3Db>"),
                        ("Referred-By", "<sip:x@y>"),
                    ],
                ),
                ("NOTIFY", [("Event", "refer"), ("Subscription-State", "active;expires=60")]),
                ("SUBSCRIBE", [("Event", "dialog"), ("Expires", "60")]),
                ("PUBLISH", [("Event", "presence"), ("SIP-If-Match", "x1")]),
                ("OPTIONS", [("Accept", "application/sdp")]),
                ("FUTURE", [("X-New", "a, b;c")]),
            ):
                request = side.request(method, *headers, body=b"" if method == "UPDATE" else XML)
                arrived = await self.relayed(side.peer, other.peer, request)
                self.assertEqual(arrived.uri, other.peer.uri)
                self.assertNotIn("route", arrived)
                for name, value in headers:
                    self.assertEqual(arrived.lines(name), [value])
        await self.relayed(self.caller, self.callee, ours.request("BYE"))

    async def test_reliable_ringing(self) -> None:
        """
        A 180 that asks for a PRACK passes whole, and the PRACK comes along the early dialog, as do an UPDATE of each side and
        the offer and answer in them, which the relay translates (RFC 3262, RFC 3311).
        """
        invite = self.caller.invite("bob", ("Supported", "100rel"), ("Require", "100rel"))
        self.caller.send(invite)
        arrived = await self.callee.expect("INVITE")
        self.assertEqual(arrived["require"], "100rel")
        ringing = self.callee.reply(
            arrived, 183, ("Require", "100rel"), ("RSeq", "813520"), body=self.callee.sdp()
        )
        early = await self.caller.expect(183)
        self.assertEqual((early["require"], early["rseq"]), ("100rel", "813520"))
        self.assertIn(self.node.address.encode(), early.body)
        ours = Dialog.of_caller(self.caller, invite, early)
        theirs = Dialog.of_callee(self.callee, arrived, ringing)
        prack = ours.request("PRACK", ("RAck", f"813520 {invite.cseq[0]} INVITE"))
        arrived_prack = await self.relayed(self.caller, self.callee, prack)
        self.assertEqual(arrived_prack["rack"], f"813520 {invite.cseq[0]} INVITE")
        for side, other in ((ours, theirs), (theirs, ours)):
            update = side.request("UPDATE", ("Contact", f"<{side.peer.uri}>"), body=side.peer.sdp(41_000))
            side.peer.send(update)
            offered = await other.peer.expect("UPDATE")
            self.assertIn(self.node.address.encode(), offered.body)
            other.peer.reply(offered, 200, body=other.peer.sdp())
            answer = await side.peer.final(update)
            self.assertIn(self.node.address.encode(), answer.body)
        self.callee.reply(arrived, 200)
        ours.cseq = invite.cseq[0]
        await self.caller.expect(200, "INVITE")
        ours.ack()
        await self.callee.expect("ACK")
        ours.cseq += 5
        await self.relayed(self.caller, self.callee, ours.request("BYE"))

    async def test_subscription(self) -> None:
        """
        A NOTIFY finds the subscriber along our Record-Route, also the one that overtakes the 2xx; so do refresh and end of a
        subscription (RFC 6665 sections 4.1 and 4.4.1).
        """
        for method, headers in (
            ("SUBSCRIBE", [("Event", "presence"), ("Expires", "600")]),
            ("REFER", [("Refer-To", "<sip:carol@example.com>")]),
        ):
            request = self.caller.request(method, "bob", *headers)
            self.caller.send(request)
            arrived = await self.callee.expect(method)
            theirs = Dialog.of_callee(self.callee, arrived, response_to(arrived, 202, "Accepted", "tag-bob"))
            notify = theirs.request(
                "NOTIFY", ("Event", "presence"), ("Subscription-State", "active"), body=XML
            )
            got = await self.relayed(self.callee, self.caller, notify)
            self.assertEqual((got.uri, got["subscription-state"]), (self.caller.uri, "active"))
            self.callee.reply(arrived, 202)
            ours = Dialog.of_caller(self.caller, request, await self.caller.expect(202))
            again = ours.request(
                "SUBSCRIBE", *headers[:1], ("Expires", "0"), ("Contact", f"<{self.caller.uri}>")
            )
            self.assertEqual((await self.relayed(self.caller, self.callee, again))["expires"], "0")
            await self.relayed(
                self.callee,
                self.caller,
                theirs.request("NOTIFY", ("Subscription-State", "terminated;reason=timeout")),
            )

    async def test_nothing_stays(self) -> None:
        """A subscription holds no call and no ports: it is as if it had never been when its transactions are over."""
        numbers = await self.counts()
        request = self.caller.request("SUBSCRIBE", "bob", ("Event", "presence"))
        await self.relayed(self.caller, self.callee, request)
        after = await self.counts()
        for name in ("voipcluster_calls", "voipcluster_media_streams"):
            self.assertLessEqual(after[name], numbers[name], name)
        # ports of calls before that waited to be used again may be free by now: the node has others' calls behind it
        self.assertGreaterEqual(
            after["voipcluster_media_ports_free"], numbers["voipcluster_media_ports_free"]
        )


class AloneTests(MethodCase):
    @requirement(20)
    async def test_to_a_user(self) -> None:
        """Each method reaches the phone of a user, and its answer the sender, whatever it is."""
        for method in ("MESSAGE", "PUBLISH", "SUBSCRIBE", "REFER", "NOTIFY", "INFO", "OPTIONS", "FUTURE"):
            for status in (200, 202, 404, 489, 603):
                request = self.caller.request(method, "bob", ("Event", "x;id=1"), body=XML)
                arrived = await self.relayed(self.caller, self.callee, request, status)
                self.assertEqual((arrived.uri, arrived["event"]), (self.callee.uri, "x;id=1"))
