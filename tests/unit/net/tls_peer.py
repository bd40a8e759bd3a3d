"""Two ends of TLS in one process: what one writes is handed to the other, without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.certificates import Authority, Pair
from tests.unit.net.fakes import FakeReactor, FakeTransport
from voipcluster.net.sip_tls import SipTls, TlsFiles

HERE, THERE = ("192.0.2.1", 5061), ("198.51.100.9", 5061)


class Peer(Protocol):
    """Notes what it is sent, and how the connection ended."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None
        self.wire: Any = None

    def connectionMade(self) -> None:
        self.wire = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class _Transport(FakeTransport):
    """Closes later, as a real one does: TLS goes on with its connection after it said that it is to be closed."""

    def loseConnection(self, reason: Any = None) -> None:
        self.clock.callLater(0, self.lose, ConnectionDone())


class Wire:
    """
    A connection between what two factories build.

    @ivar client: the transport below the client's TLS, C{server} that below the server's.
    """

    def __init__(self, reactor: FakeReactor, client: Any, server: Any) -> None:
        self.reactor = reactor
        self.client = _Transport(reactor, THERE, HERE)
        self.server = _Transport(reactor, HERE, THERE)
        self._sent = {id(self.client): 0, id(self.server): 0}
        self.server.connect(server)
        self.client.connect(client)

    def run(self) -> None:
        """Hand over what was written, until nobody writes any more; an end reaches the other side, too."""
        moved = True
        while moved:
            self.reactor.advance(0)
            moved = False
            for one, other in ((self.client, self.server), (self.server, self.client)):
                new = one.written[self._sent[id(one)] :]
                self._sent[id(one)] += len(new)
                if new and not other.gone:
                    moved = True
                    other.protocol.dataReceived(new)
                if one.gone and not other.gone:
                    moved = True
                    other.loseConnection()

    def end(self) -> None:
        for transport in (self.client, self.server):
            transport.loseConnection()
        self.reactor.advance(0)


def files(pair: Pair, ca: Authority | None = None, client_certificate: bool = False) -> TlsFiles:
    return TlsFiles(
        str(pair.certificate), str(pair.key), "" if ca is None else str(ca.file), client_certificate
    )


def built(factory: Any, address: tuple[str, int] = THERE) -> Any:
    return factory.buildProtocol(IPv4Address("TCP", *address))


def handshake(
    reactor: FakeReactor, client: SipTls, server: SipTls, name: str = "", browser: bool = False
) -> Any:
    """@return: the wire, and both peers."""
    ends = Peer(), Peer()
    wire = Wire(
        reactor,
        built(client.opening(Factory.forProtocol(lambda: ends[0]), name, reactor)),
        built(server.accepting(Factory.forProtocol(lambda: ends[1]), reactor, browser)),
    )
    wire.run()
    return wire, *ends


def authority(case: Any) -> Authority:
    return Authority(Path(case.mktemp()))
