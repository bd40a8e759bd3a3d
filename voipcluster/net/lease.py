"""A reactor that is only lent: all that was made with it is ended at once, whatever made it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IListeningPort,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
)
from twisted.internet.protocol import ClientFactory, DatagramProtocol
from twisted.logger import LogLevel
from twisted.python.log import callWithContext

_QUIET = {"log_level": LogLevel.debug}  # for the lines of a port, which no C{noisy} stops


class Lease:
    """
    Stands in for the reactor where code of others makes timers, ports and connections and has no end of its own.

    Only what L{twisted.names.client} asks for: C{callLater}, C{listenUDP} and C{connectTCP}.

    @param udp_opened: told of each protocol before it gets its UDP port.
    """

    def __init__(
        self, reactor: Any, udp_opened: Callable[[DatagramProtocol], object] = lambda protocol: None
    ) -> None:
        self._udp_opened = udp_opened
        self._time, self._udp, self._tcp = IReactorTime(reactor), IReactorUDP(reactor), IReactorTCP(reactor)
        self._calls: list[IDelayedCall] = []
        self._ports: list[IListeningPort] = []
        self._connectors: list[IConnector] = []

    def seconds(self) -> float:
        return self._time.seconds()

    def callLater(
        self, delay: float, call: Callable[..., object], *args: Any, **keywords: Any
    ) -> IDelayedCall:
        self._calls = [known for known in self._calls if known.active()]
        made = self._time.callLater(delay, call, *args, **keywords)
        self._calls.append(made)
        return made

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> IListeningPort:
        self._ports = [known for known in self._ports if getattr(known, "connected", True)]
        protocol.noisy = False  # a socket for each question is no news
        self._udp_opened(protocol)
        made: IListeningPort = callWithContext(
            _QUIET, self._udp.listenUDP, port, protocol, interface, maxPacketSize
        )
        closing: Any = made
        closing.connectionLost = partial(callWithContext, _QUIET, closing.connectionLost)
        self._ports.append(made)
        return made

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        self._connectors = [c for c in self._connectors if getattr(c, "state", "") != "disconnected"]
        made = self._tcp.connectTCP(host, port, factory, timeout, bindAddress)
        self._connectors.append(made)
        return made

    def end(self) -> Deferred[Any]:
        """Fires when nothing is left."""
        for call in self._calls:
            if call.active():
                call.cancel()
        for connector in self._connectors:
            if getattr(connector, "state", "") != "disconnected":
                connector.disconnect()
        closing = [
            maybeDeferred(port.stopListening) for port in self._ports if getattr(port, "connected", True)
        ]
        self._calls, self._ports, self._connectors = [], [], []
        return DeferredList(closing, consumeErrors=True)
