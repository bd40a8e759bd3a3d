"""
From a URI to the servers that take its requests, in order (RFC 3263 section 4): which questions to ask, and what answers mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from voipcluster.address import DEFAULT_PORT, TCP, TLS, UDP, Hop, is_ip
from voipcluster.sip.dns import NAPTR, SRV, Naptr, Question, Record, Srv, host_name
from voipcluster.sip.uri import SipUri

MAX_SERVICES = 4  # NAPTR records whose SRV sets are asked for
MAX_HOSTS = 16  # SRV targets whose addresses are asked for
MAX_SERVERS = 32  # that one request may try

_OF_SERVICE = {
    "sip+d2u": UDP,
    "sip+d2t": TCP,
    "sips+d2t": TLS,
}  # section 4.1; nobody takes requests on SCTP here
_SRV_PREFIX = {UDP: "_sip._udp.", TCP: "_sip._tcp.", TLS: "_sips._tcp."}
Rand = Callable[[], float]


class Server(NamedTuple):
    """
    One place that takes requests for a domain.

    @ivar domain: the host of the URI, before any look-up: what the certificate of a TLS server must name (RFC 5922 section 4).
    """

    hop: Hop
    domain: str


class Answered(NamedTuple):
    """Event: what the DNS says to a question; nothing also when it could not be asked."""

    question: Question
    records: Sequence[Record]


class Ask(NamedTuple):
    """Effect: answer with L{Answered}."""

    question: Question


class Resolved(NamedTuple):
    """Effect: these are the servers, the best first; none: the URI leads nowhere."""

    servers: tuple[Server, ...]


Effect = Ask | Resolved


class _Service(NamedTuple):
    """One transport that the domain offers: an SRV set, or (C{srv} is empty) a host with the default port."""

    transport: str
    srv: str
    host: str = ""


def draws(seed: bytes) -> Rand:
    """Numbers from 0.0 to below 1.0 that are the same for each copy of one request, also without state (section 4.3)."""
    count = 0

    def draw() -> float:
        nonlocal count
        count += 1
        octets = hashlib.blake2s(seed, salt=count.to_bytes(8, "big"), digest_size=6).digest()
        return int.from_bytes(octets, "big") / (1 << 48)

    return draw


def srv_order(records: Iterable[Srv], rand: Rand) -> list[Srv]:
    """Lowest priority first; within one, drawn by weight (RFC 2782, "Weight")."""
    ordered: list[Srv] = []
    waiting = sorted(records, key=lambda srv: (srv.priority, srv.weight))
    while waiting:
        group = [srv for srv in waiting if srv.priority == waiting[0].priority]
        del waiting[: len(group)]
        while group:
            total = sum(srv.weight for srv in group)
            drawn = int(rand() * (total + 1 if total else len(group)))
            for srv in group:
                drawn -= srv.weight if total else 1  # sets without any weight are spread evenly
                if drawn < (1 if total else 0):
                    break
            group.remove(srv)
            ordered.append(srv)
    return ordered


class Resolution:
    """
    One URI being resolved.

    @param transports: those that requests can be sent over, the preferred one first.
    @param families: C{A}, C{AAAA} or both, the preferred one first.
    @param rand: see L{draws}.
    """

    def __init__(self, uri: SipUri, transports: Sequence[str], families: Sequence[str], rand: Rand) -> None:
        self._uri = uri
        self._transports = transports
        self._families = families
        self._rand = rand
        self.domain = uri.param("maddr") or uri.host
        self._pending: set[Question] = set()
        self._answers: dict[Question, Sequence[Record]] = {}
        self._services: list[_Service] = []
        self._hosts: list[tuple[str, str, int]] = []  # transport, name, port
        self._next: Callable[[], list[Effect]] = self._after_naptr

    def start(self) -> list[Effect]:
        uri, transport = self._uri, self._uri.transport
        if is_ip(self.domain):
            hop = Hop(transport, self.domain, uri.port or DEFAULT_PORT.get(transport, 5060))
            return [Resolved((Server(hop, self.domain),))]
        name = host_name(self.domain)
        if name is None:
            return [Resolved(())]
        self.domain = name
        if uri.port:
            # section 4.2: an explicit port says which server, so there is no SRV
            return self._addresses_of([(transport, name, uri.port)])
        if uri.has_param("transport"):
            return self._ask_srv([transport])
        return self._ask([Question(name, NAPTR)], self._after_naptr)

    def feed(self, event: Answered) -> list[Effect]:
        if event.question not in self._pending:
            return []
        self._pending.discard(event.question)
        self._answers[event.question] = event.records
        return [] if self._pending else self._next()

    def _ask(self, questions: Iterable[Question], following: Callable[[], list[Effect]]) -> list[Effect]:
        asked = list(dict.fromkeys(questions))
        self._pending.update(asked)
        self._next = following
        return [Ask(question) for question in asked] if asked else following()

    def _after_naptr(self) -> list[Effect]:
        secure = self._uri.scheme == "sips"
        records = self._answers[Question(self.domain, NAPTR)]
        offered = sorted(record for record in records if isinstance(record, Naptr))
        for record in offered:
            transport = _OF_SERVICE.get(record.service.lower())
            name = host_name(record.replacement)
            if (
                transport is None
                or transport not in self._transports
                or (secure and transport != TLS)
                or name is None
            ):
                continue
            flag = record.flags.lower()
            service = _Service(transport, name) if flag == "s" else _Service(transport, "", name)
            if flag in ("s", "a") and service not in self._services:
                self._services.append(service)
        del self._services[MAX_SERVICES:]
        if not self._services:
            # section 4.1: without NAPTR the SRV sets say which transports there are
            return self._ask_srv([TLS] if secure else [t for t in self._transports if t in _SRV_PREFIX])
        return self._ask([Question(s.srv, SRV) for s in self._services if s.srv], self._after_srv)

    def _ask_srv(self, transports: Iterable[str]) -> list[Effect]:
        able = [t for t in transports if t in self._transports and t in _SRV_PREFIX]
        if not able:
            return [Resolved(())]
        names = {t: host_name(_SRV_PREFIX[t] + self.domain) for t in able}
        self._services = [_Service(t, name) for t, name in names.items() if name is not None]
        return self._ask([Question(service.srv, SRV) for service in self._services], self._after_srv)

    def _after_srv(self) -> list[Effect]:
        hosts: list[tuple[str, str, int]] = []
        declined = False
        for service in self._services:
            if not service.srv:
                hosts.append((service.transport, service.host, DEFAULT_PORT[service.transport]))
                continue
            found = [srv for srv in self._answers[Question(service.srv, SRV)] if isinstance(srv, Srv)]
            declined = declined or any(not srv.target for srv in found)
            for srv in srv_order(found, self._rand):
                name = host_name(srv.target)
                if name is not None and srv.port:
                    hosts.append((service.transport, name, srv.port))
        if not hosts and not declined:
            # section 4.2: no SRV at all, so the name itself with the default port
            transport = self._uri.transport
            hosts = [(transport, self.domain, DEFAULT_PORT.get(transport, 5060))]
        return self._addresses_of(hosts)

    def _addresses_of(self, hosts: Iterable[tuple[str, str, int]]) -> list[Effect]:
        able = [host for host in dict.fromkeys(hosts) if host[0] in self._transports]
        self._hosts = able[:MAX_HOSTS]
        questions = [Question(name, kind) for _, name, _ in self._hosts for kind in self._families]
        return self._ask(questions, self._after_addresses)

    def _after_addresses(self) -> list[Effect]:
        servers: dict[Server, None] = {}
        for transport, name, port in self._hosts:
            for kind in self._families:
                found = self._answers[Question(name, kind)]
                usable = [address for address in found if isinstance(address, str) and _usable(address)]
                first = int(self._rand() * len(usable))
                for address in usable[first:] + usable[:first]:
                    servers[Server(Hop(transport, address, port), self.domain)] = None
        return [Resolved(tuple(servers)[:MAX_SERVERS])]


def _usable(address: str) -> bool:
    parsed = ip_address(address)
    return not (parsed.is_unspecified or parsed.is_multicast)
