"""RTCP as an end sends it, octet by octet (RFC 3550 section 6.4, RFC 3611), for tests that play one."""

from __future__ import annotations

from struct import pack


def packet(kind: int, count: int, body: bytes) -> bytes:
    """One packet of a compound; C{body} is whole 32-bit words."""
    assert len(body) % 4 == 0, "RTCP counts in words"
    return pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def block(
    ssrc: int,
    *,
    fraction: int = 0,
    lost: int = 0,
    highest: int = 0,
    jitter: int = 0,
    last: int = 0,
    delay: int = 0,
) -> bytes:
    """One report block; C{delay} in 1/65536 s."""
    losses = fraction << 24 | lost & 0xFFFFFF
    return pack("!IIIIII", ssrc, losses, highest, jitter, last, delay)


def sender_report(ssrc: int, ntp: int, *blocks: bytes, packets: int = 0, octets: int = 0) -> bytes:
    return packet(200, len(blocks), pack("!IQIII", ssrc, ntp, 0, packets, octets) + b"".join(blocks))


def receiver_report(ssrc: int, *blocks: bytes) -> bytes:
    return packet(201, len(blocks), pack("!I", ssrc) + b"".join(blocks))


def description(ssrc: int, name: bytes = b"alice@example.com") -> bytes:
    """An SDES packet with a CNAME."""
    items = b"\x01" + bytes([len(name)]) + name + b"\0"
    return packet(202, 1, pack("!I", ssrc) + items + bytes(-len(items) % 4))


def bye(ssrc: int) -> bytes:
    return packet(203, 1, pack("!I", ssrc))


def extended(ssrc: int, *blocks: bytes) -> bytes:
    return packet(207, 0, pack("!I", ssrc) + b"".join(blocks))


def extended_block(kind: int, body: bytes) -> bytes:
    return pack("!BBH", kind, 0, len(body) // 4) + body


def reference_time(ntp: int) -> bytes:
    return extended_block(4, pack("!Q", ntp))


def reference_heard(ssrc: int, last: int, delay: int) -> bytes:
    return extended_block(5, pack("!III", ssrc, last, delay))


def voip_metrics(
    ssrc: int, *, lost: int = 0, discarded: int = 0, r: int = 127, mos: int = 127, buffer: int = 0
) -> bytes:
    return extended_block(
        7,
        pack(
            "!IBBBBHHHHbbBBBBBBBBHHH",
            ssrc, lost, discarded, 0, 0, 0, 0, 0, 0, 127, 127, 127, 16, r, 127, mos, mos, 0, 0, buffer, 0, 0,
        ),
    )  # fmt: skip
