"""One SIP stream connection, with a transport of the test."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeTransport
from voipcluster.address import Flow
from voipcluster.net.sink import SinkErrors
from voipcluster.net.stream import LINGER, PONGS_PER_SECOND, SipStream, StreamLimits
from voipcluster.net.timers import TimerWheel

FLOW = Flow("TCP", ("192.0.2.1", 5060), ("198.51.100.1", 40000), 7)
MESSAGE = b"OPTIONS sip:a.example SIP/2.0\r\nl: 3\r\n\r\nabc"
LIMITS = StreamLimits(write_buffer=1000)


class Owner:
    """Notes what the stream reports."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def up(self, stream: SipStream) -> None:
        self.events.append("up")

    def proven(self, stream: SipStream) -> None:
        self.events.append("proven")

    def closing(self, stream: SipStream) -> None:
        self.events.append("closing")

    def lost(self, stream: SipStream) -> None:
        self.events.append("lost")


class StreamTestCase(SynchronousTestCase):
    opened = False

    def setUp(self) -> None:
        self.reactor, self.sink, self.owner = FakeReactor(), FakeSink(), Owner()
        self.stream = SipStream(
            FLOW,
            self.opened,
            self.owner,
            self.sink,
            SinkErrors(self.reactor),
            TimerWheel(self.reactor),
            self.reactor.seconds,
            LIMITS,
        )
        self.transport = FakeTransport(self.reactor, FLOW.remote, FLOW.local)
        self.transport.connect(self.stream)

    def tearDown(self) -> None:
        self.transport.lose(ConnectionDone())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def feed(self, data: bytes) -> None:
        self.stream.dataReceived(data)


class AcceptedTests(StreamTestCase):
    def test_interfaces(self) -> None:
        """Stream and fake provide what they say."""
        verifyObject(IPushProducer, self.stream)
        verifyObject(ITCPTransport, self.transport)

    def test_a_peer_that_promised_keep_alives(self) -> None:
        """Its connection is given up when it falls silent, whatever we send; a ping is a sign of life (RFC 5626 section 4.4)."""
        self.feed(MESSAGE)
        self.stream.keep(3600)
        self.stream.expect(180)
        self.stream.expect(180)
        self.reactor.advance(170)
        self.feed(b"\r\n\r\n")
        self.reactor.pump([10.0] * 17)
        self.stream.send(MESSAGE)
        self.assertTrue(self.stream.alive)
        self.reactor.pump([5.0, 6.0])
        self.assertFalse(self.stream.alive)

    def test_messages_go_to_the_sink(self) -> None:
        """Each message goes up with the flow of its connection, in order."""
        self.feed(MESSAGE + MESSAGE[:20])
        self.feed(MESSAGE[20:])
        self.assertEqual(self.sink.calls, [("received", MESSAGE, FLOW)] * 2)
        self.assertEqual(self.owner.events, ["up", "proven"])

    def test_socket_options(self) -> None:
        """Small messages leave at once, and a peer that acknowledges nothing for 10 s is dead (RFC 5626 4.4.1)."""
        self.assertTrue(self.transport.no_delay)
        self.assertEqual(self.transport.options, [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)])

    def test_ping_is_answered(self) -> None:
        """A double CRLF is answered with one CRLF at once, a single one is not (RFC 5626 section 4.4.1)."""
        self.feed(b"\r\n\r\n")
        self.assertEqual(self.transport.written, b"\r\n")
        self.feed(MESSAGE + b"\r\n")
        self.assertEqual(self.transport.written, b"\r\n")

    def test_pongs_are_bounded(self) -> None:
        """A flood of pings is answered so many times a second and no more."""
        for _ in range(3):
            self.feed(b"\r\n" * 32768)
        self.assertEqual(self.transport.written, b"\r\n" * PONGS_PER_SECOND)
        self.reactor.run_for(1.0)
        self.feed(b"\r\n\r\n")
        self.assertEqual(self.transport.written, b"\r\n" * (PONGS_PER_SECOND + 1))

    def test_first_message_in_time(self) -> None:
        """Without a whole message in 10 s the connection is aborted, whatever else it sends."""
        for _ in range(9):
            self.feed(b"\r\n\r\n")
            self.reactor.run_for(1.0)
        self.feed(MESSAGE[:-1])
        self.assertFalse(self.transport.aborted)
        self.reactor.run_for(1.1)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.owner.events, ["up", "closing", "lost"])
        self.assertEqual(self.sink.calls, [("lost", FLOW)])

    def test_slow_message(self) -> None:
        """A message that takes longer than 10 s ends the connection, one octet a second does not help it."""
        self.feed(MESSAGE + MESSAGE[:1])
        for at in range(1, 10):
            self.reactor.run_for(1.0)
            self.feed(MESSAGE[at : at + 1])
            self.assertFalse(self.transport.aborted)
        self.reactor.run_for(1.1)
        self.assertTrue(self.transport.aborted)

    def test_each_message_has_its_own_time(self) -> None:
        """Reads that always end within the next message are no slow message."""
        self.feed(MESSAGE[:5])
        for _ in range(30):
            self.reactor.run_for(1.0)
            self.feed(MESSAGE[5:] + MESSAGE[:5])
        self.assertFalse(self.transport.aborted)
        self.assertEqual(len(self.sink.calls), 30)

    def test_idle(self) -> None:
        """An idle connection is closed after its time; octets in either direction start it anew."""
        self.feed(MESSAGE)
        self.reactor.run_for(100.0)
        self.feed(b"\r\n\r\n")
        self.reactor.run_for(100.0)
        self.stream.send(MESSAGE)
        self.reactor.run_for(179.0)
        self.assertFalse(self.transport.half_closed)
        self.reactor.run_for(1.2)
        self.assertTrue(self.transport.half_closed)
        self.assertFalse(self.stream.alive)

    def test_keep(self) -> None:
        """A connection that a binding depends on stays as long as the binding, and is idle after it."""
        self.feed(MESSAGE)
        self.stream.keep(600.0)
        self.stream.keep(10.0)
        self.reactor.run_for(599.0)
        self.assertTrue(self.stream.alive)
        self.reactor.run_for(1.2)
        self.assertFalse(self.stream.alive)

    def test_framing_failure(self) -> None:
        """The sink may answer a broken request; then the connection is closed and the rest never read (18.3)."""

        def answer(*call: Any) -> None:
            if call[0] == "failed":
                self.stream.send(b"SIP/2.0 400 Bad\r\n\r\n")

        self.sink.react = answer
        broken = b"OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n"
        self.feed(MESSAGE + broken + MESSAGE)
        self.feed(MESSAGE)
        failed = ("failed", broken, FLOW, 400, "Content-Length is no number")
        self.assertEqual(self.sink.calls, [("received", MESSAGE, FLOW), failed])
        self.assertEqual(self.transport.written, b"SIP/2.0 400 Bad\r\n\r\n")
        self.assertTrue(self.transport.half_closed)
        self.assertIsNone(self.transport.producer)

    def test_linger_is_bounded(self) -> None:
        """A peer that does not close in turn is aborted."""
        self.stream.close()
        self.reactor.run_for(LINGER - 0.1)
        self.assertFalse(self.transport.aborted)
        self.reactor.run_for(0.2)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.sink.calls, [("lost", FLOW)])

    def test_closed_by_the_sink(self) -> None:
        """Once the sink closes the connection no further message of the same read is delivered."""
        self.sink.react = lambda *call: self.stream.close()
        self.feed(MESSAGE * 3)
        self.assertEqual(self.sink.received(), [MESSAGE])

    def test_reader_that_does_not_read(self) -> None:
        """When the unsent octets pass the bound the connection is aborted, and send says so."""
        self.transport.stuck = True
        self.assertTrue(self.stream.send(b"x" * 101))
        self.assertTrue(self.stream.send(b"x" * 1000))
        self.assertFalse(self.stream.send(b"x"))
        self.assertTrue(self.transport.aborted)
        self.assertFalse(self.stream.alive)
        self.reactor.run_for(0.1)

    def test_slow_reader_that_catches_up(self) -> None:
        """A reader that takes everything in between is never aborted, however much it gets."""
        self.transport.stuck = True
        for _ in range(100):
            self.assertTrue(self.stream.send(b"x" * 900))
            self.stream.resumeProducing()
        self.assertFalse(self.transport.aborted)

    def test_a_failing_sink_stops_nothing(self) -> None:
        """What the sink raises is logged, and the connection goes on."""
        self.sink.react = lambda *call: 1 // 0
        self.feed(MESSAGE * 3)
        self.assertEqual(self.sink.received(), [MESSAGE] * 3)
        self.transport.lose(ConnectionDone())
        self.assertEqual(self.owner.events[-2:], ["closing", "lost"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lost(self) -> None:
        """A connection that the peer closes is told once, and no timer stays."""
        self.feed(MESSAGE[:10])
        self.transport.lose(ConnectionDone())
        self.assertEqual(self.sink.calls, [("lost", FLOW)])
        self.stream.close()
        self.stream.abort()
        self.assertFalse(self.transport.aborted)


class OpenedTests(StreamTestCase):
    opened = True

    def test_peer_may_stay_silent(self) -> None:
        """The limit for the first message is for those who came to us; one that we opened is idle at most."""
        self.reactor.run_for(179.0)
        self.assertTrue(self.stream.alive)
        self.reactor.run_for(1.2)
        self.assertFalse(self.stream.alive)
