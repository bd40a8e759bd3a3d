"""Whether a Contact is the phone that registers it, to be reached over its flow, or names some other place."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from voipcluster.address import WS, WSS, is_ip
from voipcluster.remember import remember
from voipcluster.sip.uri import SipUri

# addresses that nobody outside of one network, or machine, can be reached at (RFC 1918, 3927, 4193, 6598)
_LOCAL: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip

_LOCAL_NAMES: Final = (
    ".invalid",
    ".local",
    ".lan",
    ".localdomain",
    ".internal",
    ".home.arpa",
)  # RFC 6761, 6762, 8375


def is_own_contact(contact: SipUri, via_host: str, source: str, transport: str) -> bool:
    """
    A phone behind a NAT names an address that it has not got for us; so its own one is that which its Via names as well, or
    which nobody here could reach anyhow. Another one is where somebody wants to be reached besides (RFC 3261 section 10.2.1),
    a mobile or a mailbox, and requests for it go there.

    @param via_host: the sent-by host of the client's own Via. C{source}: the address that its REGISTER came from.
    @param transport: what it came over; a browser cannot be reached any other way (RFC 7118 section 5.2).
    """
    host = contact.param("maddr") or contact.host
    if transport in (WS, WSS):
        return True
    if not is_ip(host):
        return host == via_host.lower() or "." not in host or host.endswith(_LOCAL_NAMES)
    place = ip_address(host)
    if place in (_address(via_host), _address(source)):
        return True
    return _is_local(host) and not _is_local(source)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    return ip_address(host) if is_ip(host) else None


@remember(4096)
def _is_local(host: str) -> bool:
    place = _address(host)
    return place is not None and any(place in network for network in _LOCAL)
