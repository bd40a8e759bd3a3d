"""The URL of the shared database; the database itself is in the integration tests, with a real server."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.store.shared import AT_THE_END, LONGEST, SharedDatabase, database_url


class UrlTests(SynchronousTestCase):
    def test_with_a_password(self) -> None:
        """It is in the URL that the driver gets, and in no text of it."""
        url = database_url("postgresql://voip@db.example.com:5433/calls", "s3cret")
        self.assertEqual((url.drivername, url.password, url.port), ("postgresql+psycopg", "s3cret", 5433))
        self.assertNotIn("s3cret", str(url))

    def test_over_a_socket(self) -> None:
        url = database_url("postgresql:///calls?host=/run/postgresql", "")
        self.assertEqual((url.database, url.host, url.query["host"]), ("calls", None, "/run/postgresql"))

    def test_bad_ones(self) -> None:
        """One line, without the password that somebody put there."""
        for bad in ("mysql://a@b/c", "postgresql://a@b", "postgresql://a:s3cret@b/c", "://", "x"):
            error = str(self.assertRaises(UsageError, database_url, bad, ""))
            self.assertNotIn("\n", error)
            self.assertNotIn("s3cret", error)


class Wire:
    """A connection of psycopg's to a server that says nothing."""

    def __init__(self) -> None:
        self.ours, self.server = socket.socketpair()
        self.pgconn = self
        self.asked: Callable[[], int | None] = lambda: None  # which number it has, when that is another one
        self.server.setblocking(False)

    @property
    def socket(self) -> int:
        told = self.asked()
        return self.ours.fileno() if told is None else told

    def close(self) -> None:
        self.ours.close()
        self.server.close()


class SilentServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.wire = Clock(), Wire()
        self.addCleanup(self.wire.close)
        self.done: list[Deferred[object]] = []
        self.database = SharedDatabase(database_url("postgresql://u@h/d", ""), self.run_later, self.clock)
        self.addCleanup(self.database.close)
        self.database._connected(self.wire)

    def run_later(self, work: object) -> Deferred[object]:
        self.done.append(Deferred())
        return self.done[-1]

    def is_cut(self) -> bool:
        try:
            return self.wire.server.recv(1) == b""
        except BlockingIOError:
            return False

    def test_it_is_not_waited_for_without_end(self) -> None:
        self.database.write()
        self.clock.advance(LONGEST - 1)
        self.assertFalse(self.is_cut())
        self.clock.advance(2)
        self.assertTrue(self.is_cut())
        self.done[0].callback(None)

    def test_each_has_its_time(self) -> None:
        """What waits for its turn does not wait for the server yet."""
        first, second = self.database.write(), self.database.write()
        self.clock.advance(LONGEST - 1)
        self.done[0].callback(None)
        self.successResultOf(first)
        self.clock.advance(LONGEST - 1)
        self.assertFalse(self.is_cut())
        self.done[1].callback(None)
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_connects_at_that_moment(self) -> None:
        """The thread makes a connection while the reactor cuts those that are there."""
        others = [Wire() for _ in range(3)]
        for other in others:
            self.addCleanup(other.close)
        self.wire.asked = lambda: self.database._connected(others.pop()) if others else None
        self.database.write()
        self.clock.advance(LONGEST + 1)
        self.assertTrue(self.is_cut())
        self.assertEqual(len(others), 1)
        self.done[0].callback(None)

    def test_one_closes_at_that_moment(self) -> None:
        """What has its number by then is left alone."""
        other = Wire()
        self.addCleanup(other.close)
        theirs = os.dup(other.ours.fileno())
        self.addCleanup(os.close, theirs)
        numbers = [theirs, -1]
        self.wire.asked = lambda: numbers.pop(0)
        self.database.write()
        self.clock.advance(LONGEST + 1)
        self.assertEqual((numbers, self.is_cut()), ([], False))
        self.assertRaises(BlockingIOError, other.server.recv, 1)
        self.done[0].callback(None)

    def test_a_node_that_stops(self) -> None:
        """It gives it a moment, and no more."""
        self.database.write()
        self.database.hurry()
        self.clock.advance(AT_THE_END)
        self.assertTrue(self.is_cut())
        self.done[0].callback(None)
