"""
All relay ports of a node behind one reader of the reactor, which reads what many of them have in one wake-up.

Twisted's cost of a wake-up is shared then (C{bench/relay.py}). With few calls each packet would still be a wake-up of its own,
of an interpreter whose code has left the caches meanwhile: so once packets come fast enough, they wait for each other, a
millisecond at most, as network cards let them do before they interrupt. The group also spares us that the reactor drops
a reader on whose socket an ICMP error is pending.
"""

from __future__ import annotations

import select
from typing import cast

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.net.rtp import IReaders

AT_A_TIME = 128  # datagrams read in one turn of the reactor; SIP gets its turn in between
BEGIN = 1.5  # packets that come in one wait on average, from which waiting is worth it
END = 0.75  # and below which it ends
_LOOK = 64  # packets, or waits, from one look at the rate to the next

_log = Logger()


@implementer(IReadDescriptor)
class PortGroup:
    """
    Takes ports as the reactor does.

    @param reactor: also has to be L{IReactorTime} where C{gather} is not 0.
    @param gather: seconds for which packets may wait for others.
    """

    def __init__(self, reactor: IReactorFDSet, gather: float = 0.0) -> None:
        self._reactor, self._gather = reactor, gather
        self._epoll = select.epoll()
        self._ports: dict[int, IReadDescriptor] = {}
        self._count = self._waits = 0
        self._since = 0.0
        self._next: IDelayedCall | None = None
        reactor.addReader(self)

    def addReader(self, reader: IReadDescriptor) -> None:
        number = reader.fileno()
        self._ports[number] = reader
        self._epoll.register(number, select.EPOLLIN)

    def removeReader(self, reader: IReadDescriptor) -> None:
        number = reader.fileno()
        if self._ports.get(number) is reader:
            del self._ports[number]
            self._epoll.unregister(number)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "PortGroup"

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    @property
    def gathers(self) -> bool:
        """Whether packets wait for each other now."""
        return self._next is not None

    def doRead(self) -> None:
        """
        Event: some ports are ready. One datagram of each is read; epoll is level-triggered, so the rest of a backlog
        comes up again after the reactor served everybody else.
        """
        self._count += self._read(AT_A_TIME)
        if self._count >= _LOOK and self._gather and self._rate() > BEGIN:
            self._reactor.removeReader(self)
            self._wait(self._gather)

    def _read(self, most: int) -> int:
        """One datagram of each port that is ready; gives how many ports those were."""
        ports = self._ports
        ready = self._epoll.poll(0, most)
        for number, _ in ready:
            port = ports.get(number)
            if port is None:
                continue  # closed by a datagram that was read just before
            try:
                port.doRead()
            except Exception:
                _log.failure("reading a media port")
        return len(ready)

    def _read_gathered(self) -> None:
        """Read all that has come, also several of one port, but not more than others can wait for."""
        left = AT_A_TIME
        while left and not self._epoll.closed and (read := self._read(left)):
            left -= read
        self._count += AT_A_TIME - left
        self._waits += 1
        if self._epoll.closed:
            return
        if self._waits < _LOOK or self._rate() >= END:
            self._wait(self._gather if left else 0.0)
        else:
            self._next = None
            self._reactor.addReader(self)

    def _wait(self, seconds: float) -> None:
        self._next = cast(IReactorTime, self._reactor).callLater(seconds, self._read_gathered)

    def _rate(self) -> float:
        """Packets in one wait, on average since the last look."""
        now = cast(IReactorTime, self._reactor).seconds()
        elapsed, count = now - self._since, self._count
        self._since, self._count, self._waits = now, 0, 0
        return count * self._gather / max(elapsed, 1e-6)

    def close(self) -> None:
        """Let go of the ports; closing them is their owners' part."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        if not self._epoll.closed:
            self._reactor.removeReader(self)
            self._epoll.close()
        self._ports.clear()


def port_readers(reactor: IReactorFDSet, gather: float = 0.0) -> IReaders:
    """A L{PortGroup}, or the reactor itself where the system has no epoll."""
    return PortGroup(reactor, gather) if hasattr(select, "epoll") else reactor
