"""The audio of the phone: a socket a call that sends its tone and listens, and one clock for all that send."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from math import inf

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

from voipcluster.errors import UsageError
from voipcluster.phone.reports import Reports
from voipcluster.phone.tone import FRAME, decode, strongest, tone_frame

PCMU = 0  # RFC 3551 table 4
PACKET_TIME = 0.02  # seconds
_CATCH_UP = 5  # packets that a late clock sends at once, at most
_LISTEN_EVERY = 50  # packets from one look at the tone to the next; until a tone is heard, half of that
_LOOK_AT = 5  # packets that one look takes
_HEADER = struct.Struct("!BBHII")
_PORT_TRIES = 50
REPORT_EVERY = 5.0  # seconds in the mean, the first after half of that (RFC 3550 section 6.2)
_COMPENSATION = 1.21828  # for what drawing the intervals anew does to their mean (section 6.3.1)


class AudioClock:
    """Ticks every 20 ms for all streams of the process that send: one timer, however many calls there are."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._streams: dict[AudioStream, None] = {}
        self._loop = LoopingCall.withCount(self._tick)
        self._loop.clock = reactor

    def add(self, stream: AudioStream) -> None:
        self._streams[stream] = None
        if not self._loop.running:
            self._loop.start(PACKET_TIME, now=False)

    def remove(self, stream: AudioStream) -> None:
        """Harmless for a stream that was not added."""
        self._streams.pop(stream, None)
        if not self._streams and self._loop.running:
            self._loop.stop()

    @property
    def seconds(self) -> float:
        return self._reactor.seconds()

    def _tick(self, count: int) -> None:
        now = self.seconds
        for stream in list(self._streams):
            for _ in range(min(count, _CATCH_UP)):
                stream.send_frame()
            if now >= stream.report_at:
                stream.send_report(now)


def report_interval(mean: float) -> float:
    """Seconds to the next report: so that those of many do not fall together (section 6.3.1)."""
    return mean * random.uniform(0.5, 1.5) / _COMPENSATION  # noqa: S311 - no secret


class _ReportPort(DatagramProtocol):
    """Where RTCP comes and goes: the odd port above that of RTP (RFC 3550 section 11)."""

    noisy = False

    def __init__(self, reports: Reports, clock: AudioClock) -> None:
        self._reports, self._clock = reports, clock

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._reports.report(datagram, self._clock.seconds)

    def send(self, datagram: bytes, to: tuple[str, int]) -> None:
        if self.transport is not None:
            self.transport.write(datagram, to)


class AudioStream(DatagramProtocol):
    """
    One call's audio: PCMU packets of 20 ms (RFC 3550, RFC 3551) both ways.

    @param reports: what it says in RTCP, on the next port, while it sends; L{None}: nothing.
    @ivar address: (IP literal, even port) where it is taken; known once open.
    @ivar remote: where ours goes, or L{None}: nowhere.
    @ivar heard_hz: the tone that was heard last, to within 10 Hz, or L{None}.
    @ivar source: (IP literal, port) that the last packet came from.
    @ivar packets_received: RTP packets of PCMU; C{packets_sent} ours.
    @ivar report_at: when the next report is due.
    """

    noisy = False

    def __init__(self, clock: AudioClock, hz: int, ssrc: int, reports: Reports | None = None) -> None:
        self._clock = clock
        self._reports = reports
        self._report_port: _ReportPort | None = None
        self._ports: list[IListeningPort] = []
        self.report_at = inf
        self._frame = tone_frame(hz)
        self._ssrc = ssrc
        self._sequence = ssrc & 0x7FFF
        self._timestamp = 0
        self._sendto: Callable[[bytes, tuple[str, int]], int] | None = None
        self._look: list[bytes] = []
        self.address: tuple[str, int] = ("", 0)
        self.remote: tuple[str, int] | None = None
        self.source: tuple[str, int] | None = None
        self.heard_hz: int | None = None
        self.packets_received = self.packets_sent = 0

    def open(self, reactor: IReactorUDP, host: str) -> None:
        """
        Take an even port, and the next one for reports (RFC 3550 section 11).

        @raise UsageError: there is no port, or the host is not ours.
        """
        for _ in range(_PORT_TRIES):
            number = random.randrange(40000, 60000, 2)  # noqa: S311 - a port is no secret
            try:
                if self._reports is not None:
                    # first, for this stream may be given to a port but once
                    self._report_port = _ReportPort(self._reports, self._clock)
                    self._ports.append(reactor.listenUDP(number + 1, self._report_port, host, 2048))
                self._ports.append(reactor.listenUDP(number, self, host, 2048))
            except CannotListenError as error:
                refused = error
                self._close_ports()
                continue
            self.address = (host, number)
            return
        raise UsageError(f"no port for audio on {host}: {refused.socketError}")

    def startProtocol(self) -> None:
        # transport.write() checks the address anew for each packet; fifty calls send 2,500 a second
        self._sendto = self.transport.socket.sendto  # type: ignore[union-attr]  # of a UDP port

    def aim(self, remote: tuple[str, int] | None) -> None:
        """Send to that place from now on, or (L{None}) be silent."""
        self.remote = remote
        if remote is None:
            self._clock.remove(self)
        else:
            if self._report_port is not None and self.report_at == inf:
                self.report_at = self._clock.seconds + report_interval(REPORT_EVERY / 2)
            self._clock.add(self)

    def close(self) -> None:
        """Silent and closed; harmless when it is."""
        self.aim(None)
        self._sendto = None
        self._close_ports()

    def _close_ports(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            port.stopListening()

    def send_frame(self) -> None:
        if self.remote is None or self._sendto is None:
            return
        header = _HEADER.pack(0x80, PCMU, self._sequence, self._timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME) & 0xFFFFFFFF
        try:
            self._sendto(header + self._frame, self.remote)
        except OSError:
            return  # a full buffer, or nobody listens there yet: as lost as on any network
        self.packets_sent += 1

    def send_report(self, now: float) -> None:
        """Tell the far end, on the port above that of its RTP, how much was sent and how it is heard; C{now} in unix seconds."""
        self.report_at = now + report_interval(REPORT_EVERY)
        if self._reports is None or self._report_port is None or self.remote is None:
            return
        host, port = self.remote
        sent = self.packets_sent
        report = self._reports.make(now, self._timestamp, sent, sent * len(self._frame))
        self._report_port.send(report, (host, port + 1))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if len(datagram) <= _HEADER.size or datagram[0] & 0xC0 != 0x80 or datagram[1] & 0x7F != PCMU:
            return
        self.packets_received += 1
        self.source = addr[:2]
        if self._reports is not None:
            _, _, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
            self._reports.packet(ssrc, sequence, timestamp, self._clock.seconds)
        period = _LISTEN_EVERY if self.heard_hz is not None else _LISTEN_EVERY // 2
        if self._look or self.packets_received % period == period // 2:
            self._look.append(datagram[_HEADER.size + 4 * (datagram[0] & 0x0F) :])
            if len(self._look) == _LOOK_AT:
                self.heard_hz = strongest(decode(b"".join(self._look)))
                self._look.clear()
