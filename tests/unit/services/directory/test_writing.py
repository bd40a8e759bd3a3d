"""From the queue to the shared database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from voipcluster.services.directory.writing import DirectoryWriter, body_of
from voipcluster.services.records.forwarding import IConsumer
from voipcluster.store.acc import Waiting


class WritingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.values: dict[tuple[str, str], str] = {
            ("account", "alice@example.com"): "alice",
            ("gateway", "x"): "x",
        }
        self.written: list[Sequence[Any]] = []
        self.trouble = ""
        self.writer = DirectoryWriter(lambda kind, key: self.values.get((kind, key)), self.write)

    def write(self, values: Sequence[Any]) -> Deferred[None]:
        if self.trouble:
            return fail(OSError(self.trouble))
        self.written.append(values)
        return succeed(None)

    def take(self, *named: tuple[str, str]) -> Deferred[None]:
        return self.writer.take([Waiting(n, body_of(*one)) for n, one in enumerate(named)])

    def test_each_once_as_it_is_now(self) -> None:
        """The queue may name one thing many times; how it was then nobody needs any more."""
        verifyObject(IConsumer, self.writer)
        alice, x = ("account", "alice@example.com"), ("gateway", "x")
        self.successResultOf(self.take(alice, x, alice))
        self.assertEqual(self.written, [["alice", "x"]])

    def test_what_nobody_remembers(self) -> None:
        self.successResultOf(self.take(("account", "gone@example.com")))
        self.assertEqual(self.written, [])

    def test_not_written(self) -> None:
        """It comes again."""
        self.trouble = "gone"
        self.failureResultOf(self.take(("gateway", "x")), OSError)
