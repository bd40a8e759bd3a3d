"""
One question over TCP (RFC 7766), on a connection of its own.

twisted.names has all questions on one connection, where one giant answer ends the others too, and asks again for ever when
an answer over TCP says that it is truncated.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from voipcluster.errors import PeerError
from voipcluster.net.lease import Lease

LONGEST = 8 << 10  # octets of an answer: to decode that takes 10 ms, and more would take time that calls need


class _Asking(Int16StringReceiver):
    MAX_LENGTH = LONGEST

    def __init__(self, question: _Question) -> None:
        self._question = question

    def connectionMade(self) -> None:
        self.sendString(self._question.query.toStr())

    def stringReceived(self, string: bytes) -> None:
        assert self.transport is not None
        self._question.heard(string)
        self.transport.loseConnection()

    def lengthLimitExceeded(self, length: int) -> None:
        self._question.failed(PeerError(f"an answer of {length} octets"))
        super().lengthLimitExceeded(length)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._question.failed(PeerError("no answer on the connection"))


class _Question(ClientFactory):
    noisy = False

    def __init__(self, query: dns.Message) -> None:
        self.query = query
        self.answered: Deferred[dns.Message] | None = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> _Asking:
        return _Asking(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.failed(PeerError(reason.getErrorMessage()))

    def heard(self, octets: bytes) -> None:
        message = dns.Message()
        try:
            message.fromStr(octets)
        except (EOFError, ValueError) as error:
            self.failed(PeerError(f"an answer that cannot be read: {error}"))
            return
        if message.id != self.query.id or not message.answer or message.trunc:
            self.failed(PeerError("an answer that is none"))
        elif self.answered is not None:
            answered, self.answered = self.answered, None
            answered.callback(message)

    def failed(self, error: Exception) -> None:
        if self.answered is not None:
            answered, self.answered = self.answered, None
            answered.errback(error)


def ask_over_tcp(
    lease: Lease, server: tuple[str, int], queries: list[dns.Query], timeout: float
) -> Deferred[Any]:
    """
    Ask one server.

    @param timeout: seconds for the whole; then the connection is closed.
    @return: a C{dns.Message}, or a L{PeerError}.
    """
    query = dns.Message(dns.randomSource(), recDes=1)
    query.queries = queries
    question = _Question(query)
    assert question.answered is not None
    answered = question.answered
    connector = lease.connectTCP(*server, question, timeout)

    def too_late() -> None:
        question.failed(PeerError("timed out"))
        connector.disconnect()

    deadline = lease.callLater(timeout, too_late)

    def arrived(result: Any) -> Any:
        if deadline.active():
            deadline.cancel()
        return result

    return answered.addBoth(arrived)
