"""Versions of accounts and gateways, and what is gone."""

from __future__ import annotations

from tests.unit.store.former import VERSION
from tests.unit.store.migrations.versions.step_case import StepCase


class SharedDirectoryTests(StepCase):
    before, script = "0003", "0004"

    def test_versions(self) -> None:
        """That of what is there is the time of its last change, so that whatever is changed later is newer."""
        before = self.counts()
        self.step()
        self.assertEqual(self.counts(), {**before, "address": 0, "removed_rows": 0})
        self.assertEqual(
            self.rows("SELECT username, version, changed, password, ha1b FROM subscriber"),
            [("alice", VERSION, 0, "", "")],
        )
        self.assertEqual(
            self.rows("SELECT name, version, changed FROM dispatcher"), [("carrier", VERSION, 0)]
        )
