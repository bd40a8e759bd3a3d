"""C{[limits]} and C{[overload]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class LimitsTests(SectionCase):
    def test_ranges(self) -> None:
        """What is the scale of the workload is never 0; what protects is off with 0."""
        self.assert_range("limits.calls", "1", "10000000", "0", "10000001", "1.5")
        self.assert_range("limits.registrations", "0", "100000000", "-1")
        self.assert_range("limits.requests_per_address", "0", "1000000", "0.5", "-1")
        self.assert_range("limits.media_ports_per_user", "0", "1", "1.5")

    def test_octets(self) -> None:
        """A size may have a unit."""
        self.assertEqual(self.taken('limits.memory="2G"').limits.memory, 2 << 30)
        self.assertIn("limits.memory", self.refused('limits.memory="1k"'))

    def test_trusted(self) -> None:
        """Networks without bits of a host."""
        self.assertEqual(self.taken('limits.trusted=["192.0.2.1"]').limits.trusted, ("192.0.2.1/32",))
        self.assertIn("limits.trusted", self.refused('limits.trusted=["192.0.2.1/24"]'))


class OverloadTests(SectionCase):
    def test_ranges(self) -> None:
        self.assert_range("overload.target", "0.001", "1", "0", "1.1")
        self.assert_range("overload.expires_jitter", "0", "0.9", "-0.1", "0.91")

    def test_flags(self) -> None:
        self.assertFalse(self.taken("overload.enabled=false").overload.enabled)
        self.assertIn("true or false", self.refused('overload.enabled="no"'))
