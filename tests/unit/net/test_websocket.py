"""One SIP connection over a WebSocket, behind its opening handshake."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType
from wsproto.connection import Connection
from zope.interface.verify import verifyObject

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeTransport
from tests.unit.net.test_stream import Owner
from tests.unit.net.websocket_client import WebSocketClient
from voipcluster.address import Flow
from voipcluster.net.sink import SinkErrors
from voipcluster.net.stream import LINGER, PONGS_PER_SECOND, StreamLimits
from voipcluster.net.timers import TimerWheel
from voipcluster.net.websocket import FRAMES, SipWebSocket

FLOW = Flow("WS", ("192.0.2.1", 8080), ("198.51.100.1", 40000), 7)
MESSAGE = "OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
LIMITS = StreamLimits(max_head=1000, max_body=1000)


class WebSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink, self.owner = FakeReactor(), FakeSink(), Owner()
        self.stream = SipWebSocket(
            frames=Connection(ConnectionType.SERVER),
            flow=FLOW,
            opened=False,
            owner=self.owner,
            sink=self.sink,
            errors=SinkErrors(self.reactor),
            timers=TimerWheel(self.reactor),
            seconds=self.reactor.seconds,
            limits=LIMITS,
        )
        self.transport = FakeTransport(self.reactor, FLOW.remote, FLOW.local)
        self.transport.producer = "the web server's"
        self.transport.connect(self.stream)
        self.client = WebSocketClient()
        self._read = 0

    def tearDown(self) -> None:
        self.transport.lose(ConnectionDone())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def feed(self, data: bytes) -> None:
        self.stream.dataReceived(data)
        self.look()

    def look(self) -> None:
        new, self._read = self.transport.written[self._read :], len(self.transport.written)
        self.client.receive(new)

    def test_taken_over(self) -> None:
        """It is up at once, and in the place of the web server as producer."""
        verifyObject(IPushProducer, self.stream)
        self.assertIs(self.transport.producer, self.stream)
        self.assertEqual(self.owner.events, ["up"])
        self.assertTrue(self.transport.no_delay)

    def test_text_and_binary(self) -> None:
        """Both are taken (RFC 7118 section 4.2), and answered in kind; each is one message."""
        self.feed(self.client.text(MESSAGE) + self.client.text(MESSAGE))
        self.assertEqual(self.sink.calls, [("received", MESSAGE.encode(), FLOW)] * 2)
        self.stream.send(b"SIP/2.0 200 OK\r\n\r\n")
        self.feed(self.client.binary(MESSAGE.encode()))
        self.stream.send(b"SIP/2.0 200 OK\r\n\r\n")
        self.look()
        self.assertEqual(self.client.messages, ["SIP/2.0 200 OK\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"])
        self.assertEqual(self.owner.events, ["up", "proven"])

    def test_what_is_no_text(self) -> None:
        """What is not UTF-8 goes out as binary (RFC 6455 section 5.6)."""
        self.feed(self.client.text(MESSAGE))
        self.stream.send(b"SIP/2.0 200 \xff\r\n\r\n")
        self.look()
        self.assertEqual(self.client.messages, [b"SIP/2.0 200 \xff\r\n\r\n"])

    def test_fragments(self) -> None:
        """A message in several frames, octet by octet, is one (RFC 6455 section 5.4)."""
        frames = (
            self.client.text(MESSAGE[:10], False)
            + self.client.text("", False)
            + self.client.text(MESSAGE[10:])
        )
        for octet in frames:
            self.feed(bytes([octet]))
        self.assertEqual(self.sink.received(), [MESSAGE.encode()])

    def test_nothing_but_sip(self) -> None:
        """Something else ends the connection with 1003, "unsupported data"."""
        later = self.client.text(MESSAGE)
        self.feed(self.client.text("hello"))
        self.assertEqual((self.client.closed, self.sink.calls), (1003, []))
        self.assertTrue(self.transport.half_closed)
        self.feed(later)
        self.assertEqual(self.sink.calls, [])

    def test_too_large(self) -> None:
        """So does a message above the limit, with 1009, before all of it came."""
        self.feed(self.client.text("x" * 1500, False))
        self.assertIsNone(self.client.closed)
        self.feed(self.client.text("x" * 501, False))
        self.assertEqual(self.client.closed, 1009)

    def test_too_many_frames(self) -> None:
        """And one in too many frames, even empty ones."""
        for _ in range(FRAMES):
            self.feed(self.client.text("", False))
        self.assertIsNone(self.client.closed)
        self.feed(self.client.text("", False))
        self.assertEqual(self.client.closed, 1008)

    def test_broken_frames(self) -> None:
        """What is no frame of a client, or no UTF-8, is answered with its code; nothing is raised."""
        self.feed(b"\x81\x02hi")  # without a mask (RFC 6455 section 5.1)
        self.assertEqual(self.client.closed, 1002)

    def test_broken_text(self) -> None:
        """Text that is not UTF-8 gets 1007 (RFC 6455 section 8.1)."""
        self.feed(b"\x81\x82\0\0\0\0\xff\xfe")
        self.assertEqual(self.client.closed, 1007)

    def test_ping(self) -> None:
        """A ping gets its pong (RFC 6455 section 5.5.2), so many a second; a flood ends the connection."""
        self.feed(self.client.ping(b"x"))
        self.assertEqual(self.client.pongs, [b"x"])
        for _ in range(FRAMES - 1):
            self.feed(self.client.ping())
        self.assertEqual(len(self.client.pongs), PONGS_PER_SECOND)
        self.assertTrue(self.stream.alive)
        self.feed(self.client.ping())
        self.assertEqual(self.client.closed, 1008)

    def test_crlf_keep_alive(self) -> None:
        """A message of two CRLFs is answered with one CRLF, a single one is the answer to ours (RFC 5626 section 4.4.1)."""
        self.feed(self.client.text("\r\n"))
        self.assertEqual(self.client.messages, [])
        self.feed(self.client.text("\r\n\r\n"))
        self.assertEqual(self.client.messages, ["\r\n"])
        self.assertEqual(self.sink.calls, [])

    def test_client_closes(self) -> None:
        """A close frame is answered with one (RFC 6455 section 5.5.1)."""
        self.feed(self.client.text(MESSAGE))
        self.feed(self.client.close(1001))
        self.assertEqual(self.client.closed, 1001)
        self.assertEqual(self.owner.events, ["up", "proven", "closing"])
        self.transport.lose(ConnectionDone())
        self.assertEqual(self.sink.calls[-1], ("lost", FLOW))

    def test_close(self) -> None:
        """We say 1001, "going away", and abort when the client does not go in time."""
        self.stream.close()
        self.look()
        self.assertEqual(self.client.closed, 1001)
        self.reactor.run_for(LINGER + 0.1)
        self.assertTrue(self.transport.aborted)

    def test_first_message_in_time(self) -> None:
        """Without a message in 10 s the connection is aborted, whatever else it sends."""
        for _ in range(9):
            self.feed(self.client.ping())
            self.reactor.run_for(1.0)
        self.assertFalse(self.transport.aborted)
        self.reactor.run_for(1.1)
        self.assertTrue(self.transport.aborted)

    def test_message_in_time(self) -> None:
        """A message that has begun ends within 10 s."""
        self.feed(self.client.text(MESSAGE))
        self.feed(self.client.text(MESSAGE[:10], False))
        self.reactor.run_for(9.5)
        self.assertFalse(self.transport.aborted)
        self.reactor.run_for(1.0)
        self.assertTrue(self.transport.aborted)

    def test_sink_that_fails(self) -> None:
        """A fault of ours ends nothing."""
        self.sink.react = lambda *call: 1 / 0
        self.feed(self.client.text(MESSAGE))
        self.assertTrue(self.stream.alive)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.sink.react = lambda *call: None
