"""Where bytes come from and go to: hops, flows and the text form of addresses."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

UDP, TCP, TLS, WS, WSS = "UDP", "TCP", "TLS", "WS", "WSS"
RELIABLE = frozenset({TCP, TLS, WS, WSS})
SECURE = frozenset({TLS, WSS})  # what a sips URI may be sent over (RFC 3261 section 26.2, RFC 7118)
DEFAULT_PORT = {UDP: 5060, TCP: 5060, TLS: 5061, WS: 80, WSS: 443}


class Hop(NamedTuple):
    """
    One next hop (RFC 3263): C{transport} in upper case, C{host} an IP literal without brackets, C{port} 1 to 65535.
    """

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{join_host_port(self.host, self.port)}"


class Flow(NamedTuple):
    """
    The way between one of our sockets and one remote socket (RFC 5626 section 2, "flow").

    C{local} and C{remote} are (IP literal, port). C{connection} numbers the stream connections of this process
    from 1; it is 0 for datagrams, and for a stream that is yet to be opened. C{name} is what the certificate at the other
    end of one that is yet to be opened must prove, with TLS.
    """

    transport: str
    local: tuple[str, int]
    remote: tuple[str, int]
    connection: int = 0
    name: str = ""

    @property
    def hop(self) -> Hop:
        return Hop(self.transport, *self.remote)

    @property
    def reliable(self) -> bool:
        return self.transport != UDP

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{join_host_port(*self.remote)}"


def is_ip(host: str) -> bool:
    """Whether C{host} is an IPv4 or IPv6 literal, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_ipv6(host: str) -> bool:
    """Whether an IP literal is one of IPv6; cheap, for literals that were checked before."""
    return ":" in host


def source_of(host: str) -> str:
    """Who counts as one source: an IPv4 address, or an IPv6 /64, which is what one customer gets."""
    if ":" not in host:
        return host
    prefix = int(ipaddress.IPv6Address(host.partition("%")[0])) >> 64 << 64
    return str(ipaddress.IPv6Network((prefix, 64)))


def bracketed(host: str) -> str:
    """An IPv6 literal in brackets (RFC 3261 section 25.1, C{IPv6reference}), any other host as it is."""
    return f"[{host}]" if ":" in host else host


def join_host_port(host: str, port: int | None) -> str:
    """C{host:port} with IPv6 in brackets; without a port just the host."""
    return bracketed(host) if port is None else f"{bracketed(host)}:{port}"


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """
    Split C{host}, C{host:port}, C{[v6]} or C{[v6]:port}; a bare IPv6 literal is taken as a host.

    @raise ValueError: no host, or a port outside 1 to 65535.
    """
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")) or not is_ip(host):
            raise ValueError(f"not an address: {text!r}")
        port_text = rest[1:] if rest else ""
        given = bool(rest)
    elif text.count(":") > 1:
        host, port_text, given = text, "", False
        if not is_ip(host):
            raise ValueError(f"not an address: {text!r}")
    else:
        host, colon, port_text = text.partition(":")
        given = bool(colon)
    if not host:
        raise ValueError(f"no host in {text!r}")
    if not given:
        return host, default_port
    if not (port_text.isascii() and port_text.isdigit()) or not 1 <= int(port_text) <= 65535:
        raise ValueError(f"not a port (1 to 65535): {port_text!r}")
    return host, int(port_text)
