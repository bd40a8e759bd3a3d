"""The transport service on a fake reactor."""

from __future__ import annotations

import errno
import resource
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeSocket, FakeTransport
from tests.unit.net.tls_peer import authority, files
from voipcluster.address import Flow, Hop
from voipcluster.errors import TransportError, UsageError
from voipcluster.net.sip_tls import SipTls
from voipcluster.services.transaction.transport import (
    ListenAddress,
    StreamLimits,
    TransportService,
    within_descriptors,
)

MESSAGE = b"OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
ALICE = ("198.51.100.1", 5060)
FIRST, SECOND, SIXTH = ("192.0.2.1", 5060), ("192.0.2.2", 5060), ("2001:db8::1", 5060)
LOOPBACK = ("127.0.0.1", 5060)


class TransportServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink = FakeReactor(), FakeSink()
        self.sockets: list[FakeSocket] = []
        self.in_use: set[tuple[str, int]] = set()
        self.failures: list[str] = []
        self.free_port = 20000

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def open_socket(self, host: str, port: int) -> Any:
        if (host, port) in self.in_use:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        if not port:
            self.free_port += 1
        self.sockets.append(FakeSocket(host, port or self.free_port))
        return self.sockets[-1]

    def service(self, *listen: Any) -> TransportService:
        return TransportService(self.reactor, self.sink, listen, open_socket=self.open_socket)

    def started(self, *listen: Any) -> TransportService:
        service = self.service(*listen)
        service.privilegedStartService()
        service.startService()
        return service

    def failed(self, error: TransportError) -> None:
        self.failures.append(str(error))

    def test_listens_on_udp_and_tcp_of_each_address(self) -> None:
        """UDP and TCP on the same ports (RFC 3261 section 18.2.1), opened before privileges are dropped."""
        service = self.service(FIRST, SIXTH)
        service.privilegedStartService()
        self.assertEqual([s.name for s in self.sockets], [FIRST, SIXTH])
        self.assertEqual([(port.host, port.port) for port in self.reactor.ports], [FIRST, SIXTH])
        self.assertEqual(self.reactor.readers, [])
        service.startService()
        self.assertEqual(len(self.reactor.readers), 2)
        self.assertEqual(service.local_addresses(), [FIRST, SIXTH])

    def test_start_alone_opens_too(self) -> None:
        """An embedding application that only calls startService gets the same."""
        service = self.service(FIRST)
        service.startService()
        self.assertEqual((len(self.reactor.ports), len(self.reactor.readers)), (1, 1))

    def test_stop_and_start_again(self) -> None:
        """Stopping closes everything and fires; stopping twice is harmless; starting again works."""
        service = self.started(FIRST)
        self.successResultOf(service.stopService())
        self.successResultOf(service.stopService())
        self.assertTrue(self.sockets[0].closed)
        self.assertFalse(self.reactor.ports[0].listening)
        self.assertEqual((self.reactor.readers, service.local_addresses()), ([], []))
        service.startService()
        self.assertEqual(service.local_addresses(), [FIRST])

    def test_stop_waits_for_connections(self) -> None:
        """The Deferred of stopService fires when the last connection is closed."""
        service = self.started(FIRST)
        transport, _ = self.accept()
        stopped = service.stopService()
        self.assertNoResult(stopped)
        transport.lose(ConnectionDone())
        self.assertIsNone(self.successResultOf(stopped))

    def accept(self) -> tuple[FakeTransport, Flow]:
        transport = FakeTransport(self.reactor, ALICE, FIRST)
        transport.connect(self.reactor.ports[0].factory.buildProtocol(transport.getPeer()))
        transport.protocol.dataReceived(MESSAGE)
        flow = self.sink.calls[-1][2]
        assert isinstance(flow, Flow)
        return transport, flow

    def test_udp_port_in_use(self) -> None:
        """One line names transport, address and reason, and what was opened before is closed again."""
        self.in_use.add(SECOND)
        service = self.service(FIRST, SECOND)
        error = self.assertRaises(UsageError, service.privilegedStartService)
        self.assertEqual(str(error), "cannot listen for SIP on UDP 192.0.2.2:5060: Address already in use")
        self.assertTrue(self.sockets[0].closed)
        self.assertFalse(self.reactor.ports[0].listening)
        self.assertEqual(service.local_addresses(), [])

    def test_tcp_port_in_use(self) -> None:
        """The same when only TCP is taken, here on IPv6."""
        self.reactor.in_use.add(SIXTH)
        error = self.assertRaises(UsageError, self.service(FIRST, SIXTH).startService)
        self.assertEqual(
            str(error), "cannot listen for SIP on TCP [2001:db8::1]:5060: Address already in use"
        )
        self.assertTrue(all(s.closed for s in self.sockets))
        self.assertEqual(self.reactor.readers, [])

    def test_free_port_is_free_for_both(self) -> None:
        """Port 0 takes one that UDP and TCP both have, however often that takes another try."""
        self.reactor.in_use.update({("192.0.2.1", 20001), ("192.0.2.1", 20002)})
        service = self.started(("192.0.2.1", 0))
        self.assertEqual(service.local_addresses(), [("192.0.2.1", 20003)])
        self.assertEqual([s.closed for s in self.sockets], [True, True, False])

    def test_bad_listen_addresses(self) -> None:
        """A name, a wildcard without an advertised host, and an address given twice are refused at once."""
        for listen, text in (
            ([("sip.example", 5060)], "cannot listen on 'sip.example': not an IP address"),
            ([("0.0.0.0", 5060)], "listening on 0.0.0.0 needs an advertised host, for Via and Record-Route"),
            ([FIRST, FIRST], "192.0.2.1:5060 is given twice to listen on"),
        ):
            error = self.assertRaises(UsageError, self.service, *listen)
            self.assertEqual(str(error), text)
        self.service(ListenAddress("::", 5060, advertised_host="sip.example"))

    def test_udp_leaves_from_the_flows_own_socket(self) -> None:
        """An answer leaves from the address and port that the request came to (RFC 3581 section 4)."""
        service = self.started(FIRST, SECOND)
        self.sockets[1].incoming.append((MESSAGE, ALICE))
        self.reactor.readers[1].doRead()
        flow = self.sink.calls[0][2]
        service.send(b"answer", flow, self.failed)
        self.assertEqual([s.sent for s in self.sockets], [[], [(b"answer", ALICE)]])
        self.assertEqual(service.statistics()["udp_sent"], 1)

    def test_failures_come_later(self) -> None:
        """What cannot be sent is told after send returned, never from inside it."""
        service = self.started(FIRST)
        self.sockets[0].send_errors.extend([OSError(errno.ENETUNREACH, "Network is unreachable")] * 9)
        service.send(b"x", Flow("UDP", FIRST, ALICE), self.failed)
        service.send(b"x", Flow("UDP", SECOND, ALICE), self.failed)
        service.send(b"x", Flow("TCP", SECOND, ALICE), self.failed)
        service.send(b"x", Flow("TLS", FIRST, ALICE), self.failed)
        service.send(b"x", Flow("TCP", FIRST, ALICE, 999999999), self.failed)
        service.send(b"x", Flow("TLS", FIRST, ALICE))
        self.assertEqual(self.failures, [])
        self.reactor.advance(0)
        self.assertEqual(
            self.failures,
            [
                "Network is unreachable (to udp:198.51.100.1:5060)",
                "nothing to send from at udp:192.0.2.2:5060",
                "nothing to send from at tcp:192.0.2.2:5060",
                "nothing to send from at tls:192.0.2.1:5060",
                "the connection to tcp:198.51.100.1:5060 is closed",
            ],
        )

    def test_flow_to(self) -> None:
        """The family of the hop decides, then the address that the request came in on, then the order given."""
        service = self.started(LOOPBACK, FIRST, SECOND, SIXTH)
        self.assertEqual(service.flow_to(Hop("UDP", *ALICE)), Flow("UDP", FIRST, ALICE))
        self.assertEqual(service.flow_to(Hop("UDP", *ALICE), near=SECOND).local, SECOND)
        self.assertEqual(service.flow_to(Hop("UDP", *ALICE), near=SIXTH).local, FIRST)
        self.assertEqual(service.flow_to(Hop("UDP", *ALICE), near=LOOPBACK).local, FIRST)
        self.assertEqual(
            service.flow_to(Hop("TCP", "127.0.0.9", 5060), near=SECOND),
            Flow("TCP", LOOPBACK, ("127.0.0.9", 5060)),
        )
        six = service.flow_to(Hop("UDP", "2001:DB8:0:0::5", 5060))
        self.assertEqual(six, Flow("UDP", SIXTH, ("2001:db8::5", 5060)))

    def test_what_names_may_lead_to(self) -> None:
        """The transports that we send over, and the families that we have an address of, in our order."""
        self.assertEqual(self.started(FIRST, SECOND).families, ("A",))
        service = self.started(SIXTH, LOOPBACK)
        self.assertEqual((service.transports, service.families), (("UDP", "TCP"), ("AAAA", "A")))

    def test_flow_to_nowhere(self) -> None:
        """No address of the family, or no such transport, is a transport error that names the hop."""
        service = self.started(FIRST)
        for hop, text in (
            (Hop("UDP", "2001:db8::5", 5060), "no IPv6 address here to reach udp:[2001:db8::5]:5060"),
            (Hop("TLS", "198.51.100.1", 5061), "no TLS here to reach tls:198.51.100.1:5061"),
        ):
            self.assertEqual(str(self.assertRaises(TransportError, service.flow_to, hop)), text)

    def test_flow_to_a_live_connection(self) -> None:
        """A connection to the hop is used again, from whichever of our addresses (RFC 3261 section 18.1.1)."""
        service = self.started(FIRST, SECOND)
        transport, flow = self.accept()
        self.assertEqual(service.flow_to(Hop("TCP", *ALICE), near=SECOND), flow)
        self.assertTrue(service.is_alive(flow))
        transport.lose(ConnectionDone())
        self.assertFalse(service.is_alive(flow))
        self.assertEqual(service.flow_to(Hop("TCP", *ALICE), near=SECOND), Flow("TCP", SECOND, ALICE))

    def test_is_alive(self) -> None:
        """A UDP flow lives as long as its socket; a stream not yet opened is not alive."""
        service = self.started(FIRST)
        self.assertTrue(service.is_alive(Flow("UDP", FIRST, ALICE)))
        self.assertFalse(service.is_alive(Flow("UDP", SECOND, ALICE)))
        self.assertFalse(service.is_alive(Flow("TCP", FIRST, ALICE)))

    def test_close_a_flow(self) -> None:
        """Closing a flow closes its connection; for UDP it does nothing."""
        service = self.started(FIRST)
        transport, flow = self.accept()
        service.close(Flow("UDP", FIRST, ALICE))
        service.close(flow)
        self.assertTrue(transport.half_closed)
        service.close(flow)
        transport.lose(ConnectionDone())
        service.close(flow)

    def test_what_we_are_called(self) -> None:
        """Via names the listening address or its advertised form, and responses are recognised by both (18.1.2)."""
        service = self.started(
            ListenAddress("192.0.2.1", 5060, advertised_host="SIP.example.com", advertised_port=5070), SIXTH
        )
        self.assertEqual(service.sent_by(Flow("UDP", FIRST, ALICE)), ("sip.example.com", 5070))
        self.assertEqual(service.sent_by("TCP"), ("sip.example.com", 5070))
        self.assertEqual(service.sent_by("UDP", ipv6=True), SIXTH)
        self.assertRaises(TransportError, service.sent_by, Flow("UDP", SECOND, ALICE))
        for host, port in (FIRST, ("sip.EXAMPLE.com", 5070), ("[2001:db8:0::1]", 5060)):
            self.assertTrue(service.is_ours(host, port), host)
        for host, port in (
            ("192.0.2.1", 5070),
            ("sip.example.com", 5060),
            ("192.0.2.3", 5060),
            ("[::zz]", 1),
        ):
            self.assertFalse(service.is_ours(host, port), host)


class TlsTests(TransportServiceTests):
    """A service with certificates: all of the above holds, and the following."""

    def service(self, *listen: Any) -> TransportService:
        ca = authority(self)
        tls = SipTls(files(ca.issue("node", ["example.com"]), ca))
        return TransportService(self.reactor, self.sink, listen, open_socket=self.open_socket, tls=tls)

    def test_listens_on_udp_and_tcp_of_each_address(self) -> None:
        """TLS has a port of its own beside the other two, on each address."""
        self.started(FIRST, ListenAddress("2001:db8::1", tls_port=5071))
        self.assertEqual(
            [(port.host, port.port) for port in self.reactor.ports],
            [FIRST, ("192.0.2.1", 5061), SIXTH, ("2001:db8::1", 5071)],
        )

    def test_start_alone_opens_too(self) -> None:
        """An embedding application that only calls startService gets TLS, too."""
        self.service(FIRST).startService()
        self.assertEqual(len(self.reactor.ports), 2)

    def test_what_names_may_lead_to(self) -> None:
        """Names may lead to TLS, too, after what costs less."""
        self.assertEqual(self.started(FIRST).transports, ("UDP", "TCP", "TLS"))

    def test_flow_to_nowhere(self) -> None:
        """No address of the family is a transport error that names the hop, and so is a transport that nobody has."""
        service = self.started(FIRST)
        for transport, host in (("TLS", "2001:db8::5"), ("WS", "198.51.100.1"), ("SCTP", "198.51.100.1")):
            error = self.assertRaises(TransportError, service.flow_to, Hop(transport, host, 5061))
            self.assertIn(f"here to reach {transport.lower()}:", str(error))

    def test_failures_come_later(self) -> None:
        """A flow over TLS from an address without TLS fails, later."""
        service = self.started(FIRST)
        service.send(b"x", Flow("TLS", FIRST, ALICE), self.failed)
        self.assertEqual(self.failures, [])
        self.reactor.advance(0)
        self.assertEqual(self.failures, ["nothing to send from at tls:192.0.2.1:5060"])

    def test_flow_over_tls(self) -> None:
        """It names our TLS address, and what the certificate at the other end must prove (RFC 5922 section 7.3)."""
        service = self.started(FIRST, SECOND)
        own = ("192.0.2.1", 5061)
        self.assertEqual(service.flow_to(Hop("TLS", *ALICE)), Flow("TLS", own, ALICE, 0, "198.51.100.1"))
        flow = service.flow_to(Hop("TLS", *ALICE), domain="Example.COM")
        self.assertEqual(flow, Flow("TLS", own, ALICE, 0, "example.com"))
        self.assertEqual(service.flow_to(Hop("TLS", *ALICE), near=SECOND).local, ("192.0.2.2", 5061))
        self.assertEqual(service.sent_by(flow), own)
        self.assertEqual(service.sent_by("TLS"), own)
        self.assertTrue(service.is_ours(*own))
        self.assertFalse(service.is_alive(flow))
        service.send(MESSAGE, flow, self.failed)
        self.assertTrue(service.is_alive(flow))
        self.reactor.connectors[0].fail(ConnectionDone())
        self.reactor.advance(0)
        self.assertEqual(len(self.failures), 1)

    def test_tls_port_in_use(self) -> None:
        """One line names it, and nothing stays open."""
        self.reactor.in_use.add(("192.0.2.1", 5061))
        service = self.service(FIRST)
        error = self.assertRaises(UsageError, service.privilegedStartService)
        self.assertEqual(str(error), "cannot listen for SIP on TLS 192.0.2.1:5061: Address already in use")
        self.assertTrue(self.sockets[0].closed)


class DescriptorTests(SynchronousTestCase):
    def test_connections_leave_descriptors_for_the_rest(self) -> None:
        """Half of the file descriptors are for connections, half of these for one source, never more than asked."""
        for descriptors, connections, per_source in (
            (1024, 512, 256),
            (1 << 20, 10_000, 1000),
            (resource.RLIM_INFINITY, 10_000, 1000),
        ):
            limits = within_descriptors(StreamLimits(connections=10_000, per_source=1000), descriptors)
            self.assertEqual((limits.connections, limits.per_source), (connections, per_source))
