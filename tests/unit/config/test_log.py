"""C{[log]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class LogTests(SectionCase):
    def test_level(self) -> None:
        self.assertEqual(self.taken("log.level=debug").log.level, "debug")
        self.assertIn("one of debug, info, warn, error", self.refused("log.level=verbose"))
