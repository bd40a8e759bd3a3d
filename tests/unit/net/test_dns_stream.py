"""One question over TCP: one connection, one answer, one end."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.dns_fakes import DnsReactor
from voipcluster.errors import PeerError
from voipcluster.net.dns_stream import LONGEST, ask_over_tcp
from voipcluster.net.lease import Lease

SERVER = ("192.0.2.53", 53)


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = DnsReactor()
        self.answer = ask_over_tcp(Lease(self.reactor), SERVER, [dns.Query("a.example", dns.A)], 4.0)
        host, port, self.factory, _, _ = self.reactor.tcpClients[0]
        self.assertEqual((host, port), SERVER)

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def connect(self) -> int:
        """@return: the number of the question."""
        self.stream = StringTransport()
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.stream)
        octets = self.stream.value()
        self.assertEqual(int.from_bytes(octets[:2], "big"), len(octets) - 2)
        query = dns.Message()
        query.fromStr(octets[2:])
        self.assertEqual((query.queries[0].name.name, query.recDes), (b"a.example", 1))
        number: int = query.id
        return number

    def receive(self, octets: bytes) -> None:
        self.protocol.dataReceived(len(octets).to_bytes(2, "big") + octets)

    def failed(self) -> str:
        return str(self.failureResultOf(self.answer, PeerError).value)

    def test_answer(self) -> None:
        """The answer comes, and the connection is closed."""
        self.receive(dns.Message(self.connect(), answer=1).toStr())
        self.successResultOf(self.answer)
        self.assertTrue(self.stream.disconnecting)
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def test_no_answer(self) -> None:
        """Another number, a question, and an answer that is truncated once more end it: nothing is asked again and again."""
        for change in ({"answer": 0}, {"trunc": 1}, {"id": 1}):
            self.setUp()
            number = self.connect()
            message = dns.Message(number, answer=1)
            for name, value in change.items():
                setattr(message, name, value if name != "id" else number ^ 1)
            self.receive(message.toStr())
            self.assertEqual(self.failed(), "an answer that is none", change)

    def test_unreadable(self) -> None:
        """What is no DNS message."""
        number = self.connect()
        head = number.to_bytes(2, "big") + b"\x81\x80" + b"\0\0" + b"\0\1" + b"\0\0\0\0"
        self.receive(head + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4")
        self.assertIn("cannot be read", self.failed())

    def test_giant(self) -> None:
        """An answer that would take long to decode is not even read (S26)."""
        self.connect()
        self.protocol.dataReceived((LONGEST + 1).to_bytes(2, "big"))
        self.assertEqual(self.failed(), f"an answer of {LONGEST + 1} octets")
        self.assertTrue(self.stream.disconnecting)

    def test_closed(self) -> None:
        """A server that closes without an answer."""
        self.connect()
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.failed(), "no answer on the connection")

    def test_refused(self) -> None:
        """A server that is not there."""
        self.factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertIn("refused", self.failed())

    def test_silent(self) -> None:
        """A server that says nothing: the connection is closed in time."""
        self.connect()
        self.reactor.advance(4.1)
        self.assertEqual(self.failed(), "timed out")
        self.assertTrue(self.reactor.connectors[0]._disconnected)
