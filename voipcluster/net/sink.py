"""Who takes what comes from the SIP transports, and what happens when that one fails."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import Interface

from voipcluster.address import Flow, Hop


class ISipSink(Interface):
    """
    Takes what the transports receive. None of the calls comes from inside C{TransportService.send}.
    """

    def bytes_received(data: bytes, flow: Flow) -> None:
        """One datagram, or one message of a stream from start line to body; an answer goes to C{flow}."""

    def framing_failed(head: bytes, flow: Flow, status_hint: int, reason: str) -> None:
        """
        A stream cannot be followed any further (RFC 3261 section 18.3).

        C{head} is what has come of the faulty message, perhaps cut short. The taker may send one answer on C{flow}
        before it returns; then the connection is closed.
        """

    def connection_lost(flow: Flow) -> None:
        """A stream connection, numbered in C{flow}, is gone, whoever closed it."""

    def unreachable(hop: Hop) -> None:
        """An ICMP error came for a datagram that was sent to C{hop} (RFC 3261 section 18.4)."""


class SinkErrors:
    """
    Logs what a sink raised, with the peer that provoked it: one traceback in C{period} seconds, the rest counted.

    @ivar count: how many there were.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, period: float = 1.0) -> None:
        self._clock, self._period = clock, period
        self._quiet_until = 0.0
        self._unlogged = 0
        self.count = 0

    def failed(self, peer: Flow | Hop) -> None:
        """To be called where the exception is handled."""
        self.count += 1
        now = self._clock.seconds()
        if now < self._quiet_until:
            self._unlogged += 1
            return
        self._log.failure(
            "what {peer} sent could not be processed ({unlogged} more since the last report)",
            peer=str(peer),
            unlogged=self._unlogged,
        )
        self._quiet_until, self._unlogged = now + self._period, 0
