"""C{[records]} and C{[database]}."""

from __future__ import annotations

from tests.unit.config.section_case import SectionCase


class RecordsTests(SectionCase):
    def test_ranges(self) -> None:
        self.assert_range("records.days", "0", "36500", "-1", "36501")
        self.assert_range("records.queue", "1000", "1000000000", "999")

    def test_webhook(self) -> None:
        """A URL of the web; a password does not belong there."""
        self.assertEqual(
            self.taken("records.webhook=https://b.example/x").records.webhook, "https://b.example/x"
        )
        for wrong in ("ftp://b.example/", "https:///x", "https://u:p@b.example/", "https://b.example/a b"):
            self.assertIn("records.webhook", self.refused(f"records.webhook={wrong}"))


class DatabaseTests(SectionCase):
    def test_url(self) -> None:
        url = "postgresql://voip@db.example:5433/voip"
        self.assertEqual(self.taken(f"database.url={url}").database.url, url)
        for wrong in ("mysql://db.example/voip", "postgresql://db.example", "postgresql://u:secret@h/voip"):
            self.assertIn("without a password", self.refused(f"database.url={wrong}"))
