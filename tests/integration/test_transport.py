"""The SIP transports on real sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import DatagramProtocol, Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.conformance.marks import Recorded, attack
from tests.unit.net.fakes import FakeSink
from voipcluster.address import Flow, Hop
from voipcluster.errors import UsageError
from voipcluster.net.sink import SinkErrors
from voipcluster.net.udp import UdpPort, open_udp_socket
from voipcluster.services.transaction.transport import StreamLimits, TransportService

reactor: Any = global_reactor
OURS, THEIRS = "127.46.0.1", "127.46.0.2"


def message(body: bytes = b"", name: bytes = b"a") -> bytes:
    return b"OPTIONS sip:%s SIP/2.0\r\nContent-Length: %d\r\n\r\n%s" % (name, len(body), body)


class WaitingSink(FakeSink):
    """Fires Deferreds when a call of some kind came often enough."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[str, int, Deferred[list[tuple[Any, ...]]]]] = []
        self.answer: Callable[..., None] = lambda *call: None
        self.react = self.noted

    def noted(self, *call: Any) -> None:
        self.answer(*call)
        for entry in list(self.waiting):
            kind, count, done = entry
            if len(self.of(kind)) >= count:
                self.waiting.remove(entry)
                done.callback(self.of(kind))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == kind]

    def until(self, kind: str, count: int = 1) -> Deferred[list[tuple[Any, ...]]]:
        done: Deferred[list[tuple[Any, ...]]] = Deferred()
        if len(self.of(kind)) >= count:
            done.callback(self.of(kind))
        else:
            self.waiting.append((kind, count, done))
        return done


class Client(Protocol):
    """A stream client: collects what comes, and tells when it has so much and when it is closed."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.closed: Deferred[None] = Deferred()
        self.waiting: list[tuple[int, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        for size, done in list(self.waiting):
            if len(self.data) >= size:
                self.waiting.remove((size, done))
                done.callback(self.data)

    def until(self, size: int) -> Deferred[bytes]:
        done: Deferred[bytes] = Deferred()
        self.waiting.append((size, done))
        self.dataReceived(b"")
        return done

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


class Datagrams(DatagramProtocol):
    transport: Any
    noisy = False

    def __init__(self) -> None:
        self.received: Deferred[bytes] = Deferred()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        received, self.received = self.received, Deferred()
        received.callback(datagram)


class TransportTestCase(Recorded, TestCase):
    timeout = 120
    limits = StreamLimits()

    def setUp(self) -> None:
        self.sink = WaitingSink()
        self.service = self.serve(self.sink, (OURS, 0), ("::1", 0))
        self.port = self.service.local_addresses()[0][1]
        self.failures: list[str] = []
        self.failed_once: Deferred[str] = Deferred()

    def serve(self, sink: WaitingSink, *listen: tuple[str, int]) -> TransportService:
        service = TransportService(reactor, sink, listen, self.limits)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def failed(self, error: Exception) -> None:
        self.failures.append(str(error))
        if len(self.failures) == 1:
            self.failed_once.callback(str(error))

    async def connect(self) -> Client:
        client = Client()
        endpoint = TCP4ClientEndpoint(reactor, OURS, self.port, bindAddress=(THEIRS, 0))
        await connectProtocol(endpoint, client)
        self.addCleanup(self.leave, client)
        return client

    def leave(self, client: Client) -> Deferred[None] | None:
        if client.transport is None or client.closed.called:
            return None
        client.transport.abortConnection()
        return client.closed


class DatagramTests(TransportTestCase):
    async def test_there_and_back(self) -> None:
        """A datagram reaches the other node from our listening port, and its answer returns, on both families."""
        other = WaitingSink()
        far = self.serve(other, (THEIRS, 0), ("::1", 0))
        other.answer = lambda kind, data, flow: far.send(b"SIP/2.0 200 OK\r\n\r\n", flow)
        for near, address in zip(self.service.local_addresses(), far.local_addresses(), strict=True):
            flow = self.service.flow_to(Hop("UDP", *address))
            self.service.send(message(), flow, self.failed)
            [*_, (_, data, back)] = await self.sink.until("received", 1 + ("::1" in address))
            self.assertEqual((data, back), (b"SIP/2.0 200 OK\r\n\r\n", flow))
            self.assertEqual(other.calls[-1], ("received", message(), Flow("UDP", address, near)))
        self.assertEqual(self.failures, [])

    async def test_large_datagram(self) -> None:
        """A message near the largest that UDP carries arrives whole (RFC 3261 section 18.1.1)."""
        other = WaitingSink()
        far = self.serve(other, (THEIRS, 0))
        data = message(b"x" * 60_000)
        self.service.send(data, self.service.flow_to(Hop("UDP", *far.local_addresses()[0])), self.failed)
        [(_, received, _)] = await other.until("received")
        self.assertEqual(received, data)

    async def test_too_large_datagram(self) -> None:
        """One that UDP cannot carry fails at once (RFC 3261 section 18.4)."""
        self.service.send(b"x" * 65_536, self.service.flow_to(Hop("UDP", THEIRS, 9)), self.failed)
        self.assertIn("Message too long", await self.failed_once)

    async def test_unreachable(self) -> None:
        """A closed port is noticed at once, and costs no other peer a datagram (RFC 3261 section 18.4)."""
        other = WaitingSink()
        far = self.serve(other, (THEIRS, 0), ("::1", 0))
        for address in far.local_addresses():
            dead = Hop("UDP", address[0], free_udp_port(address[0]))
            good = self.service.flow_to(Hop("UDP", *address))
            self.sink.calls.clear()
            other.calls.clear()
            self.service.send(message(), self.service.flow_to(dead), self.failed)
            for _ in range(3):
                self.service.send(message(), good, self.failed)
            self.assertEqual(await self.sink.until("unreachable"), [("unreachable", dead)])
            await other.until("received", 3)
        self.assertEqual(self.failures, [])

    async def test_stun(self) -> None:
        """A STUN Binding request is answered on the SIP port (RFC 5626 section 8)."""
        client = Datagrams()
        listening = reactor.listenUDP(0, client, THEIRS)
        self.addCleanup(listening.stopListening)
        client.transport.write(b"\r\n\r\n", (OURS, self.port))
        client.transport.write(bytes.fromhex("000100002112a442") + b"t" * 12, (OURS, self.port))
        answer = await client.received
        self.assertEqual(answer[:2], b"\x01\x01")
        self.assertEqual(self.sink.calls, [])


def free_udp_port(host: str) -> int:
    """A port that nobody listens on: bound and closed again."""
    bound = open_udp_socket(host, 0)
    number: int = bound.getsockname()[1]
    bound.close()
    return number


class OtherReactorTests(SynchronousTestCase):
    def test_icmp_errors_on_each_reactor(self) -> None:
        """Reactors tell of a socket's pending error in different ways; with all of them we read it and go on."""
        for kind in (EPollReactor, PollReactor, SelectReactor, new_asyncio_reactor):
            other = kind()
            sink = FakeSink()
            port = UdpPort(other, open_udp_socket(OURS, 0), sink, SinkErrors(other))
            port.start()
            for _ in range(3):
                dead = Hop("UDP", THEIRS, free_udp_port(THEIRS))
                port.send(message(), (dead.host, dead.port))
                self.turn(other, sink)
                self.assertEqual(sink.calls, [("unreachable", dead)], kind)
                sink.calls.clear()
                port.send(message(), port.local)
                self.turn(other, sink)
                self.assertEqual(sink.received(), [message()], kind)
                sink.calls.clear()
            port.close()
            self.assertNotIn(port, other.getReaders())

    def turn(self, other: Any, sink: FakeSink) -> None:
        for _ in range(200):
            other.iterate(0.05)
            if sink.calls:
                return


def new_asyncio_reactor() -> Any:
    return AsyncioSelectorReactor(asyncio.new_event_loop())


class StreamTests(TransportTestCase):
    async def test_there_and_back(self) -> None:
        """Messages to one hop share a connection, and answers return over it (RFC 3261 sections 18 and 18.2.2)."""
        other = WaitingSink()
        far = self.serve(other, (THEIRS, 0), ("::1", 0))
        other.answer = lambda *call: call[0] == "received" and far.send(call[1], call[2])
        for address in far.local_addresses():
            flow = self.service.flow_to(Hop("TCP", *address))
            self.assertEqual(flow.connection, 0)
            self.sink.calls.clear()
            for name in (b"a", b"b", b"c"):
                self.service.send(message(name=name), flow, self.failed)
            calls = await self.sink.until("received", 3)
            self.assertEqual(
                [data for _, data, _ in calls], [message(name=name) for name in (b"a", b"b", b"c")]
            )
            self.assertEqual(len({back for _, _, back in calls}), 1)
            live = self.service.flow_to(Hop("TCP", *address))
            self.assertEqual(live, calls[0][2])
            self.service.send(message(), live, self.failed)
            await self.sink.until("received", 4)
        self.assertEqual(self.service.statistics()["connections_opened"], 2)
        self.assertEqual(far.statistics()["connections_accepted"], 2)
        self.assertEqual(self.failures, [])

    async def test_pipelined_and_octet_by_octet(self) -> None:
        """The split into segments changes nothing (RFC 3261 section 18.3)."""
        client = await self.connect()
        client.transport.setTcpNoDelay(True)
        data = message(b"\r\n\r\n\x00") + message()
        client.transport.write(data * 500)
        await self.sink.until("received", 1000)
        self.sink.calls.clear()
        for at in range(len(data)):
            client.transport.write(data[at : at + 1])
            await deferLater(reactor, 0)
        await self.sink.until("received", 2)
        self.assertEqual(self.sink.received(), [message(b"\r\n\r\n\x00"), message()])

    async def test_ping(self) -> None:
        """A double CRLF is answered with one CRLF (RFC 5626 section 4.4.1)."""
        client = await self.connect()
        client.transport.write(b"\r\n\r\n")
        self.assertEqual(await client.until(2), b"\r\n")

    async def test_refused(self) -> None:
        """A hop that refuses the connection fails the message (RFC 3261 section 18.4)."""
        dead = Hop("TCP", THEIRS, free_udp_port(THEIRS))
        self.service.send(message(), self.service.flow_to(dead), self.failed)
        self.assertIn("refused", await self.failed_once)

    async def test_broken_message_is_answered_and_the_connection_closed(self) -> None:
        """The answer arrives although the client had sent more, none of which is executed (RFC 3261 section 18.3)."""
        refusal = b"SIP/2.0 400 Bad Content-Length\r\nContent-Length: 0\r\n\r\n"
        self.sink.answer = lambda *call: call[0] == "failed" and self.service.send(refusal, call[2])
        client = await self.connect()
        client.transport.write(b"OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n" + message(b"x" * 60_000) * 20)
        await client.closed
        self.assertEqual(client.data, refusal)
        await self.sink.until("lost")
        self.assertEqual([call[0] for call in self.sink.calls], ["failed", "lost"])

    @attack("S12")
    async def test_reader_that_does_not_read(self) -> None:
        """Octets that nobody reads are bounded, then the flow is closed and told (attack S12)."""
        client = await self.connect()
        client.transport.write(message())
        [(_, _, flow)] = await self.sink.until("received")
        client.transport.pauseProducing()
        sent = 0
        while not self.failures:
            for _ in range(100):
                self.service.send(message(b"x" * 1000), flow, self.failed)
                sent += 1
            await deferLater(reactor, 0)
            self.assertLess(sent, 20_000)
        self.assertIn("does not read", self.failures[0])
        self.assertEqual(await self.sink.until("lost"), [("lost", flow)])
        self.assertFalse(self.service.is_alive(flow))

    async def test_stop(self) -> None:
        """Stopping closes ports and connections, and the ports are free again."""
        client = await self.connect()
        client.transport.write(message())
        await self.sink.until("received")
        addresses = self.service.local_addresses()
        await self.service.stopService()
        await client.closed
        self.assertEqual([call[0] for call in self.sink.calls], ["received", "lost"])
        again = self.serve(WaitingSink(), *addresses)
        self.assertEqual(again.local_addresses(), addresses)

    def test_address_in_use(self) -> None:
        """A port in use, of either transport, gives one clear line and leaves nothing open."""
        for kind, name in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.bind((THEIRS, 0))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                number = taken.getsockname()[1]
                free = free_udp_port("127.46.0.3")
                service = TransportService(reactor, WaitingSink(), [("127.46.0.3", free), (THEIRS, number)])
                error = self.assertRaises(UsageError, service.privilegedStartService)
                expected = f"cannot listen for SIP on {name} {THEIRS}:{number}: Address already in use"
                self.assertEqual(str(error), expected)
                open_udp_socket("127.46.0.3", free).close()


class ImpatientTests(TransportTestCase):
    limits = StreamLimits(first_message=0.5, message=0.5, idle=1.0, connections=50, per_source=30)

    async def test_idle(self) -> None:
        """A connection that had a message is closed when it is idle, not before."""
        client = await self.connect()
        client.transport.write(message())
        began = reactor.seconds()
        await client.closed
        self.assertGreaterEqual(reactor.seconds() - began, 1.0)

    @attack("S11")
    async def test_slow_clients_leave_room(self) -> None:
        """Clients that never finish a message are closed in bounded time, and good ones are served (attack S11)."""
        slow = [await self.connect() for _ in range(30)]
        for client in slow:
            client.transport.write(b"OPTIONS")
        good = await self.connect()
        good.transport.write(message())
        await self.sink.until("received")
        for client in slow:
            await client.closed
        self.assertEqual(self.service.statistics()["connections_evicted"], 1)
        self.assertFalse(good.closed.called)
