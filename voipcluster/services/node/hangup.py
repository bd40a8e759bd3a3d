"""SIGHUP: the configuration is read again, as voipctl reload does it; what comes of it is in the log."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.errors import UsageError
from voipcluster.services.node.reloading import Reloading


class HangupService(Service):
    """
    @param reactor: has C{callFromThread}. The service is started in the main thread, where Python takes signals.
    """

    _log = Logger()

    def __init__(self, reactor: Any, reloading: Reloading) -> None:
        self._reactor, self._reloading = reactor, reloading
        self._before: Any = signal.SIG_DFL

    def startService(self) -> None:
        super().startService()
        self._before = signal.signal(signal.SIGHUP, self._came)

    def stopService(self) -> None:
        if self.running:
            signal.signal(signal.SIGHUP, self._before)
        super().stopService()

    def _came(self, number: int, frame: FrameType | None) -> None:
        # between any two steps of the program: nothing can be done here but to ask for a turn of the reactor
        self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        maybeDeferred(self._reloading.reload).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(UsageError):
            self._log.error(
                "the configuration stays as it was: {error}",
                error=" ".join(failure.getErrorMessage().split()),
            )
        else:
            self._log.failure("the configuration was not read again", failure)
