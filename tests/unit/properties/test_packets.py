"""RTP, RTCP and STUN."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.packets import check_media_packet, check_stream, check_stun
from tests.unit.strategies import damaged

RTP = st.builds(
    lambda first, kind, rest: bytes([0x80 | first, kind]) + rest,
    st.integers(0, 63),
    st.integers(0, 255),
    st.binary(max_size=60),
)
ATTRIBUTES = st.lists(
    st.tuples(st.sampled_from([6, 8, 0x20, 0x24, 0x8022, 0x7FFF]), st.binary(max_size=8)), max_size=3
)


def binding_request(attributes: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(
        struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes
    )
    return struct.pack(">HHI", 1, len(body), 0x2112A442) + b"transaction!" + body


class GeneratedPacketTests(SynchronousTestCase):
    @given(RTP | damaged(RTP) | st.binary(max_size=30))
    def test_media_packets(self, packet: bytes) -> None:
        """Three ways to look at a packet agree (RFC 5761 section 4, RFC 7983 section 7)."""
        check_media_packet(packet)

    @given(ATTRIBUTES.map(binding_request) | damaged(ATTRIBUTES.map(binding_request)))
    def test_stun(self, packet: bytes) -> None:
        """Only a Binding request is answered, shortly and well formed (RFC 8489 section 6.3.1)."""
        check_stun(packet)
        check_media_packet(packet)

    @given(st.lists(st.binary(min_size=3, max_size=3), max_size=30).map(b"".join))
    def test_streams(self, octets: bytes) -> None:
        """Whatever is described and whoever sends, media goes only where it may (attack M7)."""
        check_stream(octets)
