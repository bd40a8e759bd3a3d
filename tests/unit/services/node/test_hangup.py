"""The signal that has the configuration read again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.services.node.hangup import HangupService


class Turns:
    """A reactor that runs what was asked of it from a signal when it is told to."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)


class AskedToReload:
    def __init__(self, answer: Deferred[Any]) -> None:
        self.answer, self.asked = answer, 0

    def reload(self) -> Deferred[Any]:
        self.asked += 1
        return self.answer


class HangupTests(SynchronousTestCase):
    def hang_up(self, answer: Deferred[Any]) -> AskedToReload:
        """The process gets a SIGHUP, and its reactor a turn."""
        turns, reloading = Turns(), AskedToReload(answer)
        service = HangupService(turns, reloading)
        before = signal.getsignal(signal.SIGHUP)
        service.startService()
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            self.assertEqual((len(turns.calls), reloading.asked), (1, 0))
            turns.calls.pop()()
        finally:
            service.stopService()
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)
        return reloading

    def test_reads_again(self) -> None:
        """In the reactor's turn, not between two steps of whatever runs; afterwards the signal is as it was."""
        self.assertEqual(self.hang_up(succeed({})).asked, 1)

    def test_mistake(self) -> None:
        """One line in the log, without a trace; the process goes on."""
        self.hang_up(fail(UsageError("x.toml:3: wrong")))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fault(self) -> None:
        self.hang_up(fail(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
