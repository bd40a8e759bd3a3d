"""A datagram socket of a simulated node, as L{voipcluster.net.udp.UdpPort} uses one: with the kernel's queue in front."""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from voipcluster.net.waiting import SO_TIMESTAMPNS

if TYPE_CHECKING:
    from tests.simulation.network import Address
    from tests.simulation.node_reactor import NodeReactor

QUEUE = 256  # datagrams: about what Linux' net.core.rmem_max of 212,992 octets holds
_KERNEL_OCTETS = 832  # what the kernel counts for one of them
_ERROR_QUEUE = 0x2000
_ATTACH_FILTER = 26  # asm-generic/socket.h
_IP_RECVERR = 11
_ORIGIN_ICMP, _UNREACHABLE, _PORT = 2, 3, 3


class SimSocket:
    """
    @ivar full: datagrams that the kernel dropped because its queue was full.
    """

    def __init__(self, reactor: NodeReactor, local: Address) -> None:
        self._reactor, self.local = reactor, local
        self._queue: deque[tuple[bytes, Address, float]] = deque()  # with when they came
        self._errors: deque[Address] = deque()
        self._closed = False
        self.full = 0

    # what the network does

    def put(self, data: bytes, source: Address) -> None:
        if len(self._queue) >= QUEUE:
            self.full += 1
            return
        self._queue.append((data, source, self._reactor.stamp()))
        self._reactor.look()

    def put_error(self, destination: Address) -> None:
        """An ICMP error for a datagram to C{destination}: nobody listens there."""
        self._errors.append(destination)
        self._reactor.look()

    @property
    def readable(self) -> bool:
        return not self._closed and bool(self._queue or self._errors)

    # what the port does

    def getsockname(self) -> Address:
        return self.local

    def fileno(self) -> int:
        return -1 if self._closed else id(self) & 0xFFFF

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        if not self._queue:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        data, source, _ = self._queue.popleft()
        self._reactor.spend(self._reactor.costs.of_received(data))
        return data[:size], source

    def sendto(self, data: bytes, remote: Address) -> int:
        if self._closed:
            raise OSError(errno.EBADF, "closed")
        self._reactor.send(self.local, remote, data)
        return len(data)

    def recvmsg(self, size: int, ancillary: int, flags: int = 0) -> Any:
        if not flags & _ERROR_QUEUE:
            came = self._queue[0][2] if self._queue else 0.0
            stamp = struct.pack("@qq", int(came), int(came % 1 * 1e9))
            data, source = self.recvfrom(size)
            return data, [(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)], 0, source
        if not self._errors:
            raise BlockingIOError(errno.EAGAIN, "nothing")
        error = struct.pack("=IBBBBII", errno.ECONNREFUSED, _ORIGIN_ICMP, _UNREACHABLE, _PORT, 0, 0, 0)
        control = [(socket.IPPROTO_IP, _IP_RECVERR, error + bytes(16))]
        return b"", control, 0, self._errors.popleft()

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        if not size:
            return int((level, option) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
        waiting, room = (count * _KERNEL_OCTETS for count in (len(self._queue), QUEUE))
        return struct.pack("=9I", waiting, room, 0, 0, 0, 0, 0, 0, self.full)  # SO_MEMINFO

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """@raise OSError: as from a kernel without packet filters."""
        if option == _ATTACH_FILTER:
            raise OSError(errno.ENOPROTOOPT, "no packet filters here")

    def close(self) -> None:
        self._closed = True
        self._reactor.sockets.pop(self.local, None)
