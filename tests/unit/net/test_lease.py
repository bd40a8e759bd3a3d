"""What was made with a lent reactor ends with the lease, and nothing else does."""

from __future__ import annotations

from twisted.internet.protocol import ClientFactory, DatagramProtocol
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.dns_fakes import DnsReactor
from voipcluster.net.lease import Lease


class LeaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = DnsReactor()
        self.lease = Lease(self.reactor)

    def test_end(self) -> None:
        """Timers, ports and connections are ended, those of others are not; twice does no harm."""
        fired: list[str] = []
        self.reactor.callLater(1, fired.append, "ours")
        self.lease.callLater(1, fired.append, "lent")
        self.lease.listenUDP(5300, DatagramProtocol())
        connector = self.lease.connectTCP("192.0.2.53", 53, ClientFactory())
        self.successResultOf(self.lease.end())
        self.successResultOf(self.lease.end())
        self.reactor.advance(2)
        self.assertEqual((fired, self.reactor.open_ports), (["ours"], []))
        self.assertTrue(connector._disconnected)

    def test_quiet(self) -> None:
        """A port for each question is no news: that it opens and closes is said to those alone who debug."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        port = self.lease.listenUDP(5300, DatagramProtocol())
        port.stopListening()
        self.assertEqual(
            [(event["log_level"], event["log_text"]) for event in events],
            [
                (LogLevel.debug, "DatagramProtocol starting on 5300"),
                (LogLevel.debug, "(UDP Port 5300 Closed)"),
            ],
        )

    def test_passed_on(self) -> None:
        """Until then it does what the reactor does."""
        fired: list[str] = []
        self.lease.callLater(1, fired.append, "lent")
        self.reactor.advance(1)
        self.assertEqual((fired, self.lease.seconds()), (["lent"], 1.0))

    def test_nothing_piles_up(self) -> None:
        """What has ended by itself is not held on to."""
        for _ in range(50):
            self.lease.callLater(1, int)
            self.lease.listenUDP(0, DatagramProtocol()).stopListening()
            self.reactor.advance(1)
        self.assertLess(len(self.lease._calls), 3)
        self.assertLess(len(self.lease._ports), 3)
