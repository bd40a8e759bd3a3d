"""Checklist A: messages and their parsing (RFC 3261 sections 7, 8, 18.3 and 20); more of it is in test_torture_downstream."""

from __future__ import annotations

import re

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.marks import requirement


class MessageTests(ConformanceTestCase):
    @requirement(1)
    async def test_version(self) -> None:
        """SIP-Version is compared without case, and written as SIP/2.0 (7.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        message = caller.request("MESSAGE", "bob", body=b"hello").to_bytes()
        caller.send(message.replace(b" SIP/2.0\r\n", b" sip/2.0\r\n", 1))
        arrived = await callee.expect("MESSAGE")
        self.assertTrue(arrived.start.endswith(" SIP/2.0"), arrived.start)

    @requirement(2)
    async def test_compact_names(self) -> None:
        """Compact names, in either case, are the long ones (7.3.1 and 7.3.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        short = {"Via": "v", "From": "F", "To": "t", "Call-ID": "I", "Contact": "m", "Content-Type": "C"}
        invite = caller.invite("bob", ("k", "100rel, timer"), ("S", "lunch"))
        invite.headers = [(short.get(name, name), value) for name, value in invite.headers]
        invite.headers.append(("L", str(len(invite.body))))
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        self.assertEqual(arrived.values("supported"), ["100rel", "timer"])
        self.assertEqual(arrived["subject"], "lunch")
        self.assertEqual(arrived.address("contact"), caller.uri)
        callee.reply(arrived, 486)
        self.assertEqual((await caller.final(invite)).status, 486)

    @requirement(3)
    async def test_folded_lines(self) -> None:
        """A folded line is one line, and white space may stand around separators (7.3.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        message = caller.request(
            "MESSAGE", "bob", ("Subject", "I know you're there,\r\n pick up\r\n\t the phone")
        )
        message.set("To", message["to"].replace("<", "Bob\r\n  <") + " ; x = y")
        message.set("CSeq", "\r\n 12 \r\n\t MESSAGE")
        caller.send(message)
        arrived = await callee.expect("MESSAGE")
        self.assertEqual(arrived["subject"], "I know you're there, pick up the phone")
        callee.reply(arrived, 200)
        self.assertEqual((await caller.expect(200)).cseq[0], 12)

    @requirement(4)
    async def test_many_values(self) -> None:
        """Values in one line or in several are the same, and stay in their order (7.3.1)."""
        caller, hop, callee = self.udp("alice"), self.udp("hop"), await self.phone("bob")
        values = [f"<sip:{self.node_uri_host};lr>", f"<sip:{hop.where};lr>", f"<sip:{callee.where};lr>"]
        for lines in (values, [", ".join(values)], [values[0], ", ".join(values[1:])]):
            message = caller.request("MESSAGE", "bob", ("X-Order", "1, 2"), ("X-Order", "3"))
            message.add("Route", *lines)
            caller.send(message)
            arrived = await hop.expect("MESSAGE")
            self.assertEqual(arrived.values("route"), values[1:])
            self.assertEqual(arrived.values("x-order"), ["1", "2", "3"])
            hop.reply(arrived, 200)
            await caller.expect(200)

    @requirement(5)
    async def test_body(self) -> None:
        """Every octet of a body arrives, in both directions (7.4.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        body = bytes(range(256)) + b"\r\n\r\nINVITE sip:x SIP/2.0\r\n\r\n\0"
        caller.send(caller.request("MESSAGE", "bob", body=body))
        arrived = await callee.expect("MESSAGE")
        self.assertEqual(arrived.body, body)
        callee.reply(arrived, 200, body=body[::-1])
        self.assertEqual((await caller.expect(200)).body, body[::-1])

    @requirement(6)
    async def test_empty_lines_in_front(self) -> None:
        """CRLFs in front of a start line are passed over (7.5)."""
        for peer in (self.udp("alice"), await self.tcp("alice")):
            for count in (1, 2, 3, 10, 20):
                options = peer.request("OPTIONS", f"sip:{self.node_uri_host}")
                peer.send(b"\r\n" * count + options.to_bytes())
                self.assertEqual((await peer.final(options)).status, 200)

    @requirement(16)
    async def test_truncated(self) -> None:
        """A datagram shorter than its Content-Length: a request gets 400, a response is dropped (18.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        short = caller.request("MESSAGE", "bob", ("Content-Length", "100"), body=b"too short")
        caller.send(short)
        self.assertEqual((await caller.final(short)).status, 400)
        await callee.silence()
        message = caller.request("MESSAGE", "bob", body=b"hello")
        caller.send(message)
        arrived = await callee.expect("MESSAGE")
        assert arrived.answer is not None
        answer = Message(
            "SIP/2.0 200 OK", [h for h in arrived.headers if h[0] in ("Via", "From", "Call-ID", "CSeq")]
        )
        answer.add("To", arrived["to"] + ";tag=b")
        arrived.answer(answer.copy().add("Content-Length", "100").to_bytes())
        await caller.silence()
        arrived.answer(answer.to_bytes())
        self.assertEqual((await caller.final(message)).status, 200)

    @requirement(20)
    async def test_unknown(self) -> None:
        """Unknown methods and headers pass, and so do broken ones that a proxy does not need (16.3 step 1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        odd = [("Date", "yesterday"), ("Expires", "-7"), ("X-", ""), ("Retry-After", "soon"), ("Min-SE", "x")]
        caller.send(caller.request("FROBNICATE", "bob", *odd, ("Event", ";;,,"), ("Accept", "///")))
        arrived = await callee.expect("FROBNICATE")
        for name, value in odd:
            self.assertEqual(arrived[name], value)
        callee.reply(arrived, 299)
        await caller.expect(299)

    @requirement(21)
    async def test_what_is_copied(self) -> None:
        """A response of ours has From, Call-ID, CSeq and each Via in order as they came, and a tag on To (8.2.6.2)."""
        caller = self.udp("alice")
        for method, uri, status in (
            ("MESSAGE", "nobody", 404),
            ("INVITE", "nobody", 404),
            ("OPTIONS", "tel:+1", 416),
        ):
            request = caller.request(method, uri, ("X", "y"))
            more = (
                "SIP/2.0/TCP a.example.com;branch=z9hG4bK1",
                'SIP/2.0/WS b.invalid;x="y,z";branch=z9hG4bK2',
            )
            request.set("Via", request["via"], *more).set("From", 'A "B" C <sip:a@b.c;d=e>;tag=9;f=g')
            if method != "OPTIONS":
                request.set("From", '"A, \\"B\\"" <sip:a@b.c;d=e>;tag=9;f=g')
            caller.send(request)
            response = await caller.final(request)
            self.assertEqual(response.status, status)
            self.assertEqual(response.values("via"), request.values("via"))
            for name in ("from", "call-id", "cseq"):
                self.assertEqual(response.lines(name), request.lines(name))
            self.assertTrue(response["to"].startswith(request["to"] + ";tag="), response["to"])
            self.assertNotIn("x", response)
            for trying in [m for m in caller.inbox if m.status == 100]:
                self.assertIsNone(trying.tag("to"))

    @requirement(22)
    async def test_timestamp(self) -> None:
        """Timestamp is copied into the 100 (8.2.6.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        caller.send(caller.invite("bob", ("Timestamp", "54.1")))
        trying = await caller.expect(100)
        self.assertEqual(trying["timestamp"], "54.1")
        self.assertIsNone(trying.tag("to"))
        callee.reply(await callee.expect("INVITE"), 486)
        await caller.expect(486)


class UriTests(ConformanceTestCase):
    async def contacts_after(self, *contacts: str) -> list[str]:
        """Register these Contact URIs one after the other for a user of their own; what the last 200 lists."""
        peer = self.udp("compare", port=0)
        peer.user = f"compare{peer.port}"
        response = None
        for contact in contacts:
            response = await peer.register(contact=f"<{contact}>")
        assert response is not None
        return response.values("contact")

    @requirement(23)
    async def test_equal(self) -> None:
        """Contacts that are equal by the rules are one binding (19.1.4)."""
        for one, other in (
            ("sip:%61lice@192.0.2.1;transport=TCP", "sip:alice@192.0.2.1;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@CHICAGO.com"),
            ("sip:carol@chicago.com", "SIP:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5;x=1", "sip:carol@chicago.com;x=1;security=on"),
            (
                "sip:b@example.net;transport=tcp?to=a&subject=b",
                "sip:b@example.net;transport=tcp?subject=b&to=a",
            ),
        ):
            self.assertEqual(len(await self.contacts_after(one, other)), 1, (one, other))

    @requirement(23)
    async def test_different(self) -> None:
        """Those that are not are two: user and password with case, port, and parameters that must be on both (19.1.4)."""
        for one, other in (
            ("sip:alice@192.0.2.1", "sip:ALICE@192.0.2.1"),
            ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1:5060"),
            ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1;transport=udp"),
            ("sip:bob@192.0.2.1:6000", "sip:bob@192.0.2.1:6000;transport=tcp"),
            ("sip:carol@192.0.2.1;x=off", "sip:carol@192.0.2.1;x=on"),
            ("sip:carol@192.0.2.1;user=phone", "sip:carol@192.0.2.1"),
            ("sip:carol@192.0.2.1;maddr=192.0.2.3", "sip:carol@192.0.2.1"),
            ("sip:carol@192.0.2.1;ttl=1", "sip:carol@192.0.2.1"),
            ("sip:carol@192.0.2.1;method=BYE", "sip:carol@192.0.2.1"),
            ("sip:192.0.2.1", "sip:x@192.0.2.1"),
            ("sip:carol@192.0.2.1", "sip:carol@192.0.2.1?Subject=next"),
        ):
            self.assertEqual(len(await self.contacts_after(one, other)), 2, (one, other))


class BranchTests(ConformanceTestCase):
    timeout = 200
    options = ("--set", 'limits.trusted=["127.0.0.0/8"]')

    @requirement(24)
    async def test_branches(self) -> None:
        """10,000 requests get 10,000 branches that begin with the cookie, and have no run in common (8.1.1.7)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        branches: dict[str, str] = {}  # to the Call-ID of its request
        while len(branches) < 10_000:  # a node that gets no processor refuses some
            await self.some_branches(caller, callee, 100, branches)
        for branch in branches:
            self.assertRegex(branch, r"^z9hG4bK[A-Za-z0-9.\-_+~!%*'`]{8,}$")
        starts = [branch[7:15] for branch in branches]
        self.assertGreater(len(set(starts)), 9_990)

    async def some_branches(self, caller: Peer, callee: Peer, count: int, branches: dict[str, str]) -> None:
        template = caller.request("MESSAGE", "bob").to_bytes()
        for number in range(count):
            text = f"{len(caller.heard)}-{number}".encode()
            caller.send(
                re.sub(
                    rb"branch=\S+",
                    b"branch=z9hG4bK" + text,
                    template.replace(b"Call-ID: ", b"Call-ID: " + text),
                )
            )

        def answered() -> bool:
            arrived, callee.inbox[:] = list(callee.inbox), []
            for message in arrived:
                first = branches.setdefault(message.branch, message.call_id)
                self.assertEqual(first, message.call_id, "the same branch is a copy")
                callee.reply(message, 200)
            return len({message.branch for message in caller.inbox}) >= count

        await self.until(answered, "all are answered")
        caller.inbox.clear()
