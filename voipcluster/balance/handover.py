"""
The hand-over token: the client's identity, as one node tells it to the next one.

It travels in the Route of a request that is handed over, and as the C{hop} parameter of the URI of a redirect. It is signed
with the cluster's key, bound to the Call-ID of the request, and good for some seconds: only a node can make one, and one that
somebody else saw is of no use for another call.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct

from attrs import define, evolve, field

from voipcluster.address import TCP, TLS, UDP, WS, WSS, Flow
from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

MOST_IN_VAIN = 8  # nodes that one node names: a token has to fit into a datagram with the request
MAX_AGE = 32.0  # s: 64*T1, the life of the transaction that carries it (RFC 3261 section 17.1.1.2)
FORMAT = 1
TRANSPORTS = (UDP, TCP, TLS, WS, WSS)  # its index is what is sent: append only
DIGEST = 8  # octets of the Call-ID's hash; the MAC covers it, so nobody can choose a token to fit
HAS_USER, REDIRECTED, HAS_GATEWAY = 1, 2, 4
_HEAD = struct.Struct(f"!BBBBI{DIGEST}sI")  # format, flags, transport, hops, issued, Call-ID, connection


@define(unsafe_hash=True)  # made for every new request, and a frozen one costs a microsecond more
class Handover:
    """
    What a node tells about a request that it hands over; nobody changes it.

    @ivar flow: the client's true address, port and transport (C{flow.remote}, C{flow.transport}), the socket of C{ingress} it
        came to, and the connection there.
    @ivar ingress: the node that the client sent it to; responses and requests for the client go through it.
    @ivar user: who authenticated (C{name@domain}), or L{None}; the next node does not challenge again.
    @ivar visited: the nodes that it came to: those that handed it on, each with those behind it that it had asked in vain.
    @ivar hops: how often it was handed on, by which it came here.
    @ivar redirected: the client carries it: it is served or refused where it points to, never redirected again.
    @ivar gateway: the gateway that it is known to be, or empty.
    """

    flow: Flow
    ingress: str
    user: str | None = None
    visited: tuple[str, ...] = ()
    hops: int = 0
    redirected: bool = field(default=False)
    gateway: str = ""

    def onward(self, node: str, in_vain: tuple[str, ...] = ()) -> Handover:
        """The same after one more hop away from C{node}, which asked others C{in_vain} before."""
        return evolve(self, visited=(*self.visited, node, *in_vain[:MOST_IN_VAIN]), hops=self.hops + 1)

    def for_redirect(self) -> Handover:
        """As the client may carry it: without who it is, which it shows where it is sent to."""
        return evolve(self, user=None, gateway="", redirected=True)


class HandoverTokens:
    """
    Makes and opens the tokens of a cluster.

    @param cluster_key: 32 random octets that all nodes hold.
    @param max_age: seconds that a token is good for; as much is allowed for clocks that differ, in both directions.
    """

    def __init__(self, cluster_key: bytes, max_age: float = MAX_AGE) -> None:
        self._sealer = Sealer(cluster_key, b"handover")
        self._max_age = max_age

    def seal(self, handover: Handover, call_id: str, now: float) -> str:
        """
        @param now: seconds since 1970: nodes compare it, so it is the wall clock.
        @return: text that fits into a URI parameter.
        """
        return self._sealer.seal(_pack(handover, call_id, now))

    def open(self, token: str, call_id: str, now: float) -> Handover:
        """
        @raise PeerError: forged, altered, too old, from the future, or for another Call-ID; C{status_hint} is 403.
        """
        payload = self._sealer.open(token)
        try:
            handover, issued, digest = _unpack(payload)
        except (struct.error, IndexError, ValueError):
            raise PeerError("hand-over token of another format", 403) from None
        if digest != _digest(call_id):
            raise PeerError("hand-over token for another Call-ID", 403)
        if abs(now - issued) > self._max_age:
            raise PeerError("hand-over token out of date", 403)
        return handover


def _digest(call_id: str) -> bytes:
    return hashlib.sha256(call_id.encode("utf-8", "surrogateescape")).digest()[:DIGEST]


def _pack(handover: Handover, call_id: str, now: float) -> bytes:
    flow = handover.flow
    flags = (HAS_USER if handover.user is not None else 0) | (REDIRECTED if handover.redirected else 0)
    if handover.gateway:
        flags |= HAS_GATEWAY
    head = _HEAD.pack(
        FORMAT,
        flags,
        TRANSPORTS.index(flow.transport),
        handover.hops,
        int(now),
        _digest(call_id),
        flow.connection,
    )
    gateway = (handover.gateway,) if handover.gateway else ()
    names = (handover.ingress, handover.user or "", *gateway, *handover.visited)
    texts = [name.encode("utf-8", "surrogateescape") for name in names]
    parts = [_pack_address(*flow.local), _pack_address(*flow.remote), bytes([len(texts)])]
    for text in texts:
        parts += (len(text).to_bytes(2, "big"), text)
    return head + b"".join(parts)


def _pack_address(host: str, port: int) -> bytes:
    address = ipaddress.ip_address(host)
    return bytes([len(address.packed)]) + address.packed + port.to_bytes(2, "big")


def _unpack(payload: bytes) -> tuple[Handover, int, bytes]:
    version, flags, transport, hops, issued, digest, connection = _HEAD.unpack_from(payload)
    if version != FORMAT:
        raise ValueError(version)
    local, at = _unpack_address(payload, _HEAD.size)
    remote, at = _unpack_address(payload, at)
    count, at = payload[at], at + 1
    texts = []
    for _ in range(count):
        start = at + 2
        end = start + int.from_bytes(payload[at:start], "big")
        if end > len(payload):
            raise ValueError("truncated")
        texts.append(payload[start:end].decode("utf-8", "surrogateescape"))
        at = end
    if at != len(payload) or count < 2:
        raise ValueError("length")
    ingress, user, *visited = texts
    gateway = visited.pop(0) if flags & HAS_GATEWAY and visited else ""
    handover = Handover(
        flow=Flow(TRANSPORTS[transport], local, remote, connection),
        ingress=ingress,
        user=user if flags & HAS_USER else None,
        visited=tuple(visited),
        hops=hops,
        redirected=bool(flags & REDIRECTED),
        gateway=gateway,
    )
    return handover, issued, digest


def _unpack_address(payload: bytes, at: int) -> tuple[tuple[str, int], int]:
    start = at + 1
    end = start + payload[at]
    host = str(ipaddress.ip_address(payload[start:end]))
    return (host, int.from_bytes(payload[end : end + 2], "big")), end + 2
