"""What arrives at the next hop of the messages of RFC 4475 that a proxy forwards: all of it, unchanged."""

from __future__ import annotations

import re

from tests.conformance.case import Message
from tests.conformance.marks import requirement, torture
from tests.conformance.torture_case import BY_NAME, DownstreamTestCase


class Rfc4475DownstreamTests(DownstreamTestCase):
    """Bodies are looked at without a media relay, which would rewrite them."""

    domains = ("example.com", "example.net", "example.org", "chair-dnrc.example.com")
    options = ("--set", "media.relay=off")

    @torture("rfc4475", "wsinv")
    @requirement(3)
    async def test_wsinv(self) -> None:
        """
        Folded lines, spaces and unknown headers (3.1.1.1). As an initial request: its To tag is taken out, since no dialog of
        ours has it, and its Route names an address of ours.
        """
        caller, hop = self.udp("tester"), self.udp("next")
        data = BY_NAME["wsinv"].data.replace(b" ;   tag    = 1918181833n", b"")
        data = data.replace(b"services.example.com", hop.where.encode())
        caller.send(data)
        arrived = await hop.expect("INVITE")
        self.assert_untouched(data, arrived)
        self.assertEqual(arrived["max-forwards"], "67")
        self.assertEqual(arrived.lines("route"), [f"<sip:{hop.where};lr;unknownwith=value;unknown-no-value>"])
        self.assertEqual(arrived["newfangledheader"], "newfangled value continued newfangled value")
        self.assertEqual(arrived["unknownheaderwithunusualvalue"], ";;,,;;,;")
        self.assertEqual(len(arrived.values("via")), 4)
        self.assertEqual(len(arrived.body), 150)
        self.assertEqual(arrived.uri, "sip:vivekg@chair-dnrc.example.com;unknownparam")
        hop.reply(arrived, 486)
        await caller.expect(486)

    @torture("rfc4475", "intmeth")
    @requirement(20)
    async def test_intmeth(self) -> None:
        """A method, names and values of every character that is allowed (3.1.1.2)."""
        data = BY_NAME["intmeth"].data
        uri = re.search(rb"<(sip:1_unusual[^>]*)>", data)
        assert uri is not None
        arrived = await self.forwarded("intmeth", uri[1].decode())
        self.assert_untouched(data, arrived)
        self.assertEqual(arrived["max-forwards"], "254")
        self.assertEqual(arrived.method, data.split(b" ")[0].decode())

    @torture("rfc4475", "esc01")
    async def test_esc01(self) -> None:
        """Escapes: the user is sips%3Auser%40example.com of example.net (3.1.1.3)."""
        self.assert_untouched(BY_NAME["esc01"].data, await self.forwarded("esc01"))

    @torture("rfc4475", "esc02")
    async def test_esc02(self) -> None:
        """A method that would be REGISTER were % an escape binds nothing (3.1.1.5)."""
        caller = self.udp("tester")
        caller.send(BY_NAME["esc02"].data)
        await self.until(lambda: [m for m in caller.heard if m.status >= 200], "an answer", 30.0)
        self.assertEqual(await self.node.ask("registrations", aor="resource@example.com"), [])

    @torture("rfc4475", "escnull")
    async def test_escnull(self) -> None:
        """NULs in escapes: an address of record that is not cut, with two bindings (3.1.1.4)."""
        caller = self.udp("tester")
        caller.send(BY_NAME["escnull"].data)
        ok = await caller.expect(200)
        self.assertEqual(
            sorted(value.partition(";")[0] for value in ok.values("contact")),
            ["<sip:%00%00@host5.example.com>", "<sip:%00@host5.example.com>"],
        )
        self.assertNotIn(b"\0", ok.raw)
        bound = await self.node.ask("registrations", aor="null-%00-null@example.com")
        self.assertEqual(len(bound), 2)
        self.assertEqual(await self.node.ask("registrations", aor="null-@example.com"), [])

    @torture("rfc4475", "lwsdisp")
    async def test_lwsdisp(self) -> None:
        """No space between display name and < (3.1.1.6)."""
        self.assert_untouched(BY_NAME["lwsdisp"].data, await self.forwarded("lwsdisp"))

    @torture("rfc4475", "longreq")
    async def test_longreq(self) -> None:
        """Long values, 34 Via lines and names in all spellings (3.1.1.7)."""
        arrived = await self.forwarded("longreq")
        self.assert_untouched(BY_NAME["longreq"].data, arrived)
        self.assertEqual(len(arrived.values("via")), 35)

    @torture("rfc4475", "dblreq")
    @requirement(15)
    async def test_dblreq(self) -> None:
        """Octets behind the first message of a datagram go nowhere (3.1.1.8)."""
        callee = await self.next_hop("sip:joe@example.com")
        caller = self.udp("tester")
        caller.send(BY_NAME["dblreq"].data)
        await caller.expect(200, "REGISTER")
        await self.node_answers()
        self.assertEqual([m for m in callee.inbox + caller.inbox if m.cseq[1] == "INVITE"], [])

    @torture("rfc4475", "semiuri")
    async def test_semiuri(self) -> None:
        """A semicolon in the user part begins no parameter (3.1.1.9)."""
        self.assert_untouched(BY_NAME["semiuri"].data, await self.forwarded("semiuri"))

    @torture("rfc4475", "transports")
    @requirement(19)
    async def test_transports(self) -> None:
        """Unknown transports below the topmost Via stay as they are (3.1.1.10)."""
        arrived = await self.forwarded("transports")
        self.assert_untouched(BY_NAME["transports"].data, arrived)
        self.assertEqual(
            [value.split()[0] for value in arrived.values("via")],
            [f"SIP/2.0/{name}" for name in ("UDP", "UDP", "SCTP", "TLS", "UNKNOWN", "TCP")],
        )

    @torture("rfc4475", "mpart01")
    @requirement(5)
    async def test_mpart01(self) -> None:
        """A binary body, to a strict router that its Route names: 127.0.0.1, port 5080 (3.1.1.11)."""
        hop = self.udp("next", host="127.0.0.1", port=5080)
        caller = self.udp("tester", port=5070)
        data = BY_NAME["mpart01"].data
        caller.send(data)
        arrived = await hop.expect("MESSAGE")
        self.assert_untouched(data, arrived)
        self.assertEqual(arrived.uri, "sip:127.0.0.1:5080")
        self.assertEqual(arrived.lines("route"), ["<sip:kumiko@example.org>"])
        hop.reply(arrived, 200)
        await caller.expect(200)

    @torture("rfc4475", "unreason")
    @torture("rfc4475", "noreason")
    async def test_reasons(self) -> None:
        """A reason phrase goes upstream as it is, in Cyrillic or empty (3.1.1.12 and 3.1.1.13)."""
        caller, callee = self.udp("tester"), await self.next_hop("sip:user@example.com")
        caller.send(caller.request("INVITE", "sip:user@example.com"))
        arrived = await callee.expect("INVITE")
        start = BY_NAME["unreason"].data.partition(b"\r\n")[0].decode()
        callee.reply(arrived, 180, reason="")
        self.assertEqual((await caller.expect(180)).start, "SIP/2.0 180 ")
        callee.reply(arrived, 200, reason=start[12:])
        self.assertEqual((await caller.expect(200)).start, start)

    @torture("rfc4475", "bigcode")
    @torture("rfc4475", "scalarlg")
    async def test_broken_responses(self) -> None:
        """Responses of a code above 699, or of a CSeq above 2**31, are dropped even in their transaction (3.1.2.19, 3.1.2.5)."""
        caller, callee = self.udp("tester"), await self.next_hop("sip:user@example.com")
        request = caller.request("OPTIONS", "sip:user@example.com")
        caller.send(request)
        arrived = await callee.expect("OPTIONS")
        answer = arrived.answer
        assert answer is not None
        good = callee.reply  # the proper way, for the end
        for start, cseq in (
            ("SIP/2.0 4294967301 better not break the receiver", arrived["cseq"]),
            ("SIP/2.0 503 Service Unavailable", "9292394834772304023312 OPTIONS"),
        ):
            broken = Message(
                start, [(n, v) for n, v in arrived.headers if n.lower() in ("via", "from", "call-id")]
            )
            answer(broken.add("To", arrived["to"] + ";tag=x").add("CSeq", cseq).to_bytes())
        await self.node_answers()
        self.assertEqual(caller.heard, [])
        good(arrived, 200)
        self.assertEqual((await caller.final(request)).status, 200)

    @torture("rfc4475", "baddate")
    @requirement(20)
    async def test_baddate(self) -> None:
        """A Date that is none does not concern a proxy (3.1.2.12)."""
        arrived = await self.forwarded("baddate")
        self.assert_untouched(BY_NAME["baddate"].data, arrived)
        self.assertEqual(arrived["date"], "Fri, 01 Jan 2010 16:00:00 EST")

    @torture("rfc4475", "ltgtruri")
    @torture("rfc4475", "lwsruri")
    @torture("rfc4475", "lwsstart")
    @torture("rfc4475", "trws")
    @torture("rfc4475", "zeromf")
    @torture("rfc4475", "baddn")
    @torture("rfc4475", "quotbal")
    @torture("rfc4475", "badinv01")
    async def test_refused(self) -> None:
        """What is refused does not go any further (3.1.2.7 to 3.1.2.10, 3.1.2.15, 3.3.11)."""
        callees = [
            await self.next_hop(f"sip:{user}@example.{top}", user)
            for user, top in (("user", "com"), ("remote-target", "com"), ("t.watson", "org"))
        ]
        caller = self.udp("tester")
        for name in ("ltgtruri", "lwsruri", "lwsstart", "trws", "zeromf", "baddn", "quotbal", "badinv01"):
            caller.send(BY_NAME[name].data)
        for callee in callees:
            await callee.silence()

    @torture("rfc4475", "escruri")
    async def test_escruri(self) -> None:
        """Headers in a Request-URI neither go on in it nor become headers (3.1.2.11)."""
        callee, caller = await self.next_hop("sip:user@example.com"), self.udp("tester")
        caller.send(BY_NAME["escruri"].data)
        await self.node_answers()
        for arrived in callee.inbox:
            self.assertNotIn("?", arrived.uri)
            self.assertNotIn("route", arrived)

    @torture("rfc4475", "invut")
    async def test_invut(self) -> None:
        """A body of an unknown type is no concern of a proxy (3.3.6)."""
        self.assert_untouched(BY_NAME["invut"].data, await self.forwarded("invut"))

    @torture("rfc4475", "sdp01")
    async def test_sdp01(self) -> None:
        """Nor is an Accept without SDP (3.3.15)."""
        self.assert_untouched(BY_NAME["sdp01"].data, await self.forwarded("sdp01"))

    @torture("rfc4475", "inv2543")
    @requirement(60)
    async def test_inv2543(self) -> None:
        """An INVITE of RFC 2543: no branch, no tag, and what it has not is added (3.4.1)."""
        arrived = await self.forwarded("inv2543")
        self.assert_untouched(BY_NAME["inv2543"].data, arrived, "content-length")
        self.assertEqual(arrived["max-forwards"], "70")
        self.assertIsNone(arrived.via("branch", 1))

    @torture("rfc4475", "cparam01")
    @torture("rfc4475", "cparam02")
    async def test_parameters(self) -> None:
        """A parameter is the header's without <>, and the URI's inside (3.3.12 and 3.3.13)."""
        for name, contact in (
            ("cparam01", r"<sip:\+19725552222@gw1\.example\.net>.*;unknownparam"),
            ("cparam02", r"<sip:\+19725552222@gw1\.example\.net;unknownparam>[^>]*"),
        ):
            caller = self.udp("tester")
            # a branch of its own: the two messages have the same
            caller.send(BY_NAME[name].data.replace(b"z9hG4bKkdjuw", f"z9hG4bK{name}".encode()))
            ok = await caller.expect(200)
            self.assertTrue(
                [v for v in ok.values("contact") if re.fullmatch(contact, v)], ok.values("contact")
            )

    @torture("rfc4475", "regescrt")
    async def test_regescrt(self) -> None:
        """A Contact with a header in its URI is kept with it, and a request to it brings no such header (3.3.14)."""
        caller, hop = self.udp("tester"), self.udp("next")
        data = BY_NAME["regescrt"].data.replace(b"user@example.com", b"escrt@example.com")
        data = data.replace(b"<sip:escrt@example.com?", f"<sip:escrt@{hop.where}?".encode())
        caller.send(data.replace(b"z9hG4bKkdjuw", b"z9hG4bKregescrt"))
        ok = await caller.expect(200)
        self.assertEqual(ok.address("contact"), f"sip:escrt@{hop.where}?Route=%3Csip:sip.example.com%3E")
        caller.send(caller.invite("sip:escrt@example.com"))
        # the call goes where the REGISTER came from, or where the Contact says
        came = await self.until(
            lambda: [m for m in caller.inbox + hop.inbox if m.method], "the INVITE arrives"
        )
        arrived = came[0]
        self.assertEqual(arrived.uri, f"sip:escrt@{hop.where}")
        hop.reply(arrived, 486)
        self.assertNotIn("route", arrived)
