"""
RTCP packets that say how media arrives: SR and RR (RFC 3550 section 6.4), and three blocks of XR (RFC 3611): receiver
reference time, DLRR, VoIP metrics.

Everything else in a compound packet is walked over, BYE too: the end of a call is the signalling's to say, and whoever
can send to a port could forge one.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, TypeAlias

from voipcluster.errors import ParseError

MOST_PACKETS = 32  # of one datagram; a real one has 2 to 4
MOST_BLOCKS = 31  # of one report, the largest count that its header can tell (section 6.4.1)

SENDER_REPORT, RECEIVER_REPORT, EXTENDED_REPORT = 200, 201, 207
_FIRST_TYPE, _LAST_TYPE = 192, 223  # what RTCP may use (RFC 5761 section 4)
_REFERENCE_TIME, _DLRR, _VOIP_METRICS = 4, 5, 7  # block types of RFC 3611 section 4

_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_DLRR_BLOCK = Struct("!III")
_METRICS = Struct("!IBBBBHHHHbbBBBBBBBBHHH")


class ReportBlock(NamedTuple):
    """
    How one source is received (RFC 3550 section 6.4.1).

    @ivar ssrc: the source.
    @ivar fraction: 0 to 255, of 256 packets expected since the report before, how many did not come.
    @ivar lost: packets since the beginning; negative when copies outnumber them.
    @ivar highest: extended sequence number.
    @ivar jitter: in ticks of the payload's clock.
    @ivar last_sr: the middle 32 bits of the NTP time of the last SR from that source; 0 when none came.
    @ivar delay: since that SR, in 1/65536 s.
    """

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    last_sr: int
    delay: int


class Report(NamedTuple):
    """
    One SR or RR. C{ntp} is the 64-bit NTP time of an SR, 0 for an RR; C{packets} and C{octets} sent as an SR tells.
    """

    ssrc: int
    ntp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...]


class ReferenceTime(NamedTuple):
    """A receiver that sends no media tells its NTP time all the same (RFC 3611 section 4.4)."""

    ssrc: int
    ntp: int


class ReferenceHeard(NamedTuple):
    """
    The answer to a L{ReferenceTime} (RFC 3611 section 4.5).

    @ivar ssrc: of the receiver that is answered.
    @ivar last_rr: the middle 32 bits of its NTP time; 0 when none came.
    @ivar delay: since then, in 1/65536 s.
    """

    ssrc: int
    last_rr: int
    delay: int


class VoipMetrics(NamedTuple):
    """
    What a phone measured behind its jitter buffer (RFC 3611 section 4.7).

    @ivar ssrc: the source that it heard.
    @ivar lost: and C{discarded}: of 256 packets, since the beginning.
    @ivar round_trip: and C{end_system}: ms; 0 when not known.
    @ivar r_factor: 0 to 100; 127 when not known. C{mos_lq} and C{mos_cq}: tenths, 10 to 50; 127 when not known.
    @ivar jitter_buffer: the nominal delay of its jitter buffer in ms.
    """

    ssrc: int
    lost: int
    discarded: int
    burst_density: int
    gap_density: int
    burst_duration: int
    gap_duration: int
    round_trip: int
    end_system: int
    signal_level: int
    noise_level: int
    echo_return_loss: int
    gap_threshold: int
    r_factor: int
    external_r_factor: int
    mos_lq: int
    mos_cq: int
    receiver_configuration: int
    reserved: int
    jitter_buffer: int
    jitter_buffer_maximum: int
    jitter_buffer_absolute: int


Said: TypeAlias = Report | ReferenceTime | ReferenceHeard | VoipMetrics


def middle_32(ntp: int) -> int:
    """The compact form of a 64-bit NTP time: 16 bits of seconds, 16 of their fraction (RFC 3550 section 4)."""
    return ntp >> 16 & 0xFFFFFFFF


def parse_rtcp(datagram: bytes) -> list[Said]:
    """
    Read a compound packet, or a single one of reduced size (RFC 5506).

    @return: what is understood, in its order.
    @raise ParseError: the datagram is not made of whole RTCP packets to its end, as SRTCP is not, or a packet is shorter
        than its counts say.
    """
    said: list[Said] = []
    for kind, count, body in _packets(datagram):
        if kind == SENDER_REPORT:
            said.append(_sender_report(count, body))
        elif kind == RECEIVER_REPORT:
            if len(body) < 4:
                raise ParseError("RTCP receiver report without its sender")
            said.append(Report(int.from_bytes(body[:4], "big"), 0, 0, 0, _blocks(count, body[4:])))
        elif kind == EXTENDED_REPORT:
            said += _extended(body)
    return said


def _packets(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Packet type, count and what is behind the first word, without padding (RFC 3550 section A.2)."""
    size, at = len(datagram), 0
    for _ in range(MOST_PACKETS):
        if at + 4 > size:
            raise ParseError(f"RTCP datagram of {size} octets ends within a header")
        first, kind = datagram[at], datagram[at + 1]
        if first >> 6 != 2 or not _FIRST_TYPE <= kind <= _LAST_TYPE:
            raise ParseError(f"no RTCP packet at octet {at}", offset=at)
        end = at + 4 * (1 + int.from_bytes(datagram[at + 2 : at + 4], "big"))
        if end > size:
            raise ParseError(f"RTCP packet at octet {at} is longer than its datagram", offset=at)
        body = datagram[at + 4 : end]
        if first & 0x20:
            body = _without_padding(body, last=end == size)
        yield kind, first & 31, body
        if end == size:
            return
        at = end
    raise ParseError(f"RTCP datagram of more than {MOST_PACKETS} packets")


def _without_padding(body: bytes, last: bool) -> bytes:
    """The last octet counts the padding, and only the last packet has any (RFC 3550 section 6.4.1)."""
    padding = body[-1] if body and last else 0
    if not 0 < padding <= len(body) or padding % 4:
        raise ParseError("RTCP padding that is none")
    return body[:-padding]


def _sender_report(count: int, body: bytes) -> Report:
    if len(body) < _SENDER.size:
        raise ParseError("RTCP sender report is cut off")
    ssrc, ntp, _, packets, octets = _SENDER.unpack_from(body)
    return Report(ssrc, ntp, packets, octets, _blocks(count, body[_SENDER.size :]))


def _blocks(count: int, body: bytes) -> tuple[ReportBlock, ...]:
    """What follows the blocks is an extension of some profile (RFC 3550 section 6.4.3)."""
    if len(body) < count * _BLOCK.size:
        raise ParseError(f"RTCP report has less than its {count} blocks")
    blocks = []
    for number in range(count):
        ssrc, losses, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, number * _BLOCK.size)
        lost = losses & 0xFFFFFF
        if lost & 0x800000:
            lost -= 1 << 24  # signed, in 24 bits
        blocks.append(ReportBlock(ssrc, losses >> 24, lost, highest, jitter, last_sr, delay))
    return tuple(blocks)


def _extended(body: bytes) -> Iterator[Said]:
    """The blocks of an XR packet (RFC 3611 section 2); those of other types are left out."""
    if len(body) < 4:
        raise ParseError("RTCP extended report without its sender")
    sender, at = int.from_bytes(body[:4], "big"), 4
    while at < len(body):
        if at + 4 > len(body):
            raise ParseError("RTCP extended report ends within a block")
        kind, begin = body[at], at + 4
        at = begin + 4 * int.from_bytes(body[at + 2 : at + 4], "big")
        if at > len(body):
            raise ParseError("RTCP extended report block is longer than its packet")
        block = body[begin:at]
        if kind == _REFERENCE_TIME and len(block) == 8:
            yield ReferenceTime(sender, int.from_bytes(block, "big"))
        elif kind == _DLRR and len(block) % _DLRR_BLOCK.size == 0:
            for answer in range(0, min(len(block), MOST_BLOCKS * _DLRR_BLOCK.size), _DLRR_BLOCK.size):
                yield ReferenceHeard(*_DLRR_BLOCK.unpack_from(block, answer))
        elif kind == _VOIP_METRICS and len(block) == _METRICS.size:
            yield VoipMetrics(*_METRICS.unpack(block))
