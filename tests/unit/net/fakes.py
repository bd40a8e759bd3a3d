"""Small fakes of sinks, sockets, reactors and transports, shared by the tests of the transports."""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IPushProducer,
    IReactorFDSet,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import Flow, Hop
from voipcluster.net.sink import ISipSink


@implementer(ISipSink)
class FakeSink:
    """Notes each call as a tuple; C{react} is called first and may raise."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.react: Any = lambda *call: None

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        self.react(*call)

    def bytes_received(self, data: bytes, flow: Flow) -> None:
        self._note("received", data, flow)

    def framing_failed(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        self._note("failed", head, flow, status_hint, reason)

    def connection_lost(self, flow: Flow) -> None:
        self._note("lost", flow)

    def unreachable(self, hop: Hop) -> None:
        self._note("unreachable", hop)

    def received(self) -> list[bytes]:
        return [call[1] for call in self.calls if call[0] == "received"]


class FakeSocket:
    """A datagram socket: what it reads, and the errors that it raises, are put in by the test."""

    def __init__(self, host: str = "192.0.2.1", port: int = 5060) -> None:
        self.name = (host, port)
        self.incoming: deque[Any] = deque()  # (data, address) or an exception
        self.send_errors: deque[OSError] = deque()
        self.error_queue: deque[Any] = deque()  # what recvmsg(MSG_ERRQUEUE) returns
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.closed = False
        self.waiting, self.room, self.lost = 0, 8 << 20, 0  # what SO_MEMINFO tells of the buffer

    def getsockname(self) -> tuple[Any, ...]:
        return (*self.name, 0, 0) if ":" in self.name[0] else self.name

    def fileno(self) -> int:
        return -1 if self.closed else 99

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        if self.closed:
            raise OSError(errno.EBADF, "closed")
        if not self.incoming:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        item = self.incoming.popleft()
        if isinstance(item, Exception):
            raise item
        data, address = item
        return data[:size], address

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.send_errors:
            raise self.send_errors.popleft()
        self.sent.append((data, address))
        return len(data)

    def recvmsg(self, size: int, ancillary: int, flags: int) -> Any:
        assert flags & 0x2000, "only the error queue is read like this"
        if not self.error_queue:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        return self.error_queue.popleft()

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        return struct.pack("=9I", self.waiting, self.room, 0, 0, 0, 0, 0, 0, self.lost) if size else 0

    def close(self) -> None:
        self.closed = True

    def icmp(self, address: Any, kind: int, code: int, origin: int = 2) -> None:
        """Put an ICMP error for a datagram to C{address} into the error queue."""
        level, option = (socket.IPPROTO_IP, 11) if origin == 2 else (socket.IPPROTO_IPV6, 25)
        error = struct.pack("=IBBBBII", errno.ECONNREFUSED, origin, kind, code, 0, 0, 0)
        self.error_queue.append((b"", [(level, option, error + bytes(16))], 0, address))


@implementer(ITCPTransport, IPushProducer)
class FakeTransport:
    """A stream: notes what is written, and pauses its producer beyond C{buffer_size} when it is C{stuck}."""

    def __init__(self, clock: Clock, remote: tuple[str, int], local: tuple[str, int]) -> None:
        self.clock, self.remote, self.local = clock, remote, local
        self.written = b""
        self.protocol: Any = None
        self.producer: Any = None
        self.no_delay = self.stuck = self.half_closed = self.aborted = False
        self.gone = self.disconnecting = False
        self.buffer_size = 100
        self.options: list[tuple[int, int, int]] = []

    def connect(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        self.written += data
        if self.stuck and self.producer is not None and len(self.written) > self.buffer_size:
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self, reason: Any = None) -> None:
        self.disconnecting = True
        self.lose(ConnectionDone())

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> Any:
        return _address(self.remote)

    def getHost(self) -> Any:
        return _address(self.local)

    def getHandle(self) -> Any:
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))

    def getTcpNoDelay(self) -> bool:
        return self.no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


@implementer(IListeningPort)
class FakeListeningPort:
    def __init__(self, host: str, port: int, factory: Any) -> None:
        self.host, self.port, self.factory, self.listening = host, port, factory, True

    def startListening(self) -> None: ...

    def stopListening(self) -> None:
        self.listening = False

    def getHost(self) -> Any:
        return _address((self.host, self.port))


@implementer(IConnector)
class FakeConnector:
    """A connection attempt that the test lets succeed or fail."""

    def __init__(
        self, clock: Clock, remote: tuple[str, int], factory: Any, timeout: float, bind: Any
    ) -> None:
        self.clock, self.remote, self.factory, self.timeout, self.bind = clock, remote, factory, timeout, bind
        self.stopped = False

    def succeed(self) -> FakeTransport:
        transport = FakeTransport(self.clock, self.remote, ("192.0.2.1", 40000))
        transport.connect(self.factory.buildProtocol(_address(self.remote)))
        return transport

    def fail(self, reason: Exception) -> None:
        self.factory.clientConnectionFailed(self, Failure(reason))

    def connect(self) -> None: ...

    def disconnect(self) -> None:
        self.stopped = True
        self.fail(ConnectionAborted())

    def stopConnecting(self) -> None:
        self.disconnect()

    def getDestination(self) -> Any:
        return _address(self.remote)


@implementer(IReactorTCP, IReactorFDSet, IReactorTime)
class FakeReactor(Clock):
    """A clock with TCP and file descriptors; C{in_use} are the TCP addresses that cannot be listened on."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.ports: list[FakeListeningPort] = []
        self.connectors: list[FakeConnector] = []
        self.in_use: set[tuple[str, int]] = set()

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if (interface, port) in self.in_use:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "Address already in use"))
        self.ports.append(FakeListeningPort(interface, port, factory))
        return self.ports[-1]

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> Any:
        self.connectors.append(FakeConnector(self, (host, port), factory, timeout, bindAddress))
        return self.connectors[-1]

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def addWriter(self, writer: Any) -> None: ...
    def removeWriter(self, writer: Any) -> None: ...

    def removeAll(self) -> Any:
        gone, self.readers = self.readers, []
        return gone

    def getReaders(self) -> Any:
        return list(self.readers)

    def getWriters(self) -> Any:
        return []

    def run_for(self, seconds: float, step: float = 0.05) -> None:
        """Advance in small steps, as a real clock does."""
        for _ in range(round(seconds / step)):
            self.advance(step)


def _address(where: tuple[str, int]) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in where[0] else IPv4Address)("TCP", *where)
