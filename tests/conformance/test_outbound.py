"""Checklist B: the flows that phones keep open (RFC 5626), what leads along them (RFC 3327), and GRUUs (RFC 5627)."""

from __future__ import annotations

import re
import struct

from twisted.internet.protocol import DatagramProtocol

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.marks import requirement
from tests.conformance.wire import uri_of


class OutboundCase(ConformanceTestCase):
    async def flow(
        self, peer: Peer, reg_id: int | None = 1, *headers: tuple[str, str], expires: int = 600, more: str = "",
        supported: str = "path, outbound, gruu", contact: str = "", call_id: str = "",
    ) -> Message:  # fmt: skip
        """The answer to a REGISTER of the phone of that user, over one more flow."""
        instance = f'+sip.instance="<urn:uuid:{peer.user}>"'
        number = "" if reg_id is None else f";reg-id={reg_id}"
        request = peer.request("REGISTER", f"sip:{self.domain}", *headers, to=f"<{peer.aor}>")
        request.add("Contact", contact or f"<{peer.uri}>;{instance}{number};expires={expires}{more}")
        if supported:
            request.add("Supported", supported)
        return await peer.exchange(request.set("Call-ID", call_id or f"{peer.user}-{reg_id}"))

    async def message(self, peer: Peer, uri: str, *headers: tuple[str, str]) -> Message:
        """The final response to a MESSAGE."""
        return await peer.exchange(peer.request("MESSAGE", uri, *headers, body=b"hello"))


class RegistrarTests(OutboundCase):
    @requirement(47)
    async def test_key(self) -> None:
        """Instance and reg-id are the key: from a new port the binding is replaced, whatever its Contact says (section 6)."""
        old, new = self.udp("u47"), self.udp("u47", port=5070)
        await self.flow(old)
        response = await self.flow(new, call_id="u47-anew")
        self.assertEqual([uri_of(value) for value in response.values("contact")], [new.uri])
        response = await self.flow(old, 2)
        self.assertEqual(len(response.values("contact")), 2)

    @requirement(48)
    async def test_first_hop(self) -> None:
        """439 when a proxy before us did not say that it keeps the flow (section 6)."""
        peer, via = self.udp("u48"), ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKphone")
        self.assertEqual((await self.flow(peer, 1, via)).status, 439)
        self.assertEqual((await self.flow(peer, 1, via, ("Path", "<sip:192.0.2.7;lr>"))).status, 439)
        response = await self.flow(peer, 1, via, ("Path", "<sip:192.0.2.7;lr;ob>, <sip:192.0.2.8;lr>"))
        self.assertEqual((response.status, response["require"]), (200, "outbound"))
        response = await self.flow(peer, 1, via, supported="path", call_id="x")
        self.assertEqual((response.status, "require" in response), (200, False))

    @requirement(49)
    async def test_reg_id_without_instance(self) -> None:
        """It is ignored, and nothing is promised (section 6)."""
        peer = self.udp("u49")
        response = await self.flow(peer, contact=f"<{peer.uri}>;reg-id=1")
        self.assertEqual((response.status, "require" in response), (200, False))
        response = await self.flow(peer, contact="<sip:u49@192.0.2.1>;reg-id=1", call_id="other")
        self.assertEqual(len(response.values("contact")), 2)

    @requirement(50)
    async def test_one_contact(self) -> None:
        """400 for two contacts with a reg-id among them (section 6)."""
        peer = self.udp("u50")
        one = f'<{peer.uri}>;+sip.instance="<urn:uuid:50>";reg-id=1'
        response = await self.flow(peer, contact=f"{one}, <sip:x@192.0.2.1>")
        self.assertEqual(response.status, 400)
        response = await self.flow(peer, contact=f"{one}, <sip:x@192.0.2.1>;expires=0", call_id="y")
        self.assertEqual(response.status, 200)

    @requirement(51)
    async def test_promise(self) -> None:
        """Require: outbound in the 200 to who asked for it, and to nobody else (section 6)."""
        peer = self.udp("u51")
        self.assertEqual((await self.flow(peer))["require"], "outbound")
        self.assertNotIn("require", await self.flow(peer, 2, supported="path"))
        self.assertNotIn("require", await self.flow(peer, None, call_id="z"))


class FlowTests(OutboundCase):
    @requirement(52)
    async def test_the_very_connection(self) -> None:
        """A request goes over the connection that registered; nobody else at that address gets it (sections 6 and 7)."""
        peer, caller = await self.tcp("u52"), self.udp("alice")
        trap = self.tcp_server("u52", host=peer.host, port=5060)
        await self.flow(
            peer, contact=f'<sip:u52@{peer.host};transport=tcp>;+sip.instance="<urn:uuid:52>";reg-id=1'
        )
        for _ in range(2):
            request = caller.request("MESSAGE", "u52")
            caller.send(request)
            peer.reply(await peer.expect("MESSAGE"), 200)
            self.assertEqual((await caller.final(request)).status, 200)
        self.assertEqual(trap.connections, [])

    @requirement(52)
    async def test_behind_a_nat(self) -> None:
        """A phone on UDP whose Contact leads nowhere is reached where its REGISTER came from, from where that went to."""
        peer, caller = self.udp("v52", port=40052), self.udp("alice")
        await self.flow(peer, contact='<sip:v52@10.1.2.3:5060>;+sip.instance="<urn:uuid:v52>";reg-id=1')
        caller.send(caller.request("MESSAGE", "v52"))
        arrived = await peer.expect("MESSAGE")
        self.assertEqual((arrived.uri, arrived.source), ("sip:v52@10.1.2.3:5060", (self.node.address, 5060)))
        peer.reply(arrived, 200)

    @requirement(47, 52)
    async def test_nat_rebinding(self) -> None:
        """
        The NAT gives the phone another port: as soon as it has registered again all goes there, also within a call; with outbound
        and without.
        """
        for user, reg_id in (("w52", 1), ("x52", None)):
            old, new = self.udp(user, port=41001), self.udp(user, port=41002)
            caller = self.udp("alice")
            contact = f'<sip:{user}@10.1.2.3>;+sip.instance="<urn:uuid:{user}>"' + (
                ";reg-id=1" if reg_id else ""
            )
            via = f"SIP/2.0/UDP 10.1.2.3;rport;branch=z9hG4bK{user}"
            for number, peer in enumerate((old, new), 1):
                request = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>")
                request.set("Via", via + str(number)).set("Call-ID", f"rebinding-{user}")
                request.set("CSeq", f"{number} REGISTER").add("Contact", contact)
                response = await peer.exchange(request)
                self.assertEqual((response.status, len(response.values("contact"))), (200, 1))
                self.assertEqual(response.via("rport"), str(peer.port))
                asked = caller.request("MESSAGE", user)
                caller.send(asked)
                peer.reply(await peer.expect("MESSAGE"), 200)
                self.assertEqual((await caller.final(asked)).status, 200)
            self.assertEqual([m.method for m in old.heard].count("MESSAGE"), 1)

    @requirement(53)
    async def test_one_flow_at_a_time(self) -> None:
        """Two flows of a phone, one INVITE; after 430 and 408 the other one is tried (section 7)."""
        for user, status in (("u53", 430), ("v53", 408)):
            first, last, caller = self.udp(user), self.udp(user, port=5070), self.udp("alice")
            await self.flow(first, 1)
            await self.flow(last, 2)
            invite = caller.invite(user)
            caller.send(invite)
            arrived = await last.expect("INVITE")
            await first.silence("INVITE")
            last.reply(arrived, status)
            other = await first.expect("INVITE")
            self.assertNotEqual(other.branch, arrived.branch)
            first.reply(other, 486)
            final = await caller.final(invite)
            self.assertEqual(final.status, 486)
            caller.ack(invite, final)

    @requirement(53)
    async def test_the_phone_has_answered(self) -> None:
        """After any other final response no other flow is tried (section 7)."""
        first, last, caller = self.udp("w53"), self.udp("w53", port=5070), self.udp("alice")
        await self.flow(first, 1)
        await self.flow(last, 2)
        for status in (486, 404, 480, 302, 500):
            invite = caller.invite("w53")
            caller.send(invite)
            last.reply(await last.expect("INVITE"), status, ("Contact", "<sip:x@192.0.2.1>"))
            final = await caller.final(invite)
            self.assertEqual(final.status, status)
            caller.ack(invite, final)
            await first.silence("INVITE")

    @requirement(53)
    async def test_a_connection_that_went(self) -> None:
        """The flow that is left is used, and only that one."""
        gone, left, caller = await self.tcp("x53"), self.udp("x53"), self.udp("alice")
        await self.flow(left, 1)
        await self.flow(gone, 2)
        assert gone.connection is not None
        await gone.connection.close()
        request = caller.request("MESSAGE", "x53")
        caller.send(request)
        left.reply(await left.expect("MESSAGE"), 200)
        self.assertEqual((await caller.final(request)).status, 200)


class EdgeTests(OutboundCase):
    """As the first hop of a phone that registers elsewhere."""

    async def path(self, peer: Peer, registrar: Peer) -> str:
        request = peer.request("REGISTER", f"sip:{registrar.where}", ("Supported", "path, outbound"))
        peer.send(request.add("Contact", f'<{peer.uri}>;+sip.instance="<urn:uuid:54>";reg-id=1'))
        arrived = await registrar.expect("REGISTER")
        registrar.reply(arrived, 200, ("Path", arrived["path"]))
        self.assertEqual((await peer.final(request)).lines("path"), arrived.lines("path"))
        return arrived["path"]

    @requirement(54)
    async def test_path(self) -> None:
        """We put a Path with the flow and C{ob}, and what comes along it goes over that flow (sections 5.1 and 5.3)."""
        peer, registrar = await self.tcp("alice"), self.udp("registrar")
        path = await self.path(peer, registrar)
        self.assertRegex(path, rf"^<sip:{re.escape(self.node.address)}(:5060)?;.*\bob\b.*>$")
        self.assertIn(";lr", path)
        invite = registrar.invite(peer.uri, ("Route", path)).set("From", "<sip:x@elsewhere.example>;tag=1")
        registrar.send(invite)
        arrived = await peer.expect("INVITE")
        self.assertEqual((arrived.uri, arrived.lines("route")), (peer.uri, []))
        self.assertIn(self.node.address, arrived["record-route"])
        peer.reply(arrived, 486)
        registrar.ack(invite, await registrar.expect(486))

    @requirement(55)
    async def test_tampered_and_dead(self) -> None:
        """One character of the token changed: 403; the connection gone: 430 (section 5.3.1)."""
        peer, registrar = await self.tcp("alice"), self.udp("registrar")
        path = await self.path(peer, registrar)
        token = re.search(r"flow=([A-Za-z0-9_-]+)", path)
        assert token is not None
        for at in (0, len(token[1]) // 2, len(token[1]) - 1):
            other = "A" if token[1][at] != "A" else "B"
            forged = path.replace(token[1], token[1][:at] + other + token[1][at + 1 :])
            response = await self.message(registrar, peer.uri, ("Route", forged))
            self.assertEqual(response.status, 403, at)
        await peer.silence("MESSAGE")
        assert peer.connection is not None
        await peer.connection.close()
        response = await self.message(registrar, peer.uri, ("Route", path))
        self.assertEqual(response.status, 430)


class Stun(DatagramProtocol):
    """Notes what comes."""

    def __init__(self) -> None:
        self.came: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.came.append(datagram)


class KeepAliveTests(OutboundCase):
    @requirement(56)
    async def test_stun(self) -> None:
        """A Binding request on the SIP port is answered with the address that it came from (section 5.4, RFC 8489)."""
        stun = Stun()
        host = self.address(160)
        port = self.reactor.listenUDP(0, stun, interface=host)
        try:
            transaction = bytes(range(12))
            stun.transport.write(
                struct.pack(">HHI", 1, 0, 0x2112A442) + transaction, (self.node.address, 5060)
            )
            await self.until(lambda: stun.came, "STUN is answered")
            (answer,) = stun.came
            kind, length, cookie = struct.unpack_from(">HHI", answer)
            self.assertEqual((kind, length, cookie), (0x0101, len(answer) - 20, 0x2112A442))
            self.assertEqual(answer[8:20], transaction)
            name, size, family, masked = struct.unpack_from(">HHxBH", answer, 20)
            self.assertEqual((name, size, family), (0x0020, 8, 1))
            address = bytes(a ^ b for a, b in zip(answer[28:32], struct.pack(">I", 0x2112A442), strict=True))
            self.assertEqual(".".join(map(str, address)), host)
            self.assertEqual(masked ^ 0x2112, port.getHost().port)
        finally:
            await port.stopListening()

    @requirement(56)
    async def test_crlf(self) -> None:
        """A double CRLF over TCP is answered with one at once, also behind a message and in pieces (section 4.4.1)."""
        peer = await self.tcp("u56")
        assert peer.connection is not None
        await self.flow(peer)
        peer.connection.write(b"\r\n\r\n")
        await self.until(lambda: peer.connection.pongs == 1, "a pong comes")
        peer.connection.write(b"\r\n\r")
        peer.connection.write(b"\n")
        await self.until(lambda: peer.connection.pongs == 2, "another one comes")
        self.assertTrue(peer.connection.received.endswith(b"\r\n"))
        self.assertEqual((await self.flow(peer)).status, 200)


class FlowTimerTests(OutboundCase):
    options = ("--set", "sip.flow_timer=1")

    @requirement(57)
    async def test_silent(self) -> None:
        """
        Who asked for outbound is told in what time to send something over its connection; when it does not, the flow is dead:
        closed, and no target any more (section 4.4).
        """
        silent, lively, caller = await self.tcp("u57"), await self.tcp("v57"), self.udp("alice")
        for peer in (silent, lively):
            self.assertEqual((await self.flow(peer))["flow-timer"], "1")
        self.assertNotIn("flow-timer", await self.flow(self.udp("w57")))
        assert lively.connection is not None and silent.connection is not None

        def pinged() -> bool:
            lively.connection.write(b"\r\n\r\n")
            return silent.connection.is_closed

        await self.until(pinged, "the silent connection is closed", 30.0)
        self.assertFalse(lively.connection.is_closed)
        self.assertIn((await self.message(caller, "u57")).status, (404, 480))
        request = caller.request("MESSAGE", "v57")
        caller.send(request)
        lively.reply(await lively.expect("MESSAGE"), 200)
        self.assertEqual((await caller.final(request)).status, 200)


class GruuTests(OutboundCase):
    def gruus(self, response: Message) -> tuple[str, str]:
        (contact,) = response.values("contact")
        public = re.search(r'pub-gruu="([^"]+)"', contact)
        temporary = re.search(r'temp-gruu="([^"]+)"', contact)
        assert public is not None and temporary is not None, contact
        return public[1], temporary[1]

    async def test_given_to_who_asks(self) -> None:
        """In the 200, for who knows of them and has an instance (RFC 5627 section 5.3)."""
        peer = self.udp("g1")
        public, temporary = self.gruus(await self.flow(peer))
        self.assertEqual(public, f"sip:g1@{self.domain};gr=urn:uuid:g1")
        self.assertNotIn("g1", temporary.partition("@")[0])
        self.assertTrue(temporary.endswith(f"@{self.domain};gr"), temporary)
        self.assertNotEqual(self.gruus(await self.flow(peer)), (public, temporary))
        self.assertNotIn("gruu", (await self.flow(peer, supported="outbound"))["contact"])

    async def test_leads_to_one_phone(self) -> None:
        """Both lead to the phone alone, though its user has another one (RFC 5627 section 5.4)."""
        peer, other, caller = self.udp("g2"), self.udp("g2"), self.udp("alice")
        gruus = self.gruus(await self.flow(peer))
        await other.register()
        for uri in gruus:
            request = caller.request("MESSAGE", uri)
            caller.send(request)
            arrived = await peer.expect("MESSAGE")
            self.assertEqual(arrived.uri, peer.uri)
            peer.reply(arrived, 200)
            self.assertEqual((await caller.final(request)).status, 200)
        await other.silence("MESSAGE")

    async def test_as_contact_of_a_call(self) -> None:
        """Requests within a call reach the party that named its GRUU as Contact, as the Contact that it registered (5.4)."""
        callee, caller = self.udp("g3"), self.udp("g4")
        uris = [self.gruus(await self.flow(peer))[0] for peer in (callee, caller)]
        invite = caller.invite("g3")
        caller.send(invite.set("Contact", f"<{uris[1]}>"))
        arrived = await callee.expect("INVITE")
        answer = callee.reply(arrived, 200, body=callee.sdp())
        ok = await caller.expect(200, "INVITE")
        self.assertEqual(ok.address("contact"), callee.uri)
        ours, theirs = Dialog.of_caller(caller, invite, ok), Dialog.of_callee(callee, arrived, answer)
        ours.target = uris[0]
        ours.ack()
        self.assertEqual((await callee.expect("ACK")).uri, callee.uri)
        self.assertEqual(theirs.target, uris[1])
        info = theirs.request("INFO")
        callee.send(info)
        got = await caller.expect("INFO")
        self.assertEqual(got.uri, caller.uri)
        caller.reply(got, 200)
        self.assertEqual((await callee.final(info)).status, 200)
        bye = ours.request("BYE")
        caller.send(bye)
        callee.reply(await callee.expect("BYE"), 200)
        self.assertEqual((await caller.final(bye)).status, 200)

    async def test_ends_with_the_registration(self) -> None:
        """A temporary one with the registration or its Call-ID: 404; a public one stays: 480 (RFC 5627 section 5.4)."""
        peer, caller = self.udp("g5"), self.udp("alice")
        public, temporary = self.gruus(await self.flow(peer))
        await self.flow(peer, call_id="anew")
        self.assertEqual((await self.message(caller, temporary)).status, 404)
        _, temporary = self.gruus(await self.flow(peer, call_id="anew"))
        await self.flow(peer, expires=0, call_id="anew")
        self.assertEqual((await self.message(caller, temporary)).status, 404)
        self.assertIn((await self.message(caller, public)).status, (404, 480))

    async def test_no_contact(self) -> None:
        """Nobody registers his GRUU as Contact (RFC 5627 section 5.1)."""
        peer = self.udp("g6")
        public, _ = self.gruus(await self.flow(peer))
        self.assertEqual((await self.flow(peer, contact=f"<{public}>", call_id="x")).status, 403)
