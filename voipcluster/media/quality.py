"""
How one relayed stream arrives, by what its two ends tell each other in RTCP as it passes.

An end tells what it misses of what the other one sends, from the sender through the relay to itself. Round trips are
measured at the relay, one for each leg: an SR passes with its sender's NTP time, and when the report that answers it
passes the other way, it says how long it was waited with (RFC 3550 section 6.4.1). What is left is the way from the relay
to that end and back, and no two clocks are compared.
"""

from __future__ import annotations

from math import isfinite, nan
from typing import NamedTuple

from attrs import define, field, frozen

from voipcluster.media.emodel import Inputs, impairment_of, mean_opinion, rating
from voipcluster.media.offer_answer import Side
from voipcluster.media.rtcp import (
    ReferenceHeard,
    ReferenceTime,
    Report,
    ReportBlock,
    VoipMetrics,
    middle_32,
    parse_rtcp,
)
from voipcluster.media.trace import Trace

MOST_SOURCES = 8  # of one side: transfers and conferences begin new ones, a hostile peer any number
MOST_READ = 20  # datagrams a second and stream: feedback comes that often (RFC 4585), and reading costs as much as relaying 20
MOST_MARKS = 16  # reports of one side that may still be answered; they come every few seconds
LONGEST_ROUND_TRIP = 30.0  # seconds; what seems longer, or shorter than none, is no answer to what was kept
CLOCK_GRAIN = 0.02  # seconds by which an end may overstate its wait: its clock may count in ticks of 10 ms
LARGEST_STEP = 1 << 16  # packets from one report to the next; more is a sequence that began anew
PACKET_TIME = 20.0  # ms of speech in a packet (RFC 3551 section 4.2)
JITTER_BUFFER = 2.0  # times the mean jitter, what a jitter buffer is taken to hold back


class Passed(NamedTuple):
    """Event: an RTCP datagram of C{side} passes. C{rate} is the clock of the payload in Hz, 0 when unknown."""

    side: Side
    datagram: bytes
    rate: int


class Received(NamedTuple):
    """
    Effect: C{side} told how it receives.

    @ivar lost: 0 to 1, since its report before.
    @ivar jitter: seconds, or L{None} when the clock of the payload is not known.
    """

    side: Side
    lost: float
    jitter: float | None


class RoundTrip(NamedTuple):
    """Effect: so many seconds from the relay to C{side} and back."""

    side: Side
    seconds: float


Measured = Received | RoundTrip


@define
class Spread:
    """Latest, mean and largest of a value, all 0 before the first one."""

    latest: float = 0.0
    largest: float = 0.0
    count: int = 0
    _sum: float = 0.0

    def add(self, value: float) -> None:
        self.latest, self.largest = value, max(value, self.largest)
        self.count += 1
        self._sum += value

    @property
    def mean(self) -> float | None:
        return self._sum / self.count if self.count else None


@define
class _Source:
    """What is known of one sequence of packets: where its latest report stood."""

    highest: int
    lost: int


@define
class Hearing:
    """
    What one side receives.

    @ivar reports: of this side, about something that it hears.
    @ivar lost: and C{expected}: packets. Those before the first report are worked out from its fraction, and are 0 when
        nothing was lost until then.
    @ivar lost_lately: 0 to 1, between the latest two reports.
    @ivar jitter: seconds.
    @ivar round_trip: between the relay and this side, seconds.
    @ivar metrics: the latest that its phone measured itself.
    """

    reports: int = 0
    lost: int = 0
    expected: int = 0
    lost_lately: float = 0.0
    jitter: Spread = field(factory=Spread)
    round_trip: Spread = field(factory=Spread)
    metrics: VoipMetrics | None = None
    trace: Trace = field(factory=Trace)
    _sources: dict[int, _Source] = field(factory=dict)
    _marks: dict[tuple[int, int], float] = field(factory=dict)

    @property
    def loss(self) -> float | None:
        """0 to 1 of all packets that a report speaks about; L{None} without any."""
        if not self.reports:
            return None
        return self.lost / self.expected if self.expected else self.lost_lately

    def expects(self, ssrc: int, ntp: int, now: float) -> None:
        """Something passes to this side that it may answer."""
        self._marks[ssrc, middle_32(ntp)] = now
        if len(self._marks) > MOST_MARKS:
            del self._marks[next(iter(self._marks))]

    def answers(self, ssrc: int, last: int, delay: int, now: float) -> float | None:
        """
        @param last: the time that is answered, C{delay} since it came in 1/65536 s.
        @return: the round trip in seconds; L{None} for an answer to nothing that passed, or one that cannot be.
        """
        passed = self._marks.get((ssrc, last)) if last else None
        if passed is None:
            return None
        seconds = now - passed - delay / 65536
        if not -CLOCK_GRAIN <= seconds <= LONGEST_ROUND_TRIP:
            return None
        self.round_trip.add(max(0.0, seconds))
        return self.round_trip.latest

    def told(self, block: ReportBlock, rate: int) -> float | None:
        """One block of a report of this side. @return: the jitter in seconds."""
        self._count(block)
        self.reports += 1
        self.lost_lately = block.fraction / 256
        if not rate:
            return None
        self.jitter.add(block.jitter / rate)
        return self.jitter.latest

    def _count(self, block: ReportBlock) -> None:
        source = self._sources.get(block.ssrc)
        if source is None:
            if len(self._sources) >= MOST_SOURCES:
                return
            self._sources[block.ssrc] = _Source(block.highest, block.lost)
            if block.fraction and block.lost > 0:
                self.lost += block.lost
                self.expected += round(block.lost * 256 / block.fraction)
            return
        expected = block.highest - source.highest
        if 0 <= expected <= LARGEST_STEP:
            self.expected += expected
            self.lost += min(expected, max(0, block.lost - source.lost))
        source.highest, source.lost = block.highest, block.lost


@define
class StreamQuality:
    """
    The reports about one relayed line.

    @ivar hearings: by the side that receives.
    @ivar unreadable: datagrams that are no RTCP; SRTCP is none to us.
    """

    hearings: dict[Side, Hearing] = field(factory=lambda: {side: Hearing() for side in Side})
    unreadable: int = 0
    _second: float = 0.0  # when the one began in which C{_read} datagrams came
    _read: int = 0

    def takes(self, now: float) -> bool:
        """Whether one more datagram is to be read: else one end could keep the node busy with what nobody needs."""
        if now - self._second >= 1.0:
            self._second, self._read = now, 0
        self._read += 1
        return self._read <= MOST_READ

    def feed(self, event: Passed, now: float) -> list[Measured]:
        """
        @param now: seconds, when the datagram came in; exact, since round trips come from it.
        @raise ParseError: no RTCP; it was counted.
        """
        try:
            said = parse_rtcp(event.datagram)
        except Exception:
            self.unreadable += 1
            raise
        measured: list[Measured] = []
        for one in said:
            match one:
                case Report():
                    measured += self._reported(event, one, now)
                case ReferenceTime(ssrc, ntp):
                    self.hearings[event.side.other].expects(ssrc, ntp, now)
                case ReferenceHeard(ssrc, last, delay):
                    measured += self._answered(event.side, ssrc, last, delay, now)
                case VoipMetrics():
                    self.hearings[event.side].metrics = one
        return measured

    def _reported(self, event: Passed, report: Report, now: float) -> list[Measured]:
        side, measured = event.side, list[Measured]()
        hearing = self.hearings[side]
        if report.ntp:
            self.hearings[side.other].expects(report.ssrc, report.ntp, now)
        for block in report.blocks:
            measured += self._answered(side, block.ssrc, block.last_sr, block.delay, now)
            jitter = hearing.told(block, event.rate)
            measured.append(Received(side, hearing.lost_lately, jitter))
        if report.blocks:
            whole = self.round_trip(lately=True)
            hearing.trace.add(
                now,
                hearing.lost_lately,
                hearing.jitter.latest if hearing.jitter.count else nan,
                nan if whole is None else whole,
            )
        return measured

    def _answered(self, side: Side, ssrc: int, last: int, delay: int, now: float) -> list[Measured]:
        seconds = self.hearings[side].answers(ssrc, last, delay, now)
        return [] if seconds is None else [RoundTrip(side, seconds)]

    def round_trip(self, *, lately: bool = False) -> float | None:
        """From end to end and back in seconds: both legs; L{None} as long as one of them is unknown."""
        spreads = [hearing.round_trip for hearing in self.hearings.values()]
        if not all(spread.count for spread in spreads):
            return None
        return sum(spread.latest if lately else spread.mean or 0.0 for spread in spreads)


@frozen
class Opinion:
    """
    An estimate with what went into it.

    @ivar delay: from mouth to ear in ms: half of the round trip, one packet, look-ahead of the codec, jitter buffer.
    @ivar lost: per cent, with what the jitter buffer threw away where the phone tells it.
    """

    r: float
    mos: float
    delay: float
    lost: float


def opinion(
    codec: str,
    loss: float,
    jitter: float | None,
    round_trip: float | None,
    metrics: VoipMetrics | None = None,
) -> Opinion:
    """
    Estimate what one side thinks of what it hears.

    @param codec: encoding name of what it hears.
    @param loss: 0 to 1.
    @param jitter: seconds; unknown counts as none, as does C{round_trip}, from end to end, in seconds.
    @param metrics: what its phone measured: knows its jitter buffer better than we do.
    """
    impairment = impairment_of(codec)
    held_back = max(PACKET_TIME, JITTER_BUFFER * 1000 * _known(jitter))
    discarded = 0.0
    if metrics is not None:
        held_back = metrics.jitter_buffer or held_back
        discarded = metrics.discarded / 256
    delay = 500 * _known(round_trip) + PACKET_TIME + impairment.lookahead + held_back
    lost = 100 * min(1.0, loss + discarded)
    r = rating(Inputs(delay=delay, lost=lost, codec=impairment))
    return Opinion(r, mean_opinion(r), delay, lost)


def _known(value: float | None) -> float:
    return 0.0 if value is None or not isfinite(value) else value
