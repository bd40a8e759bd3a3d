"""What becomes of a request to the web server that wants the records; with a real server: the integration tests."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from zope.interface.verify import verifyObject

from voipcluster.services.records.forwarding import IConsumer
from voipcluster.services.records.webhook import (
    LONGEST_ANSWER,
    TIMEOUT,
    NotTaken,
    Webhook,
    _Ignored,
    _in_one_line,
)
from voipcluster.store.acc import Waiting


class WebhookTests(SynchronousTestCase):
    def answer(self, code: int, *pieces: bytes) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reader = _Ignored(done, code)
        self.transport = StringTransport()
        reader.makeConnection(self.transport)
        for piece in pieces:
            reader.dataReceived(piece)
        reader.connectionLost()
        return done

    def test_answers(self) -> None:
        """2xx takes the records; anything else does not, and says so."""
        self.successResultOf(self.answer(204))
        self.successResultOf(self.answer(200, b"thanks"))
        for code in (301, 404, 503):
            self.assertIn(str(code), str(self.failureResultOf(self.answer(code, b"no"), NotTaken).value))

    def test_a_long_answer_is_cut_off(self) -> None:
        self.successResultOf(self.answer(200, bytes(LONGEST_ANSWER), b"more"))
        self.assertTrue(self.transport.disconnecting)

    def test_one_line(self) -> None:
        for error, words in (
            (ConnectionRefusedError("no\nserver"), "no server"),
            (ResponseNeverReceived([Failure(ConnectionRefusedError("x"))]), "x"),
            (TimeoutError(), f"{TIMEOUT:g} s"),
        ):
            told = self.failureResultOf(fail(error).addErrback(_in_one_line), NotTaken)
            self.assertIn(words, str(told.value))
            self.assertNotIn("\n", str(told.value))

    def test_a_server_that_says_nothing(self) -> None:
        """It is given up in time, and the records are tried again."""
        reactor = MemoryReactorClock()
        webhook = Webhook(reactor, "http://192.0.2.1/calls", b"")
        verifyObject(IConsumer, webhook)
        taken = webhook.take([Waiting(1, '{"callid": "c1"}')])
        self.assertNoResult(taken)
        reactor.advance(TIMEOUT)
        self.failureResultOf(taken, NotTaken)
        self.successResultOf(webhook.close())
