"""One SIP connection over TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.fakes import FakeReactor, FakeSink
from tests.unit.net.test_stream import Owner
from tests.unit.net.tls_peer import HERE, THERE, Peer, Wire, authority, built, files
from voipcluster.address import Flow
from voipcluster.net.secure_stream import SecureSipStream
from voipcluster.net.sink import SinkErrors
from voipcluster.net.sip_tls import SipTls
from voipcluster.net.stream import StreamLimits
from voipcluster.net.timers import TimerWheel

FLOW = Flow("TLS", HERE, THERE, 7)
MESSAGE = b"OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"


class SecureStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink, self.owner = FakeReactor(), FakeSink(), Owner()
        self.ca = authority(self)
        self.peer = Peer()
        self.ours = SipTls(files(self.ca.issue("ours", ["example.com"]), self.ca))
        self.theirs = SipTls(files(self.ca.issue("theirs", ["peer.example"]), self.ca))

    def tearDown(self) -> None:
        self.wire.end()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def stream(self, opened: bool, expected: str = "") -> SecureSipStream:
        return SecureSipStream(
            expected=expected,
            flow=FLOW,
            opened=opened,
            owner=self.owner,
            sink=self.sink,
            errors=SinkErrors(self.reactor),
            timers=TimerWheel(self.reactor),
            seconds=self.reactor.seconds,
            limits=StreamLimits(),
        )

    def open(self, expected: str = "peer.example", run: bool = True) -> SecureSipStream:
        """A connection that we open."""
        stream = self.stream(True, expected)
        self.connect(self._built(self.ours, stream, expected), self._peer(self.theirs, accepting=True), run)
        return stream

    def accept(self, theirs: SipTls | None = None, run: bool = True) -> SecureSipStream:
        """A connection that the peer opens."""
        stream = self.stream(False)
        ours = built(self.ours.accepting(Factory.forProtocol(lambda: stream), self.reactor))
        self.connect(self._peer(theirs or self.theirs, accepting=False), ours, run)
        return stream

    def _built(self, tls: SipTls, stream: SecureSipStream, name: str) -> Any:
        return built(tls.opening(Factory.forProtocol(lambda: stream), name, self.reactor))

    def _peer(self, tls: SipTls, accepting: bool) -> Any:
        factory = Factory.forProtocol(lambda: self.peer)
        return built(
            tls.accepting(factory, self.reactor) if accepting else tls.opening(factory, "", self.reactor)
        )

    def connect(self, client: Any, server: Any, run: bool) -> None:
        self.wire = Wire(self.reactor, client, server)
        if run:
            self.wire.run()

    def test_opened(self) -> None:
        """It is up once the handshake is done and the certificate proves the domain (RFC 5922 section 7.3)."""
        stream = self.open(run=False)
        verifyObject(IHandshakeListener, stream)
        self.assertEqual(self.owner.events, [])
        self.wire.run()
        self.assertEqual(self.owner.events, ["up"])
        stream.send(MESSAGE)
        self.wire.run()
        self.assertEqual(self.peer.received, MESSAGE)
        self.assertTrue(stream.proves("peer.example") and stream.proves(""))
        self.assertFalse(stream.proves("other.example"))

    def test_wrong_name(self) -> None:
        """A certificate for somebody else ends it before it is up; nobody but its owner hears of it."""
        stream = self.open("other.example")
        self.assertEqual(self.owner.events, ["closing", "lost"])
        self.assertEqual(stream.failure, "its certificate is for peer.example, not for other.example")
        self.assertEqual((self.peer.received, self.sink.calls), (b"", []))

    def test_untrusted(self) -> None:
        """The reason of OpenSSL is told."""
        self.theirs = SipTls(files(authority(self).issue("x", ["peer.example"])))
        stream = self.open()
        self.assertEqual(self.owner.events, ["closing", "lost"])
        self.assertEqual(stream.failure, "TLS: certificate verify failed")

    def test_handshake_in_time(self) -> None:
        """A server that does not answer in 5 s, and a client in 10 s, is given up."""
        for begin, seconds in ((self.open, 5.0), (self.accept, 10.0)):
            stream = begin(run=False)
            self.reactor.run_for(seconds - 0.1)
            self.assertTrue(stream.alive)
            self.reactor.run_for(0.3)
            self.assertFalse(stream.alive)
            self.assertEqual(stream.failure, "no TLS handshake, or no message after it, in time")
            self.wire.end()
        self.assertEqual(self.sink.calls, [])

    def test_accepted(self) -> None:
        """Messages go to the sink, answers back; the certificate of the client is known."""
        stream = self.accept()
        self.peer.wire.write(MESSAGE)
        self.wire.run()
        self.assertEqual(self.sink.calls, [("received", MESSAGE, FLOW)])
        self.assertEqual(self.owner.events, ["up", "proven"])
        self.assertEqual(stream.identities, {"peer.example"})
        self.assertTrue(self.wire.server.no_delay)
        self.assertEqual(len(self.wire.server.options), 1)
        self.wire.end()
        self.assertEqual(self.sink.calls[1:], [("lost", FLOW)])

    def test_first_message_in_time(self) -> None:
        """The handshake is part of the time that a first message may take."""
        stream = self.accept()
        self.reactor.run_for(9.8)
        self.assertTrue(stream.alive)
        self.reactor.run_for(0.4)
        self.assertFalse(stream.alive)

    def test_idle_after_the_handshake(self) -> None:
        """A connection that we opened may then be idle for longer than a handshake may take."""
        stream = self.open()
        self.reactor.run_for(60.0, 1.0)
        self.assertTrue(stream.alive)

    def test_close(self) -> None:
        """Closing sends what was written, and says so in TLS (RFC 8446 section 6.1)."""
        stream = self.accept()
        stream.send(MESSAGE)
        stream.close()
        self.wire.run()
        self.assertEqual(self.peer.received, MESSAGE)
        assert self.peer.lost is not None
        self.assertFalse(self.wire.server.half_closed or self.wire.server.aborted)
