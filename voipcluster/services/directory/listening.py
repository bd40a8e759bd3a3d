"""The shared database says that something has changed: one connection that does nothing but listen, read by the reactor."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReadDescriptor)
class ChangeListener:
    """
    @param connect: gives a connection of psycopg's that listens; it works in another thread.
    @ivar changed: called when the database says so; C{lost}: called once when the connection is gone.
    """

    def __init__(self, reactor: IReactorFDSet, connect: Callable[[], Deferred[Any]]) -> None:
        self._reactor, self._connect = reactor, connect
        self._connection: Any = None
        self._descriptor = -1
        self.changed: Callable[[], object] = lambda: None
        self.lost: Callable[[str], object] = lambda reason: None

    def open(self) -> Deferred[None]:
        """@return: fires when it listens; fails with L{NotReachable <voipcluster.store.shared.NotReachable>}."""

        def listens(connection: Any) -> None:
            self.close()
            self._connection = connection
            # libpq closes its own when the server is gone, before the reactor can let go of it
            self._descriptor = os.dup(connection.pgconn.socket)
            self._reactor.addReader(self)

        return self._connect().addCallback(listens)

    def close(self) -> None:
        """A second time does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1
            connection.close()

    # -- IReadDescriptor

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "shared database"

    def doRead(self) -> None:
        wire = self._connection.pgconn
        try:
            wire.consume_input()  # reads what has come, and never waits
            told = False
            while wire.notifies() is not None:
                told = True
        except Exception as error:
            if not type(error).__module__.startswith("psycopg"):
                raise
            self._gone(" ".join(str(error).split()))
            return
        if told:
            self.changed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone(reason.getErrorMessage())

    def _gone(self, reason: str) -> None:
        if self._connection is not None:
            self.close()
            self.lost(reason)
