"""Ctrl-C for programs that end calls before they end."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_at_signals(reactor: Any) -> None:
    """
    Let SIGINT and SIGTERM stop the reactor, which must be running, and further ones do nothing while it stops.

    The reactor's own handler raises at the second signal, and is not installed for a SIGINT that is ignored: shells do so
    for what a script starts in the background.
    """

    def stop() -> None:
        with suppress(ReactorNotRunning):
            reactor.stop()

    for number in SIGNALS:
        signal.signal(number, lambda number, frame: reactor.callFromThread(stop))
