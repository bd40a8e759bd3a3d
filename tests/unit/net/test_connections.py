"""The table of stream connections."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, TimeoutError
from twisted.internet.protocol import Factory
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeTransport
from tests.unit.net.tls_peer import Peer, Wire, authority, built, files
from voipcluster.address import Flow
from voipcluster.errors import TransportError
from voipcluster.net.connections import Acceptor, Connections
from voipcluster.net.sink import SinkErrors
from voipcluster.net.sip_tls import SipTls
from voipcluster.net.stream import StreamLimits
from voipcluster.net.timers import TimerWheel

LOCAL, REMOTE = ("192.0.2.1", 5060), ("198.51.100.9", 5060)
MESSAGE = b"OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
OUT = Flow("TCP", LOCAL, REMOTE)


class ConnectionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink = FakeReactor(), FakeSink()
        self.failures: list[str] = []
        self.transports: list[FakeTransport] = []
        self.build(StreamLimits())

    def tearDown(self) -> None:
        for transport in self.transports:
            transport.lose(ConnectionDone())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.table), 0)
        for left in ("_alive", "_by_remote", "_unproven", "_sources", "_openings", "_connected"):
            self.assertEqual(getattr(self.table, left), {}, left)

    def build(self, limits: StreamLimits) -> None:
        self.wheel = TimerWheel(self.reactor)
        self.table = Connections(self.reactor, self.sink, SinkErrors(self.reactor), self.wheel, limits)
        self.acceptor = Acceptor(self.table)
        self.acceptor.local = LOCAL

    def accept(self, host: str, port: int = 40000, message: bytes = b"") -> FakeTransport | None:
        stream = self.acceptor.buildProtocol(IPv4Address("TCP", host, port))
        if stream is None:
            return None
        transport = FakeTransport(self.reactor, (host, port), LOCAL)
        transport.connect(stream)
        self.transports.append(transport)
        if message:
            stream.dataReceived(message)
        return transport

    def succeed(self) -> FakeTransport:
        transport = self.reactor.connectors[-1].succeed()
        self.transports.append(transport)
        return transport

    def failed(self, error: TransportError) -> None:
        self.failures.append(str(error))

    def last_flow(self) -> Flow:
        flow = self.sink.calls[-1][2]
        assert isinstance(flow, Flow)
        return flow

    def test_answer_goes_over_the_connection_of_the_request(self) -> None:
        """Each connection has its number, and an answer takes the one it came in on (RFC 3261 section 18.2.2)."""
        first = self.accept("198.51.100.1", 1111, MESSAGE)
        flow = self.last_flow()
        second = self.accept("198.51.100.1", 1112, MESSAGE)
        assert first is not None and second is not None
        self.assertEqual(flow[:3], ("TCP", LOCAL, ("198.51.100.1", 1111)))
        self.assertGreater(self.last_flow().connection, flow.connection)
        self.table.send(b"answer", flow, self.failed)
        self.assertEqual((first.written, second.written), (b"answer", b""))

    def test_a_closed_connection_is_not_replaced(self) -> None:
        """A flow with a number is that connection or nothing (RFC 5626 section 5.3)."""
        transport = self.accept("198.51.100.1", 1111, MESSAGE)
        assert transport is not None
        flow = self.last_flow()
        self.assertTrue(self.table.is_alive(flow))
        transport.lose(ConnectionDone())
        self.assertFalse(self.table.is_alive(flow))
        self.table.send(b"answer", flow, self.failed)
        self.assertEqual(self.failures, [])  # never from inside send
        self.reactor.advance(0)
        self.assertEqual(self.failures, ["the connection to tcp:198.51.100.1:1111 is closed"])
        self.assertEqual(self.reactor.connectors, [])

    def test_open_once_and_reuse(self) -> None:
        """Messages to one hop share one connection, also those sent while it is opened (RFC 3261 section 18)."""
        self.table.send(b"1", OUT, self.failed)
        self.table.send(b"2", OUT, self.failed)
        self.assertTrue(self.table.is_alive(OUT))
        self.assertIsNone(self.table.flow(LOCAL, REMOTE))
        transport = self.succeed()
        self.table.send(b"3", OUT, self.failed)
        flow = self.table.flow(LOCAL, REMOTE)
        assert flow is not None
        self.assertEqual(flow[:3], OUT[:3])
        self.assertGreater(flow.connection, 0)
        self.table.send(b"4", flow, self.failed)
        self.assertEqual((transport.written, len(self.reactor.connectors)), (b"1234", 1))
        [connector] = self.reactor.connectors
        self.assertEqual((connector.bind, connector.timeout), (("192.0.2.1", 0), 5.0))

    def test_open_again_after_loss(self) -> None:
        """A flow without a number opens a new connection when the old one is gone."""
        self.table.send(b"1", OUT, self.failed)
        first = self.succeed()
        flow = self.table.flow(LOCAL, REMOTE)
        first.lose(ConnectionDone())
        self.assertEqual(self.sink.calls, [("lost", flow)])
        self.table.send(b"2", OUT, self.failed)
        self.assertEqual(self.succeed().written, b"2")

    def test_answers_on_an_opened_connection(self) -> None:
        """What comes back over a connection that we opened carries our listening address, which Via named."""
        self.table.send(b"1", OUT, self.failed)
        self.succeed().protocol.dataReceived(MESSAGE)
        self.assertEqual(self.last_flow(), self.table.flow(LOCAL, REMOTE))

    def test_accepted_connection_is_reused_for_its_remote_address(self) -> None:
        """A hop that is the far end of a live connection is reached over it (RFC 3261 section 18.1.1)."""
        transport = self.accept("198.51.100.1", 1111, MESSAGE)
        assert transport is not None
        self.table.send(b"x", Flow("TCP", LOCAL, ("198.51.100.1", 1111)), self.failed)
        self.assertEqual((transport.written, self.reactor.connectors), (b"x", []))

    def test_refused(self) -> None:
        """When it cannot be opened each message fails, and the next one tries anew (RFC 3261 section 18.4)."""
        self.table.send(b"1", OUT, self.failed)
        self.table.send(b"2", OUT, None)
        self.table.send(b"3", OUT, self.failed)
        self.reactor.connectors[0].fail(ConnectionRefusedError())
        self.reactor.advance(0)
        self.assertEqual(len(self.failures), 2)
        self.assertIn("no connection to tcp:198.51.100.9:5060: Connection was refused", self.failures[0])
        self.assertEqual(self.sink.calls, [])
        self.assertFalse(self.table.is_alive(OUT))
        self.table.send(b"4", OUT, self.failed)
        self.assertEqual(self.succeed().written, b"4")

    def test_a_trouble_is_said_once(self) -> None:
        """The log says once that a peer is down, again when it is down for another reason or was there meanwhile."""
        events: list[LogEvent] = []
        self.patch(self.table, "_log", Logger("test", observer=events.append))
        for error in (
            ConnectionRefusedError(),
            ConnectionRefusedError(),
            TimeoutError(),
            None,
            TimeoutError(),
        ):
            self.table.send(b"1", OUT, None)
            if error is None:
                self.succeed().lose(ConnectionDone())
            else:
                self.reactor.connectors[-1].fail(error)
            self.reactor.advance(5.0)
        self.assertEqual(
            [formatEvent(event).partition(" to tcp:")[::2] for event in events],
            [
                ("no connection", "198.51.100.9:5060: Connection was refused by other side."),
                ("no connection", "198.51.100.9:5060: User timeout caused connection failure."),
                ("there is a connection", "198.51.100.9:5060 again"),
                ("no connection", "198.51.100.9:5060: User timeout caused connection failure."),
            ],
        )

    def test_few_troubles_are_remembered(self) -> None:
        """Of so many peers at most, whoever they are."""
        for number in range(1100):
            self.table.send(b"1", OUT._replace(remote=("198.51.100.9", 1024 + number)), None)
            self.reactor.connectors[-1].fail(ConnectionRefusedError())
            self.reactor.advance(1.0)
        self.assertEqual(len(self.table._troubles), 1024)

    def test_waiting_messages_are_bounded(self) -> None:
        """So many messages, and so many octets, wait for a connection; the next one fails at once."""
        self.build(StreamLimits(waiting=2, write_buffer=100))
        other = OUT._replace(remote=("198.51.100.8", 5060))
        for flow, data in ((OUT, b"x"), (OUT, b"y"), (OUT, b"z"), (other, b"x" * 100), (other, b"y")):
            self.table.send(data, flow, self.failed)
        self.reactor.advance(0)
        expected = [f"too much waits for a connection to {flow}" for flow in (OUT, other)]
        self.assertEqual(self.failures, expected)
        self.assertEqual(self.succeed().written, b"x" * 100)
        self.reactor.connectors[0].fail(ConnectionRefusedError())
        self.reactor.advance(0)

    def test_full_table_gives_up_who_never_sent_a_message(self) -> None:
        """When there is no room the oldest connection without a message goes; proven ones stay."""
        self.build(StreamLimits(connections=3))
        good = self.accept("198.51.100.1", 1, MESSAGE)
        idle = self.accept("198.51.100.2", 1)
        idler = self.accept("198.51.100.3", 1)
        new = self.accept("198.51.100.4", 1, MESSAGE)
        assert good and idle and idler and new
        self.reactor.advance(0)
        self.assertEqual(
            [transport.aborted for transport in (good, idle, idler, new)], [False, True, False, False]
        )
        self.assertIsNotNone(self.accept("198.51.100.5", 1, MESSAGE))
        self.reactor.advance(0)
        self.assertTrue(idler.aborted)
        self.assertIsNone(self.accept("198.51.100.6", 1))
        self.assertEqual((self.table.evicted, self.table.refused, self.table.accepted), (2, 1, 5))

    def test_full_table_opens_nothing(self) -> None:
        """When all connections are in use, one more is not opened."""
        self.build(StreamLimits(connections=1))
        self.accept("198.51.100.1", 1, MESSAGE)
        self.table.send(b"x", OUT, self.failed)
        self.reactor.advance(0)
        self.assertEqual((self.failures, self.reactor.connectors), (["too many connections"], []))

    def test_limit_per_source(self) -> None:
        """One source cannot take all: its own oldest silent connection goes, or it is refused; others are served."""
        self.build(StreamLimits(per_source=2))
        first = self.accept("198.51.100.1", 1)
        self.accept("198.51.100.1", 2, MESSAGE)
        other = self.accept("198.51.100.2", 1)
        assert first is not None and other is not None
        self.assertIsNotNone(self.accept("198.51.100.1", 3, MESSAGE))
        self.reactor.advance(0)
        self.assertTrue(first.aborted)
        self.assertIsNone(self.accept("198.51.100.1", 4))
        self.assertFalse(other.aborted)
        self.accept("198.51.100.2", 2)

    def test_banned_source(self) -> None:
        """From a source that is banned no connection is accepted, and the others are not asked."""
        self.build(StreamLimits())
        self.table.refuses_from = lambda host: host == "198.51.100.66"
        self.assertIsNone(self.accept("198.51.100.66", 1))
        self.assertIsNotNone(self.accept("198.51.100.1", 1, MESSAGE))
        self.assertEqual((self.table.shunned, self.table.refused), (1, 0))

    def test_ipv6_source_is_a_prefix(self) -> None:
        """Addresses of one IPv6 /64 are one source: one customer has all of them."""
        self.build(StreamLimits(per_source=1))
        local, self.acceptor.local = self.acceptor.local, ("2001:db8::1", 5060)
        self.assertIsNotNone(self.accept("2001:db8:1:2::1", 1, MESSAGE))
        self.assertIsNone(self.accept("2001:db8:1:2:ffff::9", 1))
        self.assertIsNotNone(self.accept("2001:db8:1:3::1", 1, MESSAGE))
        self.acceptor.local = local

    def test_overrun(self) -> None:
        """A message that breaks the write bound fails, and the connection with it."""
        self.build(StreamLimits(write_buffer=100))
        transport = self.accept("198.51.100.1", 1, MESSAGE)
        assert transport is not None
        flow = self.last_flow()
        transport.stuck = True
        for size in (101, 100, 1):
            self.table.send(b"x" * size, flow, self.failed)
        self.reactor.advance(0)
        self.assertEqual(self.failures, ["tcp:198.51.100.1:1 does not read what it is sent"])
        self.assertEqual(self.sink.calls[-1], ("lost", flow))

    def test_close_all(self) -> None:
        """Closing ends connections and attempts, and fires when the last one is gone; again is harmless."""
        transport = self.accept("198.51.100.1", 1, MESSAGE)
        assert transport is not None
        self.table.send(b"x", OUT, self.failed)
        first, second = self.table.close_all(), self.table.close_all()
        self.reactor.advance(0)
        self.assertTrue(self.reactor.connectors[0].stopped)
        self.assertEqual(len(self.failures), 1)
        self.assertTrue(transport.half_closed)
        self.assertNoResult(first)
        self.reactor.run_for(1.2)
        self.assertTrue(transport.aborted)
        self.assertIsNone(self.successResultOf(first))
        self.assertIsNone(self.successResultOf(second))
        self.assertIsNone(self.successResultOf(self.table.close_all()))

    def test_a_browser_cannot_be_called_on(self) -> None:
        """A WebSocket is there or it is not: none is opened from here (RFC 7118 section 5.2)."""
        self.table.send(b"x", OUT._replace(transport="WS"), self.failed)
        self.reactor.advance(0)
        self.assertEqual(self.failures, ["ws:198.51.100.9:5060 is reached over a connection of its own only"])
        self.assertEqual(self.reactor.connectors, [])


class TlsConnectionsTests(ConnectionsTests):
    """The same table with TLS: all of the above still holds, and the following."""

    def build(self, limits: StreamLimits) -> None:
        self.ca = authority(self)
        self.tls = SipTls(files(self.ca.issue("ours", ["example.com"]), self.ca))
        self.wheel = TimerWheel(self.reactor)
        self.table = Connections(
            self.reactor, self.sink, SinkErrors(self.reactor), self.wheel, limits, self.tls
        )
        self.acceptor = Acceptor(self.table)
        self.acceptor.local = LOCAL

    def secure(self, name: str) -> Flow:
        return Flow("TLS", ("192.0.2.1", 5061), ("198.51.100.9", 5061), 0, name)

    def peer(self, number: int = -1) -> tuple[Wire, Peer]:
        """The attempt of that number succeeds, at a server for a.example and b.example."""
        server = SipTls(files(self.ca.issue("theirs", ["a.example", "b.example"]), self.ca))
        peer = Peer()
        wire = Wire(
            self.reactor,
            built(self.reactor.connectors[number].factory),
            built(server.accepting(Factory.forProtocol(lambda: peer), self.reactor)),
        )
        wire.run()
        self.addCleanup(self.assertEqual, self.reactor.getDelayedCalls(), [])
        return wire, peer

    def test_messages_wait_for_the_handshake(self) -> None:
        """What is sent while the connection is opened goes out when the peer has proved its name, in order."""
        flow = self.secure("a.example")
        self.table.send(b"1", flow, self.failed)
        self.table.send(b"2", flow, self.failed)
        self.assertTrue(self.table.is_alive(flow))
        wire, peer = self.peer()
        self.assertEqual((peer.received, len(self.reactor.connectors)), (b"12", 1))
        self.assertEqual(self.table.by_transport(), {"TLS": 1})
        self.table.send(b"3", flow, self.failed)
        wire.run()
        self.assertEqual((peer.received, len(self.table)), (b"123", 1))
        wire.end()

    def test_reuse_by_name(self) -> None:
        """A connection serves every domain that its certificate proves, and no other (RFC 5923 section 8)."""
        self.table.send(b"1", self.secure("a.example"), self.failed)
        wire, peer = self.peer()
        self.table.send(b"2", self.secure("b.example"), self.failed)
        wire.run()
        self.assertEqual((peer.received, len(self.reactor.connectors)), (b"12", 1))
        local, remote = self.secure("")[1:3]
        self.assertIsNotNone(self.table.flow(local, remote, "b.example"))
        self.assertIsNone(self.table.flow(local, remote, "c.example"))
        self.table.send(b"3", self.secure("c.example"), self.failed)
        other, stranger = self.peer(1)
        self.reactor.advance(0)
        self.assertEqual(stranger.received, b"")
        self.assertEqual(
            self.failures,
            [
                "no connection to tls:198.51.100.9:5061: its certificate is for a.example, b.example, not for c.example"
            ],
        )
        self.assertEqual(self.table.not_opened_count, 1)
        for one in (wire, other):
            one.end()

    def test_stop_in_a_handshake(self) -> None:
        """Closing all ends handshakes that are under way, in both directions."""
        self.table.send(b"1", self.secure("a.example"), self.failed)
        opened = FakeTransport(self.reactor, ("198.51.100.9", 5061), LOCAL)
        opened.connect(built(self.reactor.connectors[0].factory))
        self.reactor.connectors[0].fail = lambda reason: None
        acceptor = Acceptor(self.table, "TLS")
        acceptor.local = ("192.0.2.1", 5061)
        accepted = FakeTransport(self.reactor, ("198.51.100.7", 4000), acceptor.local)
        accepted.connect(built(self.tls.accepting(acceptor, self.reactor), ("198.51.100.7", 4000)))
        self.assertEqual(len(self.table), 2)
        stopped = self.table.close_all()
        self.reactor.advance(0)
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(len(self.failures), 1)
        self.assertEqual(self.sink.calls, [])
