"""The log on standard output: its level, and its lines for the journal."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from twisted.logger import ILogFilterPredicate, Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from voipcluster.services.log import THRESHOLD, is_journal, journal_lines, standard_log


class LogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(THRESHOLD.set, "info")

    def stream(self) -> TextIO:
        """A file, as standard output may be one."""
        files = ExitStack()
        self.addCleanup(files.close)
        return files.enter_context(Path(self.mktemp()).open("w+", encoding="utf-8"))

    def journal(self, stream: TextIO) -> dict[str, str]:
        """What systemd tells of a stream that it has connected to the journal."""
        status = os.fstat(stream.fileno())
        return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}

    def logged(self, stream: TextIO) -> list[str]:
        stream.seek(0)
        return stream.read().splitlines()


class LevelTests(LogCase):
    def test_level(self) -> None:
        """What is less is not written; the level can change at any time, and what has none is written."""
        verifyObject(ILogFilterPredicate, THRESHOLD)
        out = self.stream()
        observer = standard_log(out, {})
        log = Logger("x", observer=LogPublisher(observer))
        for level in ("info", "error", "debug"):
            THRESHOLD.set(level)
            log.debug("debug at {name}", name=level)
            log.warn("warn at {name}", name=level)
            log.error("error at {name}", name=level)
        THRESHOLD.set("error")
        observer({"log_format": "no level", "log_namespace": "x"})
        shown = [line.partition("[x#")[2].partition("] ")[2] for line in self.logged(out)[:-1]]
        self.assertEqual(
            shown,
            [
                "warn at info",
                "error at info",
                "error at error",
                "debug at debug",
                "warn at debug",
                "error at debug",
            ],
        )
        self.assertIn("no level", self.logged(out)[-1])


class JournalTests(LogCase):
    def test_priorities(self) -> None:
        """sd-daemon(3): each line begins with its priority, without a time of its own."""
        out = self.stream()
        log = Logger("x", observer=LogPublisher(standard_log(out, self.journal(out))))
        log.info("one")
        log.warn("two\nlines")
        log.error("three")
        log.critical("four")
        self.assertEqual(self.logged(out), ["<6>one", "<4>two", "<4>lines", "<3>three", "<2>four"])

    def test_a_trace(self) -> None:
        """All lines of it have the priority of the error."""
        out = self.stream()
        log = Logger("x", observer=LogPublisher(standard_log(out, self.journal(out))))
        try:
            raise ZeroDivisionError("oh")
        except ZeroDivisionError:
            log.failure("it broke")
        lines = self.logged(out)
        self.assertEqual({line[:3] for line in lines}, {"<2>"})
        self.assertIn("ZeroDivisionError: oh", lines[-1])
        self.assertIsNone(journal_lines({"log_format": ""}))

    def test_a_long_line(self) -> None:
        """It is broken here, before the journal does it: what is behind its break would have no priority."""
        out = self.stream()
        text = "\N{TELEPHONE RECEIVER}" * 30000
        Logger("x", observer=LogPublisher(standard_log(out, self.journal(out)))).warn("{text}", text=text)
        lines = self.logged(out)
        self.assertEqual("".join(line.removeprefix("<4>") for line in lines), text)
        self.assertTrue(all(len(line.encode()) < 48 * 1024 for line in lines))

    def test_another_stream(self) -> None:
        """What was redirected to a file is no journal, though the variable is there; nor is what has no descriptor."""
        out, other = self.stream(), self.stream()
        self.assertTrue(is_journal(out, self.journal(out)))
        self.assertFalse(is_journal(out, self.journal(other)))
        self.assertFalse(is_journal(out, {}))
        self.assertFalse(is_journal(out, {"JOURNAL_STREAM": "x"}))
        self.assertFalse(is_journal(io.StringIO(), self.journal(out)))
