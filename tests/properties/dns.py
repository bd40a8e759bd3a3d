"""Answers of a DNS server, which may be anybody's (RFC 3263, RFC 1035)."""

from __future__ import annotations

from twisted.names import dns

from voipcluster.address import is_ip
from voipcluster.net.dns_client import (
    _section,
)  # what DnsClient.ask() does with an answer, without its sockets
from voipcluster.sip.dns import AAAA, MAX_RECORDS, NAPTR, SRV, A, Question, follow, host_name
from voipcluster.sip.resolution import MAX_SERVERS, Answered, Ask, Resolution, Resolved
from voipcluster.sip.uri import SipUri

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
    except Exception:
        return  # twisted.names drops it, whatever it is
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
