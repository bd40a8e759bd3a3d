"""Looking on at messages: all of them while somebody does, nothing on their way while nobody does, and never in their way."""

from __future__ import annotations

import errno
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.fakes import FakeReactor, FakeSocket
from voipcluster.address import Flow
from voipcluster.net.timers import TimerWheel
from voipcluster.services.transaction.tap import Tap
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.services.transaction.transport import TransportService

HERE, ALICE = ("192.0.2.1", 5060), ("198.51.100.1", 5060)
FLOW = Flow("UDP", HERE, ALICE)
GARBAGE = b"OPTIONS sip:a SIP/2.0\r\n\r\n"


class TapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.wheel = TimerWheel(self.reactor)
        self.transactions = TransactionService(self.wheel, b"secret")
        self.socket = FakeSocket(*HERE)
        self.transport = TransportService(
            self.reactor,
            self.transactions,
            [HERE],
            timers=self.wheel,
            open_socket=lambda host, port: self.socket,
        )
        self.transactions.connect(self.transport, object())
        self.transport.startService()
        self.tap = Tap(self.transactions, self.transport, self.reactor.seconds)
        self.seen: list[tuple[bool, bytes, Flow]] = []

    def listener(self, sent: bool, data: bytes, flow: Flow) -> None:
        self.seen.append((sent, data, flow))

    def come(self, data: bytes) -> None:
        """A datagram arrives."""
        self.socket.incoming.append((data, ALICE))
        self.reactor.readers[0].doRead()

    def test_nothing_while_nobody_looks(self) -> None:
        """Both ways are the classes' own methods, before and afterwards: not even an attribute is asked."""
        for _ in range(2):
            self.assertNotIn("send", self.transport.__dict__)
            self.assertNotIn("bytes_received", self.transactions.__dict__)
            self.tap.add(self.listener)
            self.tap.remove(self.listener)
            self.tap.remove(self.listener)

    def test_both_ways(self) -> None:
        """What comes over a socket and what is sent over it is seen, whole, and goes on all the same."""
        self.tap.add(self.listener)
        self.tap.add(self.listener)
        self.come(GARBAGE)
        self.transport.send(b"out", FLOW)
        self.assertEqual(self.seen, [(False, GARBAGE, FLOW), (True, b"out", FLOW)])
        self.assertEqual(self.transactions.malformed, 1)
        self.assertEqual(self.socket.sent, [(b"out", ALICE)])
        self.tap.remove(self.listener)
        self.come(GARBAGE)
        self.transport.send(b"out", FLOW)
        self.assertEqual((len(self.seen), self.transactions.malformed, len(self.socket.sent)), (2, 2, 2))

    def test_with_a_guard(self) -> None:
        """Who looks on sees what the guard of an overload throws away, whichever of the two came first."""
        guarded: list[bytes] = []

        def guard(data: bytes, flow: Flow) -> None:
            guarded.append(data)

        for first in (True, False):
            if first:
                self.transactions.guard(guard)
            self.tap.add(self.listener)
            self.transactions.guard(guard)
            self.come(GARBAGE)
            self.assertEqual((len(self.seen), len(guarded), self.transactions.malformed), (1, 1, 0))
            self.tap.remove(self.listener)
            self.come(GARBAGE)
            self.assertEqual((len(self.seen), len(guarded), self.transactions.malformed), (1, 2, 0))
            self.transactions.guard(None)
            self.assertNotIn("bytes_received", self.transactions.__dict__)
            self.seen.clear()
            guarded.clear()

    def test_a_guard_that_ends_while_somebody_looks(self) -> None:
        """The messages go the usual way again, and are seen."""
        self.tap.add(self.listener)
        self.transactions.guard(lambda data, flow: None)
        self.transactions.guard(None)
        self.come(GARBAGE)
        self.assertEqual((len(self.seen), self.transactions.malformed), (1, 1))

    def test_who_fails(self) -> None:
        """A fault of one who looks on is logged, and neither the message nor the others suffer."""

        def faulty(sent: bool, data: bytes, flow: Flow) -> None:
            raise KeyError("x")

        self.tap.add(faulty)
        self.tap.add(self.listener)
        self.transport.send(b"out", FLOW)
        self.assertEqual((len(self.seen), self.socket.sent), (1, [(b"out", ALICE)]))

    def test_what_cannot_be_sent(self) -> None:
        """Who sent it learns that as ever."""
        self.tap.add(self.listener)
        failures: list[Any] = []
        for _ in range(8):
            self.socket.send_errors.append(OSError(errno.ENETUNREACH, "Network is unreachable"))
        self.transport.send(b"out", FLOW, failures.append)
        self.reactor.advance(0)
        self.assertEqual((len(failures), len(self.seen)), (1, 1))
