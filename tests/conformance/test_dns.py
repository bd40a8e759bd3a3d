"""Checklist: RFC 3263, and a DNS that is slow or hostile (S26); with a DNS server of the test's own."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable

from twisted.names import dns

from tests.conformance.case import Message, Peer
from tests.conformance.dns_case import DnsCase, asks
from tests.conformance.marks import attack, requirement

_AT = ("127.99.0.53", 5353)  # the nodes of this module ask there
AT_ONCE = (
    2.5  # seconds, also on a busy machine: half of what a slow DNS takes here, and less than half of 64*T1
)


class DnsTestCase(DnsCase):
    dns_at = _AT
    options = (
        *(*asks(_AT), "--set", "dns.next_after=1.0"),
        *("--set", "sip.t1=0.1", "--set", "limits.requests_per_address=0"),
    )

    def server(self, name: str, host: int, listens: bool = True) -> Peer:
        """A server C{name} of our domain, on UDP port 5060."""
        address = self.address(host)
        self.dns.add(f"{name}.{self.net}", dns.Record_A(address))
        return self.udp(name, host=address) if listens else self._new_peer(name, "UDP", address)

    def srv(self, *targets: tuple[str, int, int], service: str = "_sip._udp", port: int = 5060) -> None:
        """SRV records to (name, priority, weight) of our domain."""
        records = [dns.Record_SRV(prio, weight, port, f"{name}.{self.net}") for name, prio, weight in targets]
        self.dns.add(f"{service}.{self.net}", *records)

    def naptr(self, *services: tuple[int, str, str]) -> None:
        """NAPTR records with (order, service, replacement below our domain)."""
        for order, service, replacement in services:
            self.dns.add(
                self.net,
                dns.Record_NAPTR(order, 10, b"s", service.encode(), b"", f"{replacement}.{self.net}"),
            )

    def two_servers(self, first_listens: bool = True) -> tuple[Peer, Peer]:
        self.srv(("one", 1, 1), ("two", 2, 1))
        return self.server("one", 151, first_listens), self.server("two", 152)

    def invite_to_net(self) -> tuple[Peer, Message]:
        caller = self.udp("alice")
        invite = caller.invite(f"sip:carol@{self.net}")
        caller.send(invite)
        return caller, invite

    async def refused(self, caller: Peer, invite: Message, status: int, seconds: float = 10.0) -> None:
        final = await caller.final(invite, seconds)
        caller.ack(invite, final)
        self.assertEqual(final.status, status, final.start)


class QuestionTests(DnsTestCase):
    @requirement(81)
    async def test_numeric_and_explicit_port(self) -> None:
        """A numeric host needs no DNS, a port no SRV (RFC 3263 sections 4.1 and 4.2)."""
        caller, callee = self.udp("alice"), self.udp("carol", port=5080)
        asked = len(self.dns.asked)
        caller.send(caller.request("MESSAGE", f"sip:carol@{callee.where}"))
        callee.reply(await callee.expect("MESSAGE"), 200)
        self.assertEqual(len(self.dns.asked), asked)
        self.dns.add(self.net, dns.Record_A(callee.host))
        caller.send(caller.request("MESSAGE", f"sip:carol@{self.net}:5080"))
        callee.reply(await callee.expect("MESSAGE"), 200)
        self.assertEqual(self.dns.questions(self.net), [f"A of {self.net}"])

    @requirement(82)
    async def test_order(self) -> None:
        """NAPTR, then SRV, then addresses; the transport of the best NAPTR that we have (section 4.1)."""
        self.naptr((10, "SIP+D2X", "_x"), (30, "SIP+D2U", "_sip._udp"), (20, "SIP+D2T", "_sip._tcp"))
        self.srv(("tcp", 1, 1), service="_sip._tcp", port=5070)
        self.srv(("udp", 1, 1))
        self.server("udp", 152)
        self.dns.add(f"tcp.{self.net}", dns.Record_A(self.address(151)))
        callee = self.tcp_server("tcp", host=self.address(151), port=5070)
        caller = self.udp("alice")
        caller.send(caller.request("MESSAGE", f"sip:carol@{self.net}"))
        message = await callee.expect("MESSAGE")
        self.assertTrue(message.values("via")[0].startswith("SIP/2.0/TCP "), message.values("via"))
        callee.reply(message, 200)
        questions = self.dns.questions(self.net)
        self.assertEqual(questions[0], f"NAPTR of {self.net}")
        self.assertEqual(set(questions[1:3]), {f"SRV of _sip._{t}.{self.net}" for t in ("udp", "tcp")})
        self.assertEqual(set(questions[3:]), {f"A of {t}.{self.net}" for t in ("udp", "tcp")})
        self.assertEqual((await caller.expect(200)).cseq[1], "MESSAGE")

    @requirement(82)
    async def test_sips(self) -> None:
        """A sips URI never leads to UDP or TCP, whatever the DNS offers (section 4.1)."""
        self.naptr((10, "SIP+D2U", "_sip._udp"), (20, "SIP+D2T", "_sip._tcp"))
        self.srv(("one", 1, 1))
        self.srv(("one", 1, 1), service="_sip._tcp")
        server = self.server("one", 151).listen_tcp()
        caller = self.udp("alice")
        response = await caller.exchange(caller.request("MESSAGE", f"sips:carol@{self.net}"))
        self.assertIn(response.status, (480, 500, 503))
        await server.silence()
        asked = self.dns.questions(self.net)
        self.assertIn(f"NAPTR of {self.net}", asked)
        self.assertEqual([question for question in asked if " _sip._" in question], [])

    @requirement(83)
    async def test_weights(self) -> None:
        """The lowest priority only, and there by weight (section 4.2, RFC 2782)."""
        self.srv(("one", 1, 80), ("two", 1, 20), ("last", 2, 1000))
        servers = [self.server(name, 151 + n) for n, name in enumerate(("one", "two", "last"))]
        caller = self.udp("alice")
        for _ in range(100):
            request = caller.request("MESSAGE", f"sip:carol@{self.net}")
            caller.send(request)
            taken = await self.until(
                lambda: next((s for s in servers if s.inbox), None), "one of them gets it"
            )
            taken.reply(taken.inbox.pop(), 200)
            await caller.final(request)
        counts = Counter({server.user: len({message.raw for message in server.heard}) for server in servers})
        self.assertEqual((sum(counts.values()), counts["last"]), (100, 0))
        self.assertTrue(60 <= counts["one"] <= 95, counts)


class FailoverTests(DnsTestCase):
    def other_transaction(self, first: Message, second: Message) -> None:
        """The same request in another client transaction."""
        self.assertNotEqual(first.branch, second.branch)
        self.assertEqual((first.call_id, first.cseq, first.uri), (second.call_id, second.cseq, second.uri))

    async def failures(self, reason: str) -> float:
        name = f'voipcluster_server_failures_total{{reason="{reason}"}}'
        return (await self.node.numbers()).get(name, 0.0)

    @requirement(84)
    async def test_503(self) -> None:
        """503: the next server with a new branch; the ACK for the 503 goes to the first one, with its branch (section 4.3)."""
        one, two = self.two_servers()
        caller, invite = self.invite_to_net()
        first = await one.expect("INVITE")
        one.reply(first, 503)
        self.assertEqual((await one.expect("ACK")).branch, first.branch)
        second = await two.expect("INVITE")
        self.other_transaction(first, second)
        two.reply(second, 486)
        self.assertEqual((await two.expect("ACK")).branch, second.branch)
        await self.refused(caller, invite, 486)

    @requirement(84)
    async def test_silent(self) -> None:
        """A silent server: the next one; CANCEL goes to the server that has the call, with its branch (section 4.3)."""
        failed = await self.failures("silent")
        one, two = self.two_servers()
        caller, invite = self.invite_to_net()
        first = await one.expect("INVITE")
        second = await two.expect("INVITE")
        self.other_transaction(first, second)
        two.reply(second, 180)
        await caller.expect(180)
        caller.send(cancel_of(invite))
        cancelled = await two.expect("CANCEL")
        self.assertEqual((cancelled.branch, cancelled.uri), (second.branch, second.uri))
        two.reply(cancelled, 200)
        two.reply(second, 487)
        await self.refused(caller, invite, 487)
        await one.silence("CANCEL")
        self.assertEqual(await self.failures("silent"), failed + 1)

    @requirement(84)
    async def test_refusing(self) -> None:
        """A server whose port is closed: the next one at once; from then on the dead one is tried last (section 4.3)."""
        failed = await self.failures("refused")
        _, two = self.two_servers(first_listens=False)
        for _ in range(2):
            watch = self.stopwatch()
            caller, invite = self.invite_to_net()
            two.reply(await two.expect("INVITE"), 486)
            await self.refused(caller, invite, 486)
            self.assertLess(watch.seconds, AT_ONCE)
        self.assertEqual(await self.failures("refused"), failed + 1)
        self.assertGreaterEqual((await self.node.numbers())["voipcluster_dead_hops"], 1.0)

    @requirement(8, 84)
    async def test_silent_tcp(self) -> None:
        """Where TCP is silent one large INVITE waits for it, and those behind it go over UDP first (RFC 3261 section 18.1.1)."""
        failed = await self.failures("silent")
        caller, hop = self.udp("alice"), self.udp("carol").listen_tcp()
        for transports in (("TCP", "UDP"), ("UDP",), ("UDP",)):
            invite = caller.invite(f"sip:carol@{hop.where}", ("Subject", "x" * 1500))
            caller.send(invite)
            for transport in transports:
                arrived = await hop.expect("INVITE", where=lambda m, i=invite.call_id: m.call_id == i)
                self.assertEqual(arrived.transport, transport)
            hop.reply(arrived, 486)
            await self.refused(caller, invite, 486)
        self.assertEqual(await self.failures("silent"), failed + 1)

    @requirement(84, 118)
    async def test_all_refuse(self) -> None:
        """When no server can be reached, that counts as a 503 from there, which our caller hears as 500 (16.9, 16.7 step 6)."""
        self.srv(("one", 1, 1), ("two", 2, 1))
        self.server("one", 151, listens=False)
        self.server("two", 152, listens=False)
        await self.refused(*self.invite_to_net(), 500)

    @requirement(85)
    async def test_one_transaction_one_server(self) -> None:
        """All copies of one request go to one server (section 4.2), however many are alike."""
        self.srv(("one", 1, 1), ("two", 1, 1))
        servers = [self.server("one", 151), self.server("two", 152)]
        caller = self.udp("alice")
        caller.send(caller.request("MESSAGE", f"sip:carol@{self.net}"))
        taken = await self.until(
            lambda: next((s for s in servers if len(s.heard) > 3), None), "several copies"
        )
        other = next(server for server in servers if server is not taken)
        self.assertEqual((other.heard, len({copy.branch for copy in taken.heard})), ([], 1))
        taken.reply(taken.inbox.pop(), 200)
        await caller.expect(200)

    @requirement(18)
    async def test_port_unreachable(self) -> None:
        """ICMP "port unreachable" is a failure at once, for a numeric target too (RFC 3261 section 18.4)."""
        watch = self.stopwatch()
        caller = self.udp("alice")
        invite = caller.invite(f"sip:nobody@{self.address(160)}:5099")
        caller.send(invite)
        await self.refused(caller, invite, 500)
        self.assertLess(watch.seconds, AT_ONCE)

    @requirement(118)
    async def test_time_out(self) -> None:
        """Silence of the only server counts as a 408 (RFC 3261 sections 8.1.3.1 and 17.1.4)."""
        self.srv(("one", 1, 1))
        self.server("one", 151)
        await self.refused(*self.invite_to_net(), 408, seconds=10.0)


class ReturnTests(DnsTestCase):
    @requirement(86)
    async def test_connection_lost(self) -> None:
        """A response whose connection is gone goes where the sent-by leads: with SRV, for it has no port (section 5)."""
        self.srv(("home", 1, 1), service="_sip._tcp", port=5090)
        self.dns.add(f"home.{self.net}", dns.Record_A(self.address(151)))
        home = self.tcp_server("alice", host=self.address(151), port=5090)
        caller, callee = await self.tcp("alice"), self.udp("carol")
        message = caller.request("MESSAGE", f"sip:carol@{callee.where}")
        message.set("Via", f"SIP/2.0/TCP {self.net};branch=z9hG4bK{secrets.token_hex(6)}")
        caller.send(message)
        arrived = await callee.expect("MESSAGE")
        assert caller.connection is not None
        await caller.connection.close()
        await self.until(self._no_connection, "the node has seen the end of the connection")
        callee.reply(arrived, 200)
        self.assertEqual((await home.expect(200)).call_id, message.call_id)
        asked = [f"SRV of _sip._tcp.{self.net}", f"A of home.{self.net}"]
        self.assertEqual(self.dns.questions(self.net), asked)

    async def _no_connection(self) -> bool:
        return (await self.node.numbers())['voipcluster_connections{transport="tcp"}'] == 0


def cancel_of(invite: Message) -> Message:
    """The CANCEL of an INVITE (RFC 3261 section 9.1)."""
    cancel = invite.copy()
    cancel.start = cancel.start.replace("INVITE ", "CANCEL ", 1)
    cancel.body = b""
    for name in ("Content-Type", "Contact"):
        cancel.drop(name)
    return cancel.set("CSeq", f"{invite.cseq[0]} CANCEL")


class HostileTests(DnsTestCase):
    @requirement(87)
    @attack("S26")
    async def test_slow(self) -> None:
        """While a DNS takes five seconds for an answer 100 other calls go through as ever; then so does the one that waits."""
        self.dns.delays[self.net] = 5.0
        waiting, callee = self.udp("alice"), self.udp("carol", port=5080)
        self.dns.add(self.net, dns.Record_A(callee.host))
        invite = waiting.invite(f"sip:carol@{self.net}:5080")
        begun = self.reactor.seconds()
        waiting.send(invite)
        await waiting.expect(100)
        caller, phone = self.udp("bert"), await self.phone("bob")
        durations = []
        for _ in range(100):
            watch = self.stopwatch()
            ours, _ = await self.call(caller, phone)
            bye = ours.request("BYE")
            caller.send(bye)
            phone.reply(await phone.expect("BYE"), 200)
            await caller.final(bye)
            durations.append(watch.seconds)
            for arrived in callee.inbox[:1]:
                callee.reply(arrived, 180)  # now it can wait
        self.assertLess(max(durations), AT_ONCE)
        arrived = await callee.expect("INVITE", seconds=15.0)
        self.assertGreaterEqual(self.reactor.seconds() - begun, 5.0)
        callee.reply(arrived, 486)
        await self.refused(waiting, invite, 486, seconds=10.0)

    @requirement(87)
    @attack("S26")
    async def test_aliases_in_a_circle(self) -> None:
        """CNAMEs in a circle, within an answer and over several, end as a name that leads nowhere."""
        self.dns.add(self.net, dns.Record_CNAME(f"b.{self.net}"))
        self.dns.add(f"b.{self.net}", dns.Record_CNAME(self.net))
        await self.refused(*self.invite_to_net(), 500)
        self.dns.add(f"both.{self.net}", dns.Record_CNAME(f"x.{self.net}"))
        self.dns.add(f"both.{self.net}", dns.Record_CNAME(f"both.{self.net}"), owner=f"x.{self.net}")
        caller = self.udp("bert")
        invite = caller.invite(f"sip:carol@both.{self.net}")
        caller.send(invite)
        await self.refused(caller, invite, 500)
        self.assertLess(len(self.dns.asked), 60)

    @requirement(87)
    @attack("S26")
    async def test_alias(self) -> None:
        """One CNAME is followed, also when its records have to be asked for."""
        callee = self.udp("carol", port=5080)
        self.dns.add(f"www.{self.net}", dns.Record_CNAME(self.net))
        self.dns.add(self.net, dns.Record_A(callee.host))
        caller = self.udp("alice")
        message = caller.request("MESSAGE", f"sip:carol@www.{self.net}:5080")
        caller.send(message)
        callee.reply(await callee.expect("MESSAGE"), 200)
        await caller.final(message)

    @requirement(87)
    @attack("S26")
    async def test_giant_answers(self) -> None:
        """An answer with a hundred records, over TCP, leads to few servers; one of 60 kB is not even read."""
        callee = self.udp("carol", port=5080)
        names = [f"h{n}.{self.net}" for n in range(100)]
        self.dns.add(f"_sip._udp.{self.net}", *(dns.Record_SRV(1, 1, 5080, name) for name in names))
        for name in names:
            self.dns.add(name, dns.Record_A(callee.host))
        caller, invite = self.invite_to_net()
        callee.reply(await callee.expect("INVITE"), 486)
        await self.refused(caller, invite, 486)
        self.assertIn(f"SRV of _sip._udp.{self.net}", self.dns.over_tcp)
        self.assertLess(len(self.dns.questions(self.net)), 40)
        giant = f"giant-{self.net}"
        self.dns.add(giant, *(dns.Record_A(f"127.1.{n >> 8}.{n & 255}") for n in range(1, 3700)))
        other = self.udp("bert")
        invite = other.invite(f"sip:carol@{giant}:5080")
        other.send(invite)
        await self.until(lambda: f"A of {giant}" in self.dns.over_tcp, "it is asked for over TCP")
        await self.node_answers()  # within two seconds
        await self.refused(other, invite, 500, seconds=15.0)

    @requirement(87)
    @attack("S26")
    async def test_compression_loops(self) -> None:
        """Names that point at themselves, and hundreds of long chains of pointers, stop nothing (CVE-2026-42304)."""
        for number, hostile in enumerate((pointer_to_itself, pointer_chains, chains_over_tcp)):
            waiting = []
            answered = []
            for copy in range(3):
                net = f"{number}-{copy}-{self.net}"
                self.dns.raw[net] = hostile
                caller = self.udp("alice")
                invite = caller.invite(f"sip:carol@{net}:5060")
                caller.send(invite)
                what = f"A of {net}"
                await self.until(lambda: what in self.dns.asked, "the node asks")  # noqa: B023 - over before C{what} is another one
                watch = self.stopwatch()
                await self.node_answers()
                answered.append(watch.seconds)
                waiting.append((caller, invite))
            self.assertLess(min(answered), 1.0, answered)
            for caller, invite in waiting:
                await self.refused(caller, invite, 500, seconds=15.0)

    @requirement(87)
    async def test_no_such_name(self) -> None:
        """A name that does not exist is refused at once, and asked for once."""
        caller, invite = self.invite_to_net()
        await self.refused(caller, invite, 500)
        asked = len(self.dns.asked)
        again = caller.invite(f"sip:carol@{self.net}")
        caller.send(again)
        await self.refused(caller, again, 500)
        self.assertEqual(len(self.dns.asked), asked)


class SilentTests(DnsTestCase):
    options = (*DnsTestCase.options, "--set", "dns.timeout=1.0")

    @requirement(87)
    @attack("S26")
    async def test_silent_dns(self) -> None:
        """Calls to a domain whose DNS is silent end in bounded time, CANCEL ends one at once, and nothing is left of them."""
        base = await self.counts()
        self.dns.silent.add(self.net)
        caller, invite = self.invite_to_net()
        other = self.udp("bert")
        cancelled = other.invite(f"sip:carol@{self.net}")
        other.send(cancelled)
        await other.expect(100)
        other.send(cancel_of(cancelled))
        await self.refused(other, cancelled, 487)
        await self.refused(caller, invite, 500, seconds=6.0)
        await self.returns_to(base)


def _hostile(query: bytes, count: int, records: Callable[[int], bytes]) -> bytes:
    """An answer to a query with C{count} records, made for the octet where they begin."""
    head = query[:2] + b"\x81\x80" + query[4:6] + count.to_bytes(2, "big") + b"\0\0\0\0"
    return head + query[12:] + records(len(query))


def _pointer(at: int) -> bytes:
    return (0xC000 | at).to_bytes(2, "big")


_ADDRESS = b"\0\1\0\1\0\0\0\1\0\4\1\2\3\4"  # type, class, TTL and data of an A record


def pointer_to_itself(query: bytes, largest: int) -> bytes:
    """A record whose name is a compression pointer to that pointer."""
    return _hostile(query, 1, lambda at: _pointer(at) + _ADDRESS)


def pointer_chains(query: bytes, largest: int) -> bytes:
    """Records whose names all are one chain of 60 compression pointers: 1,200 jumps in 500 octets, 28,000 in 8 kB."""
    length = 60
    count = (min(largest, 8000) - len(query) - 11 - 2 * length) // 16

    def records(at: int) -> bytes:
        chain = at + 11  # in the data of a first record of an unknown type
        pointers = b"".join(_pointer(chain + 2 * n) for n in range(1, length)) + _pointer(at)
        first = b"\0" + b"\xff\0\0\1" + b"\0\0\0\1" + len(pointers).to_bytes(2, "big") + pointers
        return first + (_pointer(chain) + _ADDRESS) * count

    return _hostile(query, count + 1, records)


def chains_over_tcp(query: bytes, largest: int) -> bytes:
    """The same, but never over UDP."""
    if largest > 512:
        return pointer_chains(query, largest)
    return query[:2] + b"\x83\x80" + query[4:6] + b"\0\0" * 3 + query[12:]
