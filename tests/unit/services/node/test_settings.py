"""From the options to what the parts of a node are told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, load_config, parse_set
from voipcluster.services.node.settings import (
    KEPT,
    dns_limits,
    gates,
    levels,
    registration,
    request_limits,
    session_timer,
    stranger_settings,
    stream_limits,
    workload_limits,
)
from voipcluster.sip.strangers import HARD


class SettingsTests(SynchronousTestCase):
    def taken(self, *settings: str) -> Config:
        return load_config(None, [parse_set(setting) for setting in settings])

    def test_workload(self) -> None:
        config = self.taken(
            "cluster.threshold=0.5", "cluster.hard_limit=0.6", "cluster.hop_budget=1", "limits.calls=7"
        )
        self.assertEqual((levels(config).threshold, levels(config).hard_limit), (0.5, 0.6))
        self.assertEqual(
            (gates(config).threshold, gates(config).hard_limit, gates(config).hop_budget), (0.5, 0.6, 1)
        )
        self.assertEqual(workload_limits(config).calls, 7)

    def test_strangers(self) -> None:
        """Without passwords nobody is told from a stranger: there are no limits for them alone."""
        limits = ("limits.strangers=0.5", "limits.unanswered_of_strangers=9")
        known = stranger_settings(self.taken(*limits))
        self.assertEqual((known.share, known.unanswered_in_all), (0.5, 9))
        open_to_all = stranger_settings(self.taken(*limits, "auth.required=false"))
        self.assertEqual((open_to_all.share, open_to_all.unanswered_in_all), (HARD, 0))

    def test_times(self) -> None:
        """A proof of a password counts somewhat longer than the longest registration."""
        config = self.taken(
            "sip.max_expires=7200", "sip.session_expires=600", "sip.idle_timeout=9", "dns.timeout=3"
        )
        self.assertEqual(registration(config).max_expires, 7200)
        self.assertEqual(request_limits(config).keep, 7200 + KEPT)
        self.assertEqual(session_timer(config).wanted, 600)
        self.assertEqual((stream_limits(config).idle, dns_limits(config).timeout), (9.0, 3.0))
