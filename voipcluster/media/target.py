"""Which addresses the relay may send media to: a signalled address is a stranger's word (attack: relay as a weapon)."""

from __future__ import annotations

from collections.abc import Callable, Container
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from attrs import frozen

from voipcluster.remember import remember

THIS_NETWORK = IPv4Network("0.0.0.0/8")  # RFC 1122 section 3.2.1.3

LONGEST_LITERAL = 45  # characters, INET6_ADDRSTRLEN without its NUL


class Address(NamedTuple):
    """C{host} is an IP literal in its shortest form, as the socket layer gives it; C{port} 1 to 65535."""

    host: str
    port: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4


@remember(1024)
def literal(host: str) -> IPv4Address | IPv6Address | None:
    """
    The IP address that a text is, or L{None} for names and for scoped addresses.

    Kept for the addresses seen last: parsing them anew was half the cost of setting a call up.
    """
    if len(host) > LONGEST_LITERAL:
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id else address


@remember(1024)
def is_unspecified(host: str) -> bool:
    """C{0.0.0.0} or C{::}, the way to hold a call in RFC 2543 (RFC 3264 section 8.4)."""
    address = literal(host)
    return address is not None and address.is_unspecified


@remember(1024)
def canonical(host: str) -> str:
    """The one text of an IP address, and the same object each time: a node keeps many of them."""
    address = literal(host)
    assert address is not None, "the caller asked literal()"
    return address.compressed


@frozen
class Targets:
    """
    Judges addresses for one node.

    @ivar own: the addresses that the relay binds or advertises.
    @ivar busy: its ports that are in use now: own address and own port together would make two calls feed each other.
        A free number of the range may well be a phone's on the same host.
    @ivar loopback: loopback addresses are good; true when the node itself lives on one.
    @ivar allowed: networks of a laboratory that are good whatever kind of address they are.
    @ivar closed: ports of the own addresses where something else listens, SIP for instance.
    @ivar trusted: whether the word of a host that sent a description is enough for an address on another one.
    """

    own: frozenset[str]
    busy: Container[int]
    loopback: bool
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()
    closed: frozenset[int] = frozenset()
    trusted: Callable[[str], bool] = lambda host: False

    def usable(self, host: str, port: int) -> Address | None:
        """The address in canonical form, or L{None} when media must not go there."""
        address = literal(host)
        if address is None or not 1 <= port <= 65535:
            return None
        if self.allowed and any(address in network for network in self.allowed):
            pass
        elif address.is_loopback:
            if not self.loopback:
                return None
        elif address.is_multicast or address.is_unspecified or address.is_reserved or address in THIS_NETWORK:
            return None  # reserved: 240.0.0.0/4 with the limited broadcast, mapped and compatible IPv6
        elif isinstance(address, IPv6Address) and address.is_link_local:
            return None  # means nothing without its link, which SDP cannot name
        text = canonical(host)
        if text in self.own and (port in self.busy or port in self.closed):
            return None
        return Address(text, port)

    def vouched(self, address: Address | None, source: str) -> bool:
        """Whether media may go to an address before anything came from there: on the host itself that named it, or by trust."""
        return address is None or address.host == source or self.trusted(source)
