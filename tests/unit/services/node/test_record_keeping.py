"""What the keeping of records needs of the configuration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from tests.unit.services.node.test_records import record
from tests.unit.services.records.test_book import FakeLog
from tests.unit.services.records.test_forwarding import Consumer, Queue
from voipcluster.config import Config, RecordsOptions
from voipcluster.errors import UsageError
from voipcluster.services.node.record_keeping import RecordKeeping
from voipcluster.services.records.book import GATHER, RecordBook
from voipcluster.services.records.forwarding import RecordForwarder


class RecordKeepingTests(SynchronousTestCase):
    def test_secret(self) -> None:
        """Nothing is signed with a key that is not there, or that others can read."""
        path = Path(self.mktemp())
        for words in ("No such file", "chmod 600"):
            records = RecordsOptions(webhook="http://192.0.2.9/", webhook_secret_file=str(path))
            node = SimpleNamespace(config=Config(records=records))
            error = self.assertRaises(UsageError, RecordKeeping, node, Clock(), None, None)
            self.assertIn(words, str(error))
            path.touch(0o644)

    def test_what_is_wrong(self) -> None:
        """Who takes no records is told at his node and at every other one; a full disk, too, and nothing while all is well."""
        world = World("ab")
        keeping = world.nodes["b"].service.keeping
        self.assertEqual(keeping.shown(), [])
        clock, queue, consumer, log = Clock(), Queue(), Consumer(), FakeLog()
        consumer.trouble, log.full = "gone", True
        queue.put(3)
        keeping.forwarders = [RecordForwarder(clock, queue, consumer, 10)]
        keeping.forwarders[0].startService()
        keeping.book = RecordBook(clock, log, execute, lambda one: {}, ("database",), 0.0, clock.seconds)
        keeping.book.startService()
        keeping.book.add(record("x"))
        clock.advance(GATHER)
        wrong = [
            {"to": "disk", "trouble": "No space left on device", "disk": "", "waiting": 1},
            {"to": "database", "trouble": "gone", "disk": "", "waiting": 3},
        ]
        self.assertEqual(keeping.shown(), wrong)
        told: list[Any] = []
        world.nodes["a"].service.view.status().addCallback(told.append)
        world.run(1.0)
        self.assertEqual({row["name"]: row["records"] for row in told[0]["nodes"]}, {"a": [], "b": wrong})
