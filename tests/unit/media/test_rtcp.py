"""RTCP from octets that anybody may have sent (RFC 3550 section 6, RFC 3611)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.rtcp_packets import (
    block,
    bye,
    description,
    extended,
    extended_block,
    packet,
    receiver_report,
    reference_heard,
    reference_time,
    sender_report,
    voip_metrics,
)
from voipcluster.errors import ParseError
from voipcluster.media.rtcp import (
    MOST_PACKETS,
    ReferenceHeard,
    ReferenceTime,
    Report,
    ReportBlock,
    VoipMetrics,
    middle_32,
    parse_rtcp,
)

NTP = 0xB44DB705_20000000  # section 6.4.1, figure 2
EACH = (
    sender_report(1, NTP, block(2), packets=3, octets=4),
    receiver_report(1, block(2)),
    description(1),
    bye(1),
    extended(1, reference_time(NTP), reference_heard(2, 3, 4), voip_metrics(2)),
)


class ReportTests(SynchronousTestCase):
    def test_sender_report(self) -> None:
        """All of its fields and blocks; SDES behind it is walked over (sections 6.4.1 and 6.5)."""
        heard = block(7, fraction=64, lost=1000, highest=0x10005, jitter=80, last=0xB7052000, delay=0x54000)
        report, *rest = parse_rtcp(sender_report(9, NTP, heard, packets=250, octets=40000) + description(9))
        expected = ReportBlock(7, 64, 1000, 0x10005, 80, 0xB7052000, 0x54000)
        self.assertEqual(report, Report(9, NTP, 250, 40000, (expected,)))
        self.assertEqual(rest, [])

    def test_more_copies_than_losses(self) -> None:
        """The number of lost packets has a sign, in 24 bits (section 6.4.1)."""
        (report,) = parse_rtcp(receiver_report(9, block(7, lost=-3)))
        assert isinstance(report, Report)
        self.assertEqual([one.lost for one in report.blocks], [-3])

    def test_extension_of_a_profile(self) -> None:
        """What follows the blocks is not read (section 6.4.3)."""
        long = packet(201, 1, (9).to_bytes(4, "big") + block(7) + b"more" * 5)
        self.assertEqual(parse_rtcp(long), parse_rtcp(receiver_report(9, block(7))))

    def test_padding(self) -> None:
        """Padding is taken off the last packet, and an error elsewhere (section 6.4.1)."""
        whole = bytearray(receiver_report(9, block(7)) + b"\0\0\0\4")
        whole[0] |= 0x20
        whole[3] += 1
        self.assertEqual(parse_rtcp(bytes(whole)), parse_rtcp(receiver_report(9, block(7))))
        for bad in (0, 3, 32, 255):
            whole[-1] = bad
            self.assertRaises(ParseError, parse_rtcp, bytes(whole))
        whole[-1] = 4
        self.assertRaises(ParseError, parse_rtcp, bytes(whole) + bye(9))

    def test_middle_of_ntp(self) -> None:
        """16 bits of seconds and 16 of their fraction (section 6.4.1, figure 2)."""
        self.assertEqual(middle_32(NTP), 0xB7052000)


class ExtendedTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        """Reference time, its answers, VoIP metrics; blocks of other types are left out (RFC 3611 section 4)."""
        other = extended_block(1, bytes(12))
        answers = extended_block(5, reference_heard(2, 3, 4)[4:] + reference_heard(5, 6, 7)[4:])
        said = parse_rtcp(
            extended(
                9,
                reference_time(NTP),
                other,
                answers,
                voip_metrics(7, lost=26, discarded=5, r=88, mos=43, buffer=60),
            )
        )
        self.assertEqual(said[:3], [ReferenceTime(9, NTP), ReferenceHeard(2, 3, 4), ReferenceHeard(5, 6, 7)])
        metrics = said[3]
        assert isinstance(metrics, VoipMetrics)
        self.assertEqual(
            (
                metrics.ssrc,
                metrics.lost,
                metrics.discarded,
                metrics.r_factor,
                metrics.mos_cq,
                metrics.jitter_buffer,
            ),
            (7, 26, 5, 88, 43, 60),
        )

    def test_blocks_of_another_size(self) -> None:
        """A known block with a length that is not its own is one that we do not know (RFC 3611 section 3)."""
        self.assertEqual(
            parse_rtcp(extended(9, extended_block(4, bytes(4)), extended_block(7, bytes(28)))), []
        )

    def test_block_past_the_end(self) -> None:
        """A block that is longer than its packet is an error."""
        broken = bytearray(extended(9, reference_time(NTP)))
        broken[11] += 1
        self.assertRaises(ParseError, parse_rtcp, bytes(broken))


class HostileTests(SynchronousTestCase):
    def test_bye_says_nothing(self) -> None:
        """A BYE, which anybody could forge, has no meaning here (attack M4)."""
        self.assertEqual(parse_rtcp(receiver_report(9) + bye(9)), parse_rtcp(receiver_report(9)))

    def test_every_cut(self) -> None:
        """No packet is believed that the datagram does not hold to its end (section A.2)."""
        for whole in EACH:
            parse_rtcp(whole)
            for size in range(len(whole)):
                self.assertRaises(ParseError, parse_rtcp, whole[:size])

    def test_counts_that_are_too_large(self) -> None:
        """A report that has less blocks than it counts is an error."""
        for whole in EACH[:2]:
            self.assertRaises(ParseError, parse_rtcp, bytes([whole[0] + 1]) + whole[1:])

    def test_protected_rtcp(self) -> None:
        """SRTCP ends with an index and a tag, which is no RTCP packet (RFC 3711 section 3.4)."""
        for tag in (4, 10, 16):
            self.assertRaises(ParseError, parse_rtcp, receiver_report(9) + b"\x80\0\0\1" + bytes(tag))

    def test_too_many_packets(self) -> None:
        """One datagram costs a bounded time."""
        self.assertEqual(parse_rtcp(bye(1) * MOST_PACKETS), [])
        self.assertRaises(ParseError, parse_rtcp, bye(1) * (MOST_PACKETS + 1))

    @given(st.binary(max_size=200) | st.lists(st.sampled_from(EACH), max_size=4).map(b"".join), st.data())
    def test_anything(self, octets: bytes, data: st.DataObject) -> None:
        """Any octets, and whole packets with some of theirs changed, are read or are a ParseError."""
        damaged = bytearray(octets)
        for _ in range(data.draw(st.integers(0, 3)) if octets else 0):
            damaged[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        try:
            said = parse_rtcp(bytes(damaged))
        except ParseError:
            return
        self.assertLessEqual(
            sum(len(one.blocks) for one in said if isinstance(one, Report)), len(damaged) // 24
        )
