"""Time on a machine that is busy: what a program waits for its processor does not count."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from demo.programs import tied_to_us
from tests.stopwatch import Stopwatch

WORK = 0.2  # s of CPU time


class StopwatchTests(SynchronousTestCase):
    def work(self) -> tuple[float, float, float]:
        """Work on one processor; seconds by the stopwatch, of CPU time, and by the clock on the wall."""
        watch, begun, worked = Stopwatch(), time.monotonic(), time.thread_time()
        while time.thread_time() < worked + WORK:
            pass
        return watch.seconds, time.thread_time() - worked, time.monotonic() - begun

    def test_busy(self) -> None:
        """Beside three others at the same processor work takes four times as long, and by the stopwatch as long as ever."""
        allowed = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, allowed)
        os.sched_setaffinity(0, {min(allowed)})
        for _ in range(3):
            hog = subprocess.Popen(
                [*tied_to_us(), sys.executable, "-c", "print(flush=True)\nwhile True: pass"],
                stdout=subprocess.PIPE,
            )
            assert hog.stdout is not None
            self.addCleanup(hog.stdout.close)
            self.addCleanup(hog.wait)
            self.addCleanup(hog.kill)
            hog.stdout.read(1)
        seconds, worked, passed = self.work()
        self.assertGreater(passed, 2 * WORK)
        self.assertLess(seconds, worked + 0.25 * (passed - worked))

    def test_another(self) -> None:
        """A process that has ended is no reason to begin anew; what is slept counts."""
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        watch, begun = Stopwatch(other.pid), time.monotonic()
        other.communicate(b"\n")
        self.assertLessEqual(watch.seconds, time.monotonic() - begun)
        self.assertGreaterEqual(watch.seconds, 0.0)
