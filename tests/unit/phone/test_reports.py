"""Tests of the phone's RTCP, read back by the relay's reader."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.rtcp import Report, ReportBlock, middle_32, parse_rtcp
from voipcluster.phone.reports import Reports, ntp_time

OURS, THEIRS = 0x11111111, 0x22222222
NOW = 1_700_000_000.0


class ReportsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reports = Reports(OURS, "alice@192.0.2.1")

    def hear(self, *sequences: int, late: float = 0.0) -> None:
        """Packets of 20 ms that come when they are due."""
        for sequence in sequences:
            self.reports.packet(THEIRS, sequence % 65536, 160 * sequence, NOW + 0.02 * sequence + late)

    def made(self, now: float = NOW, packets: int = 0) -> Report:
        [report] = parse_rtcp(self.reports.make(now, 8000, packets, 160 * packets))
        assert isinstance(report, Report)
        return report

    def block(self, now: float = NOW) -> ReportBlock:
        [block] = self.made(now).blocks
        return block

    def test_sender_report(self) -> None:
        """Who has sent tells how much, and what the time is at its RTP timestamp (section 6.4.1)."""
        self.assertEqual(self.made(packets=50), Report(OURS, ntp_time(NOW), 50, 8000, ()))
        datagram = self.reports.make(NOW, 8000, 51, 8160)
        self.assertEqual(int.from_bytes(datagram[16:20], "big"), 8000)

    def test_receiver_report(self) -> None:
        """Who has sent nothing since the last report is a receiver (section 6.4)."""
        self.made(packets=50)
        self.assertEqual(self.made(packets=50), Report(OURS, 0, 0, 0, ()))

    def test_name(self) -> None:
        """Each compound packet has the CNAME, padded with one to four null octets (sections 6.1 and 6.5)."""
        for name in ("a", "ab", "abc", "abcd", "a" * 255):
            datagram = Reports(OURS, name).make(NOW, 0, 0, 0)
            description = datagram[8:]
            self.assertEqual(description[:2], b"\x81\xca")
            self.assertEqual(len(description), 4 + 4 * int.from_bytes(description[2:4], "big"))
            self.assertEqual(
                description[8:], b"\x01" + bytes([len(name)]) + name.encode() + bytes(4 - (2 + len(name)) % 4)
            )

    def test_losses(self) -> None:
        """The fraction is that since the report before, the number that of all (section A.3)."""
        self.hear(*range(10, 18), 20)
        block = self.block()
        self.assertEqual(
            (block.ssrc, block.fraction, block.lost, block.highest), (THEIRS, 256 * 2 // 11, 2, 20)
        )
        self.hear(*range(21, 31))
        block = self.block()
        self.assertEqual((block.fraction, block.lost, block.highest), (0, 2, 30))

    def test_copies_and_disorder(self) -> None:
        """A packet that overtakes another is no loss, and copies make the number negative (section A.3)."""
        self.hear(1, 3, 2, 4, 4, 4)
        block = self.block()
        self.assertEqual((block.fraction, block.lost, block.highest), (0, -2, 4))

    def test_wrap(self) -> None:
        """The sequence number goes on behind 65535 (section A.1)."""
        self.hear(65534, 65535, 65536, 65537)
        block = self.block()
        self.assertEqual((block.lost, block.highest), (0, 65537))

    def test_jitter(self) -> None:
        """Packets as they are due have none; with one in two 10 ms late the mean comes near to 80 ticks (section A.8)."""
        self.hear(*range(50))
        self.assertEqual(self.block().jitter, 0)
        for sequence in range(50, 150):
            self.hear(sequence, late=0.01 * (sequence % 2))
        self.assertIn(self.block().jitter, range(72, 89))

    def test_round_trip(self) -> None:
        """The last SR of the source that is heard, and for how long it was waited with, in 1/65536 s (section 6.4.1)."""
        self.hear(1)
        self.assertEqual(self.block()[5:], (0, 0))
        self.reports.report(Reports(0x33333333, "who").make(NOW, 0, 1, 160), NOW)
        self.assertEqual(self.block()[5:], (0, 0), "of somebody else")
        self.reports.report(Reports(THEIRS, "bob").make(NOW, 0, 1, 160), NOW + 1.0)
        self.assertEqual(self.block(NOW + 3.5)[5:], (middle_32(ntp_time(NOW)), 163_840))

    def test_what_is_no_report(self) -> None:
        """Noise changes nothing."""
        self.hear(1)
        for datagram in (b"", b"\x80", b"noise" * 9, bytes(64)):
            self.reports.report(datagram, NOW)
        self.assertEqual(self.block()[5:], (0, 0))

    def test_another_source(self) -> None:
        """Behind a transfer somebody else is heard: the counts are his."""
        self.hear(*range(10))
        self.reports.packet(0x44444444, 7, 0, NOW)
        self.assertEqual(self.block()[:4], (0x44444444, 0, 0, 7))
