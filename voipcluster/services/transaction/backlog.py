"""Throws away unread what strangers send, when the socket's buffer grows: the datagrams of phones would be lost in it."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from voipcluster.address import Flow
from voipcluster.balance.sluice import Sluice
from voipcluster.net.udp import UdpPort
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.services.transaction.transport import TransportService

LOOK = 0.05  # s between two looks at the buffers


class BacklogService(Service):
    """
    While the buffers are short nothing of this is on the path of a datagram.

    @param transport: whose ports are looked at; they are open when this starts.
    """

    def __init__(self, clock: IReactorTime, transport: TransportService, limiting: Limiting) -> None:
        self._clock, self._transport, self._limiting = clock, transport, limiting
        self._next: IDelayedCall | None = None
        self._watches: list[_Watch] = []

    def startService(self) -> None:
        super().startService()
        self._watches = [_Watch(port, self._limiting) for port in self._transport.udp_ports]
        self._next = self._clock.callLater(LOOK, self._look)

    def stopService(self) -> None:
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        for watch in self._watches:
            watch.port.sieve = None

    def _look(self) -> None:
        self._next = self._clock.callLater(LOOK, self._look)
        for watch in self._watches:
            watch.look()


class _Watch:
    """One port, and what is left to strangers there."""

    def __init__(self, port: UdpPort, limiting: Limiting) -> None:
        self.port, self._limiting = port, limiting
        self._sluice = Sluice()
        self._kept_out = self._in_all = 0  # since the last look, and since the buffer was short
        self._lost, self._read = port.backlog().lost, port.received

    def look(self) -> None:
        port, sluice = self.port, self._sluice
        waiting, room, lost = port.backlog()
        served = (port.received - self._read) / LOOK
        sluice.feed(waiting, room, lost != self._lost, served, self._kept_out)
        self._lost, self._read = lost, port.received
        self._in_all += self._kept_out
        self._kept_out = 0
        notices = self._limiting.notices
        if sluice.is_open and port.sieve is not None:
            port.sieve = None
            notices.warn("backlog over", "all is read again; {count} were thrown away", count=self._in_all)
            self._in_all = 0
        elif not sluice.is_open and port.sieve is None:
            port.sieve = self._sift
            notices.warn(
                "backlog", "more comes than can be read: strangers' datagrams are thrown away unread"
            )

    def _sift(self, batch: list[tuple[bytes, Flow]]) -> list[tuple[bytes, Flow]]:
        """Responses, what known phones and nodes send, and as much of the rest as is left to it."""
        limiting, admits = self._limiting, self._sluice.admits
        now = limiting.seconds()
        kept = [
            (data, flow)
            for data, flow in batch
            if data[:4] == b"SIP/" or limiting.is_known(flow) or admits(now, b";call=" in data)
        ]
        kept_out = len(batch) - len(kept)
        self._kept_out += kept_out
        limiting.refused["backlog"] += kept_out
        return kept
