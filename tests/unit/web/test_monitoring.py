"""The dashboard for Grafana and the rules for Prometheus in F{etc/} speak of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import voipcluster
from voipcluster.web.metrics import CATALOGUE

ETC = Path(voipcluster.__file__).parent.parent / "etc"
METRIC = re.compile(r"\bvoipcluster_\w+")
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")
OF_EVERYBODY = {"instance", "job", "le"}  # what Prometheus adds


def expressions(dashboard: object) -> Iterator[str]:
    if isinstance(dashboard, dict):
        for key, value in dashboard.items():
            if key == "expr":
                yield value
            yield from expressions(value)
    elif isinstance(dashboard, list):
        for value in dashboard:
            yield from expressions(value)


class MonitoringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dashboard = json.loads((ETC / "grafana-dashboard.json").read_text("utf-8"))
        self.rules = (ETC / "prometheus-alerts.yml").read_text("utf-8")

    def check(self, expression: str) -> None:
        names = METRIC.findall(expression)
        self.assertTrue(names or re.search(r"\b(up|process_\w+){", expression), expression)
        labels = OF_EVERYBODY | {CATALOGUE[OF_HISTOGRAMS.sub("", name)].label for name in names}
        for matcher in re.findall(r"[{,](\w+)=~?\"", expression):
            self.assertIn(matcher, labels, expression)
        for grouping in re.findall(r"by \(([\w, ]+)\)", expression):
            self.assertLessEqual(set(grouping.split(", ")), labels, expression)

    def test_dashboard(self) -> None:
        found = list(expressions(self.dashboard))
        self.assertGreater(len(found), 20)
        for expression in found:
            self.check(expression)

    def test_panels(self) -> None:
        """Each says what it shows, and none lies over another."""
        taken: set[tuple[int, int]] = set()
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells
            if panel["type"] != "row":
                self.assertTrue(panel["description"], panel["title"])
        self.assertLess(max(x for x, _ in taken), 24)

    def test_rules(self) -> None:
        found = re.findall(r"^ {8}expr: (.*)$", self.rules, re.MULTILINE)
        self.assertEqual(len(found), len(re.findall(r"- alert: \w+", self.rules)))
        for expression in found:
            self.check(expression)
