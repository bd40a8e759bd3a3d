"""C{python -m voipcluster.voipctl}, a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import voipcluster
from voipcluster import __version__

CHECKOUT = Path(voipcluster.__file__).parents[1]


class MainTests(SynchronousTestCase):
    def run_it(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "voipcluster.voipctl", *words],
            capture_output=True, text=True, check=False, cwd=self.mktemp_folder(),
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def mktemp_folder(self) -> str:
        folder = self.mktemp()
        os.makedirs(folder)
        return folder

    def test_status_of_the_process(self) -> None:
        """It is that of the command: 0, 1 when no node is there, 2 for a wrong command line; each error is one line."""
        self.assertEqual(self.run_it("--version"), (0, f"voipctl {__version__}\n", ""))
        status, out, err = self.run_it("status")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err, "voipctl: no node is running on the state directory voipcluster-state (--state-dir)\n"
        )
        status, out, err = self.run_it("fly")
        self.assertEqual((status, out, err.count("\n")), (2, "", 1), err)
