"""The SIP transports of one node as a service: what listens, what is sent where, and which address we name."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from time import time

from attrs import evolve, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorFDSet, IReactorTCP, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from wsproto.connection import Connection

from voipcluster.address import TCP, TLS, UDP, Flow, Hop, is_ipv6, join_host_port
from voipcluster.errors import TransportError, UsageError
from voipcluster.net.connections import Acceptor, Connections
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.sip_tls import SipTls
from voipcluster.net.stream import StreamLimits
from voipcluster.net.timers import TimerWheel
from voipcluster.net.udp import UdpPort, open_udp_socket
from voipcluster.net.waiting import Waited
from voipcluster.net.websocket import SipWebSocket
from voipcluster.remember import remember
from voipcluster.sip.dns import AAAA, A

__all__ = ["ISipSink", "ListenAddress", "StreamLimits", "TransportService", "within_descriptors"]

Address = tuple[str, int]
_BACKLOG = 1024  # connections that the system holds until we accept them
_FREE_PORT_TRIES = 20


@frozen
class ListenAddress:
    """
    Where to listen for UDP and TCP, and for TLS when there are certificates.

    @ivar host: IP literal; C{port} 0 takes one that is free for both. C{tls_port} likewise.
    @ivar advertised_host: what to name in Via and Record-Route instead, behind a NAT; C{advertised_port} likewise, and
        C{advertised_tls_port}.
    """

    host: str
    port: int = 5060
    advertised_host: str | None = None
    advertised_port: int | None = None
    tls_port: int = 5061
    advertised_tls_port: int | None = None


class TransportService(Service):
    """
    Listens for SIP on UDP, TCP and TLS of each address, hands what comes to the sink, sends for everybody.

    @param reactor: provides C{IReactorTCP}, C{IReactorFDSet} and C{IReactorTime}.
    @param listen: L{ListenAddress}, or tuples of its arguments; addresses of one family are preferred in this order.
    @param timers: the process's timer wheel; one of our own when not given.
    @param tls: certificates; L{None}: no TLS, in neither direction.
    @param wall: the clock that the kernel stamps datagrams by.
    @raise UsageError: an address is no IP literal, is listed twice, or is a wildcard without an advertised host.
    """

    name: str | None = "transport"
    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTCP,
        sink: ISipSink,
        listen: Iterable[ListenAddress | tuple[str, int]],
        limits: StreamLimits = StreamLimits(),  # noqa: B008 - frozen
        timers: TimerWheel | None = None,
        open_socket: Callable[[str, int], socket.socket] = open_udp_socket,
        tls: SipTls | None = None,
        wall: Callable[[], float] = time,
    ) -> None:
        self._reactor, self._clock = reactor, IReactorTime(reactor)
        self._sink, self._open_socket = sink, open_socket
        self._wall = wall
        self._listen = [_checked(entry) for entry in listen]
        fixed = [(entry.host, entry.port) for entry in self._listen if entry.port]
        for address in fixed:
            if fixed.count(address) > 1:
                raise UsageError(f"{join_host_port(*address)} is given twice to listen on")
        self._own_timers = TimerWheel(self._clock) if timers is None else None
        self._errors = SinkErrors(self._clock)
        wheel = timers or self._own_timers
        assert wheel is not None
        self._tls = tls
        self._connections = Connections(reactor, sink, self._errors, wheel, within_descriptors(limits), tls)
        self._udp: dict[Address, UdpPort] = {}
        self._listening: list[IListeningPort] = []
        self._streams: dict[str, list[Address]] = {}  # by transport: our addresses
        self._websockets: list[tuple[str, Address, str | None]] = []
        self._sent_by: dict[Address, Address] = {}
        self._ours: frozenset[Address] = frozenset()

    def use(self, limits: StreamLimits) -> None:
        """For connections from now on."""
        self._connections.use(within_descriptors(limits))

    # Life

    def privilegedStartService(self) -> None:
        """
        Open everything, while ports below 1024 may be opened.

        @raise UsageError: one address cannot be listened on; nothing stays open.
        """
        super().privilegedStartService()
        try:
            for entry in self._listen:
                self._open(entry)
        except BaseException:
            self._close_ports()
            raise
        for transport, local, advertised in self._websockets:
            self._name(transport, local, advertised, None)
        self._ours = frozenset(self._sent_by) | frozenset(self._sent_by.values())

    def startService(self) -> None:
        if not self._udp:
            self.privilegedStartService()
        super().startService()
        for port in self._udp.values():
            port.start()
        for address in self._udp:
            self._log.info("SIP listens on {address} (UDP and TCP)", address=join_host_port(*address))
        for address in self._streams.get(TLS, ()):
            self._log.info("SIP listens on {address} (TLS)", address=join_host_port(*address))

    def stopService(self) -> Deferred[None]:
        """Fires when every port and connection is closed."""
        super().stopService()
        closing = [*self._close_ports(), self._connections.close_all()]
        return gatherResults(closing, consumeErrors=True).addBoth(self._all_closed)

    def _all_closed(self, result: list[None] | Failure) -> Failure | None:
        if self._own_timers is not None:
            self._own_timers.stop()
        return result if isinstance(result, Failure) else None

    def _open(self, entry: ListenAddress) -> None:
        for attempt in range(_FREE_PORT_TRIES):
            try:
                bound = self._open_socket(entry.host, entry.port)
            except OSError as error:
                raise _cannot_listen(UDP, entry, error) from error
            port = UdpPort(
                IReactorFDSet(self._reactor), bound, self._sink, self._errors, self._clock.seconds, self._wall
            )
            acceptor = Acceptor(self._connections)
            try:
                listening = self._reactor.listenTCP(port.local[1], acceptor, _BACKLOG, entry.host)
            except CannotListenError as error:
                port.close()
                if entry.port or attempt == _FREE_PORT_TRIES - 1:
                    raise _cannot_listen(TCP, entry, error.socketError) from error
                continue  # the system chose a port that is free for UDP only
            break
        self._listening.append(listening)
        self._udp[port.local] = port
        acceptor.local = port.local
        self._name(TCP, port.local, entry.advertised_host, entry.advertised_port)
        if self._tls is not None:
            self._open_tls(entry, self._tls)

    def _open_tls(self, entry: ListenAddress, tls: SipTls) -> None:
        acceptor = Acceptor(self._connections, TLS)
        factory = tls.accepting(acceptor, self._clock)
        try:
            listening = self._reactor.listenTCP(entry.tls_port, factory, _BACKLOG, entry.host)
        except CannotListenError as error:
            raise _cannot_listen(TLS, evolve(entry, port=entry.tls_port), error.socketError) from error
        self._listening.append(listening)
        acceptor.local = (entry.host, listening.getHost().port)  # type: ignore[attr-defined]  # of a TCP port
        self._name(TLS, acceptor.local, entry.advertised_host, entry.advertised_tls_port)

    def _name(self, transport: str, local: Address, host: str | None, port: int | None) -> None:
        """We are reached at C{local}, and say so by the advertised address where there is one."""
        self._streams.setdefault(transport, []).append(local)
        self._sent_by[local] = (host or local[0], port or local[1])

    def _close_ports(self) -> list[Deferred[None]]:
        for port in self._udp.values():
            port.close()
        closing: list[Deferred[None]] = [port.stopListening() or succeed(None) for port in self._listening]
        self._udp, self._listening, self._sent_by, self._ours = {}, [], {}, frozenset()
        self._streams = {}
        return closing

    def take_websockets(
        self, transport: str, local: Address, advertised: str | None = None
    ) -> Callable[[Address, Connection], SipWebSocket | None]:
        """
        Let a web server's port be one of ours; to be called before the start.

        @param transport: WS or WSS; C{local}: what the port is called in Via and Record-Route, with C{advertised} as its host.
        @return: takes one connection, see L{SipWebSocketResource}.
        """
        self._websockets.append((transport, local, advertised))
        return partial(self._connections.accept_websocket, transport, local)

    @property
    def udp_ports(self) -> list[UdpPort]:
        """What is open, in the order given."""
        return list(self._udp.values())

    # Sending

    def send(self, data: bytes, flow: Flow, failed: Callable[[TransportError], None] | None = None) -> None:
        """
        Send one message on a flow: from the socket of C{flow.local}, or over its connection.

        A stream flow without a number opens a connection, or uses the one that goes there.

        @param failed: called later, never from in here, when it surely was not sent (RFC 3261 section 18.4). A
            datagram lost to a full buffer counts as lost in the network. A connection that breaks with the message
            under way is told by C{ISipSink.connection_lost} alone.
        """
        if flow.transport == UDP:
            port = self._udp.get(flow.local)
            if port is not None:
                outbox = port.outbox
                if outbox is not None:
                    outbox.append((data, flow.remote, failed))
                    return
                try:
                    port.sendto(data, flow.remote)  # as port.send() does it
                    port.sent += 1
                except OSError as error:
                    self._send_again(port, data, flow, error, failed)
                return
        elif flow.local in self._streams.get(flow.transport, ()):
            self._connections.send(data, flow, failed)
            return
        if failed is not None:
            here = f"{flow.transport.lower()}:{join_host_port(*flow.local)}"
            self._clock.callLater(0, failed, TransportError(f"nothing to send from at {here}"))

    def overhear(self, told: Callable[[bytes, Flow], None] | None) -> None:
        """Tell somebody of each message before L{send} sends it, or nobody any more; without cost then."""
        if told is None:
            self.__dict__.pop("send", None)
            return

        def send(data: bytes, flow: Flow, failed: Callable[[TransportError], None] | None = None) -> None:
            told(data, flow)
            TransportService.send(self, data, flow, failed)

        self.__dict__["send"] = send

    def _send_again(
        self,
        port: UdpPort,
        data: bytes,
        flow: Flow,
        error: OSError,
        failed: Callable[[TransportError], None] | None,
    ) -> None:
        try:
            port.send_again(data, flow.remote, error)
        except TransportError as final:
            if failed is not None:
                self._clock.callLater(0, failed, final)

    def flow_to(self, hop: Hop, near: Address | None = None, domain: str = "") -> Flow:
        """
        The flow to a next hop: a live connection to it if there is one, else one from our address of its family.

        @param near: that of our addresses to prefer, for instance the one a request came in on.
        @param domain: whose server the hop is, before any look-up: what a certificate must name (RFC 5922 section 4); an
            empty string stands for the hop's own address.
        @raise TransportError: no address of that family, or no such transport.
        """
        host = _canonical(hop.host)
        transport, remote = hop.transport, (host, hop.port)
        if transport == UDP:
            return Flow(UDP, self._candidates(hop, host, near, self._udp)[0], remote)
        if transport not in (TCP, TLS) or transport not in self._streams:
            raise TransportError(f"no {transport} here to reach {hop}")
        ours = self._candidates(hop, host, near, self._streams[transport])
        name = "" if transport == TCP else _canonical(domain) or host
        for local in ours:
            flow = self._connections.flow(local, remote, name)
            if flow is not None:
                return flow
        return Flow(transport, ours[0], remote, 0, name)

    def _candidates(
        self, hop: Hop, host: str, near: Address | None, addresses: Iterable[Address]
    ) -> list[Address]:
        """Those addresses of ours that are of the family of C{host}, best first: a loopback one only for a loopback one."""
        ipv6, loopback = is_ipv6(host), _is_loopback(host)
        ours = [local for local in addresses if is_ipv6(local[0]) == ipv6]
        if not ours:
            raise TransportError(f"no {'IPv6' if ipv6 else 'IPv4'} address here to reach {hop}")
        if len(ours) > 1:
            nearest = None if near is None else near[0]
            ours.sort(
                key=lambda local: (_is_loopback(local[0]) != loopback, local != near, local[0] != nearest)
            )
        return ours

    def is_alive(self, flow: Flow) -> bool:
        """Whether something can be sent on the flow now; for UDP, whether we have the socket."""
        if flow.transport == UDP:
            return flow.local in self._udp
        return self._connections.is_alive(flow)

    def identities(self, flow: Flow) -> frozenset[str]:
        """What the checked certificate at the other end of a flow proves; nothing without one."""
        return self._connections.identities(flow)

    def keep(self, flow: Flow, seconds: float) -> None:
        """Do not close the flow's connection for being idle in that time: a binding depends on it."""
        self._connections.keep(flow, seconds)

    def expect(self, flow: Flow, seconds: float) -> None:
        """Give the flow's connection up when its peer is silent for so long: it promised keep-alives (RFC 5626 section 4.4)."""
        self._connections.expect(flow, seconds)

    def close(self, flow: Flow) -> None:
        """Close the flow's connection once all is sent; harmless for UDP and for what is closed."""
        if flow.transport != UDP:
            self._connections.close(flow)

    # What we are called

    @property
    def transports(self) -> tuple[str, ...]:
        """Those that requests can be sent over, the preferred one first."""
        return (UDP, TCP) if self._tls is None else (UDP, TCP, TLS)

    @property
    def families(self) -> tuple[str, ...]:
        """The kinds of address record that we have an address for, in the order of our addresses."""
        return tuple(dict.fromkeys(AAAA if is_ipv6(local[0]) else A for local in self._udp))

    def local_addresses(self) -> list[Address]:
        """Where we listen, for UDP and TCP, in the order given."""
        return list(self._udp)

    def sent_by(self, flow: Flow | str, ipv6: bool = False) -> Address:
        """
        Host and port to name in Via and Record-Route for what goes out on C{flow}, or by a transport and family.

        @raise TransportError: we have no such address.
        """
        if isinstance(flow, Flow):
            named = self._sent_by.get(flow.local)
        else:
            ours = self._streams.get(TCP if flow == UDP else flow, ())
            named = next((self._sent_by[local] for local in ours if is_ipv6(local[0]) == ipv6), None)
        if named is None:
            raise TransportError("no address of ours for that")
        return named

    def is_ours(self, host: str, port: int) -> bool:
        """Whether host and port name this node: an address that we listen on, or its advertised form."""
        return (_canonical(host), port) in self._ours

    def refuse_from(self, refuses: Callable[[str], bool]) -> None:
        """Accept no connections from addresses for which that is true."""
        self._connections.refuses_from = refuses

    def waited(self) -> Waited | None:
        """
        How long datagrams had waited when we came to them, since this was last asked; L{None} when none came, or the system does
        not say. Of several sockets the one counts where they wait longest.
        """
        waits = [waited for port in self._udp.values() if port.waiting and (waited := port.waiting.take())]
        if len(waits) < 2:
            return waits[0] if waits else None
        return Waited(*(max(waited[number] for waited in waits) for number in range(3)))

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and how many connections there are now."""
        ports, streams = list(self._udp.values()), self._connections
        return {
            "udp_received": sum(port.received for port in ports),
            "udp_sent": sum(port.sent for port in ports),
            "udp_dropped": sum(port.dropped for port in ports),
            "udp_lost": sum(port.backlog().lost for port in ports),
            "udp_keep_alives": sum(port.keep_alives for port in ports),
            "udp_unreachable": sum(port.unreachable for port in ports),
            "connections": len(streams),
            **{f"connections_{name.lower()}": count for name, count in streams.by_transport().items()},
            "connections_accepted": streams.accepted,
            "connections_opened": streams.opened_count,
            "connections_not_opened": streams.not_opened_count,
            "connections_refused": streams.refused,
            "connections_shunned": streams.shunned,
            "connections_evicted": streams.evicted,
            "sink_errors": self._errors.count,
        }


def within_descriptors(limits: StreamLimits, descriptors: int | None = None) -> StreamLimits:
    """
    Limits that the process can keep: at most half of its file descriptors for connections, and half of these for one
    source. Who runs out of descriptors cannot choose any more whom to serve.

    @param descriptors: how many the process may open; asked of the system when not given.
    """
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return limits
    return evolve(
        limits,
        connections=min(limits.connections, descriptors // 2),
        per_source=min(limits.per_source, descriptors // 4),
    )


def _checked(entry: ListenAddress | tuple[str, int]) -> ListenAddress:
    entry = entry if isinstance(entry, ListenAddress) else ListenAddress(*entry)
    try:
        address = ip_address(entry.host)
    except ValueError:
        raise UsageError(f"cannot listen on {entry.host!r}: not an IP address") from None
    if address.is_unspecified and not entry.advertised_host:
        raise UsageError(f"listening on {entry.host} needs an advertised host, for Via and Record-Route")
    advertised = entry.advertised_host
    return evolve(entry, host=str(address), advertised_host=advertised and _canonical(advertised))


def _cannot_listen(transport: str, entry: ListenAddress, error: Exception) -> UsageError:
    address = join_host_port(entry.host, entry.port)
    reason = getattr(error, "strerror", None) or str(error)
    return UsageError(f"cannot listen for SIP on {transport} {address}: {reason}")


@remember(1024)
def _canonical(host: str) -> str:
    """One spelling for equal hosts: lower case, and for IPv6 the short form (RFC 5952)."""
    if ":" not in host:
        return host.lower()
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return host.lower()


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
