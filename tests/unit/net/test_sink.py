"""What is logged when a sink fails."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from voipcluster.address import Flow, Hop
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.phone.phone import Phone
from voipcluster.services.transaction.transactions import TransactionService

FLOW = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.7", 4711))


class SinkErrorsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = SinkErrors(self.clock, period=2.0)

    def fail(self, peer: Flow | Hop = FLOW, times: int = 1) -> int:
        """Let a sink fail; how many tracebacks were logged."""
        for _ in range(times):
            try:
                raise KeyError("secret of the sink")
            except KeyError:
                self.errors.failed(peer)
        return len(self.flushLoggedErrors(KeyError))

    def test_the_first_one_is_logged(self) -> None:
        """With its traceback, and the peer that provoked it."""
        self.assertEqual(self.fail(), 1)
        self.assertEqual(self.errors.count, 1)

    def test_a_flood_is_one_traceback_per_period(self) -> None:
        """The others are counted, so that whoever makes us fail does not fill the disk too."""
        self.assertEqual(self.fail(times=1000), 1)
        self.clock.advance(1.9)
        self.assertEqual(self.fail(), 0)
        self.clock.advance(0.1)
        self.assertEqual(self.fail(times=10), 1)
        self.assertEqual(self.errors.count, 1011)

    def test_the_line_tells_who_and_how_many_more(self) -> None:
        """The text names the peer, and counts what was left out since the last line."""
        lines = []

        class Recorder:
            def failure(self, text: str, **fields: object) -> None:
                lines.append(text.format(**fields))

        self.patch(SinkErrors, "_log", Recorder())
        self.fail(times=3)
        self.clock.advance(2)
        self.fail(Hop("TCP", "2001:db8::7", 5061))
        self.assertEqual(
            lines,
            [
                "what udp:192.0.2.7:4711 sent could not be processed (0 more since the last report)",
                "what tcp:[2001:db8::7]:5061 sent could not be processed (2 more since the last report)",
            ],
        )


class SinkTests(SynchronousTestCase):
    def test_who_takes_messages(self) -> None:
        """Both takers have every method of the interface, with its arguments."""
        for taker in (TransactionService, Phone):
            self.assertTrue(verifyClass(ISipSink, taker))
