"""A port of its own for SIP over WebSocket, for browsers that are not on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorTCP,
    IReactorTime,
    ITransport,
)
from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Site

from voipcluster.address import join_host_port
from voipcluster.web.connections import MOST_CONNECTIONS, CappedFactory, Upgradable
from voipcluster.web.site import ReadOnlyRequest

OPENING = 10.0  # seconds for TLS and the opening handshake


class Opening(Upgradable):
    """One connection, which is aborted unless it becomes a WebSocket soon."""

    factory: OpeningFactory
    _timer: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        abort = transport.abortConnection  # type: ignore[attr-defined]  # of a TCP or TLS transport
        self._timer = self.factory.clock.callLater(OPENING, abort)
        super().makeConnection(transport)

    def upgraded(self) -> None:
        self._stop_timer()
        super().upgraded()

    def connectionLost(self, reason: Any = None) -> None:
        self._stop_timer()
        super().connectionLost(reason)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class OpeningFactory(CappedFactory):
    """When too many have not opened their WebSocket yet, the oldest of them makes room: nobody is kept out by silence."""

    protocol = Opening

    def __init__(self, clock: IReactorTime, site: Site) -> None:
        super().__init__(site)
        self.clock = clock

    def make_room(self, source: str) -> bool:
        if len(self.protocols) >= MOST_CONNECTIONS:
            oldest: Any = next(iter(self.protocols))
            self.unregisterProtocol(oldest)
            oldest.abortConnection()
        return True


class _Site(Site):
    requestFactory = ReadOnlyRequest
    noisy = False

    def log(self, request: http.Request) -> None:
        """Nothing: what is refused here is somebody else's fault."""


class WebSocketService(Service):
    """
    Listens on one address, and answers nothing but opening handshakes, whatever their path.

    @param secure: wraps the factory in TLS, or L{None}.
    """

    _log = Logger()
    _port: IListeningPort | None = None

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        resource: IResource,
        secure: Callable[[Any], Any] | None = None,
    ) -> None:
        self._reactor, self._host, self._number, self._tls = reactor, host, port, secure is not None
        clock = IReactorTime(reactor)
        factory: Any = OpeningFactory(clock, _Site(resource, timeout=OPENING, reactor=clock))
        self._factory = factory if secure is None else secure(factory)

    def startService(self) -> None:
        """@raise CannotListenError: the port is taken."""
        self._port = self._reactor.listenTCP(self._number, self._factory, interface=self._host)
        super().startService()
        where = join_host_port(self._host, self._number)
        self._log.info("SIP listens on {scheme}://{where}", scheme="wss" if self._tls else "ws", where=where)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        port, self._port = self._port, None
        return succeed(None) if port is None else port.stopListening() or succeed(None)
