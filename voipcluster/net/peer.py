"""The calling side of the cluster link: one connection to one other member, made again whenever it is lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHandshakeListener,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.logger import Logger, LogLevel
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import is_ip, is_ipv6
from voipcluster.errors import PeerError
from voipcluster.net.envelope import Body, pack, unpack
from voipcluster.net.gate import LogLimiter, check_peer
from voipcluster.net.link import CALL_TIMEOUT, LinkBroker
from voipcluster.net.tls import LinkTls

CONNECT_TIMEOUT = 5.0  # seconds until both sides speak PB
KEEP_ALIVE = 10.0  # seconds without a message of ours after which a ping is sent
FIRST_DELAY, LAST_DELAY = 0.2, 5.0  # seconds between attempts
NOT_TAKEN = (
    "It closes the connection after the handshake, and its log says why: this node may have been forgotten (voipctl forget); "
    "such a one joins again with an empty state directory and a new --join token"
)

RANDOM = secrets.SystemRandom().random


@implementer(IHandshakeListener)
class _Caller(Protocol):
    """Waits for the handshake, checks that the peer is the node that was meant, and only then starts PB."""

    _broker: LinkBroker | None = None

    def __init__(self, peer: PeerLink) -> None:
        self._peer = peer

    def handshakeCompleted(self) -> None:
        assert self.transport is not None
        broker = self._peer.handshake_completed(self.transport)
        if broker is None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # of a TCP or TLS transport
            return
        self._broker = broker
        broker.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._broker is not None:
            self._broker.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._broker is not None:
            self._broker.connectionLost(reason)
        else:
            self._peer.attempt_ended(reason.getErrorMessage())


class _CallerFactory(ClientFactory):
    noisy = False

    def __init__(self, peer: PeerLink) -> None:
        self._peer = peer

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Caller(self._peer)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._peer.attempt_ended(reason.getErrorMessage())


class PeerLink:
    """
    The link to one member.

    @ivar up: both sides speak PB.
    @ivar leaving: the peer has said that it stops: that the link is lost is no surprise then.
    @param where: gives the member's present address and link port, or raises L{PeerError}: it cannot be there.
    @param stamp: gives epoch and the next sequence number of this node.
    @param on_up: called with this link when it is up.
    @param on_lost: called with this link and the reason when it was up and is lost; not after L{stop}.
    @param own_address: connections leave from it, when it is an address of the same family.
    @param advice: what may help where there is no connection; empty when nothing is known.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        tls: LinkTls,
        name: str,
        where: Callable[[], tuple[str, int]],
        stamp: Callable[[], tuple[int, int]],
        on_up: Callable[[PeerLink], None],
        on_lost: Callable[[PeerLink, str], None],
        own_address: str = "",
        random: Callable[[], float] = RANDOM,
        wall_clock: Callable[[], float] = time.time,
        advice: Callable[[], str] = str,
    ) -> None:
        self.name, self.up, self.leaving = name, False, False
        self._reactor, self._tls, self._where, self._stamp = reactor, tls, where, stamp
        self._on_up, self._on_lost, self._own_address, self._random = on_up, on_lost, own_address, random
        self._wall_clock, self._advice = wall_clock, advice
        self._running, self._delay, self._spoke, self._fault = False, FIRST_DELAY, 0.0, ""
        self._up_since = 0.0
        self._closed_in_a_row = 0  # attempts that the peer ended behind the handshake, since the link was up
        self._timer: IDelayedCall | None = (
            None  # next attempt, end of this attempt, or next ping: never two of them
        )
        self._connector: IConnector | None = None
        self._broker: LinkBroker | None = None
        self._limiter = LogLimiter(60.0)

    def start(self) -> None:
        self._running = True
        self._connect()

    def stop(self) -> None:
        """Close at once; nothing is called after this."""
        self._running = self.up = False
        self._set_timer(None)
        broker, self._broker = self._broker, None
        connector, self._connector = self._connector, None
        if broker is not None:
            broker.abort("this node stops")
        elif connector is not None:
            connector.disconnect()

    def hurry(self) -> None:
        """Try now, not after the delay: the peer was heard, so it is there."""
        if self._running and self._connector is None:
            self._delay = FIRST_DELAY
            self._connect()

    def reset(self, reason: str) -> None:
        """Give up the present connection and make another."""
        if self._broker is not None:
            self._broker.abort(reason)

    def call(self, kind: str, body: Body, timeout: float = CALL_TIMEOUT) -> Deferred[Body]:
        """
        @return: the body of the answer; fails with L{PeerError} when there is none, or the peer refuses.
        """
        if self._broker is None or not self.up:
            return fail(PeerError(f"node {self.name} is not reachable", 503))
        epoch, sequence = self._stamp()
        try:
            payload = pack({"node": self._tls.identity.name, "epoch": epoch, "seq": sequence, "body": body})
        except PeerError as error:
            return fail(error)
        self._spoke = self._reactor.seconds()
        return self._broker.call(kind, payload, timeout).addCallback(self._answered)

    def _answered(self, payload: bytes) -> Body:
        answer = unpack(payload)
        ok = answer.get("ok")
        if isinstance(ok, dict):
            return ok
        raise PeerError(f"node {self.name}: {str(answer.get('error'))[:500]}")

    def _set_timer(self, timer: IDelayedCall | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = timer

    def _connect(self) -> None:
        try:
            host, port = self._where()
        except PeerError as error:
            self._fault = str(error)
            self.attempt_ended("")
            return
        bind = None
        if is_ip(self._own_address) and is_ip(host) and is_ipv6(host) == is_ipv6(self._own_address):
            bind = (self._own_address, 0)
        factory = TLSMemoryBIOFactory(self._tls, True, _CallerFactory(self), self._reactor)
        self._fault = ""
        self._set_timer(
            self._reactor.callLater(
                CONNECT_TIMEOUT, self._give_up, f"not connected within {CONNECT_TIMEOUT:g} s"
            )
        )
        self._connector = self._reactor.connectTCP(host, port, factory, CONNECT_TIMEOUT, bind)

    def _give_up(self, reason: str) -> None:
        self._fault = reason
        if self._broker is not None:
            self._broker.abort(reason)
        elif self._connector is not None:
            self._connector.disconnect()

    def handshake_completed(self, transport: object) -> LinkBroker | None:
        """@return: what speaks on this connection, or L{None} when it is not the node that was meant."""
        if not self._running:
            return None
        try:
            peer = check_peer(transport.getHandle(), self._tls.identity, self._wall_clock())  # type: ignore[attr-defined]  # of a TLS transport
            if peer.name != self.name:
                raise PeerError(f"it is node {peer.name!r}", 403)
        except PeerError as error:
            self._fault = str(error)
            return None
        self._broker = LinkBroker(self._reactor, None, self._ready, self._lost)
        return self._broker

    def _ready(self, broker: LinkBroker) -> None:
        if not self._running or broker is not self._broker:
            return
        self.up, self.leaving, self._spoke = True, False, self._reactor.seconds()
        self._up_since = self._spoke
        self._set_timer(self._reactor.callLater(KEEP_ALIVE, self._keep_alive))
        self._log.info("link to node {name} is up", name=self.name)
        self._on_up(self)

    def _keep_alive(self) -> None:
        left = self._spoke + KEEP_ALIVE - self._reactor.seconds()
        if left <= 0:
            self.call("ping", {}).addErrback(
                lambda failure: None
            )  # the broker closes when it stays without answer
            left = KEEP_ALIVE
        self._set_timer(self._reactor.callLater(left, self._keep_alive))

    def _lost(self, broker: LinkBroker, reason: str) -> None:
        if broker is not self._broker:
            return
        self._broker, was_up, self.up = None, self.up, False
        if was_up and self._reactor.seconds() - self._up_since >= LAST_DELAY:
            self._delay = FIRST_DELAY  # it was a good one
        self._closed_in_a_row = 0 if was_up else self._closed_in_a_row + 1
        # who is refused is told nothing; once it may be one that has just stopped
        refused = self._closed_in_a_row > 1 and not self._fault
        self.attempt_ended(f"{reason.rstrip('.')}. {NOT_TAKEN}" if refused else reason, refused)
        if was_up:
            if self.leaving:
                self._log.info("link to node {name} has ended: it stops", name=self.name)
            else:
                self._log.warn("link to node {name} is lost: {reason}", name=self.name, reason=reason)
            self._on_lost(self, reason)

    def attempt_ended(self, reason: str, refused: bool = False) -> None:
        """
        There is no connection; try again after a delay that grows and is never the same at two nodes.

        @param refused: it seems that the peer does not want this node, which somebody has to see.
        """
        self._connector = None
        if not self._running:
            return
        advice = self._advice()
        reason = self._fault or (f"{reason.rstrip('.')}. {advice}" if advice else reason)
        if self._limiter.take(reason, self._reactor.seconds()) is not None:
            level = LogLevel.warn if refused else LogLevel.info
            self._log.emit(level, "no link to node {name} yet: {reason}", name=self.name, reason=reason)
        delay = self._delay * (0.5 + self._random())
        self._delay = min(LAST_DELAY, self._delay * 1.6)
        self._set_timer(self._reactor.callLater(delay, self._connect))
