"""Call records to an HTTP server of the operator: one POST for what has gathered, again until it is accepted."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from voipcluster import __version__
from voipcluster.errors import VoipclusterError
from voipcluster.services.records.forwarding import IConsumer

TIMEOUT = 10.0  # s for one request
SIGNATURE = b"X-Voipcluster-Signature"
LONGEST_ANSWER = 65_536  # octets of a response body that are read, so that the connection can be used again


class NotTaken(VoipclusterError):
    """The server did not accept the records; one line."""


@implementer(IConsumer)
class Webhook:
    """
    The body is a JSON object: C{records} is a list of rows of C{acc_cdrs}. A row comes again when an answer was lost: C{uid}
    tells it. What is answered by 2xx is taken, everything else is tried again.

    @param url: http or https; the certificate of a server is checked against the CAs of the system.
    @param secret: key of the HMAC-SHA256 over the body in C{X-Voipcluster-Signature}; empty: there is none.
    """

    name = "webhook"

    def __init__(self, reactor: Any, url: str, secret: bytes) -> None:
        self._reactor = reactor
        self.use(url, secret)
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._agent = Agent(reactor, connectTimeout=TIMEOUT, pool=self._pool)

    def use(self, url: str, secret: bytes) -> None:
        """From the next request on."""
        self._url, self._secret = url.encode("ascii"), secret

    def take(self, rows: Sequence[Any]) -> Deferred[None]:
        body = json.dumps({"records": [json.loads(row.body) for row in rows]}, separators=(",", ":")).encode()
        headers = Headers(
            {b"Content-Type": [b"application/json"], b"User-Agent": [f"voipcluster/{__version__}".encode()]}
        )
        if self._secret:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers.addRawHeader(SIGNATURE, f"sha256={digest}".encode())
        asked = self._agent.request(b"POST", self._url, headers, FileBodyProducer(BytesIO(body)))
        taken: Deferred[None] = asked.addCallback(self._answered)
        taken.addTimeout(TIMEOUT, self._reactor)
        return taken.addErrback(_in_one_line)

    def _answered(self, response: IResponse) -> Deferred[None]:
        read: Deferred[None] = Deferred()
        response.deliverBody(_Ignored(read, response.code))
        return read

    def close(self) -> Deferred[None]:
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


class _Ignored(Protocol):
    """Reads a response to its end, so that its connection can be used again; a long one is cut off."""

    def __init__(self, done: Deferred[None], code: int) -> None:
        self._done, self._code, self._left = done, code, LONGEST_ANSWER

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._done.called:
            return
        if 200 <= self._code < 300:
            self._done.callback(None)
        else:
            self._done.errback(NotTaken(f"the server answers {self._code}"))


def _in_one_line(failure: Failure) -> Failure:
    """What Twisted knows of a request that failed is a list of failures."""
    if failure.check(NotTaken):
        return failure
    if failure.check(TimeoutError):
        return Failure(NotTaken(f"no answer within {TIMEOUT:g} s"))
    reasons = getattr(failure.value, "reasons", None)
    text = reasons[0].getErrorMessage() if reasons else failure.getErrorMessage()
    return Failure(NotTaken(" ".join(text.split())))
