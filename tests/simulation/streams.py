"""
TCP connections between simulated nodes: in order and complete, or broken.

What is lost on the way comes later, and all behind it too, as TCP's retransmission has it; a partition is a silence that ends.
TLS is played: there are its round trip, what the other side's certificate says and its ALPN, but nothing is encrypted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, TimeoutError
from twisted.internet.interfaces import IConnector, ITCPTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.net.tls import ALPN_PB

if TYPE_CHECKING:
    from tests.simulation.network import Address
    from tests.simulation.node_reactor import NodeReactor

RETRANSMIT, LONGEST = (
    0.2,
    3.0,
)  # seconds until TCP sends again (RFC 6298 has it so on Linux), doubling to this
SYN_AGAIN = 1.0  # seconds
BUFFER = 64 << 10  # octets that wait to be sent beyond which the producer is paused


class _Handle:
    """What the link asks of a TLS connection and of a socket."""

    def __init__(self, certificate: Any) -> None:
        self._certificate = certificate

    def get_peer_certificate(self, *, as_cryptography: bool) -> Any:
        return self._certificate

    def setsockopt(self, level: int, option: int, value: int) -> None:
        pass


@implementer(ITCPTransport)
class End:
    """
    One end of a connection.

    @ivar other: the other end; C{protocol}: ours.
    @ivar gone: nothing comes out of it any more, C{closing} nothing goes in.
    """

    negotiatedProtocol = ALPN_PB
    other: End
    protocol: Any

    def __init__(self, reactor: NodeReactor, local: Address, remote: Address) -> None:
        self.reactor, self.local, self.remote = reactor, local, remote
        self.gone = self.closing = False
        reactor.ends.append(self)
        self._waiting: deque[tuple[float, Callable[[End], None], int]] = (
            deque()
        )  # when, what arrives there, its octets
        self._arrives_at = 0.0
        self._again = 0.0  # seconds to the next try, during a partition
        self._octets = 0
        self._producer: Any = None
        self._paused = False

    # what the protocol does

    def write(self, data: bytes) -> None:
        if not self.closing:
            self.put(lambda end: end.receive(data), len(data))

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.closing:
            self.closing = True
            self.put(lambda end: end.ended(ConnectionDone()))
            self.reactor.arrived(lambda: self.ended(ConnectionDone()))

    def loseWriteConnection(self) -> None:
        """The other side closes when it has read all, and so we hear of it."""
        if not self.closing:
            self.closing = True
            self.put(lambda end: end.loseConnection())

    def abortConnection(self) -> None:
        self.closing = True
        self._waiting.clear()
        self.put(lambda end: end.ended(ConnectionLost()))
        self.reactor.arrived(lambda: self.ended(ConnectionLost()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self.local)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", *self.remote)

    def getHandle(self) -> _Handle:
        return _Handle(self.other.reactor.certificate)

    def getTcpKeepAlive(self) -> bool:
        return False

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    # what comes over the connection

    def receive(self, data: bytes) -> None:
        costs = self.reactor.costs
        cost = (
            costs.of_received(data) if data[:3].isalpha() else costs.link
        )  # SIP, or banana, which begins with a count
        self.reactor.arrived(lambda: None if self.gone else self.protocol.dataReceived(data), cost)

    def ended(self, reason: Exception) -> None:
        if self.gone or not self.reactor.alive:
            return
        self.gone = self.closing = True
        self.reactor.arrived(lambda: self.protocol.connectionLost(Failure(reason)))

    def reset(self) -> None:
        """The other end hears that this one's process is dead."""
        self.other.ended(ConnectionLost())

    # the way to the other end

    def put(self, arrives: Callable[[End], None], octets: int = 0) -> None:
        """Something is on its way to the other end, behind all that was before."""
        world, here, there = self.reactor.world, self.local[0], self.remote[0]
        path, chance, now = (
            world.network.path(here, there),
            world.network.chance(here, there),
            world.clock.seconds(),
        )
        delay, again = world.network.delay(here, there), RETRANSMIT
        while chance.random() < path.loss:
            delay, again = delay + again, min(LONGEST, 2 * again)
        self._arrives_at = max(self._arrives_at, now + self.reactor.lead + delay)
        self._waiting.append((self._arrives_at, arrives, octets))
        self._octets += octets
        if self._octets > BUFFER and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()
        if not self._again:
            world.clock.callLater(self._arrives_at - now, self._deliver)

    def _try_again(self) -> None:
        self._again = 0.0
        self._deliver()

    def _deliver(self) -> None:
        world = self.reactor.world
        while self._waiting and self._waiting[0][0] <= world.clock.seconds() + 1e-9:
            if world.network.path(self.local[0], self.remote[0]).cut:
                if not self._again:
                    self._again = min(LONGEST, 2 * self._again or RETRANSMIT)
                    world.clock.callLater(self._again, self._try_again)
                return
            _, arrives, octets = self._waiting.popleft()
            self._octets -= octets
            if not self.other.reactor.alive:
                self._waiting.clear()
                if world.is_reachable(
                    self.remote[0]
                ):  # its system knows nothing of this connection, and says so
                    self.ended(ConnectionLost())
                return
            world.trace.note("stream", self.local, self.remote)
            arrives(self.other)
        if self._paused and self._octets <= BUFFER // 2:
            self._paused = False
            if self._producer is not None:
                self.reactor.arrived(self._producer.resumeProducing)


@implementer(IConnector)
class Connector:
    """A connection that is asked for."""

    def __init__(self, reactor: NodeReactor, factory: Any) -> None:
        self.reactor, self.factory = reactor, factory
        self.end: End | None = None
        self.over = False

    def disconnect(self) -> None:
        if self.end is not None:
            self.end.loseConnection()
        else:
            self.failed(TimeoutError())

    def stopConnecting(self) -> None:
        self.failed(TimeoutError())

    def failed(self, reason: Exception) -> None:
        if not self.over:
            self.over = True
            self.reactor.arrived(lambda: self.factory.clientConnectionFailed(self, Failure(reason)))

    def connect(self) -> None:
        raise NotImplementedError("part of the interface; a node never calls it")

    def getDestination(self) -> IPv4Address:
        raise NotImplementedError("part of the interface; a node never calls it")


def connect(reactor: NodeReactor, local: Address, remote: Address, factory: Any, timeout: float) -> Connector:
    """Ask for a connection, as C{IReactorTCP.connectTCP}."""
    world = reactor.world
    secure = isinstance(factory, TLSMemoryBIOFactory)
    connector = Connector(reactor, _inner(factory))

    def ask() -> None:
        """The SYN; when it is lost it is sent again."""
        if not connector.over and reactor.alive:
            world.clock.callLater(world.network.delay(local[0], remote[0]), came)
            world.clock.callLater(SYN_AGAIN, ask)

    def came() -> None:
        path = world.network.path(local[0], remote[0])
        if connector.over or path.cut or not world.is_reachable(remote[0]):
            return
        connector.over = True
        there = world.reactor_at(remote[0])
        listening = None if there is None else there.listening.get(remote)
        back = world.network.delay(remote[0], local[0])
        if there is None or listening is None:
            connector.over = False
            world.clock.callLater(back, connector.failed, ConnectionRefusedError())
            return
        server, client = End(there, remote, local), End(reactor, local, remote)
        server.other, client.other = client, server
        there.arrived(lambda: _accept(server, _inner(listening)))
        world.clock.callLater(back, reactor.arrived, lambda: _open(connector, client, secure=secure))

    reactor.world.clock.callLater(reactor.lead, ask)
    world.clock.callLater(timeout, connector.failed, TimeoutError())
    return connector


def _accept(server: End, factory: Any) -> None:
    server.protocol = factory.buildProtocol(server.getPeer())
    if server.protocol is None:
        server.abortConnection()
    else:
        server.protocol.makeConnection(server)


def _open(connector: Connector, client: End, *, secure: bool) -> None:
    client.protocol = connector.factory.buildProtocol(client.getPeer())
    connector.end = client
    client.protocol.makeConnection(client)
    if secure:

        def handshake(end: End, then: Callable[[], None] = lambda: None) -> None:
            def completed() -> None:
                if not end.gone:
                    then()
                    end.protocol.handshakeCompleted()

            end.reactor.arrived(completed, end.reactor.costs.handshake / 2)

        # ClientHello; ServerHello to Finished; Finished, behind which the client may write at once (RFC 8446 section 2)
        def hello(server: End) -> None:
            def answer() -> None:
                server.put(lambda back: handshake(back, lambda: back.put(handshake)))

            server.reactor.arrived(answer, server.reactor.costs.handshake / 2)

        client.put(hello)


def _inner(factory: Any) -> Any:
    """What a factory for TLS wraps; another one as it is."""
    return factory.wrappedFactory if isinstance(factory, TLSMemoryBIOFactory) else factory
