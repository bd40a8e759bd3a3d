"""SIP over UDP, with a socket of the test."""

from __future__ import annotations

import errno

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReactorTCP, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeSocket
from voipcluster.address import Flow, Hop
from voipcluster.errors import TransportError
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.udp import BATCH, LEAST_BATCH, LONGEST, Outgoing, UdpPort

ALICE, BOB = ("198.51.100.1", 5060), ("198.51.100.2", 5062)
REQUEST = b"OPTIONS sip:a.example SIP/2.0\r\n\r\n"
STUN = bytes.fromhex("000100002112a442") + b"transaction!"


class UdpPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink = FakeReactor(), FakeSink()
        self.open(FakeSocket())

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def open(self, fake: FakeSocket) -> None:
        self.socket = fake
        self.port = UdpPort(self.reactor, fake, self.sink, SinkErrors(self.reactor))
        self.port.start()

    def test_interfaces(self) -> None:
        """The port and the fakes provide what they say."""
        verifyObject(IReadDescriptor, self.port)
        verifyObject(ISipSink, self.sink)
        for interface in (IReactorFDSet, IReactorTCP, IReactorTime):
            verifyObject(interface, self.reactor)

    def test_received(self) -> None:
        """A datagram goes to the sink with the flow that an answer takes back."""
        self.socket.incoming.append((REQUEST, ALICE))
        self.port.doRead()
        flow = Flow("UDP", ("192.0.2.1", 5060), ALICE)
        self.assertEqual(self.sink.calls, [("received", REQUEST, flow)])
        self.assertIsInstance(self.sink.calls[0][2], Flow)
        self.assertEqual(self.sink.calls[0][2].hop, Hop("UDP", *ALICE))

    def test_backlog(self) -> None:
        """What the kernel tells of the buffer, while the socket is open."""
        self.socket.waiting, self.socket.lost = 4096, 7
        self.assertEqual(self.port.backlog(), (4096, 8 << 20, 7))
        self.port.close()
        self.assertEqual(self.port.backlog(), (0, 0, 0))

    def test_sieve(self) -> None:
        """A sieve has all datagrams of a wake-up at once, and what it keeps goes to the sink."""
        seen = []

        def sieve(batch: list[tuple[bytes, Flow]]) -> list[tuple[bytes, Flow]]:
            seen.append(len(batch))
            return [(data, flow) for data, flow in batch if flow.remote == BOB]

        self.port.sieve = sieve
        self.socket.incoming.extend(
            [(REQUEST, ALICE), (b"\r\n\r\n", ALICE), (REQUEST, BOB), (REQUEST, ALICE)]
        )
        self.port.doRead()
        self.assertEqual([call[2].remote for call in self.sink.calls], [BOB])
        self.assertEqual((seen, self.port.received, self.port.keep_alives), ([3], 3, 1))

    def test_received_over_ipv6(self) -> None:
        """Scope and flow label are no part of the remote address."""
        self.open(FakeSocket("2001:db8::1"))
        self.socket.incoming.append((REQUEST, ("2001:db8::2", 5070, 7, 3)))
        self.port.doRead()
        flow = Flow("UDP", ("2001:db8::1", 5060), ("2001:db8::2", 5070))
        self.assertEqual(self.sink.calls, [("received", REQUEST, flow)])

    def test_wake_up_is_bounded(self) -> None:
        """One wake-up reads so many datagrams and no more: timers get their turn."""
        self.socket.incoming.extend([(REQUEST, ALICE)] * (BATCH + 1))
        self.port.doRead()
        self.assertEqual(len(self.sink.calls), BATCH)
        self.port.doRead()
        self.assertEqual(len(self.sink.calls), BATCH + 1)

    def test_a_slow_machine_reads_less_at_once(self) -> None:
        """What a wake-up gives to send leaves at its end, which must not be long after it came; and back, where it is quick."""
        self.port._seconds = self.reactor.seconds
        lasts = 2 * LONGEST / BATCH

        def received(data: bytes, flow: Flow) -> None:
            self.sink.calls.append((data, flow))
            self.reactor.advance(lasts)

        self.sink.bytes_received = received  # type: ignore[method-assign]  # takes its time

        def counts(times: int) -> list[int]:
            seen = []
            for _ in range(times):
                self.socket.incoming.extend([(REQUEST, ALICE)] * BATCH)
                before = len(self.sink.calls)
                self.port.doRead()
                seen.append(len(self.sink.calls) - before)
                self.socket.incoming.clear()
            return seen

        self.assertEqual(counts(4), [BATCH, BATCH // 2, BATCH // 2, BATCH // 2])
        lasts *= 100
        self.assertEqual(counts(4)[-1], LEAST_BATCH)
        lasts = 0.0
        self.assertEqual(counts(10)[-1], BATCH)

    def test_keep_alives_are_dropped(self) -> None:
        """Empty datagrams and those of CRLFs go nowhere and are not answered (RFC 5626 section 4.4.1)."""
        for data in (b"", b"\r\n", b"\r\n\r\n", b"\x00", b"\x00" * 4, b"\r\n" * 100):
            self.socket.incoming.append((data, ALICE))
        self.port.doRead()
        self.assertEqual((self.sink.calls, self.socket.sent), ([], []))
        self.assertEqual(self.port.keep_alives, 6)

    def test_leading_lines_before_a_request(self) -> None:
        """CRLFs before a start line are taken off (RFC 3261 section 7.5)."""
        self.socket.incoming.append((b"\r\n\r\n" + REQUEST, ALICE))
        self.port.doRead()
        self.assertEqual(self.sink.received(), [REQUEST])

    def test_stun_is_answered(self) -> None:
        """A STUN Binding request on the SIP port is answered to its source (RFC 5626 section 8)."""
        self.socket.incoming.append((STUN, ALICE))
        self.port.doRead()
        self.assertEqual(self.sink.calls, [])
        [(answer, target)] = self.socket.sent
        self.assertEqual((answer[:2], answer[4:20], target), (b"\x01\x01", STUN[4:20], ALICE))

    def test_a_failing_sink_stops_nothing(self) -> None:
        """What the sink raises is logged with the peer, once a second, and reading goes on."""
        self.sink.react = lambda *call: 1 // 0
        self.socket.incoming.extend([(REQUEST, ALICE)] * 10)
        self.port.doRead()
        self.assertEqual(len(self.sink.calls), 10)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.reactor.advance(1.0)
        self.socket.incoming.extend([(REQUEST, ALICE)] * 10)
        self.port.doRead()
        self.assertEqual(len(self.sink.calls), 20)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_send(self) -> None:
        """A datagram leaves from the port's socket."""
        self.port.send(REQUEST, BOB)
        self.assertEqual((self.socket.sent, self.port.sent), ([(REQUEST, BOB)], 1))

    def test_outbox(self) -> None:
        """What a wake-up gives to send leaves at its end in that order; outside one there is no outbox."""
        sent = []

        def react(kind: str, data: bytes, flow: Flow) -> None:
            assert self.port.outbox is not None
            self.port.outbox.append((data + b"answer", flow.remote, None))
            sent.append(len(self.socket.sent))

        self.sink.react = react
        self.socket.incoming.extend([(b"OPTIONS 1", ALICE), (b"OPTIONS 2", BOB)])
        self.assertIsNone(self.port.outbox)
        self.port.doRead()
        self.assertIsNone(self.port.outbox)
        self.assertEqual(sent, [0, 0])
        self.assertEqual(self.socket.sent, [(b"OPTIONS 1answer", ALICE), (b"OPTIONS 2answer", BOB)])
        self.assertEqual(self.port.sent, 2)

    def fill_outbox(self, *entries: Outgoing) -> None:
        def react(*call: object) -> None:
            assert self.port.outbox is not None
            self.port.outbox.extend(entries)

        self.sink.react = react
        self.socket.incoming.append((REQUEST, ALICE))

    def test_outbox_refused_by_the_system(self) -> None:
        """Who gave a datagram that cannot be sent is told, may send at once, and the rest of the outbox goes."""
        self.socket.send_errors.extend([OSError(errno.EMSGSIZE, "Message too long")] * 4)
        told: list[str] = []

        def failed(error: TransportError) -> None:
            told.append(str(error))
            self.assertIsNone(self.port.outbox)
            self.port.send(b"smaller", BOB)

        self.fill_outbox((b"large", BOB, failed), (b"next", ALICE, None))
        self.port.doRead()
        self.assertEqual(told, ["Message too long (to udp:198.51.100.2:5062)"])
        self.assertEqual(self.socket.sent, [(b"smaller", BOB), (b"next", ALICE)])

    def test_outbox_survives_who_is_told(self) -> None:
        """A pending error, nobody to tell and an exception of who is told lose no other datagram."""
        self.socket.send_errors.append(ConnectionRefusedError(errno.ECONNREFUSED, "of an earlier one"))
        self.fill_outbox((b"first", BOB, None))
        self.port.doRead()
        self.assertEqual(self.socket.sent, [(b"first", BOB)])
        self.socket.send_errors.extend([OSError(errno.EMSGSIZE, "Message too long")] * 8)
        self.fill_outbox((b"large", BOB, lambda _: 1 // 0), (b"large", BOB, None), (b"last", ALICE, None))
        self.port.doRead()
        self.assertEqual(self.socket.sent[1:], [(b"last", ALICE)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_outbox_with_a_remote_that_is_none(self) -> None:
        """What is no OSError, such as that of a port above 65535, does not end the reading, nor lose the rest."""
        self.socket.send_errors.append(OverflowError("port must be 0-65535"))
        self.fill_outbox((b"nowhere", ("192.0.2.1", 99999), None), (b"next", ALICE, None))
        self.port.doRead()
        self.assertEqual(self.socket.sent, [(b"next", ALICE)])
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)

    def test_outbox_of_a_port_that_closes(self) -> None:
        """A port that is closed in a wake-up sends first what was given to it."""

        def react(*call: object) -> None:
            assert self.port.outbox is not None
            self.port.outbox.append((b"farewell", ALICE, None))
            self.port.close()

        self.sink.react = react
        self.socket.incoming.append((REQUEST, ALICE))
        self.port.doRead()
        self.assertEqual((self.socket.sent, self.socket.closed), ([(b"farewell", ALICE)], True))
        self.assertIsNone(self.port.outbox)

    def test_nobody_is_told_while_the_port_closes(self) -> None:
        """Who closes it would be told from within (C{TransportService.send}: never from in here)."""
        told: list[TransportError] = []
        self.socket.send_errors.extend([OSError(errno.EMSGSIZE, "Message too long")] * 4)

        def received(data: bytes, flow: Flow) -> None:
            assert self.port.outbox is not None
            self.port.outbox.extend([(b"large", BOB, told.append), (b"next", ALICE, told.append)])
            self.port.close()

        self.sink.bytes_received = received  # type: ignore[method-assign]  # closes the port it came from
        self.socket.incoming.append((REQUEST, ALICE))
        self.port.doRead()
        self.assertEqual((told, self.socket.sent), ([], [(b"next", ALICE)]))

    def test_full_buffer_drops(self) -> None:
        """A full socket buffer loses the datagram as a network does, and counts it."""
        self.socket.send_errors.append(BlockingIOError(errno.EAGAIN, "full"))
        self.port.send(REQUEST, BOB)
        self.assertEqual((self.socket.sent, self.port.dropped, self.port.sent), ([], 1, 0))

    def test_error_of_an_earlier_datagram(self) -> None:
        """A pending ICMP error for somebody else does not cost this datagram."""
        self.socket.send_errors.append(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
        self.port.send(REQUEST, BOB)
        self.assertEqual(self.socket.sent, [(REQUEST, BOB)])

    def test_refused_by_the_system(self) -> None:
        """No route, or a datagram too long, is a failure that names the target (RFC 3261 section 18.4)."""
        for _ in range(9):
            self.socket.send_errors.append(OSError(errno.EMSGSIZE, "Message too long"))
        error = self.assertRaises(TransportError, self.port.send, REQUEST, BOB)
        self.assertIn("Message too long (to udp:198.51.100.2:5062)", str(error))

    def test_icmp_on_reading(self) -> None:
        """An ICMP error that a read raises is reported for its destination, and reading goes on."""
        self.socket.incoming.extend([OSError(errno.ECONNREFUSED, "refused"), (REQUEST, ALICE)])
        self.socket.icmp(BOB, 3, 3)
        self.port.doRead()
        self.assertEqual(self.sink.calls[0], ("unreachable", Hop("UDP", *BOB)))
        self.assertEqual(self.sink.received(), [REQUEST])

    def test_icmp_alone(self) -> None:
        """Reactors that report an error as readable, or as a lost connection, both lead to the error queue."""
        self.socket.icmp(BOB, 3, 3)
        self.port.doRead()
        self.reactor.removeReader(self.port)  # as the reactor does before it says connectionLost
        self.socket.icmp(ALICE, 3, 1)
        self.port.connectionLost(Failure(ConnectionDone()))
        hops = [Hop("UDP", *BOB), Hop("UDP", *ALICE)]
        self.assertEqual(self.sink.calls, [("unreachable", hop) for hop in hops])
        self.assertEqual(self.reactor.readers, [self.port])
        self.assertEqual(self.port.unreachable, 2)

    def test_which_icmp_counts(self) -> None:
        """
        Unreachable and parameter problem count; time exceeded, a path MTU and local errors do not (RFC 3261 section
        18.4).
        """
        counts = [(3, 0, 2), (3, 1, 2), (3, 2, 2), (3, 3, 2), (3, 13, 2), (12, 0, 2), (1, 4, 3), (4, 0, 3)]
        others = [(3, 4, 2), (11, 0, 2), (4, 0, 2), (2, 0, 3), (3, 0, 3), (0, 0, 1)]
        for kind, code, origin in counts + others:
            self.socket.icmp((*BOB, 0, 0) if origin == 3 else BOB, kind, code, origin)
        self.port.doRead()
        self.assertEqual(self.sink.calls, [("unreachable", Hop("UDP", *BOB))] * len(counts))

    def test_a_sink_that_fails_on_icmp(self) -> None:
        """An exception from the report of one ICMP error does not lose the next."""
        self.sink.react = lambda *call: 1 // 0
        self.socket.icmp(BOB, 3, 3)
        self.socket.icmp(ALICE, 3, 3)
        self.port.doRead()
        self.assertEqual(len(self.sink.calls), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_close(self) -> None:
        """A closed port reads and sends nothing; closing it while it reads, or twice, is harmless."""
        self.sink.react = lambda *call: self.port.close()
        self.socket.incoming.extend([(REQUEST, ALICE)] * 3)
        self.port.doRead()
        self.assertEqual((len(self.sink.calls), self.reactor.readers), (1, []))
        self.assertTrue(self.socket.closed)
        self.port.close()
        self.port.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.readers, [])

    def test_reactor_shutdown(self) -> None:
        """When the reactor drops all readers the socket is closed, not added again."""
        self.reactor.removeAll()
        self.port.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.socket.closed, self.reactor.readers), (True, []))
