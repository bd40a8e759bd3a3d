"""Prometheus' text format, read back with its own parser."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.tally import Tally
from voipcluster.web.metrics import CATALOGUE, NodeMetrics, Numbers


class MetricsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Numbers are read at each scrape, under their names, with their label."""
        numbers: dict[str, float | dict[str, float]] = {
            "voipcluster_calls": 3,
            "voipcluster_requests_total": {"INVITE": 5, "BYE": 2},
            "voipcluster_workload": {'a"\n': 0.25},
        }
        metrics = NodeMetrics("0.1", "a", "primary", lambda: numbers)
        numbers["voipcluster_calls"] = 4
        samples = {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(metrics.text())
            for sample in family.samples
        }
        self.assertEqual(samples["voipcluster_calls", ()], 4.0)
        self.assertEqual(samples["voipcluster_requests_total", ("INVITE",)], 5.0)
        self.assertEqual(samples["voipcluster_workload", ('a"\n',)], 0.25)
        self.assertEqual(samples["voipcluster_node_info", ("a", "primary", "0.1")], 1.0)
        self.assertNotIn(("voipcluster_registrations", ()), samples)

    def test_histogram(self) -> None:
        """Values counted by size become buckets, sum and count, for each value of the label."""
        tally = Tally((0.0, 0.1))
        for value in (0.0, 0.05, 0.5):
            tally.add(value)
        numbers: Numbers = {"voipcluster_rtcp_lost_ratio": {"caller": tally, "callee": Tally((0.0, 0.1))}}
        text = NodeMetrics("0.1", "a", "primary", lambda: numbers).text()
        for line in (
            'voipcluster_rtcp_lost_ratio_bucket{le="0.0",side="caller"} 1.0',
            'voipcluster_rtcp_lost_ratio_bucket{le="0.1",side="caller"} 2.0',
            'voipcluster_rtcp_lost_ratio_bucket{le="+Inf",side="caller"} 3.0',
            'voipcluster_rtcp_lost_ratio_sum{side="caller"} 0.55',
            'voipcluster_rtcp_lost_ratio_count{side="callee"} 0.0',
        ):
            self.assertIn(line, text.splitlines())

    def test_two_nodes_in_one_process(self) -> None:
        """Each node has a registry of its own."""
        one: Numbers = {"voipcluster_calls": 1}
        two: Numbers = {"voipcluster_calls": 2}
        texts = [
            NodeMetrics("0.1", name, "primary", lambda n=n: n).text() for name, n in (("a", one), ("b", two))
        ]
        self.assertIn("voipcluster_calls 1.0", texts[0])
        self.assertIn("voipcluster_calls 2.0", texts[1])

    def test_names(self) -> None:
        """Names follow Prometheus' rules: base units, counters end in _total, no two alike."""
        for name, described in CATALOGUE.items():
            self.assertTrue(re.fullmatch(r"voipcluster_[a-z]+(_[a-z]+)*", name), name)
            self.assertTrue(described.help.endswith("."), name)

    def test_unknown_number(self) -> None:
        """A number that the catalogue does not know is our mistake."""
        metrics = NodeMetrics("0.1", "a", "primary", lambda: {"voipcluster_oops": 1})
        self.assertRaises(AssertionError, metrics.text)
