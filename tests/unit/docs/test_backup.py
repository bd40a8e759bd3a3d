"""The documented backup, typed as it stands on a state directory that systemd has put behind a symbolic link (DynamicUser=)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import DOCS, blocks

PAGE = DOCS / "guide" / "operations.md"
SAVED = {"ca.key", "ca.pem", "cluster.key", "node.key", "web.password"}
LEFT = {"voipcluster.db", "voipcluster.db-wal", "calls.journal", "lock", ".new"}


class BackupTests(SynchronousTestCase):
    def test_behind_a_link(self) -> None:
        """Keys are in the copy, each with its mode; the database is not: SQLite copies that."""
        top = Path(self.mktemp()).absolute()
        private = top / "var/lib/private/voipcluster"
        private.mkdir(parents=True)
        (top / "var/backups").mkdir()
        (top / "var/lib/voipcluster").symlink_to("private/voipcluster")
        for name in SAVED | LEFT:
            (private / name).write_text(name)
            (private / name).chmod(0o600)
        backup = next(block.text for block in blocks(PAGE) if block.heading == "Backup and restore")
        *lines, database = backup.splitlines()
        self.assertTrue(database.startswith("sqlite3 /var/lib/voipcluster/voipcluster.db "), database)
        typed = "\n".join(lines).replace("/var/", f"{top}/var/")
        subprocess.run(["sh", "-e", "-c", typed], check=True, timeout=120)
        copies = list((top / "var/backups/voipcluster").iterdir())
        self.assertEqual({path.name for path in copies}, SAVED)
        self.assertEqual({path.stat().st_mode & 0o777 for path in copies}, {0o600})
