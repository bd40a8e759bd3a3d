"""What the phone says in RTCP: how much it sent, and how it hears the far end (RFC 3550 sections 6.4, 6.5, A.3 and A.8)."""

from __future__ import annotations

from struct import Struct

from attrs import define

from voipcluster.errors import ParseError
from voipcluster.media.rtcp import (
    RECEIVER_REPORT,
    SENDER_REPORT,
    Report,
    ReportBlock,
    middle_32,
    parse_rtcp,
)
from voipcluster.phone.tone import RATE

_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_DESCRIPTION, _CNAME = 202, 1  # SDES (section 6.5)
_WRAP = 1 << 16
_HEADER = Struct("!BBH")
_SENDER = Struct("!QIII")
_BLOCK = Struct("!IIIIII")


def ntp_time(seconds: float) -> int:
    """Unix seconds as a 64-bit NTP time (section 4)."""
    return int((seconds + _NTP_EPOCH) * (1 << 32))


@define
class Reception:
    """
    How one source arrives.

    @ivar highest: extended sequence number, C{first} the one that it began with.
    @ivar jitter: in ticks, with the four bits more of section A.8.
    """

    ssrc: int
    first: int
    highest: int
    received: int = 0
    jitter: int = 0
    _transit: int = 0
    _expected_before: int = 0
    _received_before: int = 0

    def packet(self, sequence: int, timestamp: int, now: float) -> None:
        """A packet came; C{now} in seconds."""
        step = (sequence - self.highest) % _WRAP
        if step < _WRAP // 2:
            self.highest += step
        transit = int(now * RATE) - timestamp
        if self.received:
            # the timestamp wraps after six days; a difference is all that counts
            change = abs((transit - self._transit + (1 << 31)) % (1 << 32) - (1 << 31))
            self.jitter += change - (self.jitter + 8 >> 4)
        self._transit = transit
        self.received += 1

    def block(self, last_sr: int, delay: int) -> ReportBlock:
        """What is to be told of it now; C{last_sr} and C{delay} as there."""
        expected = self.highest - self.first + 1
        lost = max(-(1 << 23), min(expected - self.received, (1 << 23) - 1))
        due = expected - self._expected_before
        missing = due - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = (missing << 8) // due if due > 0 and missing > 0 else 0
        highest = self.highest & 0xFFFFFFFF
        return ReportBlock(self.ssrc, min(fraction, 255), lost, highest, self.jitter >> 4, last_sr, delay)


class Reports:
    """
    The RTCP of one stream of the phone.

    @param ssrc: of what it sends; C{cname}: its lasting name (section 6.5.1), at most 255 octets.
    """

    def __init__(self, ssrc: int, cname: str) -> None:
        self._ssrc, self._cname = ssrc, cname.encode()[:255]
        self._heard: Reception | None = None
        self._last_sr = (0, 0, 0.0)  # of which source, the middle of its NTP time, and when it came
        self._sent = 0

    def packet(self, ssrc: int, sequence: int, timestamp: int, now: float) -> None:
        """A packet of media came. Another source than before begins anew, as behind a transfer."""
        heard = self._heard
        if heard is None or heard.ssrc != ssrc:
            heard = self._heard = Reception(ssrc, sequence, sequence)
        heard.packet(sequence, timestamp, now)

    def report(self, datagram: bytes, now: float) -> None:
        """RTCP came; what is none is dropped."""
        try:
            said = parse_rtcp(datagram)
        except ParseError:
            return
        for one in said:
            if isinstance(one, Report) and one.ntp:
                self._last_sr = (one.ssrc, middle_32(one.ntp), now)

    def make(self, now: float, timestamp: int, packets: int, octets: int) -> bytes:
        """
        A compound packet: SR when something was sent since the last one, else RR; then the name (section 6.1).

        @param now: unix seconds; C{timestamp}: that of RTP now; C{packets} and C{octets} of payload sent until now.
        """
        blocks = b""
        if self._heard is not None:
            source, last_sr, came = self._last_sr
            known = last_sr and source == self._heard.ssrc
            delay = round((now - came) * 65536) if known else 0
            block = self._heard.block(last_sr if known else 0, min(max(delay, 0), 0xFFFFFFFF))
            fields = (block.ssrc, block.fraction << 24 | block.lost & 0xFFFFFF, *block[3:])
            blocks = _BLOCK.pack(*fields)
        count, ssrc = len(blocks) // _BLOCK.size, self._ssrc.to_bytes(4, "big")
        if packets != self._sent:
            self._sent = packets
            told = _SENDER.pack(ntp_time(now), timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
            first = _packet(SENDER_REPORT, count, ssrc + told + blocks)
        else:
            first = _packet(RECEIVER_REPORT, count, ssrc + blocks)
        item = bytes([_CNAME, len(self._cname)]) + self._cname
        # at least one null octet ends the list, up to the next boundary of 32 bits
        chunk = ssrc + item + bytes(4 - len(item) % 4)
        return first + _packet(_DESCRIPTION, 1, chunk)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body
