"""A clock and a network in memory on which nodes of the cluster link call one another, and the certificates they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IConnector, IListeningPort, IReactorTCP, IReactorTime, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.net import certificates
from voipcluster.net.certificates import Identity

NOW = 1_800_000_000.0  # unix seconds at which the certificates are made
CLUSTER = "c1"


class Authority:
    """A CA of a cluster that certifies whatever a test wants."""

    def __init__(self, cluster: str = CLUSTER, now: float = NOW) -> None:
        self.cluster, self.now = cluster, now
        self.ca, self.ca_key = certificates.create_ca(cluster, now)

    def identity(self, name: str, role: str = "secondary", days: float = 365, cluster: str = "") -> Identity:
        key = certificates.new_key()
        who = (cluster or self.cluster, name, role)
        certificate: x509.Certificate = certificates.issue(
            self.ca, self.ca_key, key.public_key(), who, self.now, days
        )
        return Identity(self.cluster, name, certificate, key, self.ca)


@implementer(ITCPTransport)
class End:
    """One end of a connection; what is written arrives at the other end when the network is pumped."""

    def __init__(self, network: Network, host: tuple[str, int], peer: tuple[str, int]) -> None:
        self._network, self._host, self._peer = network, host, peer
        self.protocol: Any = None
        self.other: End
        self.outgoing: list[bytes] = []
        self.sent: list[bytes] = []  # all that ever was
        self.closing = self.aborted = self.closed = False
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        if not self.closing:
            self.outgoing.append(data)
            self.sent.append(data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.outgoing.clear()
        self.closing = self.aborted = True

    def loseWriteConnection(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self._host)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", *self._peer)

    def getTcpKeepAlive(self) -> bool:
        return False

    def getTcpNoDelay(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def pump(self) -> bool:
        """Deliver what was written, then a close; whether anything happened."""
        if self.closing and not self.closed:
            self.close(ConnectionDone())  # this end knows at once, whatever the other one does
            return True
        if self._network.frozen & {self._host[0], self._peer[0]}:
            return False
        chunks, self.outgoing = self.outgoing, []
        for chunk in chunks:
            if not self.other.closing:
                self.other.protocol.dataReceived(chunk)
        if self.closed and not self.other.closed and not self.outgoing:
            self.other.close(ConnectionLost() if self.aborted else ConnectionDone())
            return True
        return bool(chunks)

    def close(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = self.closing = True
            self.protocol.connectionLost(Failure(reason))


@implementer(IListeningPort)
class Port:
    def __init__(self, network: Network, place: tuple[str, int], factory: Any) -> None:
        self._network, self._place, self._factory = network, place, factory

    def startListening(self) -> None:
        raise NotImplementedError("part of the interface; the link never calls it")

    def stopListening(self) -> None:
        del self._network.ports[self._place]

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self._place)


@implementer(IConnector)
class Connector:
    def __init__(self) -> None:
        self.end: End | None = None
        self.cancelled = False

    def disconnect(self) -> None:
        self.cancelled = True
        if self.end is not None:
            self.end.loseConnection()

    def stopConnecting(self) -> None:
        self.cancelled = True

    def connect(self) -> None:
        raise NotImplementedError("part of the interface; the link never calls it")

    def getDestination(self) -> IPv4Address:
        raise NotImplementedError("part of the interface; the link never calls it")


@implementer(IReactorTCP, IReactorTime)
class Network(Clock):
    """
    @ivar frozen: hosts that neither send nor take anything, and do not close either.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[tuple[str, int], Any] = {}
        self.ends: list[End] = []
        self.frozen: set[str] = set()
        self._next_port = 40000

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        if (interface, port) in self.ports:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        self.ports[interface, port] = factory
        return Port(self, (interface, port), factory)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        connector = Connector()
        self.callLater(
            0, self._connect, connector, (host, port), factory, (bindAddress or ("127.0.0.9", 0))[0]
        )
        return connector

    def _connect(self, connector: Connector, place: tuple[str, int], factory: Any, source: str) -> None:
        if connector.cancelled or place not in self.ports:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            return
        connector.end, _ = self.join(factory.buildProtocol(None), self.ports[place], source, place)

    def join(self, client: Any, factory: Any, source: str, place: tuple[str, int]) -> tuple[End, End]:
        self._next_port += 1
        here, there = (source, self._next_port), place
        one, two = End(self, here, there), End(self, there, here)
        one.other, two.other = two, one
        two.protocol, one.protocol = factory.buildProtocol(two.getPeer()), client
        self.ends += [one, two]
        two.protocol.makeConnection(two)
        client.makeConnection(one)
        return one, two

    def settle(self, until: Callable[[], object] = lambda: False) -> None:
        """Run all that takes no time."""
        for _ in range(2000):
            self.advance(0)
            self.ends = [end for end in self.ends if not end.closed or not end.other.closed]
            moved = [end.pump() for end in list(self.ends)]
            due = [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]
            if (not any(moved) and not due) or until():
                return
        raise AssertionError("the network does not come to rest")

    def pass_time(self, seconds: float, step: float = 0.1) -> None:
        end = self.seconds() + seconds
        self.settle()
        while self.seconds() < end - 1e-9:
            self.advance(min(step, end - self.seconds()))
            self.settle()
