"""A call as text: what is drawn keeps its columns, its width, and the terminal in order."""

from __future__ import annotations

import copy
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import TRACE
from voipcluster.voipctl.ladder import drawn

DRAWN = """\
              192.0.2.10:5060             node a                  node b
                     |                       |                       |
  +0.000             |----- INVITE UDP ----->|                       |
  +0.001 * a: hand-over to b: workload 0.81 above 0.75
  +0.002             |                       |-- INVITE lost? UDP -->|
  +0.500             |-- INVITE again UDP -->|                       |
  +0.600             |<---- 180 Ringing -----|                       |"""


class DrawnTests(SynchronousTestCase):
    def trace(self, **more: Any) -> dict[str, Any]:
        return {**copy.deepcopy(TRACE), **more}

    def test_as_drawn(self) -> None:
        """Columns, arrows both ways, events between them, and what is special about a step."""
        head, _, rest = drawn(self.trace(), 82).partition("\n")
        self.assertTrue(head.startswith("call "))
        self.assertEqual(rest, DRAWN)

    def test_width(self) -> None:
        """From 80 to 120 characters, whatever the terminal is, and however many take part with what names."""
        for count in (1, 2, 3, 5, 8, 20):
            who = [
                {"name": f"[2001:db8:1111:2222:3333:4444:5555:{n:x}]:5060", "node": False}
                for n in range(count)
            ]
            steps = [
                {**TRACE["steps"][0], "from": n, "to": (n + 1) % count, "label": "180 " + "x" * 300}
                for n in range(count)
            ]
            for width in (20, 80, 100, 500):
                text = drawn(self.trace(participants=who, steps=steps), width)
                longest = max(len(line) for line in text.splitlines()[1:] if "->" not in line or "|" in line)
                self.assertLess(longest, min(120, max(80, width)), (count, width))

    def test_many_participants(self) -> None:
        """Where there is no room for columns, a line says who sent what to whom."""
        who = [{"name": f"192.0.2.{n}:5060", "node": False} for n in range(12)]
        text = drawn(self.trace(participants=who), 80)
        self.assertIn("  +0.000 192.0.2.0:5060 -> 192.0.2.1:5060: INVITE UDP", text)

    def test_nothing_traced(self) -> None:
        """The outline is there, and a word about how to get more."""
        text = drawn(self.trace(participants=[], steps=[]), 80)
        self.assertIn("  +0.001 * a: hand-over to b", text)
        self.assertIn("voipctl trace on", text)

    def test_messages(self) -> None:
        """Whole messages below their steps, each line; what would move the cursor is escaped."""
        steps = [
            {**TRACE["steps"][0], "text": "INVITE sip:b SIP/2.0\r\nSubject: \x1b[2J\x07\u202e\r\n\r\nv=0\r\n"}
        ]
        text = drawn(self.trace(steps=steps), 80, messages=True)
        for line in ("INVITE sip:b SIP/2.0", "Subject: \\x1b[2J\\x07\\u202e", "v=0"):
            self.assertIn(f"\n           {line}\n", text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("Subject", drawn(self.trace(steps=steps), 80))

    def test_hostile_words(self) -> None:
        """Names, labels and events from the network cannot move the cursor either."""
        evil = "\x1b[2J\r\n"
        text = drawn(
            self.trace(
                call_id=evil,
                participants=[{"name": evil, "node": False}, {"name": "a", "node": True}],
                steps=[{**TRACE["steps"][0], "label": f"INVITE{evil}", "cseq": f"1 {evil}"}],
                events=[{"node": evil, "at": 1000.0, "after": 0.0, "text": f"INVITE from {evil}"}],
                silent=[evil],
            ),
            80,
        )
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\r", text)

    def test_a_step_to_itself(self) -> None:
        """A node that reaches itself has an arrow without a length."""
        steps = [{**TRACE["steps"][0], "from": 1, "to": 1}]
        self.assertIn("|<> INVITE UDP", drawn(self.trace(steps=steps), 80))

    def test_who_does_not_answer(self) -> None:
        self.assertIn("do not answer: b", drawn(self.trace(silent=["b"]), 80))
