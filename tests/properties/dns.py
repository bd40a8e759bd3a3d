"""Answers of a DNS server, which may be anybody's (RFC 3263, RFC 1035)."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.python.failure import Failure

from tests.properties.cutting import cut_of, pieces
from tests.properties.outcome import nothing_logged
from tests.unit.net.dns_fakes import DnsReactor
from voipcluster.address import is_ip
from voipcluster.errors import PeerError
from voipcluster.net.dns_client import (
    DnsClient,
    DnsFailure,
    Section,
    _section,  # what DnsClient.ask() does with an answer, without its sockets
)
from voipcluster.net.dns_stream import LONGEST, ask_over_tcp
from voipcluster.net.lease import Lease
from voipcluster.sip.dns import AAAA, MAX_RECORDS, NAPTR, SRV, A, Question, follow, host_name
from voipcluster.sip.resolution import MAX_SERVERS, Answered, Ask, Resolution, Resolved
from voipcluster.sip.uri import SipUri

SERVER = ("192.0.2.53", 53)
NO_FILE = "/dev/null"
QUESTIONS = (
    Question("example.com", NAPTR),
    Question("_sip._udp.example.com", SRV),
    Question("example.com", A),
    Question("example.com", AAAA),
)


def check_answer(octets: bytes) -> None:
    """What is decoded is read, and leads to servers that a socket can be opened to, in bounded work."""
    message = dns.Message()
    try:
        message.fromStr(octets)
    except (EOFError, ValueError):
        return  # twisted.names drops these; anything else would end in a traceback
    section = _section((message.answers, message.authority, message.additional))
    assert section.negative_ttl is None or section.negative_ttl >= 0
    for question in QUESTIONS:
        found = follow(question, section.owned)
        assert len(found.records) <= MAX_RECORDS and found.ttl >= 0
        assert not (found.records and (found.onward or found.looped))
    resolution = Resolution(SipUri("sip", "example.com"), ("UDP", "TCP", "TLS"), (A, AAAA), lambda: 0.5)
    asked = 0
    effects = list(resolution.start())
    while effects:
        effect = effects.pop()
        if isinstance(effect, Ask):
            asked += 1
            assert asked < 200, "questions without end"
            assert host_name(effect.question.name) == effect.question.name
            effects += resolution.feed(
                Answered(effect.question, follow(effect.question, section.owned).records)
            )
        elif isinstance(effect, Resolved):
            assert len(effect.servers) <= MAX_SERVERS
            for server in effect.servers:
                assert is_ip(server.hop.host) and 0 < server.hop.port < 65536


def check_datagram(octets: bytes) -> None:
    """
    One answer to one question on its socket, with the question's number: the question ends at most once.

    C{octets}: the answer, whose first two are not looked at.
    """
    reactor, results = DnsReactor(), list[object]()

    def talk() -> None:
        client = DnsClient(reactor, [SERVER], NO_FILE, NO_FILE)
        client.start()
        client.ask(QUESTIONS[octets[-1] % len(QUESTIONS) if octets else 0], 8.0).addBoth(results.append)
        [port] = reactor.ports
        port.protocol.datagramReceived(port.sent[-1][0][:2] + octets[2:], SERVER)
        client.stop()

    nothing_logged(talk)
    assert not reactor.getDelayedCalls() and not reactor.open_ports
    assert len(results) <= 1
    for result in results:
        assert isinstance(result, Section) or (isinstance(result, Failure) and result.check(DnsFailure)), (
            result
        )


def check_stream(octets: bytes) -> None:
    """C{octets}: one that says how the rest is cut, and the rest: what a server sends over TCP. The question ends once."""
    step, data = cut_of(octets)
    reactor, results = DnsReactor(), list[object]()
    wire = StringTransport()

    def talk() -> None:
        answered = ask_over_tcp(Lease(reactor), SERVER, [dns.Query("example.com", dns.NAPTR)], 4.0)
        answered.addBoth(results.append)
        protocol = reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(wire)
        number = wire.value()[2:4]
        for piece in pieces(data[:2] + number + data[4:], step):
            if not wire.disconnecting:
                protocol.dataReceived(piece)
        protocol.connectionLost(Failure(ConnectionDone()))

    nothing_logged(talk)
    assert not reactor.getDelayedCalls()
    [result] = results
    if isinstance(result, Failure):
        assert result.check(PeerError), result
        return
    assert isinstance(result, dns.Message) and result.answer and not result.trunc
    assert int.from_bytes(data[:2], "big") <= LONGEST
