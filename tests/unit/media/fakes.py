"""A socket without a network, and readers without a reactor, for the tests of the relay."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface import implementer

from voipcluster.media.target import Address
from voipcluster.net.rtp import RtpPort, Sink


class FakeSocket:
    """Queues datagrams in, keeps datagrams out; filters like the kernel once connected."""

    def __init__(self, host: str = "127.0.0.1", number: int = 30000) -> None:
        self.local = Address(host, number)
        self.peer: Address | None = None
        self.queue: list[tuple[bytes, Address]] = []
        self.sent: list[tuple[bytes, Address]] = []
        self.error: OSError | None = None
        self.closed = False

    def arrive(self, datagram: bytes, source: Address) -> None:
        if self.peer is None or self.peer == source:
            self.queue.append((datagram, source))

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        self._fail()
        if not self.queue:
            raise BlockingIOError
        datagram, source = self.queue.pop(0)
        return datagram[:size], tuple(source)

    def recv(self, size: int) -> bytes:
        return self.recvfrom(size)[0]

    def sendto(self, datagram: bytes, address: Any) -> None:
        self._fail()
        self.sent.append((datagram, Address(*address)))

    def send(self, datagram: bytes) -> None:
        assert self.peer is not None, "send() on a socket that is not connected"
        self.sendto(datagram, self.peer)

    def connect(self, address: Any) -> None:
        assert Address(*address).family == self.local.family, "a socket of the other IP version"
        self.peer = Address(*address)

    def disconnect(self) -> None:
        self.peer = None

    def getsockname(self) -> Any:
        return tuple(self.local)

    def fileno(self) -> int:
        return -1 if self.closed else self.local.port

    def close(self) -> None:
        self.closed = True


@implementer(IReactorFDSet)
class FakeReaders:
    """Keeps the readers that were added."""

    def __init__(self) -> None:
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: Any) -> None:
        raise NotImplementedError("part of the interface; the relay never calls it")

    def removeWriter(self, writer: Any) -> None:
        raise NotImplementedError("part of the interface; the relay never calls it")

    def removeAll(self) -> list[Any]:
        raise NotImplementedError("part of the interface; the relay never calls it")

    def getReaders(self) -> list[Any]:
        return self.readers

    def getWriters(self) -> list[Any]:
        return []


class FakeNetwork:
    """Makes ports on fake sockets, each address once; C{taken} numbers belong to somebody else."""

    def __init__(self) -> None:
        self.sockets: dict[Address, FakeSocket] = {}
        self.ports: dict[Address, RtpPort] = {}
        self.taken: set[int] = set()
        self.error: OSError | None = None

    def open_port(self, host: str, number: int, sink: Sink, label: object) -> RtpPort:
        if self.error is not None:
            raise self.error
        address = Address(host, number)
        old = self.sockets.get(address)
        if number in self.taken or (old is not None and not old.closed):
            raise OSError(98, "Address already in use")
        sock: Any = FakeSocket(host, number)
        self.sockets[address] = sock
        self.ports[address] = RtpPort(sock, sink, label)
        return self.ports[address]

    def open_numbers(self) -> list[int]:
        return sorted(address.port for address, sock in self.sockets.items() if not sock.closed)

    def deliver(self, datagram: bytes, source: Address, to: Address) -> None:
        """One datagram from outside reaches the relay."""
        sock, port = self.sockets[to], self.ports[to]
        sock.arrive(datagram, source)
        while sock.queue:
            port.doRead()

    def sent(self) -> list[tuple[Address, Address]]:
        """(from, to) of everything that left since the last look, port by port."""
        out = []
        for sock in self.sockets.values():
            out += [(sock.local, to) for _, to in sock.sent]
            sock.sent.clear()
        return out
