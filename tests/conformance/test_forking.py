"""Checklist C: loops, spirals and Max-Breadth (RFC 5393), and the attack that they are against."""

from __future__ import annotations

from twisted.names import dns

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.dns_server import DnsServer
from tests.conformance.marks import attack, requirement
from tests.conformance.peer import new_branch

_DNS = ("127.0.78.1", 5353)
INVITES = 'voipcluster_requests_total{method="INVITE"}'


def sent_back(hop: Peer, arrived: Message, uri: str) -> Message:
    """What a proxy at C{hop} would make of a request: another Request-URI, its own Via on top."""
    made = arrived.copy()
    made.start = f"{arrived.method} {uri} SIP/2.0"
    made.set("Via", f"SIP/2.0/UDP {hop.where};branch={new_branch()}", *arrived.lines("via"))
    made.set("Max-Forwards", str(int(arrived["max-forwards"]) - 1))
    return made


class LoopTests(ConformanceTestCase):
    @requirement(78)
    async def test_loop(self) -> None:
        """A request that comes back to an address of record where it has been is 482, however that is spelled (4.2.2)."""
        caller, hop = self.udp("carol"), await self.phone("alice")
        for method in ("INVITE", "MESSAGE"):
            for uri in (hop.aor, f"{hop.aor};x=y", f"sip:%61lice@{self.domain}"):
                request = caller.request(method, "alice")
                caller.send(request)
                arrived = await hop.expect(method)
                again = sent_back(hop, arrived, uri)
                self.assertEqual((await hop.exchange(again)).status, 482, uri)
                hop.reply(arrived, 482)
                final = await caller.final(request)
                self.assertEqual(final.status, 482)
                if method == "INVITE":
                    caller.ack(request, final)
        self.assertEqual(len([m for m in hop.heard if m.method in ("INVITE", "MESSAGE")]), 6)

    @requirement(78)
    async def test_spiral(self) -> None:
        """One that comes back for somebody else is no loop: it goes on (4.2.2)."""
        caller, hop, callee = self.udp("carol"), await self.phone("alice"), await self.phone("bob")
        invite = caller.invite("alice")
        caller.send(invite)
        hop.send(sent_back(hop, await hop.expect("INVITE"), callee.aor))
        arrived = await callee.expect("INVITE")
        self.assertEqual(len(arrived.values("via")), 4)
        callee.reply(arrived, 486)
        self.assertEqual((await hop.expect(486)).branch, arrived.values("via")[1].partition("branch=")[2])

    @requirement(79)
    async def test_branch_is_that_of_the_invite(self) -> None:
        """CANCEL, and the ACK for what is no 2xx, have the branch of their INVITE's copy (4.2.1, RFC 3261 section 9.1)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 180)
        await caller.expect(180)
        caller.cancel(invite)
        cancel = await callee.expect("CANCEL")
        callee.reply(cancel, 200)
        callee.reply(arrived, 487)
        ack = await callee.expect("ACK")
        self.assertEqual({m.branch for m in (cancel, ack)}, {arrived.branch})
        self.assertEqual({m.values("via")[0] for m in (cancel, ack)}, {arrived.values("via")[0]})
        self.assertEqual((await caller.expect(487)).status, 487)


class TwoDomainsTests(ConformanceTestCase):
    domains = ("example.com", "loop.example")
    options = ("--set", f'dns.servers=["{_DNS[0]}:{_DNS[1]}"]')

    @requirement(78)
    async def test_loop_over_another_domain(self) -> None:
        """A user whose contact leads to himself, by way of another domain of ours, is found out at the second look (4.2)."""
        server = DnsServer(self.reactor)
        ports = server.listen(*_DNS)
        for domain in self.domains:
            server.add(domain, dns.Record_A(self.node.address))

        async def close() -> None:
            server.close()
            for port in ports:
                await port.stopListening()

        self.at_end(close)
        phone, caller = self.udp("alice"), self.udp("carol")
        await phone.register(contact="<sip:alice@loop.example>")
        there = phone.request("REGISTER", "sip:loop.example", to="<sip:alice@loop.example>")
        there.add("Contact", f"<{phone.aor}>, <{phone.uri}>")
        self.assertEqual((await phone.exchange(there)).status, 200)
        before = (await self.node.numbers()).get(INVITES, 0)
        invite = caller.invite("alice")
        caller.send(invite)
        arrived = await phone.expect("INVITE")
        self.assertEqual(len(arrived.values("via")), 3)  # on to the other domain is no loop
        phone.reply(arrived, 486)
        caller.ack(invite, final := await caller.final(invite))
        self.assertIn(final.status, (482, 486))
        self.assertEqual((await self.node.numbers())[INVITES] - before, 3)


class BreadthTests(ConformanceTestCase):
    async def two_phones(self) -> tuple[Peer, Peer]:
        return await self.phone("bob"), await self.phone("bob")

    @requirement(80)
    async def test_single_target(self) -> None:
        """Each request that goes on has one Max-Breadth: 60 when it had none, what it had, and never above 60 (5.3.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for sent, arrives in (
            ([], "60"),
            (["60"], "60"),
            (["61"], "60"),
            (["4294967296"], "60"),
            (["3"], "3"),
            (["9", "2"], "2"),
        ):
            request = caller.request("MESSAGE", "bob").add("Max-Breadth", *sent)
            caller.send(request)
            arrived = await callee.expect("MESSAGE")
            self.assertEqual(arrived.lines("max-breadth"), [arrives], sent)
            callee.reply(arrived, 200)
            self.assertEqual((await caller.final(request)).status, 200)

    @requirement(80)
    async def test_fork(self) -> None:
        """The branches of a fork share what came: their sum is never above it (5.3.3)."""
        caller = self.udp("alice")
        one, two = await self.two_phones()
        for sent, each in (([], 30), (["60"], 30), (["5"], 2), (["2"], 1)):
            invite = caller.invite("bob").add("Max-Breadth", *sent)
            caller.send(invite)
            copies = [await one.expect("INVITE"), await two.expect("INVITE")]
            self.assertEqual([copy.lines("max-breadth") for copy in copies], [[str(each)]] * 2, sent)
            for phone, copy in zip((one, two), copies, strict=True):
                phone.reply(copy, 486)
            caller.ack(invite, await caller.final(invite))

    @requirement(80)
    async def test_little_breadth(self) -> None:
        """With Max-Breadth 1 two contacts are tried one after the other, each with all of it (5.3.3)."""
        caller = self.udp("alice")
        one, two = await self.two_phones()
        invite = caller.invite("bob", ("Max-Breadth", "1"))
        caller.send(invite)
        await self.until(lambda: one.inbox or two.inbox, "one phone is called")
        first, second = (one, two) if one.inbox else (two, one)
        arrived = await first.expect("INVITE")
        first.reply(arrived, 180)
        await caller.expect(180)
        await second.silence("INVITE")
        first.reply(arrived, 486)
        later = await second.expect("INVITE")
        self.assertEqual([m["max-breadth"] for m in (arrived, later)], ["1", "1"])
        second.reply(later, 486)
        final = await caller.final(invite)
        self.assertEqual(final.status, 486)
        caller.ack(invite, final)

    @requirement(80)
    async def test_no_breadth(self) -> None:
        """With 0 nothing may be forwarded: 440; what is no number is 400; what the node answers itself does not mind (5.3.3)."""
        caller, callee = self.udp("alice"), await self.phone("bob")
        for value, status in (("0", 440), ("x", 400)):
            for method in ("INVITE", "MESSAGE"):
                request = caller.request(method, "bob", ("Max-Breadth", value))
                self.assertEqual((await caller.exchange(request)).status, status, (method, value))
        await callee.silence()
        await callee.register(("Max-Breadth", "0"))
        options = caller.request("OPTIONS", f"sip:{self.node_uri_host}", ("Max-Breadth", "0"))
        self.assertEqual((await caller.exchange(options)).status, 200)


class SmallBreadthTests(ConformanceTestCase):
    options = ("--set", "sip.max_breadth=4")

    @requirement(80)
    async def test_limit(self) -> None:
        """The most that is taken can be set, and is what the others share (5.3.3)."""
        caller = self.udp("alice")
        phones = [await self.phone("bob") for _ in range(3)]
        invite = caller.invite("bob", ("Max-Breadth", "60"))
        caller.send(invite)
        for phone in phones:
            arrived = await phone.expect("INVITE")
            self.assertEqual(arrived["max-breadth"], "1")
            phone.reply(arrived, 486)
        caller.ack(invite, await caller.final(invite))


class AttackTests(ConformanceTestCase):
    @attack("S19")
    async def test_contacts_that_lead_back(self) -> None:
        """One REGISTER with two contacts that lead back to the node, then one INVITE: two copies of it, and an end."""
        attacker = self.udp("eve")
        node = self.node_uri_host
        await attacker.register(contact=f"<sip:eve@{node};x=1>, <sip:eve@{node};x=2>")
        before = (await self.node.numbers()).get(INVITES, 0)
        response = await attacker.exchange(attacker.invite("eve"))
        self.assertIn(response.status, (482, 440, 483))
        self.assertLessEqual((await self.node.numbers())[INVITES] - before, 1 + 2)

    @attack("S19")
    async def test_users_that_lead_to_one_another(self) -> None:
        """Four users whose contacts lead to all of them: no request is served twice for one of them."""
        users = [f"eve{n}" for n in range(4)]
        node = self.node_uri_host
        for user in users:
            contacts = ", ".join(f"<sip:{other}@{node}>" for other in users)
            await self.udp(user).register(contact=contacts)
        base = await self.counts()
        before = (await self.node.numbers()).get(INVITES, 0)
        caller = self.udp("alice")
        response = await caller.exchange(caller.invite("eve0", ("Max-Breadth", "8")), 20.0)
        self.assertIn(response.status, (482, 440, 483))
        # each way through the four without coming back to any, with one more step that ends in 482: 4 * (1 + 3 + 6 + 6) copies
        self.assertLessEqual((await self.node.numbers())[INVITES] - before, 1 + 4 * (1 + 3 + 6 + 6))
        self.assertLessEqual((await self.counts())["voipcluster_calls"], base["voipcluster_calls"])
