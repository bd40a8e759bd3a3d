"""The log as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.json_log import lines


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.StringIO()
        publisher = LogPublisher(lines(self.out))
        self.log = Logger("voipcluster.services.x", observer=publisher)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def test_what_a_line_names(self) -> None:
        """Under its own name; objects are only in the text."""
        self.log.warn("call {call} of {source!r}", call="c1@h", source={"x": 1}, packets=7)
        (line,) = self.logged()
        self.assertRegex(line.pop("time"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$")
        self.assertEqual(
            line,
            {
                "level": "warn", "system": "voipcluster.services.x",
                "text": "call c1@h of {'x': 1}", "call": "c1@h", "packets": 7,
            },
        )  # fmt: skip

    def test_hostile_text(self) -> None:
        """What came from the network ends no line, and takes no other name."""
        self.log.info("from {call}", call='x"\n{"level":"critical"}', text="y", time=1)
        (line,) = self.logged()
        self.assertEqual((line["level"], line["call"]), ("info", 'x"\n{"level":"critical"}'))
        self.assertTrue(line["text"].startswith("from x"))

    def test_a_failure(self) -> None:
        try:
            raise ZeroDivisionError("oh")
        except ZeroDivisionError:
            self.log.failure("it broke", level=LogLevel.error)
        (line,) = self.logged()
        self.assertEqual((line["level"], line["text"]), ("error", "it broke"))
        self.assertIn("ZeroDivisionError: oh", line["traceback"])

    def test_nothing_to_say(self) -> None:
        self.log.info("")
        self.assertEqual(self.logged(), [])
