"""The database of one node, and the thread that works on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from voipcluster.store.calls import NAME, CallStore
from voipcluster.store.database import Database
from voipcluster.store.minutes import NAME as MINUTES
from voipcluster.store.minutes import MinutesFile


class NodeStore:
    """
    @param reactor: in whose thread answers come.
    @ivar database: open from the beginning; nothing that takes a thread is asked of it before the start.
    @ivar calls: the journal of calls, in the same directory; C{minutes}: what was counted today.
    @raise UsageError: the file cannot be used.
    """

    def __init__(self, reactor: Any, path: Path) -> None:
        self._threads = ThreadPool(1, 2, "voipcluster-store")
        self._reactor = reactor
        self.database = Database(path, self.run)
        self.calls = CallStore(path.with_name(NAME))
        self.minutes = MinutesFile(path.with_name(MINUTES))

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Do something in one of the threads."""
        return deferToThreadPool(self._reactor, self._threads, work)

    def start(self) -> None:
        self._threads.start()

    def close(self) -> None:
        """Waits for what is being written."""
        if self._threads.started:
            self._threads.stop()
        self.database.close()
        self.calls.close()
