"""RTP, RTCP and STUN."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.packets import check_media_packet, check_rtcp, check_stream, check_stun
from tests.rtcp_packets import (
    block,
    extended,
    receiver_report,
    reference_heard,
    reference_time,
    sender_report,
    voip_metrics,
)
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


SSRCS, TIMES = st.integers(1, 3), st.integers(0, 5)
BLOCKS = st.builds(
    block,
    SSRCS,
    fraction=st.integers(0, 255),
    lost=st.integers(-5, 1 << 22),
    highest=st.integers(0, 70_000) | st.integers(0, (1 << 32) - 1),
    jitter=st.integers(0, (1 << 32) - 1),
    last=TIMES,
    delay=st.integers(0, 1 << 17),
)
REPORTS = (
    st.builds(
        lambda ssrc, ntp, told: sender_report(ssrc, ntp << 16, *told),
        SSRCS,
        TIMES,
        st.lists(BLOCKS, max_size=3),
    )
    | st.builds(lambda ssrc, told: receiver_report(ssrc, *told), SSRCS, st.lists(BLOCKS, max_size=3))
    | st.builds(lambda ssrc, ntp: extended(ssrc, reference_time(ntp << 16)), SSRCS, TIMES)
    | st.builds(lambda *told: extended(1, reference_heard(*told)), SSRCS, TIMES, st.integers(0, 1 << 17))
    | st.builds(
        lambda ssrc, told: extended(
            ssrc, voip_metrics(ssrc, lost=told, discarded=255 - told, buffer=told << 8)
        ),
        SSRCS,
        st.integers(0, 255),
    )
)
TOLD = st.builds(
    lambda first, packets: bytes([first]) + b"".join(packets),
    st.integers(0, 254),
    st.lists(REPORTS, max_size=3),
)


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

    @given(st.lists(TOLD | damaged(TOLD), max_size=8).map(b"\xff\xff".join))
    def test_quality(self, octets: bytes) -> None:
        """Whatever the ends of a stream report, what is made of it is possible (RFC 3550 section 6.4)."""
        check_rtcp(octets)
