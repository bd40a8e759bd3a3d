"""One SIP connection over TLS: nothing goes out before the peer has proved who it is."""

from __future__ import annotations

from typing import Any

from OpenSSL.SSL import Error
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from voipcluster.net.sip_identity import sip_identities
from voipcluster.net.stream import SipStream

_SHOWN = 5  # identities of a wrong certificate that are named in the error


@implementer(IHandshakeListener)
class SecureSipStream(SipStream):
    """
    The same inside TLS.

    @ivar expected: the domain or address that the certificate of the peer must prove; of a connection that we open.
    @ivar identities: what the checked certificate of the peer proves; empty when it showed none.
    """

    def __init__(self, *, expected: str = "", **rest: Any) -> None:
        super().__init__(**rest)
        self.expected = expected
        self.identities: frozenset[str] = frozenset()
        self._ready = False

    def proves(self, name: str) -> bool:
        return not name or name in self.identities

    def connectionMade(self) -> None:
        self._wire = self.transport
        self._tune(self._wire.transport)
        # of one that was accepted, the handshake is part of the time that its first message may take
        limit = self._limits.connect if self.opened else self._limits.first_message
        self._limit_timer = self._timers.start(limit, self._too_slow)

    def handshakeCompleted(self) -> None:
        if not self._alive:
            return
        certificate = self._wire.getPeerCertificate()
        if certificate is not None:
            self.identities = sip_identities(certificate.to_cryptography())
        if self.opened and self.expected not in self.identities:
            found = ", ".join(sorted(self.identities)[:_SHOWN]) or "nobody"
            self.failure = f"its certificate is for {found}, not for {self.expected}"
            self.abort()
            return
        if self.opened and self._limit_timer is not None:
            self._limit_timer.cancel()
            self._limit_timer = None
        self._ready = True
        self._begin()

    def _too_slow(self) -> None:
        self.failure = "no TLS handshake, or no message after it, in time"
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.failure:
            self.failure = _text(reason)
        super().connectionLost(reason)

    def _tell_lost(self) -> None:
        if self._ready:  # else nobody ever heard of it
            super()._tell_lost()

    def _close_transport(self) -> None:
        # with a TLS alert that says so (RFC 8446 section 6.1)
        self._wire.loseConnection()


def _text(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, Error):
        try:
            return f"TLS: {error.args[0][-1][2]}"  # the last one is what it all led to
        except (IndexError, TypeError):
            return "TLS failed"
    return reason.getErrorMessage()
