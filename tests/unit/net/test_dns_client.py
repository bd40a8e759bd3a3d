"""twisted.names at work: which server is asked when, what its answers become, and that nothing of it is left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.dns_fakes import DnsReactor, FakeUdpPort
from voipcluster.net.dns_client import FAILED, NO_NAME, TIMED_OUT, DnsClient, DnsFailure, IDnsClient, Section
from voipcluster.sip.dns import AAAA, CNAME, NAPTR, SRV, A, Naptr, Owned, Question, Srv

FIRST, SECOND = ("192.0.2.53", 53), ("192.0.2.54", 5353)
ASKED = Question("a.example", A)


def record(payload: Any, name: str | bytes = "a.example", ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name, payload.TYPE, dns.IN, ttl, payload, auth=True)


class DnsClientCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = DnsReactor()
        self.hosts, self.resolv_conf = Path(self.mktemp()), Path(self.mktemp())
        self.hosts.write_text("192.0.2.7 Gateway gw.example\n2001:db8::7 gw.example\n")
        self.client = self.made(FIRST, SECOND)

    def made(self, *servers: tuple[str, int]) -> DnsClient:
        client = DnsClient(self.reactor, servers, str(self.resolv_conf), str(self.hosts))
        client.start()
        self.addCleanup(self.nothing_left, client)
        return client

    def nothing_left(self, client: DnsClient) -> None:
        self.successResultOf(client.stop())
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor.open_ports), ([], []))

    def ask(self, kind: str = A, name: str = "a.example") -> Deferred[Section]:
        return self.client.ask(Question(name, kind), 8.0)

    def asked(self) -> tuple[FakeUdpPort, dns.Message]:
        """The last query, and the port that it left from."""
        port = self.reactor.ports[-1]
        message = dns.Message()
        message.fromStr(port.sent[-1][0])
        return port, message

    def answer(self, *records: dns.RRHeader, authority: tuple[dns.RRHeader, ...] = (), code: int = 0) -> None:
        port, query = self.asked()
        answer = dns.Message(query.id, answer=1, rCode=code)
        answer.queries, answer.answers, answer.authority = query.queries, list(records), list(authority)
        port.protocol.datagramReceived(answer.toStr(), port.sent[-1][1])

    def failure(self, asked: Deferred[Section]) -> DnsFailure:
        error = self.failureResultOf(asked, DnsFailure).value
        assert isinstance(error, DnsFailure)
        return error


class AnswerTests(DnsClientCase):
    def test_interface(self) -> None:
        """It is a client."""
        verifyObject(IDnsClient, self.client)

    def test_kinds(self) -> None:
        """Each kind of record becomes a value; names come in lower case and without the last dot."""
        for kind, payload, value in (
            (A, dns.Record_A("192.0.2.1"), "192.0.2.1"),
            (AAAA, dns.Record_AAAA("2001:DB8::1"), "2001:db8::1"),
            (SRV, dns.Record_SRV(1, 2, 5060, "B.example"), Srv(1, 2, 5060, "b.example")),
            (SRV, dns.Record_SRV(0, 0, 0, ""), Srv(0, 0, 0, "")),
            (
                NAPTR,
                dns.Record_NAPTR(1, 2, b"s", b"SIP+D2U", b"", "_sip._udp.A.example"),
                Naptr(1, 2, "s", "SIP+D2U", "_sip._udp.a.example"),
            ),
            (
                NAPTR,
                dns.Record_NAPTR(1, 2, b"u", b"E2U+sip", b"!^.*$!sip:Info@A.example!", ""),
                Naptr(1, 2, "u", "E2U+sip", "", "!^.*$!sip:Info@A.example!"),
            ),
        ):
            asked = self.ask(kind)
            self.answer(record(payload, "A.example"))
            self.assertEqual(self.successResultOf(asked).owned, (Owned("a.example", kind, 60, value),))

    def test_mixed(self) -> None:
        """CNAMEs come with the rest; kinds that nobody knows are left out."""
        asked = self.ask()
        self.answer(
            record(dns.Record_CNAME("b.example")), record(dns.Record_TXT(b"x")),
            record(dns.Record_A("192.0.2.1"), "b.example"),
        )  # fmt: skip
        owned = self.successResultOf(asked).owned
        self.assertEqual([(o.owner, o.kind) for o in owned], [("a.example", CNAME), ("b.example", A)])

    def test_negative(self) -> None:
        """An answer without records, and a name that does not exist, say for how long (RFC 2308 section 5)."""
        soa = record(dns.Record_SOA("ns.example", "x.example", minimum=30), "example", 900)
        asked = self.ask()
        self.answer(authority=(soa,))
        self.assertEqual(self.successResultOf(asked), Section((), 30))
        asked = self.ask()
        self.answer(authority=(soa,), code=dns.ENAME)
        error = self.failure(asked)
        self.assertEqual((error.result, error.ttl), (NO_NAME, 30))

    def test_failed(self) -> None:
        """A server that fails or refuses has not said that the name does not exist."""
        for code in (dns.ESERVER, dns.EREFUSED, dns.EFORMAT):
            asked = self.ask()
            self.answer(code=code)
            self.assertEqual(self.failure(asked).result, FAILED)

    def test_refusal_that_is_no_text(self) -> None:
        """A refusal for a name that is no ASCII fails as any other, in a short line (found by bench/fuzz)."""
        asked = self.ask()
        port, query = self.asked()
        answer = dns.Message(query.id, answer=1, rCode=dns.EFORMAT)
        answer.queries, answer.answers = query.queries, [record(dns.Record_A("192.0.2.1"), b"\xc0\xff")]
        port.protocol.datagramReceived(answer.toStr(), port.sent[-1][1])
        failure = self.failure(asked)
        self.assertEqual((failure.result, str(failure)), (FAILED, "the server says DNSFormatError"))

    def test_from_elsewhere(self) -> None:
        """An answer from another address than the server's is none (RFC 5452 section 9.1)."""
        asked = self.ask()
        port, query = self.asked()
        answer = dns.Message(query.id, answer=1)
        answer.queries, answer.answers = query.queries, [record(dns.Record_A("192.0.2.66"))]
        port.protocol.datagramReceived(answer.toStr(), ("192.0.2.66", 53))
        self.assertNoResult(asked)

    def test_flood(self) -> None:
        """However many datagrams come for one question, few are decoded, none of strangers, and none that is too long (S26)."""
        asked = self.ask()
        port, _ = self.asked()
        decoded: list[bytes] = []
        self.patch(dns.Message, "fromStr", lambda message, octets: decoded.append(octets))
        port.protocol.datagramReceived(b"x" * 513, FIRST)
        self.assertEqual(decoded, [])
        for source in (("192.0.2.66", 53), FIRST):
            for _ in range(100):
                port.protocol.datagramReceived(b"junk", source)
        self.assertLess(len(decoded), 10)
        self.assertNoResult(asked)

    def test_ports(self) -> None:
        """Each query leaves from a port of its own that nobody can guess (RFC 5452 section 9.2)."""
        for n in range(20):
            self.ask(name=f"n{n}.example")
        self.assertGreater(len({port.number for port in self.reactor.ports}), 15)

    def test_compression_loop(self) -> None:
        """A name that points at itself is no answer, and costs nothing (S26)."""
        asked = self.ask()
        port, query = self.asked()
        head = query.id.to_bytes(2, "big") + b"\x81\x80" + b"\0\0" + b"\0\1" + b"\0\0\0\0"
        port.protocol.datagramReceived(head + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4", port.sent[-1][1])
        self.assertNoResult(asked)


class ServerTests(DnsClientCase):
    def test_silent_server(self) -> None:
        """When the first server is silent the second one is asked, both twice, and then it is over in time."""
        asked = self.ask()
        self.assertEqual(self.asked()[0].sent[-1][1], FIRST)
        told = []
        for _ in range(3):
            self.reactor.advance(1.01 if len(told) < 2 else 3.01)
            told.append(self.asked()[0].sent[-1][1])
        self.assertEqual(told, [SECOND, FIRST, SECOND])
        self.reactor.advance(3.01)
        self.assertEqual(self.failure(asked).result, TIMED_OUT)
        self.assertEqual(self.reactor.open_ports, [])

    def test_resolv_conf(self) -> None:
        """Without servers of ours those of resolv.conf are asked; when it changes, the new ones."""
        self.resolv_conf.write_text("nameserver 192.0.2.99\n")
        self.client = self.made()
        self.ask()
        self.assertEqual(self.asked()[0].sent[-1][1], ("192.0.2.99", 53))
        self.resolv_conf.write_text("nameserver 192.0.2.98\n")
        os.utime(self.resolv_conf, (1, 1))
        self.reactor.advance(61)
        self.ask(name="b.example")
        self.assertEqual(self.asked()[0].sent[-1][1], ("192.0.2.98", 53))

    def test_ipv6_server(self) -> None:
        """A server may have an IPv6 address."""
        self.client = self.made(("2001:db8::53", 53))
        self.ask()
        self.assertEqual(self.asked()[0].interface, "::")

    def test_hosts(self) -> None:
        """A name in the hosts file has its addresses from there; everything else of it is asked for."""
        section = self.successResultOf(self.ask(A, "gateway"))
        self.assertEqual([owned.record for owned in section.owned], ["192.0.2.7"])
        section = self.successResultOf(self.ask(AAAA, "gw.example"))
        self.assertEqual([owned.record for owned in section.owned], ["2001:db8::7"])
        self.assertEqual(self.reactor.ports, [])
        self.ask(SRV, "gw.example")
        self.assertEqual(len(self.reactor.ports), 1)

    def test_truncated(self) -> None:
        """A truncated answer is asked for over TCP, on a connection of its own (RFC 7766 section 5)."""
        asked = self.ask()
        port, query = self.asked()
        truncated = dns.Message(query.id, answer=1, trunc=1)
        truncated.queries = query.queries
        port.protocol.datagramReceived(truncated.toStr(), port.sent[-1][1])
        (connection,) = self.reactor.tcpClients
        self.assertIn(connection[:2], (FIRST, SECOND))
        stream = StringTransport()
        protocol = connection[2].buildProtocol(None)
        protocol.makeConnection(stream)
        again = dns.Message()
        again.fromStr(stream.value()[2:])
        answer = dns.Message(again.id, answer=1)
        answer.queries, answer.answers = again.queries, [record(dns.Record_A("192.0.2.1"))]
        protocol.stringReceived(answer.toStr())
        self.assertEqual([o.record for o in self.successResultOf(asked).owned], ["192.0.2.1"])

    def test_stopped(self) -> None:
        """Stopping ends what is under way: sockets, timers and connections."""
        self.ask()
        self.assertEqual(len(self.reactor.open_ports), 1)
        self.successResultOf(self.client.stop())
        self.assertEqual((self.reactor.open_ports, self.reactor.getDelayedCalls()), ([], []))
