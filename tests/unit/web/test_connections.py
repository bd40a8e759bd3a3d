"""How many connections a web page has, and who gives way."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.unit.web.site_case import SiteCase
from voipcluster.web import connections
from voipcluster.web.connections import CappedFactory

STATUS = b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Transport(StringTransport):
    def abortConnection(self) -> None:
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))


class ConnectionTests(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.factory: Any = CappedFactory(self.site)
        self.open: list[Any] = []
        self.patch(connections, "MOST_CONNECTIONS", 6)
        self.patch(connections, "MOST_OF_SOURCE", 4)

    def tearDown(self) -> None:
        for protocol in self.open:
            if not protocol.transport.disconnected:
                protocol.connectionLost(Failure(ConnectionDone()))
        super().tearDown()

    def connect(self, host: str, request: bytes = b"") -> Any:
        """@return: the connection, or L{None} when it is closed at once."""
        kind = IPv6Address if ":" in host else IPv4Address
        address = kind("TCP", host, 40000)
        protocol = self.factory.buildProtocol(address)
        if protocol is None:
            return None
        transport = Transport(peerAddress=address)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.open.append(protocol)
        protocol.dataReceived(request)
        return protocol

    def gone(self) -> list[bool]:
        return [protocol.transport.disconnected for protocol in self.open]

    def busy(self, host: str) -> Any:
        """One on which somebody waits for an answer."""
        self.node.later = Deferred()
        self.addCleanup(self.node.later.callback, [])
        return self.connect(host, STATUS.replace(b"status", b"calls"))

    def test_of_one_address(self) -> None:
        """Whoever has as many as one may gives up his own oldest one for the next: he keeps nobody else out."""
        for _ in range(5):
            self.assertIsNotNone(self.connect("192.0.2.1"))
        self.assertEqual(self.gone(), [True, False, False, False, False])
        self.assertIsNotNone(self.connect("192.0.2.2"))
        self.assertEqual(self.gone()[1:], [False] * 5)

    def test_of_one_network(self) -> None:
        """An IPv6 client has as many addresses as it likes below its /64."""
        for number in range(5):
            self.connect(f"2001:db8::{number + 1:x}")
        self.assertEqual(self.gone(), [True, False, False, False, False])

    def test_the_greatest_holder_gives_way(self) -> None:
        """When all that may be are open, the oldest idle one of who has the most is closed, and not that of who has few."""
        first = self.connect("192.0.2.9")
        for _ in range(4):
            self.connect("192.0.2.1", STATUS)  # answered: idle again
        self.connect("192.0.2.2")
        self.assertIsNotNone(self.connect("192.0.2.3"))
        self.assertEqual(self.gone(), [False, True, False, False, False, False, False])
        self.assertFalse(first.transport.disconnected)

    def test_half_a_request_is_idle(self) -> None:
        """Who says his request octet by octet is as silent as who says nothing."""
        for _ in range(4):
            self.connect("192.0.2.1", STATUS[:-4])
        self.connect("192.0.2.2")
        self.connect("192.0.2.3")
        self.assertIsNotNone(self.connect("192.0.2.4", STATUS))
        self.assertTrue(self.gone()[0])
        self.assertIn(b"200 OK", self.open[-1].transport.value())

    def test_what_is_answered_stays(self) -> None:
        """Somebody waits there; an idle one goes in its place, and where there is none the new one is closed at once."""
        for _ in range(3):
            self.busy("192.0.2.1")
        self.connect("192.0.2.1")
        self.connect("192.0.2.2")
        self.connect("192.0.2.2")
        self.assertIsNotNone(self.connect("192.0.2.3"))
        self.assertEqual(self.gone(), [False, False, False, True, False, False, False])
        self.connect("192.0.2.3")
        self.assertEqual(self.gone()[4:6], [True, False])
        for _ in range(2):
            self.busy("192.0.2.1")
        self.assertIsNone(self.connect("192.0.2.1"))

    def test_many_addresses(self) -> None:
        """Of many that have one connection each the oldest gives way; where somebody waits on all of them the new one does."""
        for number in range(6):
            self.connect(f"192.0.2.{number + 1}")
        self.assertIsNotNone(self.connect("192.0.2.7"))
        self.assertEqual(self.gone(), [True, *[False] * 6])
        for number in range(6):
            self.busy(f"192.0.2.{number + 1}")
        self.assertIsNone(self.connect("192.0.2.8"))
        self.open[-1].connectionLost(Failure(ConnectionDone()))
        self.open.pop()
        self.assertIsNotNone(self.connect("192.0.2.8"))

    def test_upgraded_connections_count_elsewhere(self) -> None:
        """What has become something else than HTTP takes no room; its end is harmless."""
        for _ in range(4):
            self.connect("192.0.2.1").upgraded()
        self.assertEqual(len(self.factory.protocols), 0)
        self.connect("192.0.2.1")
        self.assertEqual(self.gone(), [False] * 5)
