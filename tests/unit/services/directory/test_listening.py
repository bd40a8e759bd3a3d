"""The connection that listens."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from voipcluster.services.directory.listening import ChangeListener
from voipcluster.store.shared import NotReachable


class Broken(Exception):
    """As psycopg raises it."""


Broken.__module__ = "psycopg.errors"


class Wire:
    """A connection of psycopg's and its C{pgconn}."""

    def __init__(self) -> None:
        self.pgconn = self
        self.mine, self.other = socket.socketpair()
        self.socket = self.mine.fileno()
        self.told = 0
        self.trouble: Exception | None = None
        self.closed = 0

    def consume_input(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def notifies(self) -> object | None:
        self.told -= 1
        return object() if self.told >= 0 else None

    def close(self) -> None:
        self.closed += 1
        self.mine.close()
        self.other.close()


class Reactor:
    """Knows who reads."""

    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0, "the reactor knows it by its descriptor"
        self.readers.remove(reader)


class ListeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.wire = Reactor(), Wire()
        self.addCleanup(self.close_listener)
        self.addCleanup(self.wire.close)
        self.events: list[str] = []
        self.listener = ChangeListener(self.reactor, self.connect)
        self.listener.changed = lambda: self.events.append("changed")
        self.listener.lost = self.events.append

    def close_listener(self) -> None:
        self.listener.close()

    def connect(self) -> Deferred[Any]:
        return succeed(self.wire)

    def test_changes(self) -> None:
        """Many notifications that came together are one change, and octets without one are none."""
        verifyObject(IReadDescriptor, self.listener)
        self.successResultOf(self.listener.open())
        self.assertEqual(self.reactor.readers, [self.listener])
        self.assertTrue(os.path.sameopenfile(self.listener.fileno(), self.wire.socket))
        self.wire.told = 3
        self.listener.doRead()
        self.wire.told = 0
        self.listener.doRead()
        self.assertEqual(self.events, ["changed"])

    def test_lost(self) -> None:
        """It is told once, and nothing is read any more."""
        self.successResultOf(self.listener.open())
        self.wire.trouble = Broken("the server\nhas gone")
        self.wire.mine.close()  # as libpq does, by itself
        self.listener.doRead()
        self.listener.connectionLost(Failure(OSError("x")))
        self.assertEqual(self.events, ["the server has gone"])
        self.assertEqual((self.reactor.readers, self.wire.closed, self.listener.fileno()), ([], 1, -1))

    def test_closed(self) -> None:
        """By ourselves it is no loss, and may be done twice."""
        self.successResultOf(self.listener.open())
        self.listener.close()
        self.listener.close()
        self.assertEqual((self.events, self.reactor.readers, self.wire.closed), ([], [], 1))

    def test_opened_again(self) -> None:
        self.successResultOf(self.listener.open())
        first, self.wire = self.wire, Wire()
        self.successResultOf(self.listener.open())
        self.assertEqual((first.closed, self.reactor.readers), (1, [self.listener]))

    def test_not_reached(self) -> None:
        self.patch(self.listener, "_connect", lambda: fail(NotReachable("gone")))
        self.failureResultOf(self.listener.open(), NotReachable)
        self.assertEqual(self.reactor.readers, [])
