"""Each call is looked at once a second, and nothing ends that."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.media.watching import SLICE, Watch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.calls = [f"c{number}" for number in range(2 * SLICE + 10)]
        self.seen: list[str] = []
        self.faulty: set[str] = set()
        self.counts = 0
        self.watch = Watch[str](self.clock, lambda: list(self.calls), self.look, self.count)
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def look(self, call: str) -> None:
        self.seen.append(call)
        if call in self.faulty:
            raise ValueError(call)

    def count(self) -> None:
        self.counts += 1
        if "counts" in self.faulty:
            raise ValueError("counts")

    def wait(self, seconds: float) -> None:
        for _ in range(round(10 * seconds)):
            self.clock.advance(0.1)

    def faults(self) -> int:
        return len(self.flushLoggedErrors(ValueError))

    def test_all_in_a_second(self) -> None:
        """All of them, each once, and never more than a slice at a time."""
        self.wait(1.1)
        self.assertEqual(self.seen, self.calls[:SLICE])
        self.wait(0.8)
        self.assertEqual(self.seen, self.calls)
        self.wait(1.0)
        self.assertEqual((self.seen, self.counts), (self.calls * 2, 2))

    def test_a_fault(self) -> None:
        """Of the very first call, or one of a later slice: it is told once, until that call is over."""
        self.faulty = {"c0", f"c{SLICE}"}
        self.wait(3.9)
        self.assertEqual((self.seen, self.faults()), (self.calls * 3, 2))
        self.watch.forget("c0")
        self.wait(1.0)
        self.assertEqual(self.faults(), 1)

    def test_what_cannot_be_counted(self) -> None:
        """Calls are looked at all the same; it is told once until it is counted again."""
        for _ in range(2):
            self.faulty = {"counts"}
            self.wait(3.0)
            self.assertEqual(self.faults(), 1)
            self.faulty.clear()
            self.wait(1.0)
        self.wait(0.9)
        self.assertEqual((self.counts, self.seen), (8, self.calls * 8))

    def test_late(self) -> None:
        """A node that has not yet seen all of the last time begins no second round beside it."""
        self.clock.advance(1.0)
        self.clock.advance(5.0)
        self.wait(0.6)
        self.assertEqual(self.seen, self.calls)

    def test_stop(self) -> None:
        """In the midst of it, and twice."""
        self.wait(1.1)
        for _ in range(2):
            self.watch.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])
