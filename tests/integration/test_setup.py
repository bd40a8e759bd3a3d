"""script/test: what it says where something is missing to whoever may not install it, and of what has failed."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests import __main__ as running
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
            timeout=150,
            check=False,
        )

    def test_without_databases_or_chromium(self) -> None:
        """The suite does not begin, and one line names the packages in a command to type."""
        done = self.run_without("pg_ctlcluster", "chromium", "mariadb-install-db")
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr),
            (
                1,
                "",
                "setup: missing; type: sudo apt-get install -y chromium postgresql mariadb-server-core\n",
            ),
        )
        self.assertFalse((self.folder / "venv").exists())


class NetworkTests(IntegrationTestCase):
    def test_without_a_network(self) -> None:
        """Behind what pip says of it stands one line that says what to do, and that it failed is the last one."""
        nobody = f"http://{self.address(1)}:9/"
        there = self.folder / "venv" / "bin"
        there.mkdir(parents=True)
        python = there / "python"  # with a pip of its own, which takes long to install
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        done = subprocess.run(
            ["/bin/sh", str(CHECKOUT / "script" / "setup"), "demo"],
            env={
                **os.environ, "VOIPCLUSTER_VENV": str(self.folder / "venv"), "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": nobody, "PIP_RETRIES": "0", "no_proxy": "*",
            },
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 1)
        *_, advice, last = done.stderr.splitlines()
        self.assertIn("no way to the network? Behind a proxy, name it: export https_proxy=", advice)
        self.assertEqual(last, "setup: pip could not install voipcluster")


class LastLinesTests(IntegrationTestCase):
    def run_all(self, lint: tuple[bool, str]) -> tuple[int, list[str]]:
        """Run one small trial beside a lint that comes out like that; the exit status, and the lines that were printed."""
        self.patch(running, "lint", lambda: lint)
        self.patch(sys, "stdout", printed := io.StringIO())
        status = running.main(["--lint", "tests.unit.test_errors"])
        return status, printed.getvalue().splitlines()

    def test_lint_failed(self) -> None:
        """What lint says comes first, that it failed is said again behind the tests, and the count is the last line as ever."""
        status, lines = self.run_all((False, "x.py:1: bad\n"))
        self.assertEqual((status, lines[0]), (1, "x.py:1: bad"))
        self.assertIn("== tests.unit.test_errors: ", lines[1])
        self.assertEqual(lines[-3], "lint, types, layers or documentation failed: see above")
        self.assertRegex(lines[-1], r"^[1-9]\d* passed, 0 failed, 0 skipped$")

    def test_all_is_well(self) -> None:
        """Status 0, and nothing is said of a failure."""
        status, lines = self.run_all((True, "fine\n"))
        self.assertEqual((status, lines[0]), (0, "fine"))
        self.assertNotIn("failed: see above", "\n".join(lines))
