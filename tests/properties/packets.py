"""What comes to a media port or, as keep-alive, to the SIP port: RTP, RTCP (RFC 3550) and STUN (RFC 8489)."""

from __future__ import annotations

from tests.properties.outcome import failed, outcome
from voipcluster.media.rtp import Kind, is_rtcp, kind_of, parse_rtp
from voipcluster.net.stun import binding_response


def check_media_packet(octets: bytes) -> None:
    kind, header = kind_of(octets), outcome(lambda: parse_rtp(octets))
    assert (kind is Kind.RTCP) == is_rtcp(octets)
    if kind is Kind.RTP:
        assert not failed(header)
        assert 0 <= header.payload_type < 128 and header.sequence < 1 << 16 and header.ssrc < 1 << 32
        assert octets[4:12] == header.timestamp.to_bytes(4, "big") + header.ssrc.to_bytes(4, "big")
    if failed(header):
        assert kind is not Kind.RTP


def check_stun(octets: bytes) -> None:
    for source in (("192.0.2.7", 4711), ("2001:db8::7", 65535), ("fe80::1%eth0", 1)):
        answer = binding_response(octets, source)
        if answer is None:
            continue
        assert kind_of(octets) is Kind.STUN
        assert len(answer) <= 48 and len(answer) <= 3 * len(octets), "no amplifier"
        assert answer[4:20] == octets[4:20], "cookie and transaction"
        assert len(answer) == 20 + int.from_bytes(answer[2:4], "big") and len(answer) % 4 == 0
        assert answer[:2] in (b"\x01\x01", b"\x01\x11")
        assert binding_response(answer, source) is None, (
            "an answer is not answered: no loop between two nodes"
        )
