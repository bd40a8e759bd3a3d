"""One SIP connection over a byte stream: framing, keep-alive answers, time limits, a bounded write buffer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from typing import Protocol as Shape

from attrs import frozen
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.address import Flow
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.timers import Timer, TimerWheel
from voipcluster.sip.framing import FramingFailed, MessageFramed, Ping, StreamFramer

PONGS_PER_SECOND = 10
LINGER = 5.0  # seconds that a closing connection has to take what was written


@frozen(kw_only=True)
class StreamLimits:
    """
    What one connection, and all of them together, may use. Times are in seconds, sizes in octets.

    @ivar first_message: from accepting a connection to the end of its first message; keep-alives do not extend it.
    @ivar message: from the first octet of a message to its last.
    @ivar idle: without an octet in either direction.
    @ivar acknowledge: until the peer's system has acknowledged what was sent, else the connection is dead
        (RFC 5626 section 4.4.1 takes 10 s).
    @ivar connect: until a connection that we open is up.
    @ivar write_buffer: unsent; beyond it the connection is aborted.
    @ivar connections: accepted and opened; C{per_source} those accepted from one IPv4 address or IPv6 /64.
    @ivar waiting: messages for a connection that is being opened.
    """

    first_message: float = 10.0
    message: float = 10.0
    idle: float = 180.0
    acknowledge: float = 10.0
    connect: float = 5.0
    write_buffer: int = 1 << 20
    max_head: int = 32768
    max_body: int = 65535
    connections: int = 10_000
    per_source: int = 1000
    waiting: int = 64


class StreamOwner(Shape):
    """What a stream tells the table that it is in."""

    def up(self, stream: SipStream) -> None:
        """It can be written to."""

    def proven(self, stream: SipStream) -> None:
        """Its first whole message came."""

    def closing(self, stream: SipStream) -> None:
        """Nothing can be sent over it any more."""

    def lost(self, stream: SipStream) -> None:
        """It is gone."""


@implementer(IPushProducer)
class SipStream(Protocol):
    """
    One connection, accepted or opened.

    @ivar flow: its number, our address and the peer's; of a connection that we opened, our listening address, which
        is what Via names.
    @ivar failure: why it never came up, when that is known.
    """

    failure = ""

    def __init__(
        self,
        flow: Flow,
        opened: bool,
        owner: StreamOwner,
        sink: ISipSink,
        errors: SinkErrors,
        timers: TimerWheel,
        seconds: Callable[[], float],
        limits: StreamLimits,
    ) -> None:
        self.flow, self.opened = flow, opened
        self._owner, self._sink, self._errors = owner, sink, errors
        self._timers, self._seconds, self._limits = timers, seconds, limits
        self._wire: Any = None  # the transport, of which twisted types less than it has
        self._framer = StreamFramer(limits.max_head, limits.max_body)
        self._alive = True
        self._proven = opened
        self._paused = False
        self._unsent = 0  # octets written since the transport's own buffer was full
        self._active_at = self._heard_at = self._kept_until = self._pong_second = 0.0
        self._pongs = 0
        self._limit_timer: Timer | None = None  # first message, then idle, then linger
        self._message_timer: Timer | None = None
        self._silence = 0.0  # seconds that the peer may be silent; 0.0: as long as it likes
        self._silence_timer: Timer | None = None

    @property
    def alive(self) -> bool:
        """Whether something can still be sent over it."""
        return self._alive

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._framer.partial

    def proves(self, name: str) -> bool:
        """Whether the peer has shown that it speaks for a domain; everybody does for none."""
        return not name

    def connectionMade(self) -> None:
        self._wire = self.transport
        self._tune(self._wire)
        self._begin()

    def _tune(self, wire: Any) -> None:
        """Small messages leave at once, and a peer that acknowledges nothing is given up."""
        if not ITCPTransport.providedBy(wire):
            return
        wire.setTcpNoDelay(True)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(self._limits.acknowledge * 1000)
            handle: Any = wire
            with suppress(OSError):
                handle.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _begin(self) -> None:
        """From here on it can be written to."""
        self._wire.registerProducer(self, True)
        self._active_at = self._seconds()
        if self._limit_timer is None:
            if self._proven:
                self._limit_timer = self._timers.start(self._limits.idle, self._check_idle)
            else:
                self._limit_timer = self._timers.start(self._limits.first_message, self.abort)
        self._owner.up(self)

    def dataReceived(self, data: bytes) -> None:
        if not self._alive:
            return  # we have said all, and read on only so that the peer gets it
        self._active_at = self._heard_at = self._seconds()
        framed = False
        for event in self._framer.feed(data):
            kind = type(event)
            if kind is MessageFramed:
                framed = True
                if not self._proven:
                    self._prove()
                try:
                    self._sink.bytes_received(event.data, self.flow)  # type: ignore[union-attr]  # its type was looked at
                except Exception:
                    self._errors.failed(self.flow)
            elif kind is Ping:
                self._answer_ping(event.pings)  # type: ignore[union-attr]  # its type was looked at
            elif kind is FramingFailed:
                self._fail(event)  # type: ignore[arg-type]  # its type was looked at
            if not self.alive:
                return
        self._limit_message(framed)

    def send(self, data: bytes) -> bool:
        """Write; L{False} when the peer does not read and the connection had to be given up."""
        assert self._alive, "the table holds living streams"
        if self._paused:
            self._unsent += len(data)
            if self._unsent > self._limits.write_buffer:
                self.abort()
                return False
        self._active_at = self._seconds()
        self._wire.write(data)
        return True

    def keep(self, seconds: float) -> None:
        """Do not close for being idle in that time: a registration was made over it."""
        self._kept_until = max(self._kept_until, self._seconds() + seconds)

    def expect(self, seconds: float) -> None:
        """Give the connection up when nothing comes from the peer for so long: it has promised keep-alives."""
        self._silence = seconds
        if self._silence_timer is None:
            self._silence_timer = self._timers.start(seconds, self._check_silence)

    def close(self, linger: float = LINGER) -> None:
        """
        Send what was written, then close; what the peer still sends is thrown away.

        @param linger: seconds until the connection is aborted if the peer does not close it.
        """
        if not self._alive:
            return
        self._end()
        self._limit_timer = self._timers.start(linger, self._abort_transport)
        self._close_transport()

    def abort(self) -> None:
        """Close at once and drop what was not sent."""
        if self._alive:
            self._end()
            self._abort_transport()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._alive:
            self._end()
        if self._limit_timer is not None:
            self._limit_timer.cancel()
        self._tell_lost()
        self._owner.lost(self)

    def pauseProducing(self) -> None:
        """The transport's buffer is full: from here on we count."""
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._unsent = 0

    def stopProducing(self) -> None:
        pass  # connectionLost follows

    def _end(self) -> None:
        self._alive = False
        for timer in (self._limit_timer, self._message_timer, self._silence_timer):
            if timer is not None:
                timer.cancel()
        self._limit_timer = self._message_timer = self._silence_timer = None
        self._wire.unregisterProducer()  # else the transport waits for us before it closes
        self._owner.closing(self)

    def _tell_lost(self) -> None:
        try:
            self._sink.connection_lost(self.flow)
        except Exception:
            self._errors.failed(self.flow)

    def _close_transport(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            # Closing with unread octets would make the system send a reset, which may overtake our last answer.
            self._wire.loseWriteConnection()
        else:
            self._wire.loseConnection()

    def _abort_transport(self) -> None:
        self._wire.abortConnection()

    def _prove(self) -> None:
        self._proven = True
        if self._limit_timer is not None:
            self._limit_timer.cancel()
        self._limit_timer = self._timers.start(self._limits.idle, self._check_idle)
        self._owner.proven(self)

    def _limit_message(self, framed: bool) -> None:
        """One timer for the message that has begun; the first message of a connection has its own."""
        timer = self._message_timer
        if timer is not None and (framed or not self.partial):
            timer.cancel()
            timer = self._message_timer = None
        if timer is None and self._proven and self.partial:
            self._message_timer = self._timers.start(self._limits.message, self.abort)

    def _check_idle(self) -> None:
        # Restarted for what is left rather than with each message: one timer in C{idle} seconds, not thousands.
        now = self._seconds()
        left = max(self._active_at + self._limits.idle, self._kept_until) - now
        if left <= 0.0:
            self.close()
        else:
            self._limit_timer = self._timers.start(left, self._check_idle)

    def _check_silence(self) -> None:
        left = self._heard_at + self._silence - self._seconds()
        if left <= 0.0:
            self.abort()
        else:
            self._silence_timer = self._timers.start(left, self._check_silence)

    def _answer_ping(self, pings: int) -> None:
        if self._active_at - self._pong_second >= 1.0:
            self._pong_second, self._pongs = self._active_at, 0
        pings = min(pings, PONGS_PER_SECOND - self._pongs)
        if pings > 0:
            self._pongs += pings
            self.send(b"\r\n" * pings)

    def _fail(self, event: FramingFailed) -> None:
        try:
            self._sink.framing_failed(event.head, self.flow, event.status_hint, event.reason)
        except Exception:
            self._errors.failed(self.flow)
        self.close()
