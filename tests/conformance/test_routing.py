"""Checklist C: request validation and routing at a proxy (RFC 3261 sections 16.3 to 16.6)."""

from __future__ import annotations

import re

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.marks import requirement
from tests.conformance.wire import uri_of


class RoutingCase(ConformanceTestCase):
    async def relayed(self, caller: Peer, callee: Peer, request: Message) -> Message:
        """A request that is no INVITE, as it reaches the callee, who takes it."""
        caller.send(request)
        arrived = await callee.expect(request.method)
        callee.reply(arrived, 200)
        self.assertEqual((await caller.final(request)).status, 200)
        return arrived


class ValidationTests(RoutingCase):
    @requirement(58)
    async def test_scheme(self) -> None:
        """Another scheme than sip and sips is 416, for every method (16.3 step 2)."""
        caller = self.udp("alice")
        for uri in (
            "tel:+4930123",
            "nobodyKnowsThisScheme:opaque",
            "http://192.0.2.1/",
            "mailto:bob@example.com",
        ):
            for method in ("INVITE", "MESSAGE", "OPTIONS", "REGISTER"):
                request = caller.request(method, uri, to="<sip:bob@example.com>")
                self.assertEqual((await caller.exchange(request)).status, 416, (method, uri))

    @requirement(59)
    async def test_hops_used_up(self) -> None:
        """Max-Forwards 0 goes nowhere: 483 (16.3 step 3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for method in ("INVITE", "MESSAGE", "OPTIONS"):
            for value in ("0", "00"):
                request = caller.request(method, "bob").set("Max-Forwards", value)
                self.assertEqual((await caller.exchange(request)).status, 483, method)
        await callee.silence()

    @requirement(60)
    async def test_hops(self) -> None:
        """One less each time, and 70 where there was none (16.6 step 3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for sent, arrives in (("70", "69"), ("1", "0"), ("255", "254"), ("", "70")):
            request = caller.request("MESSAGE", "bob")
            request = request.set("Max-Forwards", sent) if sent else request.drop("Max-Forwards")
            self.assertEqual((await self.relayed(caller, callee, request)).lines("max-forwards"), [arrives])

    @requirement(61)
    async def test_proxy_require(self) -> None:
        """Extensions that a proxy must have and we have not: 420 names just these; Require is not for us (16.3 step 5)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for method in ("INVITE", "MESSAGE"):
            request = caller.request(
                method, "bob", ("Proxy-Require", "foo, bar"), ("Proxy-Require", "baz"), ("Require", "other")
            )
            response = await caller.exchange(request)
            self.assertEqual((response.status, response.values("unsupported")), (420, ["foo", "bar", "baz"]))
        await callee.silence()
        arrived = await self.relayed(
            caller, callee, caller.request("MESSAGE", "bob", ("Require", "one, other"))
        )
        self.assertEqual(arrived["require"], "one, other")

    @requirement(62)
    async def test_merged(self) -> None:
        """The same request by another way, with another branch and Request-URI, is no error at a proxy: both go on (16.3)."""
        caller, phones = self.udp("alice"), [await self.phone("bob"), await self.phone("carol")]
        one = caller.invite("bob")
        other = one.copy()
        other.start = f"INVITE sip:carol@{self.domain} SIP/2.0"
        other.set("Via", re.sub(r"branch=\S+", "branch=z9hG4bKmerged", one["via"]))
        for phone, invite in zip(phones, (one, other), strict=True):
            caller.send(invite)
            arrived = await phone.expect("INVITE")
            self.assertEqual((arrived.call_id, arrived.cseq), (one.call_id, one.cseq))
            phone.reply(arrived, 486)
            caller.ack(invite, await caller.final(invite))


class RouteTests(RoutingCase):
    @requirement(63)
    async def test_strict_router_before_us(self) -> None:
        """Our Record-Route value as Request-URI: the true one is the last Route value (16.4)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        ours, theirs = await self.call(caller, callee)
        for side, receiver in ((ours, callee), (theirs, caller)):
            sender = callee if receiver is caller else caller
            (route,) = side.routes
            for more in ([], [f"<{route.strip('<>')}>"]):
                request = side.request("INFO")
                request.start = f"INFO {uri_of(route)} SIP/2.0"
                request.drop("Route").add("Route", *more, f"<{side.target}>")
                sender.send(request)
                arrived = await receiver.expect("INFO")
                self.assertEqual((arrived.uri, arrived.lines("route")), (receiver.uri, []))
                receiver.reply(arrived, 200)
                self.assertEqual((await sender.final(request)).status, 200)
        await self.hang_up(caller, callee, ours)

    async def hang_up(self, caller: Peer, callee: Peer, ours: Dialog) -> None:
        caller.send(ours.request("BYE"))
        callee.reply(await callee.expect("BYE"), 200)
        await caller.expect(200, "BYE")

    @requirement(64)
    async def test_maddr(self) -> None:
        """An maddr that names us by port and transport is taken off, with these (16.4)."""
        caller, callee, elsewhere = self.udp("alice"), await self.phone("bob"), self.udp("carol")
        host = self.node.address
        for uri in (
            f"sip:bob@{self.domain};maddr={host}",
            f"sip:bob@{self.domain}:5060;maddr={host};transport=udp",
        ):
            arrived = await self.relayed(caller, callee, caller.request("MESSAGE", uri))
            self.assertEqual(arrived.uri, callee.uri)
        uri = f"sip:carol@{elsewhere.host};maddr={host};x=y"
        arrived = await self.relayed(caller, elsewhere, caller.request("MESSAGE", uri))
        self.assertEqual(arrived.uri, f"sip:carol@{elsewhere.host};x=y")

    @requirement(65)
    async def test_own_route(self) -> None:
        """A Route that names us by address or domain is gone; the rest stays, and leads on (16.4)."""
        caller, callee, hop = self.udp("alice"), await self.phone("bob"), self.udp("hop")
        for route in (
            f"<sip:{self.node_uri_host};lr>",
            f"<sip:{self.node.address};lr>",
            f'"Us" <sip:x@{self.node_uri_host};lr;a=b>;c=d',
            f"<sip:{self.domain};lr>",
            f"<sip:{self.domain}:5060;lr;transport=udp>",
        ):
            request = caller.request("MESSAGE", "bob", ("Route", route))
            self.assertNotIn("route", await self.relayed(caller, callee, request))
            request = caller.request("MESSAGE", "bob", ("Route", f"{route}, <sip:{hop.where};lr>"))
            arrived = await self.relayed(caller, hop, request)
            self.assertEqual(arrived.lines("route"), [f"<sip:{hop.where};lr>"])
            self.assertEqual(arrived.uri, f"sip:bob@{self.domain}")

    @requirement(73)
    async def test_strict_router_behind_us(self) -> None:
        """A next hop without lr stands in the Request-URI, and the true one at the end of Route (16.6 step 6)."""
        caller, strict = self.udp("alice"), self.udp("strict")
        uri = "sip:carol@192.0.2.99:5099;x=y"
        routes = f"<sip:{self.node_uri_host};lr>, <sip:{strict.where}>, <sip:192.0.2.7;lr>"
        arrived = await self.relayed(caller, strict, caller.request("MESSAGE", uri, ("Route", routes)))
        self.assertEqual(arrived.uri, f"sip:{strict.where}")
        self.assertEqual(arrived.values("route"), ["<sip:192.0.2.7;lr>", f"<{uri}>"])

    @requirement(73)
    async def test_strict_router_in_a_dialog(self) -> None:
        """So it is with the requests of a dialog whose callee is behind a strict router (16.6 step 6)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        # a strict router in front of the callee has put itself on top
        arrived.headers.insert(0, ("Record-Route", f"<sip:strict@{callee.where}>"))
        callee.reply(arrived, 200, body=callee.sdp())
        ours = Dialog.of_caller(caller, invite, await caller.expect(200))
        self.assertEqual(len(ours.routes), 2)
        ours.ack()
        for request in (await callee.expect("ACK"), await self.sent(caller, callee, ours, "BYE")):
            self.assertEqual(request.uri, f"sip:strict@{callee.where}")
            self.assertEqual(request.values("route"), [f"<{callee.uri}>"])

    async def sent(self, caller: Peer, callee: Peer, ours: Dialog, method: str) -> Message:
        return await self.relayed(caller, callee, ours.request(method))


class TargetTests(RoutingCase):
    @requirement(66)
    async def test_foreign_domain(self) -> None:
        """A Request-URI that is not ours is the only target, and stays as it is (16.5)."""
        caller, elsewhere = self.udp("alice"), self.udp("carol")
        await self.phone("carol")  # of ours, and of no concern
        for uri in (
            f"sip:carol@{elsewhere.where}",
            f"sip:carol@{elsewhere.host};x=y;transport=UDP",
            f"sip:%63arol:pw@{elsewhere.where}",
        ):
            arrived = await self.relayed(caller, elsewhere, caller.request("MESSAGE", uri))
            self.assertEqual(arrived.uri, uri)

    @requirement(68)
    async def test_target_once(self) -> None:
        """One phone is asked once, however often its Contact comes up: registered again, or in its own 302 (16.5)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        await callee.register()
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 302)
        final = await caller.final(invite)
        self.assertEqual((final.status, final.address("contact")), (302, callee.uri))
        caller.ack(invite, final)
        await callee.silence("INVITE")

    @requirement(70)
    async def test_parameters(self) -> None:
        """What may not be in a Request-URI is taken out of the Contact: method and headers (16.6 step 2)."""
        caller, callee = self.udp("alice"), self.udp("bob")
        for more in (
            ";method=BYE",
            "?Subject=x&Route=%3Csip:192.0.2.1%3E",
            ";METHOD=BYE;x=y?Priority=urgent",
        ):
            await callee.register(contact=f"<{callee.uri}{more}>;q=0.5;expires=600")
            arrived = await self.relayed(caller, callee, caller.request("MESSAGE", "bob"))
            self.assertEqual(arrived.uri, callee.uri + (";x=y" if "x=y" in more else ""))
            self.assertNotIn("subject", arrived)
            await self.unregister("bob")


class UserTests(RoutingCase):
    auth = True

    @requirement(67)
    async def test_nobody_there(self) -> None:
        """Nobody of that name is 404; a user who is nowhere is 480; never 5xx (16.5)."""
        await self.add_users("alice", "idle")
        caller = self.udp("alice")
        for user, status in (("nobody", 404), ("idle", 480), ("%6eobody", 404), ("id%6ce", 480)):
            for method in ("INVITE", "MESSAGE"):
                request = caller.request(method, user)
                again = caller.authorized(request, await caller.exchange(request))
                self.assertEqual((await caller.exchange(again)).status, status, (user, method))


class CopyTests(RoutingCase):
    @requirement(69)
    async def test_headers(self) -> None:
        """Every header stays, in its place among those of its name and all others, spelled as it was (16.6 step 1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        headers = [
            ("X-One", "1"), ("x-one", '2, "3, 4"'), ("s", "Short"), ("X-ONE", ""), ("Accept", "a/b;q=0.1, c/d"),
            ("Allow", "INVITE,ACK"), ("X-Two", "\u00fc \u4f60"), ("Unknown-Header", "a=b;c , d"), ("X-one", "5"),
            ("Authorization", 'Digest realm="elsewhere", nonce="x"'), ("Date", "no date at all"),
        ]  # fmt: skip
        request = caller.request("MESSAGE", "bob", *headers, body=b"text")
        arrived = await self.relayed(caller, callee, request)

        def kept(message: Message) -> list[tuple[str, str]]:
            changed = ("via", "max-forwards", "max-breadth", "content-length")
            return [(name, value) for name, value in message.headers if name.lower() not in changed]

        self.assertEqual(kept(arrived), kept(request))

    @requirement(71)
    async def test_record_route(self) -> None:
        """
        In what makes a dialog it is on top, a sip URI with lr that leads to us, for both sides; those below stay, and
        what makes no dialog has none of ours (16.6 step 4).
        """
        caller, callee = self.udp("alice"), await self.phone("bob")
        below = "<sip:192.0.2.7;lr;x=y>"
        for method in ("INVITE", "SUBSCRIBE", "REFER"):
            request = caller.request(method, "bob", ("Record-Route", below))
            caller.send(request)
            arrived = await callee.expect(method)
            own, *others = arrived.values("record-route")
            self.assertEqual(others, [below])
            self.assertRegex(own, rf"^<sip:{re.escape(self.node.address)}(:5060)?;.*>$")
            self.assertRegex(uri_of(own), r";lr(;|$)")
            callee.reply(arrived, 486)
            final = await caller.final(request)
            if method == "INVITE":
                caller.ack(request, final)
        arrived = await self.relayed(caller, callee, caller.request("MESSAGE", "bob"))
        self.assertNotIn("record-route", arrived)

    @requirement(71, 72)
    async def test_two_transports(self) -> None:
        """Between UDP and TCP there are two values, one for each side, and both find their way (16.6, RFC 5658)."""
        caller, callee = self.udp("alice"), await self.tcp("bob")
        await callee.register()
        ours, theirs = await self.call(caller, callee)
        self.assertEqual([len(side.routes) for side in (ours, theirs)], [2, 2])
        self.assertEqual(ours.routes, theirs.routes[::-1])
        self.assertNotIn("transport=tcp", ours.routes[0].lower())
        self.assertIn("transport=tcp", theirs.routes[0].lower())
        arrived = await self.relayed(callee, caller, theirs.request("INFO"))
        self.assertNotIn("route", arrived)
        arrived = await self.relayed(caller, callee, ours.request("BYE"))
        self.assertNotIn("route", arrived)

    @requirement(75)
    async def test_via(self) -> None:
        """Our Via is on top, with our address and the transport that is used; those below are as they came (16.6 step 8)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        below = "SIP/2.0/TCP 192.0.2.7:5099;branch=z9hG4bKx;a=b"
        request = caller.request("MESSAGE", "bob").add("Via", below)
        arrived = await self.relayed(caller, callee, request)
        own, first, second = arrived.values("via")
        self.assertRegex(own, rf"^SIP/2\.0/UDP {re.escape(self.node.address)}:5060;branch=z9hG4bK")
        self.assertTrue(first.startswith(request.values("via")[0]))
        self.assertEqual(second, below)

    @requirement(76)
    async def test_content_length(self) -> None:
        """A datagram without Content-Length gets one on its way to a stream (16.6 step 10)."""
        caller, callee = self.udp("alice"), await self.tcp("bob")
        await callee.register()
        for body in (b"", b"some text\r\n\r\nmore"):
            request = caller.request("MESSAGE", "bob", body=body)
            data = re.sub(rb"Content-Length: \d+\r\n", b"", request.to_bytes())
            self.assertNotIn(b"Content-Length", data)
            caller.send(data)
            arrived = await callee.expect("MESSAGE")
            self.assertEqual((arrived.lines("content-length"), arrived.body), ([str(len(body))], body))
            callee.reply(arrived, 200)
            await caller.final(request)
