"""A HEP collector of the tests' own: it reads what comes by L{tests.hep_reading}, and nothing else."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from tests.hep_reading import read, split


class HepReceiver(DatagramProtocol):
    """
    At one address, over UDP or TCP.

    @ivar told: the packets that came, each as L{tests.hep_reading.read} reads it.
    """

    noisy = False

    def __init__(self, reactor: Any, host: str, transport: str = "udp") -> None:
        self._reactor, self.host, self._transport = reactor, host, transport
        self._port: Any = None
        self._lines: list[_Line] = []
        self.told: list[dict[str, Any]] = []

    def listen(self) -> None:
        if self._transport == "udp":
            self._port = self._reactor.listenUDP(9060, self, interface=self.host, maxPacketSize=65_535)
        else:
            factory = Factory.forProtocol(lambda: _Line(self))
            factory.noisy = False
            self._port = self._reactor.listenTCP(9060, factory, interface=self.host)

    async def stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            closing: Deferred[Any] = maybeDeferred(port.stopListening)
            for line in self._lines:
                line.wire.abortConnection()
            await closing

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.told.append(read(datagram))

    def opened(self, line: _Line) -> None:
        self._lines.append(line)

    def lost(self, line: _Line) -> None:
        self._lines.remove(line)

    def of(self, call_id: str) -> list[dict[str, Any]]:
        """What was told of one call, by the time at which it passed."""
        found = [one for one in self.told if one["correlation"] == call_id.encode()]
        return sorted(found, key=lambda one: (one["seconds"], one["microseconds"]))


class _Line(Protocol):
    def __init__(self, receiver: HepReceiver) -> None:
        self._receiver, self._left = receiver, b""
        self.wire: Any = None

    def connectionMade(self) -> None:
        self.wire = self.transport
        self._receiver.opened(self)

    def connectionLost(self, reason: Any = None) -> None:
        self._receiver.lost(self)

    def dataReceived(self, data: bytes) -> None:
        packets, self._left = split(self._left + data)
        self._receiver.told += [read(packet) for packet in packets]
