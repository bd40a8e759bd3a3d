"""Which gateway a client is, and what that gateway may do: claims 12 and 13 of the design."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from enum import Enum

from attrs import frozen

from voipcluster.address import RELIABLE, SECURE, Flow
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.hours import is_open
from voipcluster.gateway.permission import Party

_AS_SAFE = {"udp": frozenset({"UDP"}) | RELIABLE, "tcp": RELIABLE, "tls": SECURE}


class Direction(Enum):
    """Which way a request goes: from the gateway to us, or from us to the gateway."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


@frozen
class Refusal:
    """
    Why a gateway does not let a request through.

    @ivar status: the SIP status that says so; C{text}: one line for the caller, the operator and the call's record.
    @ivar kind: one word, under which it is counted.
    """

    status: int
    text: str
    kind: str


def identify(
    gateways: Iterable[Gateway], flow: Flow, certificate: Collection[str] = (), user: str | None = None
) -> Gateway | None:
    """
    Which gateway a client is: by its proved account, else by the names in its certificate, else by where it sends from.

    Also one that is not enabled is found: it is no stranger, but it may do nothing. Of networks that hold the address the
    smallest decides.

    @param flow: from which the request came.
    @param certificate: names that the certificate at its other end proves, in lower case.
    @param user: whose password was proved, C{name@domain}.
    """
    by_name: Gateway | None = None
    by_source: Gateway | None = None
    longest = -1
    address = ipaddress.ip_address(flow.remote[0].partition("%")[0])
    for gateway in gateways:
        if user is not None and gateway.username == user:
            return gateway
        if certificate and by_name is None and any(name in certificate for name in gateway.certificates):
            by_name = gateway
        if flow.transport in _AS_SAFE[gateway.transport]:
            for network in gateway.networks:
                if network.prefixlen > longest and address in network:
                    by_source, longest = gateway, network.prefixlen
    return by_name or by_source


def behind(gateways: Iterable[Gateway], host: str) -> Gateway | None:
    """The gateway that has an address behind it; the one with the smallest network."""
    found: Gateway | None = None
    longest = -1
    address = ipaddress.ip_address(host.partition("%")[0])
    for gateway in gateways:
        for network in gateway.networks_behind:
            if network.prefixlen > longest and address in network:
                found, longest = gateway, network.prefixlen
    return found


def may_pass(
    gateway: Gateway,
    direction: Direction,
    caller: Party,
    callee: Party,
    weekday: int,
    minute: int,
    codecs: Collection[str] = (),
) -> Refusal | None:
    """
    Whether a gateway lets a call through; its channels and whether it is up are not looked at here.

    @param weekday: 0 is Monday; C{minute}: since midnight, both in the local time of the node.
    @param codecs: encoding names in the offer; none: it has no offer, or none that is known.
    @return: why not, or L{None}.
    """
    name = gateway.name
    if not gateway.enabled:
        return Refusal(403, f"gateway {name} is disabled", "disabled")
    if not is_open(gateway.spans, weekday, minute):
        return Refusal(403, f"gateway {name} is closed at this time", "hours")
    permission = gateway.incoming if direction is Direction.INCOMING else gateway.outgoing
    way = "from" if direction is Direction.INCOMING else "to"
    if not permission.takes_caller(caller):
        return Refusal(403, f"gateway {name} may not pass calls {way} it of this caller", "caller")
    if not permission.takes_number(callee):
        return Refusal(403, f"gateway {name} may not pass calls {way} it to this number", "number")
    if codecs and gateway.codecs and not allowed_codecs(gateway, codecs):
        return Refusal(488, f"gateway {name} allows {', '.join(gateway.codecs)} only", "codecs")
    return None


def allowed_codecs(gateway: Gateway, codecs: Iterable[str]) -> list[str]:
    """Those of the encoding names that may be used with a gateway; names have no case (RFC 8866 section 6.6)."""
    allowed = {name.lower() for name in gateway.codecs}
    return [name for name in codecs if not allowed or name.lower() in allowed]
