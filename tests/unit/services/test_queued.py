"""How long a thread waited for a processor."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services import queued as module
from voipcluster.services.queued import NEVER, queued


class QueuedTests(SynchronousTestCase):
    @skipUnless(Path("/proc/thread-self/schedstat").exists(), "this kernel counts no waits")
    def test_of_this_thread(self) -> None:
        """It only grows, and giving the processor away is one more run."""
        before = queued()
        os.sched_yield()
        after = queued()
        self.assertGreater(before.runs, 0)
        self.assertGreaterEqual(after, before)
        self.assertLess(after.waited - before.waited, 3600.0, "seconds")

    def test_a_kernel_that_does_not_count(self) -> None:
        """Nothing is known then, and nothing is wrong."""
        self.patch(module, "_SCHEDSTAT", "/proc/thread-self/no such file")
        self.assertEqual(queued(), NEVER)

    def test_something_else(self) -> None:
        """A /proc that is not the kernel's may have the file, and not its numbers."""
        for text in ("", "12 34", "some words here"):
            path = self.mktemp()
            Path(path).write_text(text)
            self.patch(module, "_SCHEDSTAT", path)
            self.assertEqual(queued(), NEVER, text)
