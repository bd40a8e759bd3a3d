"""The way to a HEP collector, on a fake reactor: nothing waits for it, and it comes back by itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, MessageLengthError
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeTransport
from voipcluster.net.collector import ANEW, LONGEST_DELAY, MOST_UNSENT, TcpCollector, UdpCollector


class _Datagrams:
    """A UDP port: notes what is written, or raises."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, Any]] = []
        self.error: Exception | None = None
        self.closed = False

    def write(self, data: bytes, remote: Any) -> None:
        if self.error is not None:
            raise self.error
        self.written.append((data, remote))

    def stopListening(self) -> None:
        self.closed = True


class _Reactor(FakeReactor):
    def __init__(self) -> None:
        super().__init__()
        self.interfaces: list[str] = []
        self.datagrams = _Datagrams()
        self.asked: list[tuple[str, Deferred[str]]] = []

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> _Datagrams:
        self.interfaces.append(interface)
        protocol.transport = self.datagrams
        return self.datagrams

    def resolve(self, name: str, timeout: Any) -> Deferred[str]:
        self.asked.append((name, Deferred()))
        return self.asked[-1][1]


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.told: list[str] = []

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class UdpTests(_Case):
    def collector(self, host: str) -> UdpCollector:
        return UdpCollector(self.reactor, host, 9060, self.told.append)

    def test_an_address(self) -> None:
        """Packets go to it, from a port of its family, until it is stopped."""
        for host, interface in (("192.0.2.7", ""), ("2001:db8::7", "::")):
            collector = self.collector(host)
            self.assertFalse(collector.ready)
            collector.start()
            self.assertTrue(collector.ready and collector.send(b"p"))
            self.assertEqual(self.reactor.datagrams.written[-1], (b"p", (host, 9060)))
            self.assertEqual(self.reactor.interfaces[-1], interface)
            self.successResultOf(collector.stop())
            self.assertTrue(self.reactor.datagrams.closed and not collector.ready)

    def test_a_name(self) -> None:
        """It is looked up again now and then; until it is known, packets are lost and that is said once."""
        collector = self.collector("homer.example.com")
        collector.start()
        self.assertFalse(collector.ready or collector.send(b"early"))
        self.reactor.asked[0][1].errback(DNSLookupError("nobody"))
        self.assertEqual((len(self.told), "homer" in self.told[0] or "name" in self.told[0]), (1, True))
        self.reactor.advance(LONGEST_DELAY)
        self.reactor.asked[1][1].errback(DNSLookupError("nobody"))
        self.reactor.advance(LONGEST_DELAY)
        self.reactor.asked[2][1].callback("192.0.2.8")
        self.assertEqual((len(self.told), self.told[-1]), (2, ""))
        self.assertTrue(collector.send(b"p"))
        self.reactor.advance(ANEW)
        self.reactor.asked[3][1].callback("192.0.2.9")
        collector.send(b"q")
        self.assertEqual(
            [remote for _, remote in self.reactor.datagrams.written],
            [("192.0.2.8", 9060), ("192.0.2.9", 9060)],
        )
        collector.stop()

    def test_what_the_system_refuses(self) -> None:
        """No route, no buffer, too long: the packet is lost, nobody is told twice, and the next one may pass."""
        collector = self.collector("192.0.2.7")
        collector.start()
        for error in (
            OSError(101, "Network is unreachable"),
            BlockingIOError(11, "busy"),
            MessageLengthError("long"),
        ):
            self.reactor.datagrams.error = error
            self.assertFalse(collector.send(b"p"))
        self.assertEqual(len(self.told), 1)
        self.reactor.datagrams.error = None
        self.assertTrue(collector.send(b"p"))
        collector.stop()

    def test_a_way_that_is_there_again(self) -> None:
        """The next packet that leaves says so, and then the next trouble is told of, too."""
        collector = self.collector("192.0.2.7")
        collector.start()
        for _ in range(2):
            self.reactor.datagrams.error = OSError(101, "Network is unreachable")
            self.assertFalse(collector.send(b"p") or collector.send(b"p"))
            self.reactor.datagrams.error = None
            self.assertTrue(collector.send(b"p") and collector.send(b"p"))
        self.assertEqual([bool(reason) for reason in self.told], [True, False, True, False])
        collector.stop()

    def test_a_packet_that_is_lost(self) -> None:
        """A full buffer and a packet that is too long lose that one packet: the way is there, and nobody is told."""
        collector = self.collector("192.0.2.7")
        collector.start()
        for error in (
            BlockingIOError(11, "busy"),
            OSError(105, "No buffer space"),
            MessageLengthError("long"),
        ):
            self.reactor.datagrams.error = error
            self.assertFalse(collector.send(b"p"))
        self.assertEqual(self.told, [])
        collector.stop()

    def test_stopped_while_a_name_is_looked_up(self) -> None:
        """What comes too late opens nothing."""
        collector = self.collector("homer.example.com")
        collector.start()
        collector.stop()
        self.reactor.asked[0][1].callback("192.0.2.8")
        self.assertFalse(collector.ready)
        self.assertEqual(self.reactor.interfaces, [])


class TcpTests(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.collector = TcpCollector(self.reactor, "192.0.2.7", 9060, self.told.append)

    def connected(self) -> FakeTransport:
        return self.reactor.connectors[-1].succeed()

    def test_packets_behind_each_other(self) -> None:
        """What is sent before the connection is up is lost; then all of it is written."""
        self.collector.start()
        self.assertFalse(self.collector.ready or self.collector.send(b"early"))
        transport = self.connected()
        self.assertTrue(self.collector.send(b"p") and self.collector.send(b"q"))
        self.assertEqual(transport.written, b"pq")
        stopped = self.collector.stop()
        transport.lose(ConnectionRefusedError())
        self.successResultOf(stopped)

    def test_it_comes_back(self) -> None:
        """A collector that is away is tried ever more rarely, told of once, and used again when it is there."""
        self.collector.start()
        for attempt in range(8):
            self.reactor.connectors[attempt].fail(ConnectionRefusedError())
            self.assertEqual(len(self.reactor.connectors), attempt + 1)
            self.reactor.advance(min(2.0**attempt, LONGEST_DELAY))
            self.assertEqual(len(self.reactor.connectors), attempt + 2)
        self.assertEqual(len(self.told), 1)
        transport = self.connected()
        self.assertEqual(self.told[1:], [""])
        transport.lose(ConnectionRefusedError())
        self.assertFalse(self.collector.ready)
        self.reactor.advance(1.0)
        self.assertEqual(len(self.reactor.connectors), 10)
        self.collector.stop()

    def test_a_slow_collector(self) -> None:
        """What it does not read is kept up to a bound, and what is more is lost."""
        self.collector.start()
        transport = self.connected()
        transport.stuck, transport.buffer_size = True, 0
        packet = bytes(60_000)
        sent = sum(self.collector.send(packet) for _ in range(40))
        self.assertEqual(sent, 1 + MOST_UNSENT // len(packet))
        transport.stuck = False
        transport.producer.resumeProducing()
        self.assertTrue(self.collector.send(packet))
        stopped = self.collector.stop()
        transport.lose(ConnectionRefusedError())
        self.successResultOf(stopped)

    def test_a_collector_that_does_not_let_go(self) -> None:
        """Stopping waits a second for what is unsent, no longer."""
        self.collector.start()
        transport = self.connected()
        transport.loseConnection = lambda reason=None: None
        stopped = self.collector.stop()
        self.assertNoResult(stopped)
        self.reactor.advance(1.0)
        self.reactor.advance(0)
        self.successResultOf(stopped)

    def test_stopped_while_it_connects(self) -> None:
        self.collector.start()
        self.successResultOf(self.collector.stop())
        self.assertTrue(self.reactor.connectors[0].stopped)
