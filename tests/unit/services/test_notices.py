"""Log lines under a flood (S28)."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.notices import LINES, PERIOD, Notices


class NoticesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.notices = Notices(self.clock.seconds, Logger("test", observer=self.events.append))

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_a_flood(self) -> None:
        """A million of one kind are a few lines; the next line says how many were left out."""
        for number in range(1000):
            self.notices.warn("malformed", "number {number}", number=number)
        self.assertEqual(self.lines, [f"number {number}" for number in range(LINES)])
        self.clock.advance(PERIOD)
        self.notices.warn("malformed", "number {number}", number=1000)
        self.assertEqual(self.lines[-1], f"number 1000 ({1000 - LINES} more such lines were left out)")

    def test_kinds(self) -> None:
        """One kind does not hide another."""
        for _ in range(100):
            self.notices.warn("malformed", "broken")
        self.notices.warn("ban", "banned")
        self.assertEqual(self.lines[-1], "banned")

    def test_levels(self) -> None:
        """What is wrong here is a warning, what a peer does is not; they share no bound."""
        for _ in range(LINES):
            self.notices.info("refused", "no such user")
        self.notices.warn("ban", "banned")
        self.assertEqual(
            [event["log_level"] for event in self.events], [LogLevel.info] * LINES + [LogLevel.warn]
        )

    def test_few(self) -> None:
        """What comes now and then is all logged, with nothing added."""
        for _ in range(10):
            self.notices.warn("ban", "banned")
            self.clock.advance(PERIOD / 2)
        self.assertEqual(self.lines, ["banned"] * 10)
