"""
Which protocol a datagram on a media port speaks, by its first octets (RFC 7983 section 7, RFC 5761 section 4).

Nothing here keeps or trusts what it reads: each length is checked before an octet is looked at.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from voipcluster.errors import ParseError

RTP_HEADER_SIZE = 12  # octets, RFC 3550 section 5.1
RTCP_HEADER_SIZE = 8  # octets, header and SSRC of the shortest packet with a sender, RFC 3550 section 6.4.2
STUN_HEADER_SIZE = 20  # octets, RFC 8489 section 5
DTLS_HEADER_SIZE = 13  # octets, RFC 6347 section 4.1


class Kind(Enum):
    """What a datagram is; C{OTHER} is nothing that belongs on an RTP port."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    ZRTP = "zrtp"
    OTHER = "other"


class RtpHeader(NamedTuple):
    """The fixed header (RFC 3550 section 5.1); C{timestamp} counts in the clock of the payload type."""

    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int


def is_rtcp(datagram: bytes) -> bool:
    """
    Whether this is RTCP rather than RTP on a shared port: packet types 192 to 223 (RFC 5761 section 4).

    The length field of the first packet has to fit in the datagram. The packets behind it are not walked: SRTCP
    encrypts them (RFC 3711 section 3.4).
    """
    size = len(datagram)
    if size < RTCP_HEADER_SIZE or datagram[0] >> 6 != 2 or not 192 <= datagram[1] <= 223:
        return False
    return ((datagram[2] << 8 | datagram[3]) + 1) * 4 <= size


def kind_of(datagram: bytes) -> Kind:
    """Tell the protocols on one port apart; anything short, cut or unknown is L{Kind.OTHER}."""
    size = len(datagram)
    if size < RTCP_HEADER_SIZE:
        return Kind.OTHER
    first = datagram[0]
    if first >> 6 == 2:
        if 192 <= datagram[1] <= 223:
            return Kind.RTCP if is_rtcp(datagram) else Kind.OTHER
        return Kind.RTP if size >= RTP_HEADER_SIZE + 4 * (first & 15) else Kind.OTHER
    if first <= 3:
        return Kind.STUN if size >= STUN_HEADER_SIZE else Kind.OTHER
    if 20 <= first <= 63:
        return Kind.DTLS if size >= DTLS_HEADER_SIZE else Kind.OTHER
    if 16 <= first <= 19:
        return Kind.ZRTP if size >= RTP_HEADER_SIZE else Kind.OTHER
    return Kind.OTHER


def parse_rtp(datagram: bytes) -> RtpHeader:
    """
    Read the fixed RTP header (RFC 3550 section 5.1).

    @raise ParseError: shorter than its header and CSRC list, or not version 2.
    """
    if len(datagram) < RTP_HEADER_SIZE or len(datagram) < RTP_HEADER_SIZE + 4 * (datagram[0] & 15):
        raise ParseError(f"RTP packet of {len(datagram)} octets is shorter than its header")
    if datagram[0] >> 6 != 2:
        raise ParseError(f"RTP version is {datagram[0] >> 6}, not 2")
    return RtpHeader(
        marker=bool(datagram[1] & 0x80),
        payload_type=datagram[1] & 0x7F,
        sequence=int.from_bytes(datagram[2:4], "big"),
        timestamp=int.from_bytes(datagram[4:8], "big"),
        ssrc=int.from_bytes(datagram[8:12], "big"),
    )
