"""Reports about a call that is over, under the names that Homer knows."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.node.test_records import record
from voipcluster.services.hep.reports import reports
from voipcluster.sip.hep import QUALITY


class ReportTests(SynchronousTestCase):
    def test_each_direction(self) -> None:
        """What the caller sent as the callee heard it, and the other way round."""
        there, back = [json.loads(one.payload) for one in reports(record("c1", heard=True), "a")]
        for row, party in ((there, 0), (back, 1)):
            self.assertEqual(
                (row["CORRELATION_ID"], row["RTP_SIP_CALL_ID"], row["PARTY"], row["DIR"]),
                ("c1", "c1", party, party),
            )
            self.assertEqual(
                (row["CODEC_NAME"], row["CLOCK"], row["TYPE"], row["REASON"]), ("PCMU", 8000, "HANGUP", "BYE")
            )
        self.assertEqual((there["TOTAL_PK"], there["TL_BYTE"], back["TOTAL_PK"]), (500, 86_000, 400))
        self.assertEqual(
            (there["REPORT_NAME"], there["SRC_IP"], there["SRC_PORT"]), ("a:audio:caller", "192.0.2.1", 30000)
        )
        self.assertEqual((there["MEAN_JITTER"], there["ROUND_TRIP"], there["PACKET_LOSS"]), (5.0, 40.0, 0))
        self.assertGreater(there["MOS"], 4.0)
        self.assertEqual(there["MOS"], there["MEAN_MOS"])
        self.assertEqual(there["REPORT_TS"], 160.0)

    def test_as_it_is_sent(self) -> None:
        """The kind, the time and the call, so that the collector shows it with the messages of the call."""
        for one in reports(record("c1", heard=True), "a"):
            self.assertEqual((one.kind, one.at, one.call_id, one.transport), (QUALITY, 160.0, "c1", "UDP"))

    def test_nothing_reported(self) -> None:
        """A phone without RTCP: packets are known, and what is not known is left out."""
        known = record("c1", heard=True)
        assert known.media is not None
        [stream] = known.media.streams
        silent = evolve(known.media, streams=(evolve(stream, quality=None, codec=None),))
        bare = known._replace(media=silent)
        row = json.loads(next(iter(reports(bare, "a"))).payload)
        self.assertEqual(row["TOTAL_PK"], 500)
        self.assertFalse({"MOS", "JITTER", "CODEC_NAME", "PACKET_LOSS"} & row.keys())

    def test_no_media(self) -> None:
        """A call that was never relayed has no report."""
        self.assertEqual(list(reports(record("c1"), "a")), [])
