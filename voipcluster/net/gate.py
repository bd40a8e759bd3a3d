"""
The listening side of the cluster link. No PB object exists and no byte of PB is sent before the peer's certificate was checked.

A TLS 1.3 client learns that its certificate is refused only after it has finished its own handshake, so the check is here, when
the server's handshake is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.errors import PeerError
from voipcluster.net.certificates import Certified, Identity, certified, check_issued
from voipcluster.net.link import LinkBroker
from voipcluster.net.tls import ALPN_JOIN, ALPN_PB

HANDSHAKE_TIMEOUT = 4.0  # seconds; for a joining node, until it has its answer
MAX_PENDING = 128  # connections whose handshake is not complete
IDLE = 40.0  # seconds; a calling peer sends something every 10


@define
class LogLimiter:
    """Lets one line of each kind through per C{every} seconds and counts the others."""

    every: float = 10.0
    kinds: int = 256
    _seen: dict[str, tuple[float, int]] = field(factory=dict)

    def take(self, kind: str, now: float) -> int | None:
        """@return: how many lines of this kind were left out since the last one, or L{None} to leave this one out."""
        at, left_out = self._seen.get(kind, (now - self.every, 0))
        if now - at < self.every:
            self._seen[kind] = (at, left_out + 1)
            return None
        if len(self._seen) >= self.kinds:
            self._seen.clear()
        self._seen[kind] = (now, 0)
        return left_out


def check_peer(connection: SSL.Connection, identity: Identity, now: float) -> Certified:
    """
    Whom the peer's certificate names; called when the handshake is complete.

    TLS has verified the chain already; it is verified here again because everything hangs on it.

    @param now: unix seconds.
    @raise PeerError: none, or not one of this cluster.
    """
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        raise PeerError("it shows no certificate", 403)
    check_issued(certificate, identity.ca, now)
    return certified(certificate, identity.cluster)


@implementer(IHandshakeListener)
class Gate(Protocol):
    """One connection: waits for the handshake, checks the peer, and only then makes the protocol that answers it."""

    _inner: IProtocol | None = None
    _timer: IDelayedCall | None = None
    _closed: str | None = None
    host = ""

    def __init__(self, factory: GateFactory) -> None:
        self._gates = factory

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.host = getattr(self.transport.getPeer(), "host", "")
        self._timer = self._gates.clock.callLater(
            HANDSHAKE_TIMEOUT, self.refuse, "no complete handshake in time"
        )
        self._gates.opened(self)

    def handshakeCompleted(self) -> None:
        if self._closed is not None:
            return
        assert self.transport is not None
        try:
            self._inner, known = self._gates.admit(self.transport)
        except PeerError as error:
            self.refuse(str(error))
            return
        if known:  # else it is anybody, and the time runs on
            self._stop_timer()
            self._gates.finished(self)
        self._inner.makeConnection(self.transport)

    def refuse(self, reason: str) -> None:
        """Close without having said anything."""
        self._stop_timer()
        self._gates.finished(self)
        if self._closed is None:
            self._closed = reason
            assert self.transport is not None
            self._gates.log_refusal(self.transport.getPeer(), reason)
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of a TCP or TLS transport

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        self._gates.finished(self)
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif self._closed is None:
            assert self.transport is not None
            self._gates.log_refusal(
                self.transport.getPeer(), f"the TLS handshake failed: {_tls_reason(reason)}"
            )


def _tls_reason(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return "; ".join(str(entry[-1]) for entry in error.args[0])
    return reason.getErrorMessage() or "closed"


class GateFactory(Factory):
    """
    @param identity: gives the node's present identity.
    @param check_member: raises L{PeerError} unless the certified node is a member with this key and role.
    @param serve: makes what one member's connection serves.
    @param joining: makes the protocol that answers a joining node, given what logs why it is refused; L{None} where nobody
        can join.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        identity: Callable[[], Identity],
        check_member: Callable[[Certified], None],
        serve: Callable[[Certified], Callable[[str, bytes], Deferred[bytes]]],
        joining: Callable[[Callable[[str], None]], IProtocol] | None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock, self._identity, self._check_member = clock, identity, check_member
        self._serve, self._joining, self._wall_clock = serve, joining, wall_clock
        self._pending: dict[str, dict[Gate, None]] = {}  # by address of the peer, oldest first
        self._brokers: dict[str, LinkBroker] = {}
        self._limiter = LogLimiter()

    def buildProtocol(self, addr: IAddress | None) -> Gate:
        return Gate(self)

    def opened(self, gate: Gate) -> None:
        """A flood makes room for itself: of the address with the most incomplete handshakes the oldest gives way."""
        self._pending.setdefault(gate.host, {})[gate] = None
        if sum(map(len, self._pending.values())) > MAX_PENDING:
            most = max(self._pending.values(), key=len)
            next(iter(most)).refuse("too many incomplete handshakes")

    def finished(self, gate: Gate) -> None:
        gates = self._pending.get(gate.host, {})
        gates.pop(gate, None)
        if not gates:
            self._pending.pop(gate.host, None)

    def admit(self, transport: ITransport) -> tuple[IProtocol, bool]:
        """
        @return: what answers this peer, and whether the peer is a member.
        @raise PeerError: this peer is not served.
        """
        protocol = transport.negotiatedProtocol  # type: ignore[attr-defined]  # of a TLS transport
        if protocol == ALPN_JOIN:
            if self._joining is None:
                raise PeerError("it wants to join, which only the primary does", 403)
            return self._joining(lambda reason: self.log_refusal(transport.getPeer(), reason)), False
        if protocol != ALPN_PB:
            raise PeerError("it does not name the protocol of the cluster link")
        peer = check_peer(transport.getHandle(), self._identity(), self._wall_clock())  # type: ignore[attr-defined]  # of a TLS transport
        self._check_member(peer)
        before = self._brokers.get(peer.name)
        broker = LinkBroker(
            self.clock,
            self._serve(peer),
            lambda broker: None,
            lambda broker, why: self._lost(peer.name, broker, why),
            IDLE,
        )
        self._brokers[peer.name] = broker
        if before is not None:
            before.abort("the node has connected anew")
        return broker, True

    def _lost(self, name: str, broker: LinkBroker, reason: str) -> None:
        if self._brokers.get(name) is broker:
            del self._brokers[name]
        left_out = self._limiter.take(f"lost {name}", self.clock.seconds())
        if left_out is not None:
            self._log.info("link from node {name} closed: {reason}", name=name, reason=reason)

    def is_connected(self, name: str) -> bool:
        return name in self._brokers

    def close_node(self, name: str, reason: str) -> None:
        """Close the connection of a node that is no member any more, or another one by that name."""
        if name in self._brokers:
            self._brokers[name].abort(reason)

    def close(self) -> None:
        for gate in [gate for gates in self._pending.values() for gate in gates]:
            gate.refuse("this node stops")
        for broker in list(self._brokers.values()):
            broker.abort("this node stops")

    def log_refusal(self, peer: IAddress, reason: str) -> None:
        """One line per address and 10 s, whatever a peer does."""
        host = getattr(peer, "host", "?")
        left_out = self._limiter.take(f"refused {host}", self.clock.seconds())
        if left_out is not None:
            self._log.warn(
                "cluster link: {host} refused: {reason} ({left_out} more refusals were not logged)",
                host=host, reason=reason, left_out=left_out,
            )  # fmt: skip
