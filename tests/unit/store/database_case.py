"""A database in a file of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.store.database import Database


class Later:
    """Work of another thread that is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return done

    def work(self) -> None:
        work, done = self.waiting.pop(0)
        execute(work).chainDeferred(done)


class DatabaseCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def open(self, run: Any = execute) -> Database:
        database = Database(self.path, run)
        self.addCleanup(database.close)
        return database
