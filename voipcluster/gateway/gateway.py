"""A gateway: a declared peer behind which other clients or other networks are."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from attrs import field, frozen

from voipcluster.address import split_host_port
from voipcluster.gateway.hours import Span, parse_span
from voipcluster.gateway.permission import USERS, Permission
from voipcluster.gateway.probing import NOT_ALIVE

KINDS = ("voip", "pstn", "pbx", "media", "h323", "router")
TRANSPORTS = ("udp", "tcp", "tls")
DEFAULT_PROBE = 5.0  # s
TO_USERS, ANYTHING = Permission(numbers=(USERS,)), Permission()

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@frozen
class Gateway:
    """
    One gateway as it is declared.

    @ivar name: what routes, records and commands call it.
    @ivar kind: one of L{KINDS}; for people.
    @ivar servers: where calls to it go, in that order: C{host}, C{host:port}; a name without a port is looked up with SRV
        (RFC 3263). Without servers nothing is sent to it.
    @ivar transport: one of L{TRANSPORTS}, towards it; what comes from it by source address has to come as safely.
    @ivar sources: networks that it sends from; when neither these nor C{certificates} nor C{username} are given, the addresses
        among C{servers}.
    @ivar certificates: names of which its TLS certificate has to prove one (RFC 5922).
    @ivar username: the account, C{name@domain}, whose password it proves (RFC 7616).
    @ivar behind: networks of the clients behind it, who have to come through it: what they send to us directly is refused.
    @ivar registrar: the SIP URI of the registrar where we register with it, or empty: we do not.
    @ivar auth_user: our user name there; C{secret}: the file with our password, and C{password}: that itself, for a gateway
        that is not in a file.
    @ivar aor: our address of record there, or empty: C{auth_user} at the host of the registrar.
    @ivar contact_user: whom calls reach that come for our registration: the user in our Contact; empty: that of C{aor}.
    @ivar realm: the only one whose challenges get an answer made of our password; empty: any.
    @ivar probe: s between the OPTIONS that ask whether it is there; 0: it is not asked.
    @ivar not_alive: statuses of answers to OPTIONS that count like none.
    @ivar channels: calls at the same time in both directions; 0: any number.
    @ivar calls_per_minute: that begin, and C{minutes_per_day}: of answered calls, in both directions; 0: any number.
    @ivar hours: when it may be used, as L{parse_span} reads them; none: always.
    @ivar codecs: which encoding names (RFC 8866 section 6.6) may be offered to it and by it; none: all.
    @ivar incoming: what it may send to us, C{outgoing}: what we may send to it.
    @ivar trusted: whether it belongs to our trust domain (RFC 3325 section 2.3).
    """

    name: str
    servers: tuple[str, ...] = ()
    kind: str = "voip"
    transport: str = "udp"
    sources: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    username: str = ""
    behind: tuple[str, ...] = ()
    registrar: str = ""
    auth_user: str = ""
    secret: str = ""
    password: str = field(default="", repr=False)
    probe: float = DEFAULT_PROBE
    channels: int = 0
    hours: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    incoming: Permission = TO_USERS
    outgoing: Permission = ANYTHING
    trusted: bool = False
    enabled: bool = True
    aor: str = ""
    contact_user: str = ""
    realm: str = ""
    not_alive: tuple[int, ...] = tuple(sorted(NOT_ALIVE))
    calls_per_minute: int = 0
    minutes_per_day: int = 0
    networks: tuple[_Network, ...] = field(init=False, repr=False, eq=False)
    networks_behind: tuple[_Network, ...] = field(init=False, repr=False, eq=False)
    spans: tuple[Span, ...] = field(init=False, repr=False, eq=False)

    @networks.default
    def _known_networks(self) -> tuple[_Network, ...]:
        sources = self.sources
        if not sources and not self.certificates and not self.username:
            hosts = [split_host_port(server, 5060)[0] for server in self.servers]
            sources = tuple(host for host in hosts if _is_literal(host))
        return tuple(ipaddress.ip_network(source) for source in sources)

    @networks_behind.default
    def _closed_networks(self) -> tuple[_Network, ...]:
        return tuple(map(ipaddress.ip_network, self.behind))

    @spans.default
    def _read_hours(self) -> tuple[Span, ...]:
        return tuple(map(parse_span, self.hours))

    def servers_among(self, places: Iterable[tuple[str, int]]) -> Iterator[tuple[str, tuple[str, int]]]:
        """
        Its servers that are one of some hosts and ports, each with that one.

        A name is compared as it is written: where it leads nobody has asked yet.
        """
        known = {(_plain(host), port): (host, port) for host, port in places}
        default = 5061 if self.transport == "tls" else 5060
        for server in self.servers:
            host, port = split_host_port(server, default)
            place = known.get((_plain(host), port))
            if place is not None:
                yield server, place


def _plain(host: str) -> str:
    """An IPv6 address has many forms, and a name may be in capitals."""
    return str(ipaddress.ip_address(host)) if _is_literal(host) else host.lower()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
