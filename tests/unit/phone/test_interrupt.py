"""Ctrl-C once, and again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.phone import interrupt


class Reactor:
    def __init__(self) -> None:
        self.stops = 0

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class InterruptTests(SynchronousTestCase):
    def test_stops_once(self) -> None:
        """Each signal asks the reactor to stop; that it is stopping already is no error."""
        handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
        self.patch(interrupt.signal, "signal", handlers.__setitem__)
        reactor = Reactor()
        interrupt.stop_at_signals(reactor)
        self.assertEqual(set(handlers), {signal.SIGINT, signal.SIGTERM})
        for number, handle in [*handlers.items()] * 2:
            handle(number, None)
        self.assertEqual(reactor.stops, 4)
