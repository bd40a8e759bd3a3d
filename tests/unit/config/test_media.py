"""C{[media]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class MediaTests(SectionCase):
    def test_ranges(self) -> None:
        self.assert_range("media.timeout", "1", "86400", "0", "86401")
        self.assert_range("media.marks", "1", "255", "0", "256")
        self.assert_range("media.gather", "0", "0.01", "0.02", "-0.001")

    def test_ports(self) -> None:
        """A range with room for two streams, clear of the ports for signalling."""
        self.assertEqual(self.taken("media.ports=40000-40003").media.ports, (40000, 40003))
        for wrong in ("40000-40002", "1000-2000", "5000", "65000-65536"):
            self.assertIn("media.ports", self.refused(f"media.ports={wrong}"))
        self.assertIn("include sip.port 5060", self.refused("media.ports=5000-6000"))

    def test_words(self) -> None:
        self.assertIn("one of auto, kernel, userspace, off", self.refused("media.relay=no"))
        self.assertIn("one of relay, pass, remove", self.refused("media.ice=off"))
