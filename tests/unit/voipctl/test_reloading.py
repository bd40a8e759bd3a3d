"""voipctl reload: what is asked, and what each node did as text."""

from __future__ import annotations

import argparse
import io
import json
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import RELOADED
from voipcluster.voipctl import reloading

REFUSED = {"node": "b", "error": "/etc/x.toml:3: limits.calls: found 0\x1b[2J"}
ABSENT = {"node": "c", "absent": True}


class ReloadTests(SynchronousTestCase):
    def shown(self, *rows: dict[str, Any], words: tuple[str, ...] = ()) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        reloading.add_arguments(parser)
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        status = reloading.show(rows, parser.parse_args(words))
        return status, out.getvalue(), err.getvalue()

    def test_done(self) -> None:
        """What changed, and for each option that waits a line with its name."""
        status, out, err = self.shown(RELOADED, ABSENT)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out.splitlines(),
            [
                "node a: changed cluster.threshold, gateway g",
                "node a: sip.port: takes effect at the next start",
                "node c: cannot be reached; it reads its file when it starts",
            ],
        )

    def test_nothing(self) -> None:
        _, out, _ = self.shown({**RELOADED, "changed": [], "later": []})
        self.assertEqual(out, "node a: nothing has changed in /etc/x.toml\n")

    def test_warning(self) -> None:
        """A warning does not hide that nothing has changed."""
        _, out, _ = self.shown({**RELOADED, "changed": [], "later": [], "warnings": ["x.toml:3: odd"]})
        self.assertEqual(
            out.splitlines(), ["node a: nothing has changed in /etc/x.toml", "node a: warning: x.toml:3: odd"]
        )

    def test_alike(self) -> None:
        """What all nodes must have alike is named, unless all of them have changed it."""
        row, hint = {**RELOADED, "alike": ["cluster.domain"]}, "cluster.domain: must be alike on all nodes"
        self.assertIn(hint, self.shown(row)[1])
        self.assertNotIn("alike", self.shown(row, row, ABSENT, words=("--all",))[1])
        self.assertIn(hint, self.shown(row, RELOADED, words=("--all",))[1])
        self.assertNotIn("alike", self.shown(RELOADED)[1])

    def test_no_file(self) -> None:
        """There is nothing to be read then, and that is said."""
        _, out, _ = self.shown({**RELOADED, "changed": [], "later": [], "file": None})
        self.assertEqual(out, "node a: was started without a configuration file\n")

    def test_dry(self) -> None:
        row = {**RELOADED, "done": False}
        self.assertIn("node a: would change cluster.threshold", self.shown(row, words=("--dry-run",))[1])

    def test_refused(self) -> None:
        """Status 1, and it is clear whether the others have changed."""
        status, out, err = self.shown({**RELOADED, "done": False}, REFUSED)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(
            err.splitlines(),
            [
                "voipctl: node b: /etc/x.toml:3: limits.calls: found 0?[2J",
                "voipctl: nothing was changed at any node",
            ],
        )
        self.assertIn("the other nodes have changed", self.shown(RELOADED, REFUSED)[2])

    def test_json(self) -> None:
        status, out, _ = self.shown(RELOADED, REFUSED, words=("--json",))
        self.assertEqual((status, json.loads(out)), (1, [RELOADED, REFUSED]))
