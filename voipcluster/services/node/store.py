"""The database of one node, and the thread that works on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from voipcluster.store.database import Database


class NodeStore:
    """
    @param reactor: in whose thread answers come.
    @ivar database: open from the beginning; nothing that takes a thread is asked of it before the start.
    @raise UsageError: the file cannot be used.
    """

    def __init__(self, reactor: Any, path: Path) -> None:
        self._threads = ThreadPool(1, 2, "voipcluster-store")
        self.database = Database(path, lambda work: deferToThreadPool(reactor, self._threads, work))

    def start(self) -> None:
        self._threads.start()

    def close(self) -> None:
        """Waits for what is being written."""
        if self._threads.started:
            self._threads.stop()
        self.database.close()
