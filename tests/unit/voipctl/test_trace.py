"""C{voipctl trace}: what it asks for, and what it says."""

from __future__ import annotations

import argparse
import io
import json
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import TRACE, TRACED
from voipcluster.errors import UsageError
from voipcluster.voipctl import trace


class Node:
    """Notes what it is asked; C{answer} is what it says of a call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: dict[str, Any] = TRACE
        self.rows: list[dict[str, Any]] = [TRACED]

    def ask(self, command: str, **given: Any) -> Any:
        self.asked.append((command, given))
        return self.answer if command == "trace" else self.rows


class TraceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = Node()

    def run_trace(self, *argv: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        trace.add_arguments(parser)
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        return trace.run(self.node, parser.parse_args(argv)), out.getvalue()

    def test_a_call(self) -> None:
        """A ladder, with the messages only when they are wanted; all of it as JSON."""
        status, out = self.run_trace("c1")
        self.assertEqual((status, self.node.asked), (0, [("trace", {"call_id": "c1", "texts": False})]))
        self.assertIn("INVITE", out)
        self.run_trace("c1", "--messages")
        self.assertEqual(self.node.asked[-1][1]["texts"], True)
        self.assertEqual(json.loads(self.run_trace("c1", "--json")[1]), TRACE)

    def test_a_node_is_missing(self) -> None:
        """The exit status says that something may be missing."""
        self.node.answer = {**TRACE, "silent": ["b"]}
        status, out = self.run_trace("c1")
        self.assertEqual((status, "b" in out.splitlines()[-1]), (1, True))

    def test_on(self) -> None:
        """Each thing that can be wanted, for ten minutes unless told otherwise."""
        nothing = {"user": None, "address": None, "call_id": None, "all": False}
        for argv, asked in (
            (("--user", "alice"), {"user": "alice", "seconds": 600.0}),
            (("--address", "192.0.2.1"), {"address": "192.0.2.1", "seconds": 600.0}),
            (("--call-id", "c1", "--for", "90s"), {"call_id": "c1", "seconds": 90.0}),
            (("--all", "--for", "1h"), {"all": True, "seconds": 3600.0}),
        ):
            status, out = self.run_trace("on", *argv)
            self.assertEqual((status, self.node.asked[-1]), (0, ("trace-on", {**nothing, **asked})))
        self.assertIn("user bob (1:00 left)", out)
        self.assertIn("50 %", out)

    def test_off_and_status(self) -> None:
        for argv, asked in (
            (("off",), ("trace-off", {"forget": False})),
            (("off", "--forget"), ("trace-off", {"forget": True})),
            (("status",), ("trace-status", {})),
        ):
            self.assertEqual(self.run_trace(*argv)[0], 0)
            self.assertEqual(self.node.asked[-1], asked)
        self.node.rows = [{**TRACED, "wanted": []}, {"node": "b", "error": "not reachable"}]
        status, out = self.run_trace("status")
        self.assertEqual(status, 1)
        self.assertIn("nothing", out)
        self.assertIn("not reachable", out)

    def test_what_is_wrong(self) -> None:
        """One line, and nothing is asked of the node."""
        for argv, words in (
            (("on",), "one of --user"),
            (
                ("on", "--user", "a", "--all"),
                "one of --user, --address, --call-id and --all, and not 2 of them",
            ),
            (("on", "--all", "--for", "soon"), "10m"),
            (("off", "--messages"), "CALL-ID"),
        ):
            self.assertIn(words, str(self.assertRaises(UsageError, self.run_trace, *argv)))
        self.assertEqual(self.node.asked, [])
