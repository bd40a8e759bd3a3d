"""What PostgreSQL does with digests that one program writes; tried with a real server in the integration tests."""

from __future__ import annotations

from tests.unit.store.migrations.versions.step_case import StepCase


class DigestsTests(StepCase):
    before, script = "0005", "0006"

    def test_the_embedded_database(self) -> None:
        """It has no triggers, so nothing changes there."""
        schema = "SELECT name, sql FROM sqlite_master ORDER BY name"
        before, counts = self.rows(schema), self.counts()
        self.step()
        self.assertEqual((self.rows(schema), self.counts()), (before, counts))
