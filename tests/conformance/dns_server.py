"""A DNS server of the test's own, over UDP and TCP: it answers well, late, wrongly or not at all, and notes what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver

_KINDS = {dns.A: "A", dns.AAAA: "AAAA", dns.SRV: "SRV", dns.NAPTR: "NAPTR"}
_LARGEST_UDP = 512  # octets (RFC 1035 section 4.2.1)
Answered = Callable[[bytes], Any]


class DnsServer(DatagramProtocol):
    """
    @ivar records: by name and kind; every other name does not exist.
    @ivar delays: seconds by domain; C{silent}: domains that are never answered.
    @ivar raw: by domain: makes the octets of an answer from those of the query, and how many it may have.
    @ivar asked: C{"SRV of _sip._udp.example.net"}, in their order; C{over_tcp}: those of them that came over TCP.
    """

    noisy = False
    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.records: dict[tuple[str, str], list[Any]] = {}
        self.delays: dict[str, float] = {}
        self.silent: set[str] = set()
        self.raw: dict[str, Callable[[bytes, int], bytes]] = {}
        self.asked: list[str] = []
        self.over_tcp: list[str] = []
        self._late: list[Any] = []

    def listen(self, host: str, port: int) -> tuple[Any, Any]:
        """@return: both listening ports."""
        factory = Factory.forProtocol(lambda: _Stream(self))
        factory.noisy = False
        return (
            self._reactor.listenUDP(port, self, host),
            self._reactor.listenTCP(port, factory, interface=host),
        )

    def close(self) -> None:
        for call in self._late:
            if call.active():
                call.cancel()

    def add(self, name: str, *payloads: Any, owner: str = "") -> None:
        """Answer questions for C{name} with these; those for C{owner} belong to that name in the answer."""
        for payload in payloads:
            kind = _KINDS.get(payload.TYPE, "CNAME")
            record = dns.RRHeader(owner or name, payload.TYPE, dns.IN, 60, payload, auth=True)
            self.records.setdefault((name, kind), []).append(record)

    def questions(self, domain: str) -> list[str]:
        """What was asked about a domain and the names below it, once each."""
        return list(dict.fromkeys(question for question in self.asked if question.endswith(domain)))

    def datagramReceived(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
        self._take(datagram, lambda answer: self.transport.write(answer, addr), _LARGEST_UDP)

    def take_from_stream(self, query: bytes, answered: Answered) -> None:
        self.over_tcp.append(self._take(query, answered, 65535))

    def _take(self, query: bytes, answered: Answered, largest: int) -> str:
        message = dns.Message()
        message.fromStr(query)
        question = message.queries[0]
        name, kind = question.name.name.decode().lower(), _KINDS.get(question.type, str(question.type))
        self.asked.append(f"{kind} of {name}")
        domain = ".".join(name.split(".")[-2:])
        if domain in self.silent:
            return self.asked[-1]
        answer = (
            self.raw[domain](query, largest)
            if domain in self.raw
            else self._answer(message, name, kind, largest)
        )
        self._late.append(self._reactor.callLater(self.delays.get(domain, 0), answered, answer))
        return self.asked[-1]

    def _answer(self, query: dns.Message, name: str, kind: str, largest: int) -> bytes:
        exists = any(known == name for known, _ in self.records)
        code = dns.OK if exists else dns.ENAME
        answer = dns.Message(query.id, answer=1, recAv=1, rCode=code, maxSize=0)
        answer.queries = query.queries
        answer.answers = [*self.records.get((name, "CNAME"), ()), *self.records.get((name, kind), ())]
        octets: bytes = answer.toStr()
        if len(octets) > largest:
            answer.answers, answer.trunc = [], 1
            octets = answer.toStr()
        return octets


class _Stream(Int16StringReceiver):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def stringReceived(self, string: bytes) -> None:
        self._server.take_from_stream(string, self._send)

    def _send(self, answer: bytes) -> None:
        if self.connected:
            self.sendString(answer)
