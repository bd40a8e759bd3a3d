"""Checklist B: the registrar (RFC 3261 section 10.3) and Path (RFC 3327)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.marks import requirement
from tests.conformance.wire import uri_of


def expiry(contact: str) -> int:
    """The C{expires} of a Contact value."""
    found = re.search(r";expires=([0-9]+)", contact)
    assert found is not None, contact
    return int(found[1])


class RegistrarCase(ConformanceTestCase):
    """Each test has a user of its own: they share a node."""

    async def register(
        self, peer: Peer, *contacts: str, call_id: str = "", cseq: int = 0, expires: str = "", **more: str
    ) -> Message:
        """The answer to a REGISTER with these Contact values; C{more}: other headers, C{_} for C{-}."""
        headers = [(name.replace("_", "-"), value) for name, value in more.items()]
        request = peer.request("REGISTER", f"sip:{self.domain}", *headers, to=f"<{peer.aor}>")
        for contact in contacts:
            request.add("Contact", contact)
        if expires:
            request.add("Expires", expires)
        if call_id:
            request.set("Call-ID", call_id)
        if cseq:
            request.set("CSeq", f"{cseq} REGISTER")
        response = await peer.exchange(request)
        self.assertLess(response.status, 600, "no 6xx from a registrar (10.3)")
        return response

    async def bound(self, peer: Peer) -> list[str]:
        """The contacts that are registered, as a query tells (10.2.3)."""
        response = await self.register(peer)
        self.assertEqual(response.status, 200)
        return sorted(uri_of(value) for value in response.values("contact"))


class StepTests(RegistrarCase):
    @requirement(25)
    async def test_no_6xx(self) -> None:
        """Whatever is wrong with a REGISTER, the answer is no 6xx: others might serve the user (10.3)."""
        peer = self.udp("u25")
        for contact, more in (
            ("<sip:a@h>;expires=1", {}), ("<sip:a@h>;q=2", {}), ("<sip:a@h", {}), ("*", {}), ("<sip:a@[::g]>", {}),
            ("<sip:a@h>", {"Require": "nothing"}), ("<sip:a@h>", {"Path": "<tel:1>"}),
        ):  # fmt: skip
            response = await self.register(peer, contact, **more)  # checked in there
            self.assertIn(response.status, (400, 420, 423))

    @requirement(26)
    async def test_record_route(self) -> None:
        """It is neither answered nor followed (10.3)."""
        peer, caller = self.udp("u26"), self.udp("alice")
        response = await self.register(peer, f"<{peer.uri}>", Record_Route="<sip:192.0.2.1;lr>")
        self.assertEqual((response.status, response.lines("record-route")), (200, []))
        caller.send(caller.request("MESSAGE", "u26"))
        arrived = await peer.expect("MESSAGE")
        self.assertNotIn("192.0.2.1", str(arrived.lines("route")))
        peer.reply(arrived, 200)

    @requirement(27)
    async def test_another_domain(self) -> None:
        """A REGISTER for a domain that is not ours goes on like any request or is refused; nothing is bound (10.3 step 1)."""
        peer, elsewhere = self.udp("u27"), self.udp("registrar")
        request = peer.request("REGISTER", f"sip:{elsewhere.where}", to="<sip:u27@elsewhere.example>")
        peer.send(request.add("Contact", f"<{peer.uri}>"))
        arrived = await elsewhere.expect("REGISTER")
        self.assertEqual(
            (arrived.uri, arrived["to"]), (f"sip:{elsewhere.where}", "<sip:u27@elsewhere.example>")
        )
        elsewhere.reply(arrived, 200)
        self.assertEqual((await peer.final(request)).status, 200)
        stranger = peer.request("REGISTER", "sip:elsewhere.example").set(
            "From", "<sip:u27@elsewhere.example>;tag=1"
        )
        self.assertEqual((await peer.exchange(stranger.add("Contact", f"<{peer.uri}>"))).status, 403)
        ours = peer.request("REGISTER", f"sip:{self.domain}", to="<sip:u27@elsewhere.example>")
        self.assertEqual((await peer.exchange(ours.add("Contact", f"<{peer.uri}>"))).status, 404)
        self.assertEqual(await self.bound(peer), [])

    @requirement(28)
    async def test_require(self) -> None:
        """420 names what is not supported, and only that (10.3 step 2)."""
        response = await self.register(
            self.udp("u28"), "<sip:a@192.0.2.9>", Require="path, foo, outbound, bar"
        )
        self.assertEqual((response.status, response.values("unsupported")), (420, ["foo", "bar"]))

    @requirement(31)
    async def test_no_such_address(self) -> None:
        """404 for a To in no domain of ours (10.3 step 5)."""
        peer = self.udp("u31")
        request = peer.request("REGISTER", f"sip:{self.domain}", to="<sip:u31@example.net>")
        self.assertEqual((await peer.exchange(request.add("Contact", f"<{peer.uri}>"))).status, 404)

    @requirement(32)
    async def test_address_of_record(self) -> None:
        """Parameters go and escapes are decoded (10.3 step 5)."""
        peer = self.udp("u32")
        to = f'"U" <sip:%753%32@{self.domain.upper()};x=y;user=phone>'
        request = peer.request("REGISTER", f"sip:{self.domain}", to=to).add("Contact", f"<{peer.uri}>")
        self.assertEqual((await peer.exchange(request)).status, 200)
        self.assertEqual(await self.bound(peer), [peer.uri])

    @requirement(33)
    async def test_star(self) -> None:
        """Contact * only alone and with Expires 0 (10.3 step 6)."""
        peer = self.udp("u33")
        await self.register(peer, "<sip:a@192.0.2.1>", "<sip:b@192.0.2.1>")
        for contacts, expires in (
            (["*"], ""),
            (["*"], "1"),
            (["*", "<sip:a@192.0.2.1>"], "0"),
            (["*", "*"], "0"),
        ):
            self.assertEqual((await self.register(peer, *contacts, expires=expires)).status, 400, contacts)
        self.assertEqual(len(await self.bound(peer)), 2)
        response = await self.register(peer, "*", expires="0")
        self.assertEqual((response.status, response.lines("contact")), (200, []))
        self.assertEqual(await self.bound(peer), [])

    @requirement(34)
    async def test_star_in_order(self) -> None:
        """One newer binding of the same Call-ID stops all of it (10.3 step 6)."""
        peer = self.udp("u34")
        await self.register(peer, "<sip:a@192.0.2.1>", call_id="34-a", cseq=10)
        await self.register(peer, "<sip:b@192.0.2.1>", call_id="34-b", cseq=1)
        response = await self.register(peer, "*", expires="0", call_id="34-a", cseq=10)
        self.assertTrue(400 <= response.status < 600, response.start)
        self.assertEqual(len(await self.bound(peer)), 2)
        self.assertEqual((await self.register(peer, "*", expires="0", call_id="34-a", cseq=11)).status, 200)

    @requirement(35)
    async def test_expiry(self) -> None:
        """The parameter, else the header, else our default; what is too long is cut (10.3 step 7)."""
        peer = self.udp("u35")
        for contact, header, granted in (
            ("<sip:a@192.0.2.1>;expires=100", "200", 100), ("<sip:b@192.0.2.1>", "200", 200),
            ("<sip:c@192.0.2.1>", "", 3600), ("<sip:d@192.0.2.1>;expires=99999", "", 3600),
        ):  # fmt: skip
            response = await self.register(peer, contact, expires=header)
            (mine,) = [v for v in response.values("contact") if uri_of(v) == uri_of(contact)]
            self.assertEqual(expiry(mine), granted, contact)

    @requirement(36)
    async def test_too_brief(self) -> None:
        """423 says how long at least (10.3 step 7)."""
        peer = self.udp("u36")
        response = await self.register(peer, "<sip:a@192.0.2.1>;expires=1")
        self.assertEqual((response.status, response["min-expires"]), (423, "60"))
        self.assertEqual(await self.bound(peer), [])

    @requirement(37)
    async def test_out_of_order(self) -> None:
        """The same Call-ID with a CSeq that is not higher changes nothing (10.3 step 7)."""
        peer = self.udp("u37")
        await self.register(peer, "<sip:a@192.0.2.1>", call_id="37", cseq=10)
        for cseq in (10, 9):
            for expires in ("0", "100"):
                response = await self.register(
                    peer, "<sip:a@192.0.2.1>", call_id="37", cseq=cseq, expires=expires
                )
                self.assertTrue(400 <= response.status < 600, response.start)
        (contact,) = (await self.register(peer)).values("contact")
        self.assertGreater(expiry(contact), 3000)

    @requirement(38)
    async def test_another_call_id(self) -> None:
        """A phone that started anew updates its binding (10.3 step 7)."""
        peer = self.udp("u38")
        await self.register(peer, "<sip:a@192.0.2.1>", call_id="38-a", cseq=10)
        response = await self.register(peer, "<sip:a@192.0.2.1>;expires=100", call_id="38-b", cseq=1)
        self.assertEqual([expiry(value) for value in response.values("contact")], [100])

    @requirement(39)
    async def test_all_or_nothing(self) -> None:
        """One bad contact among good ones, and none is stored (10.3)."""
        peer = self.udp("u39")
        for bad in ("<sip:b@192.0.2.1>;expires=1", "<sip:b@192.0.2.1", "<sip:b@192.0.2.1>;q=7"):
            self.assertIn((await self.register(peer, "<sip:a@192.0.2.1>", bad)).status, (400, 423))
            self.assertEqual(await self.bound(peer), [], bad)

    @requirement(40, 42)
    async def test_the_answer_lists_all(self) -> None:
        """All contacts with what is left of each; one with expiry 0 goes (10.3 step 8)."""
        peer = self.udp("u40")
        await self.register(peer, "<sip:a@192.0.2.1>;expires=100", "<sip:b@192.0.2.1>;q=0.5;expires=200")
        response = await self.register(peer, "<sip:c@192.0.2.1>;expires=300")
        found = {uri_of(value): expiry(value) for value in response.values("contact")}
        self.assertEqual(set(found), {"sip:a@192.0.2.1", "sip:b@192.0.2.1", "sip:c@192.0.2.1"})
        self.assertTrue(95 <= found["sip:a@192.0.2.1"] <= 100 < found["sip:b@192.0.2.1"] <= 200, found)
        response = await self.register(peer, "<sip:b@192.0.2.1>;expires=0")
        self.assertEqual(
            {uri_of(value) for value in response.values("contact")}, {"sip:a@192.0.2.1", "sip:c@192.0.2.1"}
        )

    @requirement(41)
    async def test_date(self) -> None:
        """The 200 has a Date, in GMT, that is now (10.3 step 8, 20.17)."""
        date = (await self.register(self.udp("u41"), "<sip:a@192.0.2.1>"))["date"]
        self.assertTrue(date.endswith(" GMT"), date)
        self.assertLess(abs(parsedate_to_datetime(date).timestamp() - self.reactor.seconds()), 5)

    @requirement(43)
    async def test_q(self) -> None:
        """Higher q first, and without q it is 1; equal ones together (10.2.1.2, 16.6)."""
        caller, first, twin, last = (self.udp(name) for name in ("alice", "u43", "u43", "u43"))
        contacts = f"<{first.uri}>", f"<{twin.uri}>;q=1.0", f"<{last.uri}>;q=0.3"
        self.assertEqual((await self.register(first, *contacts)).status, 200)
        invite = caller.invite("u43")
        caller.send(invite)
        forks = [await peer.expect("INVITE") for peer in (first, twin)]
        await last.silence("INVITE")
        first.reply(forks[0], 486)
        twin.reply(forks[1], 486)
        last.reply(await last.expect("INVITE"), 480)
        final = await caller.final(invite)
        self.assertIn(final.status, (480, 486))
        caller.ack(invite, final)


class PathTests(RegistrarCase):
    @requirement(44)
    async def test_path_is_followed(self) -> None:
        """Path values become Route in requests to the contact, in their order, by loose routing (RFC 3327 sections 5.3, 5.4)."""
        peer, edge, caller = self.udp("u44"), self.udp("edge"), self.udp("alice")
        path = [f"<sip:{edge.where};lr>", "<sip:192.0.2.7;lr>"]
        await self.register(peer, "<sip:u44@192.0.2.1>", Path=", ".join(path), Supported="path")
        for request in (caller.invite("u44"), caller.request("MESSAGE", "u44")):
            caller.send(request)
            arrived = await edge.expect(request.method)
            self.assertEqual((arrived.uri, arrived.values("route")), ("sip:u44@192.0.2.1", path))
            edge.reply(arrived, 404)
            final = await caller.final(request)
            if request.method == "INVITE":
                caller.ack(request, final)

    @requirement(45)
    async def test_path_is_answered(self) -> None:
        """The 200 has it as it came (RFC 3327 section 5.3)."""
        path = "<sip:p1.example.net;lr>,<sip:p2.example.net;lr;x=%20>"
        response = await self.register(self.udp("u45"), "<sip:a@192.0.2.1>", Path=path, Supported="path")
        self.assertEqual(response.values("path"), path.split(","))

    @requirement(46)
    async def test_path_without_support(self) -> None:
        """By default we take a Path that the client does not name as supported (RFC 3327 section 5.3, MAY)."""
        response = await self.register(self.udp("u46"), "<sip:a@192.0.2.1>", Path="<sip:p1.example.net;lr>")
        self.assertEqual((response.status, len(response.values("path"))), (200, 1))


class StrictPathTests(RegistrarCase):
    options = ("--set", "sip.require_path_support=true")

    @requirement(46)
    async def test_path_without_support(self) -> None:
        """With C{sip.require_path_support} it is 420 with Unsupported: path (RFC 3327 section 5.3)."""
        peer = self.udp("v46")
        response = await self.register(peer, "<sip:a@192.0.2.1>", Path="<sip:p1.example.net;lr>")
        self.assertEqual((response.status, response.values("unsupported")), (420, ["path"]))
        response = await self.register(
            peer, "<sip:a@192.0.2.1>", Path="<sip:p1.example.net;lr>", Supported="gruu, path"
        )
        self.assertEqual(response.status, 200)

    @requirement(46)
    async def test_where_we_need_path(self) -> None:
        """As the first hop of a phone that asks for outbound we do: 421 with Require: path (RFC 3327 section 5.2)."""
        peer, elsewhere = self.udp("v46"), self.udp("registrar")
        request = peer.request("REGISTER", f"sip:{elsewhere.where}", ("Supported", "outbound"))
        request.add("Contact", f'<{peer.uri}>;+sip.instance="<urn:uuid:46>";reg-id=1')
        response = await peer.exchange(request)
        self.assertEqual((response.status, response.values("require")), (421, ["path"]))
        await elsewhere.silence()


class AllowedTests(RegistrarCase):
    auth = True

    @requirement(29)
    async def test_no_change_before_authentication(self) -> None:
        """After a 401, and after a wrong password, nothing is bound (10.3 step 3)."""
        await self.add_users("u29")
        peer = self.udp("u29")
        request = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>").add(
            "Contact", f"<{peer.uri}>"
        )
        challenge = await peer.exchange(request)
        self.assertEqual(challenge.status, 401)
        wrong = await peer.exchange(peer.authorized(request, challenge, "wrong"))
        self.assertEqual(wrong.status, 401)
        self.assertEqual(await self.node.ask("registrations", aor=f"u29@{self.domain}"), [])
        self.assertEqual((await peer.exchange(peer.authorized(request, wrong))).status, 200)
        self.assertEqual(len(await self.node.ask("registrations", aor=f"u29@{self.domain}")), 1)

    @requirement(30)
    async def test_only_for_oneself(self) -> None:
        """One user may not register another one: 403, and nothing is bound (10.3 step 4)."""
        await self.add_users("u30", "victim")
        peer = self.udp("u30")
        request = peer.request("REGISTER", f"sip:{self.domain}", to=f"<sip:victim@{self.domain}>")
        request.add("Contact", f"<{peer.uri}>")
        challenge = await peer.exchange(request)
        self.assertEqual((await peer.exchange(peer.authorized(request, challenge))).status, 403)
        self.assertEqual(await self.node.ask("registrations", aor=f"victim@{self.domain}"), [])

    @requirement(31)
    async def test_no_such_user(self) -> None:
        """Who is no user cannot register, and is not told that: a challenge like anybody's (10.3 steps 3 and 5)."""
        peer = self.udp("nobody31")
        request = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>").add(
            "Contact", f"<{peer.uri}>"
        )
        challenge = await peer.exchange(request)
        self.assertEqual(challenge.status, 401)
        self.assertEqual((await peer.exchange(peer.authorized(request, challenge, "x"))).status, 401)
