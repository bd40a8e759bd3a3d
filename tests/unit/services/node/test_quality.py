"""How a call sounds, as rows and in words."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.rtcp_packets import block, extended, receiver_report, sender_report, voip_metrics
from voipcluster.media.codec import Codec
from voipcluster.media.offer_answer import Side
from voipcluster.media.quality import Passed, StreamQuality
from voipcluster.media.target import Address
from voipcluster.services.media.listening import Trouble
from voipcluster.services.media.relay import CallKey
from voipcluster.services.media.snapshots import LegSnapshot, MediaSnapshot, StreamSnapshot
from voipcluster.services.node.quality import in_words, stream_rows

A, B = Side.CALLER, Side.CALLEE
NTP = 0xB44DB705_20000000
PCMU = Codec("PCMU", 8000)


def leg(packets: int) -> LegSnapshot:
    return LegSnapshot(Address("192.0.2.1", 30000), None, None, True, packets, 172 * packets, 3, 0)


def call(
    quality: StreamQuality | None,
    kind: str = "audio",
    codec: Codec | None = PCMU,
    trouble: Trouble | None = None,
) -> MediaSnapshot:
    protected = quality is None
    stream = StreamSnapshot(kind, "RTP/AVP", False, leg(500), leg(400), codec, protected, quality, trouble)
    return MediaSnapshot(CallKey("c", "t"), True, False, 10.0, 0.0, (stream,))


def reported(fraction: int = 0, lost: int = 0, more: bytes = b"") -> StreamQuality:
    """The callee lost something of what the caller sent, 40 ms away from the node; the caller is 20 ms away."""
    quality = StreamQuality()
    for side, ssrc in ((A, 1), (B, 2)):
        quality.feed(Passed(side, sender_report(ssrc, NTP), 8000), 100.0)
    told = block(1, fraction=fraction, lost=lost, jitter=40, last=0xB7052000)
    quality.feed(Passed(B, receiver_report(2, told) + more, 8000), 100.04)
    quality.feed(Passed(A, receiver_report(1, block(2, last=0xB7052000)), 8000), 100.02)
    return quality


class RowTests(SynchronousTestCase):
    def test_both_directions(self) -> None:
        """What the caller sends is what the callee reports about; each has its own figures."""
        (row,) = stream_rows(call(reported(26, 25)))
        self.assertEqual((row["codec"], row["rate"], row["round_trip"]), ("PCMU", 8000, 0.06))
        there, back = row["directions"]
        self.assertEqual(
            (there["from"], there["to"], there["packets"], there["octets"]), ("caller", "callee", 500, 86000)
        )
        self.assertEqual(
            (there["lost"], there["reports"], there["jitter"], there["round_trip"]), (25, 1, 0.005, 0.04)
        )
        self.assertApproximates(there["loss"], 0.1016, 0.0001)
        self.assertEqual(
            (back["from"], back["packets"], back["loss"], back["round_trip"]), ("callee", 400, 0.0, 0.02)
        )
        self.assertGreater(back["mos"], 4.3)
        self.assertLess(there["mos"], 3.4)
        self.assertEqual(there["delay"], 30 + 20 + 20)
        self.assertEqual([point["at"] for point in there["course"]], [100.0])
        self.assertLess(there["course"][0]["mos"], 3.5)
        json.dumps(row, allow_nan=False)

    def test_nothing_known(self) -> None:
        """Encrypted: the packets, and L{None} for the rest."""
        (row,) = stream_rows(call(None))
        self.assertTrue(row["protected"])
        there = row["directions"][0]
        self.assertEqual(there["packets"], 500)
        self.assertEqual(
            {there[key] for key in ("lost", "loss", "jitter", "round_trip", "r", "mos", "measured")}, {None}
        )

    def test_reports_without_a_block(self) -> None:
        """An end that reports about nothing yet has lost nothing that we know of."""
        quality = StreamQuality()
        quality.feed(Passed(B, receiver_report(2), 8000), 1.0)
        (row,) = stream_rows(call(quality))
        self.assertEqual((row["directions"][0]["loss"], row["directions"][0]["mos"]), (None, None))

    def test_no_speech(self) -> None:
        """The E-model says nothing about pictures, or about a codec that is not known."""
        for media in (call(reported(), "video"), call(reported(), codec=None)):
            there = stream_rows(media)[0]["directions"][0]
            self.assertEqual((there["loss"], there["mos"], there["course"][0]["mos"]), (0.0, None, None))

    def test_what_the_phone_measured(self) -> None:
        """Its VoIP metrics stand beside ours; 127 is not known (RFC 3611 section 4.7)."""
        more = extended(2, voip_metrics(1, lost=64, discarded=32, r=88, mos=127, buffer=60))
        there = stream_rows(call(reported(more=more)))[0]["directions"][0]
        self.assertEqual(
            there["measured"],
            {"r": 88, "mos_lq": None, "mos_cq": None, "jitter_buffer": 60, "loss": 0.25, "discarded": 0.125},
        )

    def test_trouble(self) -> None:
        """Who is missing."""
        (row,) = stream_rows(call(None, trouble=Trouble(0, "audio", "one-way", "callee")))
        self.assertEqual((row["trouble"], row["missing"]), ("one-way", "callee"))


class WordTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        """What the log says of a call."""
        text = in_words(call(reported(26, 25), trouble=Trouble(0, "audio", "silent", None)))
        self.assertRegex(
            text,
            r"^audio PCMU: caller hears MOS 4\.3\d, loss 0\.0%, jitter 0\.0 ms, round trip 20\.0 ms, "
            r"callee hears MOS 3\.\d\d, loss 10\.2%, jitter 5\.0 ms, round trip 40\.0 ms, silent: nothing from either side$",
        )

    def test_nothing_to_tell(self) -> None:
        """Then nothing is said."""
        self.assertEqual(in_words(call(None)), "")
