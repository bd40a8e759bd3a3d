"""The gateways that were not declared in a file."""

from __future__ import annotations

from tests.unit.store.migrations.versions.step_case import StepCase


class GatewaysTests(StepCase):
    before, script = "0001", "0002"

    def test_a_table_more(self) -> None:
        """What is there stays."""
        before = self.counts()
        self.step()
        self.assertEqual(self.counts(), {**before, "dispatcher": 0})
        self.assertEqual(
            self.columns("dispatcher"),
            {
                "name", "setid", "destination", "flags", "priority", "attrs", "description", "password", "last_modified",
            },
        )  # fmt: skip
