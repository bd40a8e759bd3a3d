"""The command line of the simulator."""

from __future__ import annotations

import io
import json
import sys

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.simulate.__main__ import main

TINY = ("--nodes", "2", "--duration", "0.2", "--warm-up", "0.2")


class MainTests(SynchronousTestCase):
    def run_main(self, *argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        try:
            status = main(argv)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, out.getvalue(), err.getvalue()

    def test_table(self) -> None:
        """A line for each policy and each load."""
        status, out, _ = self.run_main(*TINY, "--policy", "planned,none", "--offered", "0.5,0.8")
        self.assertEqual(status, 0)
        self.assertEqual([line.split()[:2] for line in out.splitlines()[2:]],
                         [["planned", "0.50"], ["planned", "0.80"], ["none", "0.50"], ["none", "0.80"]])  # fmt: skip

    def test_json_and_rate(self) -> None:
        """A rate is a share of what the nodes can do: 100 of 2 * 50 requests/s."""
        status, out, _ = self.run_main(
            *TINY, "--service", "0.02", "--rate", "80", "--json", "--periodic-only"
        )
        self.assertEqual((status, json.loads(out)["offered"]), (0, 0.8))

    def test_fault(self) -> None:
        """A fault as it is written in the help."""
        status, out, _ = self.run_main(*TINY, "--fault", "1:0@0.1-0.2", "--json")
        self.assertEqual(status, 0)
        self.assertGreater(json.loads(out)["lost"], 0.0)

    def test_mistakes(self) -> None:
        """One line each, with the program's name; status 1 or, for the form, 2."""
        for status, word, *argv in (
            (1, "exclude each other", "--rate", "5", "--offered", "0.5"),
            (1, "policy: 'x'", "--policy", "x"),
            (1, "there is no node 9", *TINY, "--fault", "9:0@1-2"),
            (1, "goal 'x' is none of level,", "goals", "x"),
            (1, "must end with", "--plot", "x"),
            (1, "duration: more than 0", "--duration", "inf"),
            (1, "speeds", "--speeds", "1,nan"),
            (1, "nodes: at most", "--nodes", "1000000000"),
            (2, "--fault", "--fault", "x"),
            (2, "--offered", "--offered", "much"),
        ):
            found, out, err = self.run_main(*argv)
            self.assertEqual((found, out), (status, ""), argv)
            self.assertTrue(err.startswith("simulate: ") and word in err, err)
            self.assertEqual(err.count("\n"), 1, err)
