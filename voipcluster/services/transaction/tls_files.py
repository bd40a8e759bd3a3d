"""Looks after the files of TLS: new ones are used as soon as they are there, bad ones leave the old ones in use."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from voipcluster.errors import UsageError
from voipcluster.net.sip_tls import SipTls

PERIOD = 2.0  # seconds between two looks at three files
SOON = 14 * 86_400.0  # seconds: a certificate that ends so soon should have been renewed long ago
_DAY = 86_400.0


class TlsFilesService(Service):
    """
    Connections stay as they are; those made after a change have the new certificate.

    @param clock: the reactor: its C{seconds()} are unix seconds.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, tls: SipTls) -> None:
        self._clock, self._tls = clock, tls
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._warn_at = 0.0

    def startService(self) -> None:
        super().startService()
        self._loop.start(PERIOD).addErrback(
            lambda failure: self._log.failure("the files of TLS are not looked at any more", failure=failure)
        )

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        if self._tls.changed():
            try:
                self._tls.reload()
            except UsageError as error:
                self._log.error("TLS goes on with the old certificate: {error}", error=str(error))
            else:
                end = _date(self._tls.expires)
                self._log.info("TLS: new files are in use, the certificate is good until {end}", end=end)
                self._warn_at = 0.0
        now = self._clock.seconds()
        if self._tls.expires - now < SOON and now >= self._warn_at:
            self._warn_at = now + _DAY
            end = _date(self._tls.expires)
            self._log.warn("the TLS certificate of this node ends at {end}: renew it", end=end)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
