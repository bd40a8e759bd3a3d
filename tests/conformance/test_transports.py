"""Checklist A: transports and Via (RFC 3261 section 18, RFC 3581)."""

from __future__ import annotations

from tests.conformance.case import ConformanceTestCase, Dialog, Message, Peer
from tests.conformance.marks import requirement


class ViaTests(ConformanceTestCase):
    @requirement(10)
    async def test_received(self) -> None:
        """Another host in sent-by than the source: received says the truth, and a forged one goes (18.2.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for host, forged in (
            ("192.0.2.7", ""),
            ("pc.example.com", ";received=192.0.2.1"),
            (caller.host, ";received=192.0.2.1"),
        ):
            request = caller.request("MESSAGE", "bob", via=forged)
            request.set("Via", request["via"].replace(f"{caller.host}:5060", f"{host}:5060"))
            caller.send(request)
            arrived = await callee.expect("MESSAGE")
            self.assertIn(
                arrived.via("received", 1), {caller.host} if host != caller.host else {None, caller.host}
            )
            callee.reply(arrived, 200)
            answer = await caller.final(request)
            self.assertEqual(answer.values("via"), [arrived.values("via")[1]])

    @requirement(11)
    async def test_rport(self) -> None:
        """rport without value: the answer goes to the source's port, from where the request went to (RFC 3581 section 4)."""
        callee = await self.phone("bob")
        caller = self.udp("alice", port=0)
        for host in ("192.0.2.7:5070", f"{caller.host}:5070", caller.where):
            request = caller.request("MESSAGE", "bob", via=";rport")
            request.set("Via", request["via"].replace(caller.where, host))
            caller.send(request)
            callee.reply(await callee.expect("MESSAGE"), 200)
            answer = await caller.final(request)
            self.assertEqual((answer.via("rport"), answer.via("received")), (str(caller.port), caller.host))
            self.assertEqual(answer.source, (self.node.address, 5060))
        stream = await self.tcp("alice")
        request = stream.request("OPTIONS", f"sip:{self.node_uri_host}", via=";rport")
        answer = await stream.exchange(request)
        self.assertEqual((answer.via("rport"), answer.via("received")), (str(stream.port), stream.host))

    @requirement(13)
    async def test_sent_by(self) -> None:
        """Without rport: to the port of sent-by, 5060 when it names none, at the source's address (18.2.2)."""
        sender = self.udp("alice", port=0)
        for port, sent_by in (
            (5060, "192.0.2.7"),
            (5070, "pc.example.com:5070"),
            (5071, f"{sender.host}:5071"),
        ):
            waiting = self.udp("alice", host=sender.host, port=port)
            request = sender.request("OPTIONS", f"sip:{self.node_uri_host}")
            request.set("Via", request["via"].replace(sender.where, sent_by))
            sender.send(request)
            answer = await waiting.final(request)
            self.assertEqual(answer.status, 200)
        await sender.silence()

    @requirement(14)
    async def test_foreign_response(self) -> None:
        """A response whose topmost Via is not ours is dropped, even when it has the branch (18.1.2)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        request = caller.request("MESSAGE", "bob")
        caller.send(request)
        arrived = await callee.expect("MESSAGE")
        ours = f"{self.node.address}:5060"
        for forged in ("192.0.2.9:5060", f"{self.node.address}:5061", "proxy.example.com"):
            broken = arrived.copy()
            broken.headers = [(n, v.replace(ours, forged) if n == "Via" else v) for n, v in arrived.headers]
            broken.answer = arrived.answer
            self.assertNotEqual(broken.values("via")[0], arrived.values("via")[0])
            callee.reply(broken, 200)
        await caller.silence()
        callee.reply(arrived, 200)
        self.assertEqual((await caller.final(request)).status, 200)

    @requirement(19)
    async def test_lower_vias(self) -> None:
        """Via values below the topmost go on as they are, whatever transport and parameters they have (20.42)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        lower = [
            'SIP/2.0/X-PIGEON coop.example.com:9;a="b, c";branch=z9hG4bKlow',
            "SIP/2.0/UDP [2001:DB8::0:1]:0;ttl=999",
        ]
        request = caller.request("MESSAGE", "bob").add("Via", *lower)
        caller.send(request)
        arrived = await callee.expect("MESSAGE")
        self.assertEqual(arrived.values("via")[2:], lower)
        callee.reply(arrived, 200)
        self.assertEqual((await caller.final(request)).values("via")[1:], lower)


class DatagramTests(ConformanceTestCase):
    @requirement(7)
    async def test_large(self) -> None:
        """60 kB arrive whole over UDP, there and back (18.1.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        body = bytes(n % 251 for n in range(60_000))
        invite = caller.request("INVITE", "bob", body=body)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        self.assertEqual(arrived.body, body)
        callee.reply(arrived, 486, body=body)
        self.assertEqual((await caller.expect(486)).body, body)

    @requirement(8)
    async def test_too_large_for_udp(self) -> None:
        """More than 1300 octets go over TCP where the next hop takes that, with a Via of TCP; fewer over UDP (18.1.1)."""
        caller, hop = self.udp("alice"), self.udp("carol").listen_tcp()
        for size, transport in ((100, "UDP"), (2000, "TCP"), (2000, "TCP")):
            for method in ("MESSAGE", "INVITE"):
                request = caller.request(method, f"sip:carol@{hop.where}", body=b"x" * size)
                caller.send(request)
                arrived = await hop.expect(method)
                self.assertEqual(arrived.transport, transport)
                self.assertTrue(arrived.values("via")[0].startswith(f"SIP/2.0/{transport} "), arrived["via"])
                self.assertEqual(arrived.body, request.body)
                hop.reply(arrived, 486)
                self.assertEqual((await caller.final(request)).status, 486)

    @requirement(8)
    async def test_too_large_and_no_tcp(self) -> None:
        """Where TCP is refused they go over UDP all the same, with another branch (18.1.1)."""
        caller, hop = self.udp("alice"), self.udp("carol")
        for method in ("MESSAGE", "INVITE"):
            request = caller.request(method, f"sip:carol@{hop.where}", body=b"x" * 2000)
            caller.send(request)
            arrived = await hop.expect(method)  # sooner than a silent server is given up
            self.assertTrue(arrived.values("via")[0].startswith("SIP/2.0/UDP "), arrived["via"])
            hop.reply(arrived, 486)
            self.assertEqual((await caller.final(request)).status, 486)

    @requirement(8)
    async def test_large_call(self) -> None:
        """A call whose INVITE went over TCP goes on in both directions."""
        caller, hop = self.udp("alice"), self.udp("carol").listen_tcp()
        invite = caller.invite(f"sip:carol@{hop.where}", ("Subject", "x" * 1500))
        caller.send(invite)
        arrived = await hop.expect("INVITE")
        answer = hop.reply(arrived, 200, body=hop.sdp())
        ours = Dialog.of_caller(caller, invite, await caller.expect(200))
        theirs = Dialog.of_callee(hop, arrived, answer)
        ours.ack()
        await hop.expect("ACK")
        info = ours.request("INFO")
        caller.send(info)
        hop.reply(await hop.expect("INFO"), 200)
        await caller.final(info)
        bye = theirs.request("BYE")
        hop.send(bye)
        caller.reply(await caller.expect("BYE"), 200)
        self.assertEqual((await hop.final(bye)).status, 200)

    @requirement(18)
    async def test_unreachable(self) -> None:
        """Nobody listens at the callee's port: its caller hears so at once, not after 32 s (18.4)."""
        caller, gone = self.udp("alice"), await self.phone("bob")
        await gone.close_udp()
        for request in (caller.invite("bob"), caller.request("MESSAGE", "bob")):
            answer = await caller.exchange(request)
            self.assertIn(answer.status, (480, 500, 503))

    @requirement(18)
    async def test_next_target(self) -> None:
        """Of two targets one does not listen: the other one is called (18.4, 16.9)."""
        caller, gone, here = self.udp("alice"), await self.phone("bob"), await self.phone("bob")
        await gone.close_udp()
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await here.expect("INVITE")
        answer = here.reply(arrived, 200, body=here.sdp())
        Dialog.of_caller(caller, invite, await caller.expect(200)).ack()
        await here.expect("ACK")
        self.assertEqual(answer.status, 200)


class StreamTests(ConformanceTestCase):
    @requirement(9)
    async def test_same_port(self) -> None:
        """TCP is there on the port of UDP (18.2.1)."""
        peer = await self.tcp("alice")
        answer = await peer.exchange(peer.request("OPTIONS", f"sip:{self.node_uri_host}"))
        self.assertEqual((answer.status, answer.source[1]), (200, 5060))

    @requirement(12)
    async def test_same_connection(self) -> None:
        """The response goes over the connection of the request (18.2.2)."""
        caller, callee = await self.tcp("alice"), await self.phone("bob")
        other = self.tcp_server("other", host=caller.host)
        request = caller.request("MESSAGE", "bob")
        request.set("Via", request["via"].replace(caller.where, other.where))
        caller.send(request)
        callee.reply(await callee.expect("MESSAGE"), 200)
        self.assertEqual((await caller.final(request)).status, 200)
        self.assertEqual(other.heard, [])

    @requirement(12)
    async def test_new_connection(self) -> None:
        """When that is gone, a new one is opened to received and the port of sent-by (18.2.2)."""
        caller, callee = await self.tcp("alice"), await self.phone("bob")
        waiting = self.tcp_server("alice", host=caller.host, port=5070)
        request = caller.request("MESSAGE", "bob")
        request.set("Via", request["via"].replace(caller.where, "192.0.2.7:5070"))
        caller.send(request)
        arrived = await callee.expect("MESSAGE")
        await self.drop(caller)
        callee.reply(arrived, 200)
        self.assertEqual((await waiting.final(request)).status, 200)

    async def drop(self, peer: Peer) -> None:
        """Close a peer's connection; returns when the node has seen it."""
        connections = 'voipcluster_connections{transport="tcp"}'
        before = (await self.node.numbers())[connections]
        assert peer.connection is not None
        await peer.connection.close()

        async def seen() -> bool:
            return (await self.node.numbers())[connections] < before

        await self.until(seen, "the node sees the end of the connection")

    @requirement(17)
    async def test_framing(self) -> None:
        """A Content-Length that is none, or none at all: 400, the end, and nothing behind it is executed (18.3, 20.14)."""
        for lengths in (["-1"], ["x"], [""], ["5", "13"], ["99999999999999"], ["1 1"], ["+0"], ["0x0"], []):
            peer = await self.tcp("alice")
            assert peer.connection is not None
            connection = peer.connection
            request = peer.request("MESSAGE", "nobody").add("Content-Length", *lengths).to_bytes()
            if not lengths:
                request = request.replace(b"Content-Length: 0\r\n", b"")
            behind = peer.request("OPTIONS", f"sip:{self.node_uri_host}")
            peer.send(request + behind.to_bytes())
            await self.until(lambda c=connection: c.is_closed, f"the connection is closed: {lengths}")
            self.assertEqual([m.cseq[1] for m in peer.heard], ["MESSAGE"], lengths)
            self.assertIn(peer.heard[0].status, (400, 413, 513))

    @requirement(17)
    async def test_pipelined(self) -> None:
        """Content-Length tells where one message ends and the next one begins, however they are cut into segments (18.3)."""
        caller, callee = await self.tcp("alice"), await self.phone("bob")
        requests = [caller.request("MESSAGE", "bob", body=b"\r\n\r\nINVITE " * n) for n in range(4)]
        data = b"".join(request.to_bytes() for request in requests)
        for start in range(0, len(data), 97):
            caller.send(data[start : start + 97])
            await self.tick(0)
        for request in requests:
            arrived: Message = await callee.expect(
                "MESSAGE", where=lambda m, r=request: m.call_id == r.call_id
            )
            self.assertEqual(arrived.body, request.body)
            callee.reply(arrived, 200)
            self.assertEqual((await caller.final(request)).status, 200)
