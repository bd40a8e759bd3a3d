"""C{[records]} and C{[database]}."""

from __future__ import annotations

import sys

from tests.unit.config.section_case import SectionCase
from voipcluster.config import records


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

    def test_no_password_shown(self) -> None:
        """What was typed into a URL before an @ is not printed back."""
        for name in ("records.webhook", "database.url"):
            for wrong in (
                "https://u:geheim@h",
                "postgresql://u:geheim@h/x",
                "postgres:/u:geheim@h/x",
                '"u:geheim@h" x',
            ):
                self.assertNotIn("geheim", self.refused(f"{name}={wrong}"))
        self.assertIn('found "ftp://h/"', self.refused("records.webhook=ftp://h/"))


class DatabaseTests(SectionCase):
    def test_url(self) -> None:
        url = "postgresql://voip@db.example:5433/voip"
        self.assertEqual(self.taken(f"database.url={url}").database.url, url)
        for wrong in ("mysql://db.example/voip", "postgresql://db.example", "postgresql://u:secret@h/voip"):
            self.assertIn("without a password", self.refused(f"database.url={wrong}"))

    def test_driver(self) -> None:
        """Without psycopg no node starts, so the file is faulty there; the remedy names the Python that runs."""
        self.patch(records, "find_spec", lambda name: None)
        self.taken("records.days=3")
        self.assertIn(
            f"database.url: needs psycopg, which is not installed: {sys.executable} -m pip install 'voipcluster[postgresql]'",
            self.refused("database.url=postgresql://voip@db.example:5433/voip"),
        )
