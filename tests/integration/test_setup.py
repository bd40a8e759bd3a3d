"""script/setup on a machine where something is missing: what it says to whoever may not install it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.harness import IntegrationTestCase

CHECKOUT = Path(__file__).parent.parent.parent


class MissingTests(IntegrationTestCase):
    def run_without(self, *programs: str) -> subprocess.CompletedProcess[str]:
        """Run script/test as a user who is not root, on a machine that has all but these programs."""
        there = self.folder / "bin"
        there.mkdir()
        for file in Path("/usr/bin").iterdir():
            if file.name not in (*programs, "id"):
                (there / file.name).symlink_to(file)
        user = there / "id"
        user.write_text("#!/bin/sh\necho 1000\n")
        user.chmod(0o755)
        return subprocess.run(
            ["/bin/sh", str(CHECKOUT / "script" / "test")],
            env={**os.environ, "PATH": str(there), "VOIPCLUSTER_VENV": str(self.folder / "venv")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_without_postgresql_or_chromium(self) -> None:
        """The suite does not begin, and one line names the packages in a command to type."""
        done = self.run_without("pg_ctlcluster", "chromium")
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr),
            (1, "", "setup: missing; type: sudo apt-get install -y chromium postgresql\n"),
        )
        self.assertFalse((self.folder / "venv").exists())
