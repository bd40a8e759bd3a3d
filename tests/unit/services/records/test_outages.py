"""Records through long outages, on a clock of their own: the real book, queue and forwarder over a real file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.services.node.test_records import record
from tests.unit.store.test_acc import cdr
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.book import GATHER, RETRY, RecordBook
from voipcluster.services.records.forwarding import LAST_RETRY, IConsumer, RecordForwarder
from voipcluster.store.acc import CallLog, Waiting
from voipcluster.store.database import Database

MOST = 2000  # of the queue
STEP = 300.0  # s
AT_ONCE = 150  # calls that end in that time


@implementer(IConsumer)
class Server:
    """The shared database: it stores each row once, by C{uid}, unless it is C{gone}; it may not get round to saying so."""

    name = "database"

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}
        self.twice = 0
        self.gone = self.silent = False

    def take(self, rows: Sequence[Waiting]) -> Deferred[None]:
        if self.gone:
            return fail(OSError("Connection refused"))
        for row in rows:
            call = json.loads(row.body)
            self.twice += call["uid"] in self.stored
            self.stored.setdefault(call["uid"], int(call["callid"][1:]))
        return Deferred() if self.silent else succeed(None)

    def close(self) -> None:
        """There is no connection."""


def _row(one: CallRecord) -> dict[str, Any]:
    return cdr(int(one.call.key.call_id))


class Node:
    """The records of one process of a node, and its journal: calls whose record is not on the disk yet."""

    def __init__(self, clock: Clock, path: Path, server: Server, journal: dict[int, None]) -> None:
        self.journal = journal
        self.database = Database(path, execute)
        log = CallLog(self.database)
        self.forwarder = RecordForwarder(clock, log, server, MOST)
        self.book = RecordBook(clock, log, execute, _row, ("database",), 1e9, clock.seconds)
        self.book.written = self.forwarder.poke
        self.forwarder.startService()
        self.book.startService()
        for number in list(journal):  # a call of the last process
            self.book.add(record(str(number)), lambda number=number: journal.pop(number))

    def end_calls(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.journal[number] = None
            self.book.add(record(str(number)), lambda number=number: self.journal.pop(number))

    def own(self) -> list[int]:
        found = self.database.rows(text("SELECT callid FROM acc_cdrs ORDER BY id"))
        return [int(row.callid[1:]) for row in found]

    def page_limit(self, most: int) -> None:
        """How large the file may be, as on a disk that is full."""
        self.database.rows(text(f"PRAGMA max_page_count = {most}"))


class OutageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.server, self.path = Clock(), Server(), Path(self.mktemp())
        self.journal: dict[int, None] = {}
        self.count = 0
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._note)
        self.addCleanup(globalLogPublisher.removeObserver, self._note)
        self.node = self.start()

    def _note(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("voipcluster"):
            self.lines.append(formatEvent(event))

    def start(self) -> Node:
        node = Node(self.clock, self.path, self.server, self.journal)
        self.addCleanup(node.database.close)
        return node

    def kill(self) -> None:
        """Without a word: nothing that was to come comes, and nobody is told."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.node.database.close()
        self.node = self.start()

    def calls(self, steps: int = 1, between: Callable[[], object] = lambda: None) -> None:
        for _ in range(steps):
            self.node.end_calls(range(self.count, self.count + AT_ONCE))
            self.count += AT_ONCE
            self.clock.pump([GATHER, *[LAST_RETRY] * round(STEP / LAST_RETRY)])
            between()

    def test_a_queue_that_is_large_enough(self) -> None:
        """For an hour, with two ends of the process by kill -9: each call is there, once, in its order."""
        self.calls()
        self.server.gone = True
        self.calls(6)
        self.node.end_calls(
            range(self.count, self.count + 7)
        )  # a moment before the end: only the journal has them
        self.count += 7
        self.kill()
        self.calls(5)
        self.kill()
        self.assertEqual(self.node.forwarder.waiting, self.count - AT_ONCE)
        self.server.gone = False
        self.clock.advance(LAST_RETRY)
        self.assertEqual(list(self.server.stored.values()), list(range(self.count)))
        self.assertEqual((self.node.forwarder.lost, self.server.twice, self.journal), (0, 0, {}))
        self.assertEqual(sum("takes no call records" in line for line in self.lines), 3)  # one a process
        self.assertEqual(sum("takes call records again" in line for line in self.lines), 1)

    def test_a_queue_that_is_too_small(self) -> None:
        """
        The oldest rows are given up for the database, counted and told, as many as are too many and no more; the node itself has
        them still.
        """
        self.server.gone = True
        waiting: list[int] = []
        self.calls(30, lambda: waiting.append(self.node.forwarder.waiting))
        self.assertLessEqual(max(waiting), MOST)
        lost = self.node.forwarder.lost
        self.assertEqual(lost, self.count - MOST)
        given_up = [int(line.split()[0]) for line in self.lines if "are given up" in line]
        self.assertEqual(sum(given_up), lost)
        self.server.gone = False
        self.clock.advance(LAST_RETRY)
        self.assertEqual(list(self.server.stored.values()), list(range(lost, self.count)))
        self.assertEqual(self.node.own(), list(range(self.count)))

    def test_a_server_that_dies_before_it_says_so(self) -> None:
        """What it has stored comes again, after a kill -9 of the node too, and is there once."""
        self.server.silent = True
        self.calls()
        self.assertEqual(len(self.server.stored), AT_ONCE)
        self.kill()
        self.server.silent = False
        self.kill()
        self.calls()
        self.assertGreater(self.server.twice, 0)
        self.assertEqual(list(self.server.stored.values()), list(range(self.count)))

    def test_a_full_disk_meanwhile(self) -> None:
        """Records wait in memory while the disk takes none, and go the way of all others when it does again."""
        self.server.gone = True
        self.calls(2)
        self.node.page_limit(1)  # it is as large as it may be
        self.calls(4)
        unwritten = len(self.node.book)
        self.assertGreater(unwritten, 3 * AT_ONCE)
        self.assertEqual(len(self.node.own()) + unwritten, self.count)
        self.server.gone = False
        self.clock.advance(LAST_RETRY)
        self.assertEqual(list(self.server.stored.values()), list(range(self.count - unwritten)))
        self.node.page_limit(1_000_000)
        self.clock.pump([RETRY] * 2)
        self.assertEqual(list(self.server.stored.values()), list(range(self.count)))
        self.assertEqual((self.node.book.lost, len(self.node.book), self.journal), (0, 0, {}))
        self.assertEqual(sum("cannot be written" in line for line in self.lines), 1)
        self.assertEqual(sum("are written again" in line for line in self.lines), 1)
