"""What users want done with their calls."""

from __future__ import annotations

from tests.unit.store.migrations.versions.step_case import StepCase


class PreferencesTests(StepCase):
    before, script = "0002", "0003"

    def test_a_table_more(self) -> None:
        """What is there stays."""
        before = self.counts()
        self.step()
        self.assertEqual(self.counts(), {**before, "usr_preferences": 0})
        self.assertEqual(
            self.columns("usr_preferences"), {"username", "domain", "attribute", "value", "last_modified"}
        )
