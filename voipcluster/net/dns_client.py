"""
The DNS over twisted.names: questions out, answers in as the values of L{voipcluster.sip.dns}.

twisted.names keeps sockets, timers and a connection for as long as it likes, so it gets a L{Lease} of the reactor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import DatagramProtocol
from twisted.names import client, dns, hosts
from twisted.names.error import DNSNameError, DNSQueryTimeoutError, DomainError
from twisted.names.resolve import ResolverChain
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from voipcluster.errors import VoipclusterError
from voipcluster.net.dns_stream import ask_over_tcp
from voipcluster.net.lease import Lease
from voipcluster.sip.dns import AAAA, CNAME, NAPTR, SRV, A, Naptr, Owned, Question, Record, Srv

NO_NAME, TIMED_OUT, FAILED = "no such name", "timed out", "failed"
RESOLV_CONF, HOSTS = "/etc/resolv.conf", "/etc/hosts"

_TYPES = {A: dns.A, AAAA: dns.AAAA, SRV: dns.SRV, NAPTR: dns.NAPTR}
_LONGEST = 512  # octets of a datagram (RFC 1035 section 4.2.1), since we ask without EDNS
_TAKEN = 4  # datagrams on the socket of one question: the answer, and some that are none
_LOOKED_AT = 256  # records of one answer: enough for L{follow}, and nothing to wait for


class DnsFailure(VoipclusterError):
    """
    The DNS has no answer.

    @ivar result: L{NO_NAME}, L{TIMED_OUT} or L{FAILED}.
    @ivar ttl: seconds for which a L{NO_NAME} holds (RFC 2308 section 5), or L{None} when it did not say.
    """

    def __init__(self, result: str, reason: str, ttl: int | None = None) -> None:
        super().__init__(reason)
        self.result, self.ttl = result, ttl


class Section(NamedTuple):
    """An answer section, and for how many seconds it holds when nothing in it was asked for (L{None}: it does not say)."""

    owned: tuple[Owned, ...]
    negative_ttl: int | None = None


class IDnsClient(Interface):
    """Asks the DNS, and keeps nothing."""

    def start() -> None:
        """Be ready to ask."""

    def ask(question: Question, timeout: float) -> Deferred[Section]:
        """@param timeout: seconds for all tries. @return: a L{Section}, or a L{DnsFailure}."""

    def stop() -> Deferred[Any]:
        """Fires when no socket and no timer is left; what was asked is never answered."""


class _Resolver(client.Resolver):
    """@ivar lease: what it makes everything with; C{tcp_timeout}: seconds for a question over TCP."""

    lease: Lease
    tcp_timeout = 10.0

    def queryTCP(self, queries: list[dns.Query], timeout: float = 10.0) -> Deferred[Any]:
        server = self.pickServer()
        return ask_over_tcp(self.lease, server, queries, self.tcp_timeout)


@implementer(IDnsClient)
class DnsClient:
    """
    @param reactor: with UDP, TCP and time.
    @param servers: (IP literal, port) of each; those of C{/etc/resolv.conf}, read anew when it changes, when there are none.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[tuple[str, int]] = (),
        resolv_conf: str = RESOLV_CONF,
        hosts_file: str = HOSTS,
    ) -> None:
        self._reactor = reactor
        self._servers = list(servers)
        self._resolv_conf, self._hosts_file = resolv_conf, hosts_file
        self._lease: Lease | None = None

    def start(self) -> None:
        self._lease = Lease(self._reactor, self._guard)
        own = _Resolver(
            None if self._servers else self._resolv_conf, self._servers or None, reactor=self._lease
        )
        own.lease = self._lease
        self._own = own
        self._chain = ResolverChain([hosts.Resolver(self._hosts_file), own])

    def _guard(self, protocol: DatagramProtocol) -> None:
        """
        Let only a few datagrams of our servers through, none longer than they may be: each that is decoded costs time, and
        a line in the log when it is broken.
        """
        take, taken = protocol.datagramReceived, 0

        def received(datagram: bytes, addr: tuple[str, int]) -> None:
            nonlocal taken
            if (
                len(datagram) <= _LONGEST
                and taken < _TAKEN
                and addr[:2] in [*self._own.servers, *self._own.dynServers]
            ):
                taken += 1
                take(datagram, addr)

        protocol.datagramReceived = received  # type: ignore[method-assign]  # twisted.names makes it, not we

    def stop(self) -> Deferred[Any]:
        assert self._lease is not None, "it was started"
        return self._lease.end()

    def ask(self, question: Question, timeout: float) -> Deferred[Section]:
        servers = len(self._own.servers) + len(self._own.dynServers)
        once = timeout / max(1, servers)
        self._own.tcp_timeout = timeout
        asked = dns.Query(question.name, _TYPES[question.kind], dns.IN)
        # each server is asked twice, since a datagram may be lost
        answer: Deferred[Any] = self._chain.query(asked, (once / 4, once * 3 / 4))
        return answer.addCallbacks(_section, _failure)


def _section(sections: tuple[Sequence[Any], Sequence[Any], Sequence[Any]]) -> Section:
    answers, authority, _ = sections
    return Section(tuple(_owned(answers)), _negative_ttl(authority))


def _failure(failure: Failure) -> Section:
    """@raise DnsFailure: always."""
    error = failure.value
    if isinstance(error, DNSNameError):
        message = error.args[0] if error.args else None
        raise DnsFailure(NO_NAME, NO_NAME, _negative_ttl(getattr(message, "authority", ())))
    if isinstance(error, DNSQueryTimeoutError | TimeoutError):
        raise DnsFailure(TIMED_OUT, TIMED_OUT)
    if isinstance(
        error, DomainError
    ):  # its text would be the whole message, in which not all names can be text
        raise DnsFailure(FAILED, f"the server says {type(error).__name__}")
    raise DnsFailure(FAILED, f"{type(error).__name__}: {error}"[:200])


def _negative_ttl(authority: Iterable[Any]) -> int | None:
    for header in authority:
        if header.type == dns.SOA:
            return max(0, min(int(header.ttl), int(header.payload.minimum)))
    return None


def _owned(answers: Sequence[Any]) -> Iterable[Owned]:
    for header in answers[:_LOOKED_AT]:
        value = _value(header.payload)
        if value is not None:
            yield Owned(_name(header.name), value[0], max(0, int(header.ttl)), value[1])


def _value(payload: Any) -> tuple[str, Record] | None:
    match getattr(payload, "TYPE", None):
        case dns.A:
            return A, str(ip_address(payload.address))
        case dns.AAAA:
            return AAAA, str(ip_address(payload.address))
        case dns.CNAME:
            return CNAME, _name(payload.name)
        case dns.SRV:
            return SRV, Srv(payload.priority, payload.weight, payload.port, _name(payload.target))
        case dns.NAPTR:
            return NAPTR, Naptr(
                payload.order, payload.preference, _text(payload.flags.string), _text(payload.service.string),
                _name(payload.replacement), _text(payload.regexp.string),
            )  # fmt: skip
    return None


def _name(name: dns.Name) -> str:
    return _text(name.name).lower().removesuffix(".")


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "replace")
