"""The log as JSON."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
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

    def test_priority_in_the_journal(self) -> None:
        """sd-daemon(3): the journal takes it off, and the line is JSON."""
        with Path(self.mktemp()).open("w+", encoding="utf-8") as out:
            status = os.fstat(out.fileno())
            journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
            log = Logger("x", observer=LogPublisher(lines(out, journal)))
            log.info("one")
            log.warn("two\nlines")
            log.info("")
            out.seek(0)
            written = out.read().splitlines()
        self.assertEqual([line[:3] for line in written], ["<6>", "<4>"])
        self.assertEqual([json.loads(line[3:])["text"] for line in written], ["one", "two\nlines"])

    def test_a_long_line(self) -> None:
        """The journal would break it: a traceback keeps its end, what else is long its beginning."""
        self.log.warn("{what}", what="a" + "\N{TELEPHONE RECEIVER}" * 20000, call="c1@h")
        try:
            raise ZeroDivisionError("\n".join(map(str, range(20000))))
        except ZeroDivisionError:
            self.log.failure("it broke")
        text, trace = self.logged()
        for line in self.out.getvalue().splitlines():
            self.assertLess(len(line), 48 * 1024)
        self.assertEqual((text["text"][:2], text["call"]), ("a\N{TELEPHONE RECEIVER}", "c1@h"))
        self.assertEqual(trace["text"], "it broke")
        self.assertIn("\n19999", trace["traceback"][-10:])

    def test_nothing_to_say(self) -> None:
        self.log.info("")
        self.assertEqual(self.logged(), [])
