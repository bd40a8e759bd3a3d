"""The servers of a gateway as URIs that a request can be sent to (RFC 3261 section 19.1, RFC 3263)."""

from __future__ import annotations

from voipcluster.address import DEFAULT_PORT, UDP, is_ip, split_host_port
from voipcluster.gateway.gateway import Gateway
from voipcluster.sip.uri import SipUri


def server_uri(gateway: Gateway, server: str, user: str | None = None) -> SipUri:
    """
    The URI of one server.

    A name without a port has none, since a port says that there is nothing to look up by SRV (RFC 3263 section 4.2).

    @param server: one of C{gateway.servers}, C{host} or C{host:port}.
    """
    transport = gateway.transport.upper()
    host, port = split_host_port(server, 0)
    given: int | None = port or None
    if given == DEFAULT_PORT[transport] and is_ip(host):
        given = None
    params = () if transport == UDP and is_ip(host) else (("transport", gateway.transport),)
    return SipUri("sip", host.lower(), user, None, given, params)
