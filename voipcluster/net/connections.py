"""All SIP stream connections: their numbers, who may have one, and which one a message takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IConnector, IReactorTCP, IReactorTime
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from wsproto.connection import Connection

from voipcluster.address import TCP, TLS, Flow, source_of
from voipcluster.errors import TransportError
from voipcluster.net.secure_stream import SecureSipStream
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.sip_tls import SipTls
from voipcluster.net.stream import SipStream, StreamLimits
from voipcluster.net.timers import TimerWheel
from voipcluster.net.websocket import SipWebSocket

Stream = TypeVar("Stream", bound=SipStream)
Address = tuple[str, int]
Failed = Callable[[TransportError], None]

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_OPENED = frozenset(
    {TCP, TLS}
)  # what we open connections of; a browser cannot be called on (RFC 7118 section 5.2)
_LOG_PERIOD = 1.0  # seconds between two log lines about connections that could not be opened
_TROUBLES = 1024  # peers of which is remembered what was logged of them
_STOP_LINGER = 1.0  # seconds for the peers to take the last octets when we stop
_numbers = count(1)  # of this process: a number never names two connections


class Acceptor(ServerFactory):
    """
    Takes the connections that clients open to one listening port.

    @ivar local: the address of that port, known once it listens.
    """

    noisy = False

    def __init__(self, connections: Connections, transport: str = TCP) -> None:
        self._connections, self._transport = connections, transport
        self.local: Address = ("", 0)

    def buildProtocol(self, addr: IAddress | None) -> SipStream | None:
        remote: Address = (addr.host, addr.port)  # type: ignore[union-attr]  # of a TCP connection
        return self._connections.accept(self._transport, self.local, remote)


class _Opening(ClientFactory):
    """One connection being opened, and the messages that wait for it."""

    noisy = False

    def __init__(self, connections: Connections, flow: Flow) -> None:
        self._connections, self.flow = connections, flow
        self.waiting: list[tuple[bytes, Failed | None]] = []
        self.octets = 0
        self.connector: IConnector | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._connections.opened(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._connections.not_opened(self, reason.getErrorMessage())


class Connections:
    """
    The table of connections. L{SipStream} reports to it (L{voipcluster.net.stream.StreamOwner}).

    A connection, whoever opened it, is reused for its remote address (RFC 3261 section 18.1.1), and found again by its
    number for answers and for flows (RFC 5626). One over TLS is reused only for what its certificate proves (RFC 5923
    section 8). When there are too many, one that never sent a whole message makes room for the newcomer.

    @param tls: L{None} when this node does no TLS.
    @ivar refused: connections closed at once for want of room, C{shunned} because of where they come from;
        C{evicted} those that made room.
    @ivar refuses_from: whether nothing is accepted from an address.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTCP,
        sink: ISipSink,
        errors: SinkErrors,
        timers: TimerWheel,
        limits: StreamLimits,
        tls: SipTls | None = None,
    ) -> None:
        self._reactor, self._clock = reactor, IReactorTime(reactor)
        self._limits, self._tls = limits, tls
        self._shared: dict[str, Any] = {
            "owner": self,
            "sink": sink,
            "errors": errors,
            "timers": timers,
            "seconds": self._clock.seconds,
            "limits": limits,
        }
        self._streams: dict[int, SipStream] = {}  # until they are gone
        self._alive: dict[int, SipStream] = {}  # that can be sent over
        self._by_remote: dict[tuple[Address, Address], SipStream] = {}
        self._openings: dict[tuple[Address, Address, str], _Opening] = {}
        self._connected: dict[int, _Opening] = {}  # whose handshake is under way
        self._unproven: dict[int, SipStream] = {}  # accepted, oldest first
        self._sources: dict[str, dict[int, SipStream]] = {}  # accepted, by source
        self._stopped: Deferred[None] | None = None
        self._quiet_until = 0.0
        self._troubles: dict[
            tuple[Address, Address, str], str
        ] = {}  # what the log has said, until they are there
        self.refuses_from: Callable[[str], bool] = lambda host: False
        self.shunned = 0
        self.accepted = self.opened_count = self.refused = self.evicted = self.not_opened_count = 0

    def use(self, limits: StreamLimits) -> None:
        """For connections from now on; those that there are keep theirs."""
        self._limits = self._shared["limits"] = limits

    def by_transport(self) -> Counter[str]:
        """How many there are of each transport."""
        return Counter(stream.flow.transport for stream in self._streams.values())

    def __len__(self) -> int:
        """Connections that exist or are being opened."""
        return len(self._streams) + len(self._openings) - len(self._connected)

    # What the owner of the table does.

    def send(self, data: bytes, flow: Flow, failed: Failed | None) -> None:
        """Send over the connection of a flow, or open one if the flow has no number; C{failed} is called later."""
        stream = self._find(flow)
        if stream is not None:
            if not stream.send(data):
                self._fail(failed, f"{flow} does not read what it is sent")
        elif flow.connection:
            self._fail(failed, f"the connection to {flow} is closed")
        else:
            self._send_when_open(data, flow, failed)

    def flow(self, local: Address, remote: Address, name: str = "") -> Flow | None:
        """The flow of a live connection between two addresses, whose certificate proves C{name}."""
        stream = self._by_remote.get((local, remote))
        return stream.flow if stream is not None and stream.proves(name) else None

    def is_alive(self, flow: Flow) -> bool:
        return self._find(flow) is not None or (
            not flow.connection and (flow.local, flow.remote, flow.name) in self._openings
        )

    def identities(self, flow: Flow) -> frozenset[str]:
        """What the checked certificate of the peer proves, over TLS."""
        stream = self._alive.get(flow.connection)
        return stream.identities if isinstance(stream, SecureSipStream) else frozenset()

    def keep(self, flow: Flow, seconds: float) -> None:
        stream = self._find(flow)
        if stream is not None:
            stream.keep(seconds)

    def expect(self, flow: Flow, seconds: float) -> None:
        stream = self._find(flow)
        if stream is not None:
            stream.expect(seconds)

    def close(self, flow: Flow) -> None:
        stream = self._find(flow)
        if stream is not None:
            stream.close()

    def close_all(self) -> Deferred[None]:
        """Close everything; fires when all is closed."""
        for opening in list(self._openings.values()):
            if opening.connector is not None:
                opening.connector.disconnect()
        for number, stream in list(self._streams.items()):
            if number in self._alive:
                stream.close(_STOP_LINGER)
            else:
                stream.abort()  # in its handshake, or closing
        if not self._streams:
            return succeed(None)
        if self._stopped is None:
            self._stopped = Deferred()
        done: Deferred[None] = Deferred()
        self._stopped.chainDeferred(done)
        return done

    # What the factories report.

    def accept(self, transport: str, local: Address, remote: Address) -> SipStream | None:
        """@return: what the connection is for, or L{None}: it is to be closed."""
        return self._accept(SecureSipStream if transport == TLS else SipStream, transport, local, remote)

    def accept_websocket(
        self, transport: str, local: Address, remote: Address, frames: Connection
    ) -> SipWebSocket | None:
        """The same for one that a web server took; C{frames}: of the server's side, behind the opening handshake."""
        return self._accept(partial(SipWebSocket, frames=frames), transport, local, remote)

    def _accept(
        self, make: Callable[..., Stream], transport: str, local: Address, remote: Address
    ) -> Stream | None:
        if self.refuses_from(remote[0]):
            self.shunned += 1
            return None
        source = source_of(remote[0])
        of_source = self._sources.get(source, {})
        if len(of_source) >= self._limits.per_source and not self._evict(of_source):
            self.refused += 1
            return None
        if not self._make_room():
            self.refused += 1
            return None
        self.accepted += 1
        flow = Flow(transport, local, remote, next(_numbers))
        stream = make(flow=flow, opened=False, **self._shared)
        self._streams[flow.connection] = stream
        self._unproven[stream.flow.connection] = stream
        self._sources.setdefault(source, {})[stream.flow.connection] = stream
        return stream

    def opened(self, opening: _Opening) -> SipStream:
        """The connection is there; with TLS, its handshake comes next."""
        name, number = opening.flow.name, next(_numbers)
        flow = opening.flow._replace(connection=number, name="")
        if flow.transport == TLS:
            stream: SipStream = SecureSipStream(flow=flow, opened=True, expected=name, **self._shared)
        else:
            stream = SipStream(flow=flow, opened=True, **self._shared)
        self._streams[number] = stream
        self._connected[number] = opening
        return stream

    def not_opened(self, opening: _Opening, reason: str) -> None:
        self.not_opened_count += 1
        flow = opening.flow
        del self._openings[flow.local, flow.remote, flow.name]
        self._tell(flow, reason)
        for _, failed in opening.waiting:
            self._fail(failed, f"no connection to {flow}: {reason}")

    def _tell(self, flow: Flow, reason: str) -> None:
        """Log why there is no connection, once: a peer that is down is tried again every few seconds."""
        now, key = self._clock.seconds(), (flow.local, flow.remote, flow.name)
        if now < self._quiet_until or self._troubles.get(key) == reason:
            return
        self._quiet_until = now + _LOG_PERIOD
        if len(self._troubles) >= _TROUBLES:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[key] = reason
        self._log.warn("no connection to {flow}: {reason}", flow=str(flow), reason=reason)

    # What a stream reports.

    def up(self, stream: SipStream) -> None:
        flow = stream.flow
        self._alive[flow.connection] = self._by_remote[flow.local, flow.remote] = stream
        opening = self._connected.pop(flow.connection, None)
        if opening is not None:
            self.opened_count += 1
            key = flow.local, flow.remote, opening.flow.name
            del self._openings[key]
            if self._troubles.pop(key, None) is not None:
                self._log.info("there is a connection to {flow} again", flow=str(opening.flow))
            for data, failed in opening.waiting:
                self.send(data, flow, failed)

    def proven(self, stream: SipStream) -> None:
        self._unproven.pop(stream.flow.connection, None)

    def closing(self, stream: SipStream) -> None:
        flow = stream.flow
        self._alive.pop(flow.connection, None)
        self._unproven.pop(flow.connection, None)
        if self._by_remote.get((flow.local, flow.remote)) is stream:
            del self._by_remote[flow.local, flow.remote]

    def lost(self, stream: SipStream) -> None:
        self._streams.pop(stream.flow.connection, None)
        opening = self._connected.pop(stream.flow.connection, None)
        if opening is not None:
            self.not_opened(opening, stream.failure)
        if not stream.opened:
            source = source_of(stream.flow.remote[0])
            of_source = self._sources.get(source, {})
            of_source.pop(stream.flow.connection, None)
            if not of_source:
                self._sources.pop(source, None)
        if not self._streams and self._stopped is not None:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    def _find(self, flow: Flow) -> SipStream | None:
        if flow.connection:
            return self._alive.get(flow.connection)
        stream = self._by_remote.get((flow.local, flow.remote))
        return stream if stream is None or stream.proves(flow.name) else None

    def _send_when_open(self, data: bytes, flow: Flow, failed: Failed | None) -> None:
        opening = self._openings.get((flow.local, flow.remote, flow.name))
        if opening is None:
            if flow.transport not in _OPENED:
                self._fail(failed, f"{flow} is reached over a connection of its own only")
                return
            if not self._make_room():
                self._fail(failed, "too many connections")
                return
            opening = self._open(flow)
        full = len(opening.waiting) >= self._limits.waiting
        if full or opening.octets + len(data) > self._limits.write_buffer:
            self._fail(failed, f"too much waits for a connection to {flow}")
            return
        opening.waiting.append((data, failed))
        opening.octets += len(data)

    def _open(self, flow: Flow) -> _Opening:
        opening = self._openings[flow.local, flow.remote, flow.name] = _Opening(self, flow)
        source = None if flow.local[0] in _WILDCARDS else (flow.local[0], 0)
        factory: ClientFactory = opening
        if flow.transport == TLS:
            assert self._tls is not None, "nobody gives a flow over TLS where there is none"
            factory = self._tls.opening(opening, flow.name, self._clock)
        opening.connector = self._reactor.connectTCP(
            *flow.remote, factory, timeout=self._limits.connect, bindAddress=source
        )
        return opening

    def _make_room(self) -> bool:
        return len(self) < self._limits.connections or self._evict(self._unproven)

    def _evict(self, candidates: dict[int, SipStream]) -> bool:
        """Abort the oldest of them that never sent a whole message."""
        for number, stream in candidates.items():
            if number in self._unproven:
                self.evicted += 1
                stream.abort()
                return True
        return False

    def _fail(self, failed: Failed | None, reason: str) -> None:
        if failed is not None:
            self._clock.callLater(0, failed, TransportError(reason))
