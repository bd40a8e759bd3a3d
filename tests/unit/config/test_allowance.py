"""C{[allowance]}: what is taken, and what becomes of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import ConfigError, load_config, parse_set
from voipcluster.gateway.allowance import Allowance


class AllowanceTests(SynchronousTestCase):
    def of_user(self, *settings: str) -> Allowance:
        return load_config(None, [parse_set(f"allowance.{one}") for one in settings]).allowance.of_user

    def test_nothing_is_limited(self) -> None:
        """Unless somebody says so."""
        self.assertEqual(self.of_user(), Allowance(0, 0, 0, ()))

    def test_each_limit(self) -> None:
        found = self.of_user(
            "calls_at_once=2", "calls_per_minute=5", "minutes_per_day=60", 'destinations=["+49", "110"]'
        )
        self.assertEqual(found, Allowance(2, 5, 60, ("+49", "110")))

    def test_no_prefix(self) -> None:
        """What can be in front of no number is refused, with what is allowed."""
        for bad in ('["49-30"]', '["++49"]', '["x"]', '[""]', "[49]"):
            error = str(self.assertRaises(ConfigError, self.of_user, f"destinations={bad}"))
            self.assertIn("allowance.destinations", error)
            self.assertEqual(len(error.splitlines()), 1)
        self.assertRaises(ConfigError, self.of_user, "calls_at_once=-1")
