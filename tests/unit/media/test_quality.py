"""Loss, jitter and round trips of a relayed stream, from the RTCP that passes (RFC 3550 section 6.4)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.rtcp_packets import (
    block,
    bye,
    extended,
    receiver_report,
    reference_heard,
    reference_time,
    sender_report,
    voip_metrics,
)
from voipcluster.errors import ParseError
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import (
    MOST_MARKS,
    MOST_SOURCES,
    Measured,
    Passed,
    Received,
    RoundTrip,
    StreamQuality,
    opinion,
)
from voipcluster.media.rtcp import VoipMetrics, parse_rtcp

NTP = 0xB44DB705_20000000
CALLER, CALLEE = 0xAAAA, 0xBBBB  # SSRCs


class QualityCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.quality = StreamQuality()

    def passes(self, side: Side, datagram: bytes, now: float = 0.0, rate: int = 8000) -> list[Measured]:
        return self.quality.feed(Passed(side, datagram, rate), now)


class RoundTripTests(QualityCase):
    def test_example_of_the_rfc(self) -> None:
        """Sent at 46853.125 s, waited with for 5.25 s, back at 46864.5 s: 6.125 s (section 6.4.1, figure 2)."""
        self.passes(Side.CALLER, sender_report(CALLER, NTP), 46853.125)
        answer = receiver_report(CALLEE, block(CALLER, last=0xB7052000, delay=0x54000))
        measured = self.passes(Side.CALLEE, answer, 46864.5)
        self.assertIn(RoundTrip(Side.CALLEE, 6.125), measured)
        self.assertEqual(self.quality.hearings[Side.CALLER].round_trip.count, 0)

    def test_both_legs_make_the_way_from_end_to_end(self) -> None:
        """Each side is measured from the relay: 40 ms and 60 ms are 100 ms from end to end."""
        self.assertIsNone(self.quality.round_trip())
        self.passes(Side.CALLER, sender_report(CALLER, NTP), 10.0)
        self.passes(
            Side.CALLEE, sender_report(CALLEE, NTP + (1 << 32), block(CALLER, last=0xB7052000)), 10.06
        )
        self.assertIsNone(self.quality.round_trip())
        self.passes(Side.CALLER, receiver_report(CALLER, block(CALLEE, last=0xB7062000)), 10.1)
        self.assertAlmostEqual(self.quality.round_trip() or 0, 0.1)

    def test_answers_to_nothing(self) -> None:
        """No round trip from an answer to what never passed, of another source, before the first SR, or a lie."""
        self.passes(Side.CALLER, sender_report(CALLER, NTP), 10.0)
        for told in (
            block(CALLER),
            block(CALLER, last=0xB7052001),
            block(0xCCCC, last=0xB7052000),
            block(CALLER, last=0xB7052000, delay=65536),
        ):
            measured = self.passes(Side.CALLEE, receiver_report(CALLEE, told), 10.5)
            self.assertEqual([type(one) for one in measured], [Received])
        self.passes(Side.CALLER, receiver_report(CALLER, block(CALLER, last=0xB7052000)), 10.5)
        self.assertEqual([h.round_trip.count for h in self.quality.hearings.values()], [0, 0])

    def test_a_coarse_clock(self) -> None:
        """An end whose wait is a few ms too long has no negative round trip."""
        self.passes(Side.CALLER, sender_report(CALLER, NTP), 10.0)
        answer = receiver_report(CALLEE, block(CALLER, last=0xB7052000, delay=round(0.51 * 65536)))
        self.assertIn(RoundTrip(Side.CALLEE, 0.0), self.passes(Side.CALLEE, answer, 10.5))

    def test_end_that_sends_no_media(self) -> None:
        """A receiver's reference time and its DLRR measure the leg of the sender (RFC 3611 section 4.5)."""
        self.passes(Side.CALLER, receiver_report(CALLER) + extended(CALLER, reference_time(NTP)), 10.0)
        answer = sender_report(CALLEE, NTP) + extended(CALLEE, reference_heard(CALLER, 0xB7052000, 32768))
        self.assertIn(RoundTrip(Side.CALLEE, 0.25), self.passes(Side.CALLEE, answer, 10.75))

    def test_reports_without_end(self) -> None:
        """Reports that nobody answers are forgotten, the oldest first."""
        for number in range(10 * MOST_MARKS):
            self.passes(Side.CALLER, sender_report(CALLER, number + 1 << 32), float(number))
        self.assertEqual(len(self.quality.hearings[Side.CALLEE]._marks), MOST_MARKS)
        late = receiver_report(CALLEE, block(CALLER, last=(10 * MOST_MARKS) << 16))
        self.assertIn(RoundTrip(Side.CALLEE, 1.0), self.passes(Side.CALLEE, late, 10.0 * MOST_MARKS))


class LossTests(QualityCase):
    def heard(self) -> tuple[int, int]:
        hearing = self.quality.hearings[Side.CALLEE]
        return hearing.lost, hearing.expected

    def report(self, ssrc: int = CALLER, **told: int) -> list[Measured]:
        return self.passes(Side.CALLEE, receiver_report(CALLEE, block(ssrc, **told)))

    def test_loss_over_the_call(self) -> None:
        """25 of 250 before the first report, by its fraction; then 5 of 250 more: 30 of 500 (section A.3)."""
        self.assertIsNone(self.quality.hearings[Side.CALLEE].loss)
        self.assertEqual(
            self.report(fraction=26, lost=25, highest=1250), [Received(Side.CALLEE, 26 / 256, 0.0)]
        )
        self.assertEqual(self.heard(), (25, 246))  # the fraction is cut off to 1/256
        self.report(fraction=5, lost=30, highest=1500)
        self.assertEqual(self.heard(), (30, 496))
        self.assertApproximates(self.quality.hearings[Side.CALLEE].loss or 0, 0.06, 0.001)
        self.assertEqual(self.quality.hearings[Side.CALLER].reports, 0)

    def test_no_loss(self) -> None:
        """One report that nothing was lost is enough to say so."""
        self.report(highest=250)
        self.assertEqual(self.quality.hearings[Side.CALLEE].loss, 0.0)

    def test_copies(self) -> None:
        """More packets than were expected are no negative loss."""
        self.report(highest=250)
        self.report(lost=-20, highest=500)
        self.assertEqual(self.heard(), (0, 250))

    def test_sequence_that_begins_anew(self) -> None:
        """A phone that starts its numbers again, back or far ahead, does not spoil the sum; other sources add to it."""
        self.report(lost=5, highest=5000)
        self.report(lost=6, highest=5100)
        self.report(lost=0, highest=100)
        self.report(lost=1, highest=200)
        self.report(lost=2, highest=0xFFFFFFFF)
        self.assertEqual(self.heard(), (2, 200))
        self.report(0xCCCC, highest=0)
        self.report(0xCCCC, lost=50, highest=100)
        self.assertEqual(self.heard(), (52, 300))

    def test_more_losses_than_packets(self) -> None:
        """A lie is cut to what is possible."""
        self.report(highest=100)
        self.report(lost=5000, highest=200)
        self.assertEqual(self.heard(), (100, 200 - 100))

    def test_sources_without_end(self) -> None:
        """A peer that reports about ever new sources fills no memory."""
        for ssrc in range(1000):
            self.report(ssrc, highest=1)
        self.assertEqual(len(self.quality.hearings[Side.CALLEE]._sources), MOST_SOURCES)


class JitterTests(QualityCase):
    def test_in_seconds(self) -> None:
        """160 ticks at 8000 Hz are 20 ms (section A.8); the mean and the largest are kept."""
        for ticks in (160, 80):
            self.passes(Side.CALLER, receiver_report(CALLER, block(CALLEE, jitter=ticks)))
        jitter = self.quality.hearings[Side.CALLER].jitter
        self.assertEqual((jitter.latest, jitter.mean, jitter.largest), (0.01, 0.015, 0.02))

    def test_clock_that_is_not_known(self) -> None:
        """Without a clock ticks mean nothing."""
        measured = self.passes(Side.CALLER, receiver_report(CALLER, block(CALLEE, jitter=160)), rate=0)
        self.assertEqual(measured, [Received(Side.CALLER, 0.0, None)])
        self.assertIsNone(self.quality.hearings[Side.CALLER].jitter.mean)


class StreamTests(QualityCase):
    def test_bye(self) -> None:
        """A BYE changes nothing: anybody could have forged it (attack M4)."""
        self.passes(Side.CALLER, sender_report(CALLER, NTP), 10.0)
        before = repr(self.quality)
        self.assertEqual(self.passes(Side.CALLER, bye(CALLER) + bye(CALLEE)), [])
        self.assertEqual(repr(self.quality), before)

    def test_what_cannot_be_read(self) -> None:
        """It is counted, and said."""
        self.assertRaises(ParseError, self.passes, Side.CALLER, b"\x80\xc8\0\x01garbage")
        self.assertEqual(self.quality.unreadable, 1)

    def test_course(self) -> None:
        """Each report is a point of the course of its side."""
        self.passes(Side.CALLEE, receiver_report(CALLEE, block(CALLER, fraction=128, jitter=80)), 100.0)
        self.passes(Side.CALLEE, receiver_report(CALLEE, block(CALLER)), 105.0)
        points = list(self.quality.hearings[Side.CALLEE].trace)
        self.assertEqual([(point.at, point.lost) for point in points], [(0.0, 0.5), (5.0, 0.0)])
        self.assertEqual(len(self.quality.hearings[Side.CALLER].trace), 0)


class OpinionTests(SynchronousTestCase):
    def test_a_good_call(self) -> None:
        """No loss, 20 ms round trip: 10 + 20 + 20 = 50 ms from mouth to ear, R above 91, MOS 4.38."""
        good = opinion("PCMU", 0.0, 0.001, 0.02)
        self.assertEqual((good.delay, good.lost), (50.0, 0.0))
        self.assertApproximates(good.mos, 4.38, 0.01)

    def test_ten_per_cent_lost(self) -> None:
        """Ie-eff = 950 / 35.1 = 27.07 takes R from 91.8 to 64.7, MOS to 3.34."""
        bad = opinion("PCMU", 0.1, 0.001, 0.02)
        self.assertApproximates(bad.r, 64.69, 0.05)
        self.assertApproximates(bad.mos, 3.34, 0.02)

    def test_jitter_is_delay(self) -> None:
        """Twice the jitter is held back, but at least one packet."""
        self.assertEqual(opinion("PCMU", 0.0, 0.05, 0.02).delay, 130.0)
        self.assertEqual(opinion("PCMU", 0.0, None, None).delay, 40.0)

    def test_what_the_phone_measured(self) -> None:
        """Its jitter buffer counts in place of our guess, and what that threw away is lost (RFC 3611 section 4.7)."""
        (said,) = parse_rtcp(extended(CALLEE, voip_metrics(CALLER, lost=26, discarded=64, buffer=60)))
        assert isinstance(said, VoipMetrics)
        told = opinion("G729", 0.1, 0.001, 0.02, said)
        self.assertEqual((told.delay, told.lost), (10 + 20 + 5 + 60, 35.0))
