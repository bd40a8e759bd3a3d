"""
Relay ports: sockets that hand each datagram of their peer to the other side with as few steps as Python allows.

The hot path. A latched port is a connected socket, so that the kernel turns strangers away and a packet costs one
C{recv} and one C{send}. Who reads them is L{voipcluster.net.port_group}.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.media.rtp import Kind, kind_of
from voipcluster.media.target import Address

MAX_DATAGRAM = (
    65535  # octets: what comes in fragments, or over links with large frames, is not cut; costs what 2048 do
)
_BACKLOG = 256  # datagrams that can wait in a socket when it is connected

_NO_MEDIA = {Kind.STUN, Kind.OTHER}

_libc = ctypes.CDLL(None, use_errno=True)


class IReaders(Protocol):
    """The part of L{twisted.internet.interfaces.IReactorFDSet} that ports need."""

    def addReader(self, reader: IReadDescriptor) -> None: ...

    def removeReader(self, reader: IReadDescriptor) -> None: ...


Send = Callable[[bytes], object]
Sink = Callable[["RtpPort", bytes, Address], None]


def nowhere(_: bytes) -> object:
    """Where media goes as long as nobody wants it."""
    return None


class DatagramSocket(socket.socket):
    """A UDP socket that can be connected and disconnected again."""

    __slots__ = ()

    def disconnect(self) -> None:
        """
        Dissolve the association (connect(2) with C{AF_UNSPEC}, which Python's own C{connect} cannot say).

        Address and port stay, since they were chosen by C{bind} and not by the kernel.
        """
        unspecified = ctypes.create_string_buffer(16)
        if _libc.connect(self.fileno(), unspecified, 16) == -1 and ctypes.get_errno() != errno.EAFNOSUPPORT:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@implementer(IReadDescriptor)
class RtpPort:
    """
    One bound UDP socket that faces one side of a call.

    @ivar forward: takes each datagram of the latched peer; set it to L{out} of the port on the far side.
    @ivar out: sends one datagram to this port's own peer; changes with L{aim} and L{connect}.
    @ivar label: whatever the owner calls this port.
    @ivar checked: an RTP line: short datagrams and unknown protocols are dropped.
    @ivar guarded: takes media of its peer alone, see L{guard}.
    @ivar strangers: datagrams that were not forwarded, without those that the kernel turned away.
    """

    __slots__ = (
        "_remote",
        "_sink",
        "_socket",
        "checked",
        "connected",
        "errors",
        "forward",
        "guarded",
        "label",
        "octets",
        "out",
        "packets",
        "strangers",
    )

    def __init__(self, sock: DatagramSocket, sink: Sink, label: object = None) -> None:
        self._socket = sock
        self._remote: Address | None = None
        self.label = label
        self._sink = sink
        self.forward: Send = nowhere
        self.out: Send = nowhere
        self.checked, self.connected, self.guarded = True, False, False
        self.packets = self.octets = self.strangers = self.errors = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "RtpPort"

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def address(self) -> Address:
        return Address(*self._socket.getsockname()[:2])

    def doRead(self) -> None:
        """
        Read one datagram. Not more: a second C{recv} would mostly find nothing, and cost as much as the first.
        """
        if not self.connected:
            self._read_from_anyone()
            return
        try:
            datagram = self._socket.recv(MAX_DATAGRAM)
        except OSError:  # nothing there, or an ICMP error about something that we sent
            self.errors += 1
            return
        if (
            self.checked
            and (len(datagram) < 12 or datagram[0] & 0xC0 != 0x80)
            and kind_of(datagram) is Kind.OTHER
        ):
            self.strangers += 1
            return
        self.packets += 1
        self.octets += len(datagram)
        try:
            self.forward(datagram)
        except OSError:
            self.errors += 1

    def _read_from_anyone(self) -> None:
        try:
            datagram, source = self._socket.recvfrom(MAX_DATAGRAM)
        except OSError:
            self.errors += 1
            return
        if self.guarded and source[:2] == self._remote and kind_of(datagram) not in _NO_MEDIA:
            self.accept(datagram)
            return
        self._sink(self, datagram, Address(*source[:2]))

    @property
    def latched(self) -> bool:
        """Media of one peer alone is forwarded."""
        return self.connected or self.guarded

    def accept(self, datagram: bytes) -> None:
        """Count and forward a datagram that the latch let in."""
        self.packets += 1
        self.octets += len(datagram)
        try:
            self.forward(datagram)
        except OSError:
            self.errors += 1

    def aim(self, remote: Address | None) -> None:
        """Send to that address, or nowhere; report datagrams from anyone."""
        self.guarded = False
        if self.connected:
            self._socket.disconnect()
            self.connected = False
        self._remote = remote
        self.out = nowhere if remote is None else self._send_to_remote

    def guard(self, remote: Address) -> None:
        """Send to that address, and forward media from there without asking; report all else, from anyone."""
        self.aim(remote)
        self.guarded = True

    def answer(self, datagram: bytes, to: Address) -> None:
        """Send one datagram of our own; a way that is closed now is the asker's loss."""
        assert not self.connected, "a connected socket sends to its peer alone"
        try:
            self._socket.sendto(datagram, to)
        except OSError:
            self.errors += 1

    def _send_to_remote(self, datagram: bytes) -> None:
        assert self._remote is not None, "aim() chose this"
        self._socket.sendto(datagram, self._remote)

    def connect(self, remote: Address) -> None:
        """
        Send to that address, and let the kernel keep all others out.

        What others sent before is still in the socket: it is read and dropped here.
        """
        self._socket.connect(remote)
        self.connected = True
        self.out = self._socket.send
        for _ in range(_BACKLOG):
            try:
                datagram, source = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError:
                break
            if Address(*source[:2]) != remote:
                self.strangers += 1
            elif not self.checked or kind_of(datagram) is not Kind.OTHER:
                self.accept(datagram)

    def close(self) -> None:
        self.forward = self.out = nowhere
        self._socket.close()


def open_rtp_port(host: str, number: int, sink: Sink, label: object) -> RtpPort:
    """
    @param sink: gets what arrives while the port is not connected.
    @raise OSError: the port is taken, or the address is not ours.
    """
    sock = DatagramSocket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, number))
    except OSError:
        sock.close()
        raise
    return RtpPort(sock, sink, label)


def raise_descriptor_limit(wanted: int) -> int:
    """
    Lift the soft limit on open files as far as the hard one allows: a call has 4 sockets or more per media line.

    @return: the limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if goal > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
    return goal
