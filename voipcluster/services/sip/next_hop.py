"""Where a request goes next (RFC 3261 section 16.6 steps 6 and 7), as far as that needs no DNS."""

from __future__ import annotations

from collections.abc import Sequence

from voipcluster.address import DEFAULT_PORT, TCP, UDP, Hop, is_ip
from voipcluster.errors import TransportError
from voipcluster.sip.resolution import Server
from voipcluster.sip.route import route_uri
from voipcluster.sip.uri import SipUri, parse_uri

LARGEST_DATAGRAM = 1300  # octets of a request where the path's MTU is not known (RFC 3261 section 18.1.1)


def tcp_first(servers: Sequence[Server]) -> list[Server]:
    """The servers for a request that is too large for UDP: each of UDP is tried over TCP before (18.1.1)."""
    ordered: list[Server] = []
    for server in servers:
        if server.hop.transport == UDP:
            ordered.append(server._replace(hop=server.hop._replace(transport=TCP)))
        ordered.append(server)
    return ordered


class TooLargeForUdp(TransportError):
    """
    A request is to be tried over TCP before it goes over UDP.

    @ivar hop: the next hop, over UDP.
    """

    def __init__(self, hop: Hop) -> None:
        super().__init__(f"more than {LARGEST_DATAGRAM} octets for {hop}")
        self.hop = hop


class NameToResolve(TransportError):
    """
    The host of a URI is a name: whoever can wait asks the DNS, for everybody else there is no way to it.

    @ivar uri: the URI.
    """

    def __init__(self, uri: SipUri) -> None:
        super().__init__(f"{(uri.param('maddr') or uri.host)[:80]!r} is a name")
        self.uri = uri


def hop_of(uri: SipUri) -> Hop:
    """
    The hop that a URI names by itself: a numeric host (RFC 3263 section 4.2).

    @raise NameToResolve: the host is a name.
    """
    host = uri.param("maddr") or uri.host
    if not is_ip(host):
        raise NameToResolve(uri)
    transport = uri.transport
    return Hop(transport, host, uri.port or DEFAULT_PORT.get(transport, 5060))


def strict_or_loose(uri: str, routes: Sequence[str]) -> tuple[str, list[str], SipUri]:
    """
    Order Request-URI and Route for the next hop (section 16.6 step 6).

    @return: the Request-URI's text, the Route values, and the URI to send to.
    @raise ParseError: the first Route value is none.
    """
    if not routes:
        return uri, [], parse_uri(uri)
    first = route_uri(routes[0])
    if first.has_param("lr"):
        return uri, list(routes), first
    # a strict router wants itself in the Request-URI and the true one at the end of Route
    return str(first.request_uri()), [*routes[1:], f"<{uri}>"], first
