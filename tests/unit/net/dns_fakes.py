"""A DNS without sockets: a client that answers from a zone, and a reactor whose UDP ports only note what is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorUDP
from twisted.internet.testing import MemoryReactorClock
from twisted.python import log
from zope.interface import implementer

from voipcluster.net.dns_client import IDnsClient, Section
from voipcluster.sip.dns import Owned, Question, Record

Zone = dict[tuple[str, str], Sequence[Record]]


@implementer(IDnsClient)
class FakeDnsClient:
    """
    Answers from a zone, or when the test says so.

    @ivar zone: (name, kind) to records; C{failing}: (name, kind) to an exception; C{silent}: names that are not answered.
    @ivar asked: all questions; C{held}: those not answered yet, with their Deferreds.
    """

    ttl = 60

    def __init__(self, zone: Mapping[tuple[str, str], Sequence[Record]] | None = None) -> None:
        self.zone: Zone = dict(zone or {})
        self.failing: dict[tuple[str, str], Exception] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.held: list[tuple[Question, Deferred[Section]]] = []
        self.started = self.stopped = 0

    def start(self) -> None:
        self.started += 1

    def stop(self) -> Deferred[Any]:
        self.stopped += 1
        return succeed(None)

    def ask(self, question: Question, timeout: float) -> Deferred[Section]:
        self.asked.append(str(question))
        answered: Deferred[Section] = Deferred()
        if question.name in self.silent:
            self.held.append((question, answered))
        elif question in self.failing:
            answered.errback(self.failing[question])
        else:
            answered.callback(self.section(question))
        return answered

    def section(self, question: Question) -> Section:
        records = self.zone.get(question, ())
        return Section(tuple(Owned(question.name, question.kind, self.ttl, record) for record in records))

    def answer_held(self) -> None:
        held, self.held = self.held, []
        for question, answered in held:
            answered.callback(self.section(question))


@implementer(IListeningPort)
class FakeUdpPort:
    """@ivar sent: (octets, address) of each datagram."""

    def __init__(self, number: int, protocol: Any, interface: str) -> None:
        self.number, self.protocol, self.interface = number, protocol, interface
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.connected = True
        log.msg(
            f"{type(protocol).__name__} starting on {number}"
        )  # as Twisted's own port does, whatever is noisy
        protocol.makeConnection(self)

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        self.sent.append((data, address))

    def startListening(self) -> None: ...

    def stopListening(self) -> Deferred[None]:
        self.connectionLost()
        return succeed(None)

    def connectionLost(self, reason: object = None) -> None:
        log.msg(f"(UDP Port {self.number} Closed)")
        self.connected = False
        self.protocol.doStop()

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", "0.0.0.0", self.number)


@implementer(IReactorUDP)
class DnsReactor(MemoryReactorClock):
    """@ivar ports: all UDP ports that were opened, in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[FakeUdpPort] = []

    def listenUDP(
        self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192
    ) -> FakeUdpPort:
        self.ports.append(FakeUdpPort(port, protocol, interface))
        return self.ports[-1]

    @property
    def open_ports(self) -> list[FakeUdpPort]:
        return [port for port in self.ports if port.connected]
