"""Strangers' datagrams are thrown away unread when the socket's buffer grows, and nobody else's (attacks S24, S28)."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeSink, FakeSocket
from voipcluster.address import Flow
from voipcluster.net.sink import SinkErrors
from voipcluster.net.udp import UdpPort
from voipcluster.services.transaction.backlog import LOOK, BacklogService
from voipcluster.services.transaction.limiting import Limiting

ALICE, STRANGER, CARRIER = ("198.51.100.1", 5060), ("198.51.100.66", 5060), ("203.0.113.5", 5060)
REQUEST = b"OPTIONS sip:a.example SIP/2.0\r\n\r\n"
IN_DIALOG = b"BYE sip:b@192.0.2.7 SIP/2.0\r\nRoute: <sip:192.0.2.1;lr;call=x>\r\n\r\n"
RESPONSE = b"SIP/2.0 200 OK\r\n\r\n"
LONG = 1 << 20


class OnePort:
    """A transport service as far as it is asked for its ports."""

    def __init__(self, *ports: UdpPort) -> None:
        self.udp_ports = list(ports)


class BacklogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.sink, self.socket = FakeReactor(), FakeSink(), FakeSocket()
        self.port = UdpPort(self.reactor, self.socket, self.sink, SinkErrors(self.reactor))
        self.port.start()
        self.limiting = Limiting(self.reactor.seconds, trusted=["203.0.113.0/24"])
        self.service = BacklogService(self.reactor, OnePort(self.port), self.limiting)
        self.service.startService()

    def tearDown(self) -> None:
        self.service.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIsNone(self.port.sieve)

    def look(self, waiting: int = 0, looks: int = 1) -> None:
        self.socket.waiting = waiting
        self.reactor.pump([LOOK] * looks)

    def read(self, data: bytes, remote: tuple[str, int], count: int = 200) -> int:
        """How many of so many datagrams come through."""
        self.sink.calls.clear()
        self.socket.incoming.extend([(data, remote)] * count)
        while self.socket.incoming:
            self.port.doRead()
        return len(self.sink.calls)

    def test_short(self) -> None:
        """With a short buffer nothing is in the way."""
        self.look(1000)
        self.assertIsNone(self.port.sieve)
        self.assertEqual(self.read(REQUEST, STRANGER), 200)

    def test_long(self) -> None:
        """With a long one strangers lose nearly all, phones that proved a password, trusted ones and responses nothing."""
        self.limiting.proved(Flow("UDP", self.port.local, ALICE), "alice@example.com")
        self.look(LONG, 2)
        self.assertLess(self.read(REQUEST, STRANGER), 10)
        self.assertGreaterEqual(self.limiting.refused["backlog"], 190)
        for data, remote in ((REQUEST, ALICE), (REQUEST, CARRIER), (RESPONSE, STRANGER)):
            self.assertEqual(self.read(data, remote), 200)

    def test_dialogs(self) -> None:
        """What a stranger sends within a dialog is not lost to a flood of other requests."""
        self.look(LONG, 2)
        self.read(REQUEST, STRANGER)
        self.assertEqual(self.read(IN_DIALOG, STRANGER, 1), 1)
        self.assertLess(self.read(IN_DIALOG, STRANGER), 10, "but it is no way around")

    def test_lost(self) -> None:
        """Datagrams that found no room begin it earlier, those from before the start do not."""
        self.socket.lost = 5
        self.look(LONG // 2)
        self.assertIsNotNone(self.port.sieve)
        self.service.stopService()
        self.service.startService()
        self.look(LONG // 2)
        self.assertIsNone(self.port.sieve)

    def test_less(self) -> None:
        """While there is something to throw away, it takes some seconds with a short buffer until all is read again."""
        self.look(LONG, 4)
        for _ in range(20):
            self.read(REQUEST, STRANGER)
            self.look(0)
        self.assertIsNotNone(self.port.sieve)

    def test_over(self) -> None:
        """When no more comes than may, it is over within a second; the log says when it begins and when it ends."""
        with capturedLogs() as events:
            self.look(LONG, 10)
            self.assertEqual(self.read(REQUEST, STRANGER), 1)
            self.look(0, 20)
            self.assertIsNone(self.port.sieve)
            self.assertEqual(self.read(REQUEST, STRANGER), 200)
            self.look(0, 20)
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "more comes than can be read: strangers' datagrams are thrown away unread",
                "all is read again; 199 were thrown away",
            ],
        )
