"""
SIP over UDP on a socket of our own, because this is the hot path.

Here C{sendto} is called directly, where C{transport.write()} checks each address anew (C{bench/transport.py} compares
both), a wake-up is bounded so that timers get their turn, and the socket's ICMP errors are read, which Twisted's port
leaves aside.

A wake-up reads what waits, has it handled, and sends at its end what that gave to send. So the way through the kernel, which
is long, is not taken between any two messages, and peers on this machine are woken once instead of for each datagram.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time
from typing import Any, NamedTuple

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import UDP, Flow, Hop
from voipcluster.errors import TransportError
from voipcluster.net.batch import WORTH_IT, arrange
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.stun import binding_response
from voipcluster.net.thinning import thin
from voipcluster.net.waiting import SPACE, Waiting, has_stamps, stamp_datagrams

BATCH = 64  # datagrams in one wake-up: spreads the reactor's own cost, which is that of four datagrams
LEAST_BATCH, LONGEST = 8, 0.03  # on a slow machine fewer, so that a wake-up takes no longer than so many s
RECEIVE_BUFFER, SEND_BUFFER = 8 << 20, 1 << 20  # octets; the kernel gives what it allows
_LARGEST = 65535
_KEPT = 8192  # flows that are remembered
_SO_MEMINFO = 55  # asm-generic/socket.h, with the fields of linux/sock_diag.h: the first two and the last one
_MEMINFO = struct.Struct("=9I")

_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_MSG_ERRQUEUE = 0x2000
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err
_ICMP, _ICMP6 = 2, 3  # its ee_origin
# Types of ICMP and ICMPv6 that RFC 3261 section 18.4 takes for a failure; time exceeded is to be ignored.
_UNREACHABLE, _PARAMETER_PROBLEM, _FRAGMENTATION_NEEDED = 3, 12, 4
_UNREACHABLE6, _PARAMETER_PROBLEM6 = 1, 4


Failed = Callable[[TransportError], None]
Outgoing = tuple[bytes, tuple[str, int], Failed | None]


class Backlog(NamedTuple):
    """
    @ivar waiting: octets in the socket's buffer, of C{room}, as the kernel counts them: each datagram with its own cost.
    @ivar lost: datagrams that found no room since the socket was opened.
    """

    waiting: int = 0
    room: int = 0
    lost: int = 0


def open_udp_socket(host: str, port: int) -> socket.socket:
    """
    A bound socket for L{UdpPort}.

    @param host: IP literal; C{port} 0 takes a free one.
    @raise OSError: the address is in use, not ours, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        stamp_datagrams(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        opened.bind((host, port))
    except BaseException:
        opened.close()
        raise
    return opened


@implementer(IReadDescriptor)
class UdpPort:
    """
    One bound socket: reads into the sink, sends for everybody.

    @ivar local: the address and port that it is bound to.
    @ivar sendto: the socket's own; who calls it counts C{sent}, and leaves an L{OSError} to L{send_again}.
    @ivar outbox: what this wake-up is to send at its end: datagram, remote, and who is told, as by C{TransportService.send},
        when it cannot be sent; L{None} outside a wake-up, when C{sendto} is to be called.
    @ivar received: datagrams that went to the sink; C{keep_alives} those that were not SIP.
    @ivar dropped: datagrams not sent because the socket's buffer was full, as a network drops them.
    @ivar unreachable: ICMP errors that were reported.
    @ivar arrange: puts the datagrams of a wake-up in order, and may leave some out; L{arrange} but in overload.
    @ivar sieve: while there is one, it says which datagrams of a wake-up go to the sink.
    @ivar waiting: how long the datagrams waited for us, or L{None} where the kernel does not say when they came.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        bound: socket.socket,
        sink: ISipSink,
        errors: SinkErrors,
        seconds: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self._reactor, self._socket, self._sink, self._errors = reactor, bound, sink, errors
        self._seconds = seconds
        self.sendto = bound.sendto
        self.local: tuple[str, int] = bound.getsockname()[:2]
        self._flows: dict[tuple[str, int], Flow] = {}  # one object a source: transactions hold it for 32 s
        self._ipv6 = ":" in self.local[0]
        self._open = False
        self._batch = BATCH
        self.outbox: list[Outgoing] | None = None
        self.sieve: Callable[[list[tuple[bytes, Flow]]], list[tuple[bytes, Flow]]] | None = None
        self.arrange: Callable[[list[tuple[bytes, Flow]]], list[tuple[bytes, Flow]]] = arrange
        self.waiting = Waiting(wall) if has_stamps(bound) else None
        self.received = self.keep_alives = self.sent = self.dropped = self.unreachable = 0

    def backlog(self) -> Backlog:
        """What waits to be read, as far as the system tells (Linux)."""
        if sys.platform != "linux" or not self._open:
            return Backlog()
        told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        waiting, room, *_, lost = _MEMINFO.unpack(told)
        return Backlog(waiting, room, lost)

    def thin(self, passing: float, numbers: tuple[str, ...] = ()) -> bool:
        """Let the kernel throw away new INVITEs but for a share of them, and for calls to C{numbers}; whether it does."""
        return self._open and thin(self._socket, passing, numbers)

    def start(self) -> None:
        """Begin to read."""
        self._open = True
        if self.waiting is not None:
            self.waiting.begin()
        self._reactor.addReader(self)

    def close(self) -> None:
        """
        Stop reading and close the socket; harmless when closed.

        What waits to be sent is sent, and nobody is told if it cannot be: whoever would be is closing, and has called this.
        """
        if self._open:
            self._reactor.removeReader(self)
        if self.outbox:
            self.outbox = [(data, remote, None) for data, remote, _ in self.outbox]
        self._send_outbox()
        self._open = False
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "SIP/UDP"

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        """
        Send one datagram.

        @raise TransportError: the system refuses: no route, too long, closed.
        """
        try:
            self.sendto(data, remote)
            self.sent += 1
        except OSError as error:
            self.send_again(data, remote, error)

    def send_again(self, data: bytes, remote: tuple[str, int], error: OSError) -> None:
        """
        Deal with what C{sendto} raised.

        @raise TransportError: as L{send}.
        """
        if isinstance(error, BlockingIOError):
            self.dropped += 1
            return
        # With IP_RECVERR an ICMP error for an earlier datagram, to anybody, is raised by whatever call comes next, and
        # that call has done nothing. It stays in the error queue for doRead, so here it is enough to try again.
        for _ in range(3):
            try:
                self.sendto(data, remote)
            except BlockingIOError:
                self.dropped += 1
                return
            except OSError as again:
                error = again
            else:
                self.sent += 1
                return
        raise TransportError(f"{error.strerror or error} (to {Hop(UDP, *remote)})")

    def doRead(self) -> None:
        begun = self._seconds()
        batch = self._read_batch()
        if self.sieve is not None:
            batch = self.sieve(batch)
        if len(batch) >= WORTH_IT:
            batch = self.arrange(batch)
        bytes_received = self._sink.bytes_received
        self.outbox = []
        for data, flow in batch:
            try:
                bytes_received(data, flow)
            except Exception:
                self._errors.failed(flow)
            if not self._open:
                return
        self._send_outbox()
        if len(batch) >= LEAST_BATCH:
            self._fit_batch(len(batch), self._seconds() - begun)

    def _fit_batch(self, count: int, took: float) -> None:
        """Read as much in one wake-up as can be answered soon: with a small share of a CPU each datagram takes long."""
        if took > LONGEST:
            self._batch = max(LEAST_BATCH, count // 2)
        elif self._batch < BATCH and took < LONGEST / 2:
            self._batch = min(BATCH, self._batch + LEAST_BATCH)

    def _send_outbox(self) -> None:
        """Send what the wake-up gave to send; what this gives to send in its turn goes at once."""
        outbox, self.outbox = self.outbox, None
        if not outbox:
            return
        sendto = self.sendto
        for data, remote, failed in outbox:
            try:
                sendto(data, remote)
            except OSError as error:
                self._tell(data, remote, error, failed)
            except Exception:
                self._errors.failed(Hop(UDP, *remote))  # a remote that is none; the rest leaves all the same
            else:
                self.sent += 1

    def _tell(self, data: bytes, remote: tuple[str, int], error: OSError, failed: Failed | None) -> None:
        try:
            self.send_again(data, remote, error)
        except TransportError as final:
            if failed is not None:
                try:
                    failed(final)
                except Exception:
                    self._errors.failed(Hop(UDP, *remote))

    def _read_batch(self) -> list[tuple[bytes, Flow]]:
        """What waits in the socket, at most one batch, but for keep-alives, which are served here."""
        batch: list[tuple[bytes, Flow]] = []
        recvfrom, ipv6, flows = self._socket.recvfrom, self._ipv6, self._flows
        receive = recvfrom if self.waiting is None else self._receive_first
        for count in range(self._batch):
            try:
                data, source = receive(_LARGEST)
            except BlockingIOError:
                if not count:
                    self._read_errors()  # select() reports a pending error as something to read
                break
            except OSError:
                if not self._open:
                    break
                self._read_errors()
                continue
            receive = recvfrom
            if ipv6:
                source = source[:2]
            if data[:1] <= b"\r":  # empty, CRLF or STUN: no start line begins with a control character
                data = self._without_keep_alive(data, source)
                if not data:
                    continue
            self.received += 1
            flow = flows.get(source)
            if flow is None:
                if len(flows) >= _KEPT:
                    flows.clear()
                flow = flows[source] = Flow(UDP, self.local, source)
            batch.append((data, flow))
        return batch

    def _receive_first(self, size: int) -> tuple[bytes, Any]:
        """As C{recvfrom}, and note how long it waited: it is the oldest there is."""
        data, ancillary, _, source = self._socket.recvmsg(size, SPACE)
        assert self.waiting is not None, "it is the reader only then"
        self.waiting.note(ancillary)
        return data, source

    def _without_keep_alive(self, data: bytes, source: tuple[str, int]) -> bytes:
        """What follows the CRLFs (RFC 3261 section 7.5); nothing when it was a keep-alive, which is served here."""
        rest = data.lstrip(b"\r\n")
        if rest[:1] > b"\r":
            return rest
        self.keep_alives += 1
        answer = binding_response(data, source)
        if answer is not None:
            with suppress(TransportError):
                self.send(answer, source)
        return b""

    def connectionLost(self, reason: Failure) -> None:
        # The reactor takes EPOLLERR without EPOLLIN for the end of a connection. On this socket it says that an ICMP
        # error waits, so we read it and go on; anything but ConnectionDone is the reactor's shutdown.
        if not self._open:
            return
        if isinstance(reason.value, ConnectionDone):
            self._read_errors()
            if self._open:
                self._reactor.addReader(self)
        else:
            self._open = False
            self._socket.close()

    def _read_errors(self) -> None:
        """Report what is in the socket's error queue; at most one batch, the rest wakes us again."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        for _ in range(BATCH):
            try:
                _, ancillary, _, destination = self._socket.recvmsg(0, 512, _MSG_ERRQUEUE)
            except OSError:
                return
            if any(_is_unreachable(level, kind, data) for level, kind, data in ancillary):
                self.unreachable += 1
                hop = Hop(UDP, *destination[:2])
                try:
                    self._sink.unreachable(hop)
                except Exception:
                    self._errors.failed(hop)
                if not self._open:
                    return


def _is_unreachable(level: int, kind: int, data: bytes) -> bool:
    if (level, kind) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
        return False
    fields: tuple[int, ...] = _EXTENDED_ERROR.unpack_from(data)
    _, origin, icmp_type, code, *_ = fields
    if origin == _ICMP:
        unreachable = icmp_type == _UNREACHABLE and code != _FRAGMENTATION_NEEDED
        return unreachable or icmp_type == _PARAMETER_PROBLEM
    return origin == _ICMP6 and icmp_type in (_UNREACHABLE6, _PARAMETER_PROBLEM6)
