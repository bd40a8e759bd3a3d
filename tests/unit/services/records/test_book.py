"""The records of calls on their way to the disk."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer, verify

from tests.unit.services.node.test_records import record
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.book import (
    AT_A_TIME,
    CLEAN,
    GATHER,
    MOST_IN_MEMORY,
    RETRY,
    ICallLog,
    RecordBook,
)


@implementer(ICallLog)
class FakeLog:
    """A disk that takes rows at once, later (C{hold}) or not at all (C{full})."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Any], list[Any]]] = []
        self.forgotten: list[float] = []
        self.full = False
        self.hold: Deferred[None] | None = None

    def write(self, rows: Any, waiting: Any) -> Deferred[None]:
        if self.full:
            return fail(OSError("No space left on device"))
        self.batches.append((list(rows), list(waiting)))
        return succeed(None) if self.hold is None else self.hold

    def forget(self, before: float) -> Deferred[None]:
        self.forgotten.append(before)
        return succeed(None)


def row(one: CallRecord) -> dict[str, Any]:
    if one.call.key.call_id == "bad":
        raise ZeroDivisionError
    if one.call.key.call_id == "no JSON":
        return {"callid": object()}
    return {"callid": one.call.key.call_id}


class BookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.log = Clock(), FakeLog()
        self.clock.advance(1_000_000)
        self.book = self.made(())

    def made(self, consumers: tuple[str, ...], keep: float = 100.0) -> RecordBook:
        verify.verifyObject(ICallLog, self.log)
        book = RecordBook(self.clock, self.log, execute, row, consumers, keep, self.clock.seconds)
        book.startService()
        self.addCleanup(book.stopService)
        return book

    def ids(self) -> list[str]:
        return [one["callid"] for batch, _ in self.log.batches for one in batch]

    def test_gathered(self) -> None:
        """What ends within a moment is one write, and whoever waits for the disk is told when it is there."""
        done: list[str] = []
        for name in "xy":
            self.book.add(record(name), lambda name=name: done.append(name))
        self.assertEqual((self.log.batches, len(self.book)), ([], 2))
        self.clock.advance(GATHER)
        self.assertEqual(
            (len(self.log.batches), self.ids(), done, len(self.book)), (1, ["x", "y"], ["x", "y"], 0)
        )

    def test_a_write_is_bounded(self) -> None:
        """What is more than one transaction should have goes with the next one, at once."""
        for number in range(AT_A_TIME + 2):
            self.book.add(record(str(number)))
        self.clock.advance(GATHER)
        self.clock.advance(GATHER)
        self.assertEqual([len(rows) for rows, _ in self.log.batches], [AT_A_TIME, 2])

    def test_one_write_at_a_time(self) -> None:
        self.log.hold = first = Deferred()
        self.book.add(record("x"))
        self.clock.advance(GATHER)
        self.book.add(record("y"))
        self.clock.advance(10 * GATHER)
        self.assertEqual(self.ids(), ["x"])
        self.log.hold = None
        first.callback(None)
        self.clock.advance(GATHER)
        self.assertEqual(self.ids(), ["x", "y"])

    def test_a_write_that_is_done_at_once(self) -> None:
        """As in a database without a thread; the next record is written as well."""
        for name in "xyz":
            self.book.add(record(name))
            self.clock.advance(GATHER)
        self.assertEqual((self.ids(), len(self.book)), (["x", "y", "z"], 0))

    def test_what_is_being_written(self) -> None:
        """It is in memory only until it is on the disk, and the bound counts it."""
        self.log.hold = Deferred()
        self.book.add(record("x"))
        self.clock.advance(GATHER)
        self.assertEqual(len(self.book), 1)
        for number in range(MOST_IN_MEMORY):
            self.book.add(record(str(number)))
        self.assertEqual((len(self.book), self.book.lost), (MOST_IN_MEMORY, 1))
        self.log.hold.callback(None)
        self.assertEqual(len(self.book), MOST_IN_MEMORY - 1)

    def test_a_record_that_cannot_be_made(self) -> None:
        """It is a fault of ours, logged and counted, and no other call waits for it."""
        done: list[str] = []
        for name in ("x", "bad", "y"):
            self.book.add(record(name), lambda name=name: done.append(name))
        self.clock.advance(GATHER)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.ids(), done, self.book.lost), (["x", "y"], ["bad", "x", "y"], 1))

    def test_a_record_that_is_no_json(self) -> None:
        """The same of one that nobody can be given: those beside it go to the disk and to the consumers."""
        book = self.made(("webhook",))
        done: list[str] = []
        for name in ("x", "no JSON", "y"):
            book.add(record(name), lambda name=name: done.append(name))
        self.clock.advance(GATHER)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        ((rows, waiting),) = self.log.batches
        self.assertEqual([one["callid"] for one in rows], ["x", "y"])
        self.assertEqual([json.loads(text)["callid"] for _, text in waiting], ["x", "y"])
        self.assertEqual((sorted(done), book.lost, len(book)), (["no JSON", "x", "y"], 1, 0))

    def test_a_record_that_cannot_be_made_while_the_disk_is_full(self) -> None:
        """It is told and counted once, however often the others have to be written again."""
        self.log.full = True
        done: list[str] = []
        for name in ("x", "bad", "y"):
            self.book.add(record(name), lambda name=name: done.append(name))
        self.clock.advance(GATHER)
        self.assertEqual((len(self.book), done), (2, ["bad"]))
        self.clock.pump([RETRY] * 3)
        self.log.full = False
        self.clock.advance(RETRY)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.ids(), done, self.book.lost), (["x", "y"], ["bad", "x", "y"], 1))

    def test_one_who_waits_for_the_disk_fails(self) -> None:
        """The others are told all the same, and what comes is written."""
        done: list[str] = []
        self.book.add(record("x"), lambda: 1 // 0)
        self.book.add(record("y"), lambda: done.append("y"))
        self.clock.advance(GATHER)
        self.book.add(record("z"))
        self.clock.advance(GATHER)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.ids(), done), (["x", "y", "z"], ["y"]))

    def test_nothing_is_kept(self) -> None:
        """When a reload says so, and nobody else wants records."""
        self.book.keep(0.0)
        self.book.add(record("x"))
        self.clock.advance(GATHER)
        self.assertEqual(self.ids(), [])

    def test_a_full_disk(self) -> None:
        """Nothing is lost, the log has one line at its begin and one at its end."""
        self.log.full = True
        self.book.add(record("x"))
        self.clock.advance(GATHER)
        self.book.add(record("y"))
        self.clock.pump([RETRY] * 3)
        self.assertEqual(len(self.book), 2)
        self.log.full = False
        self.clock.advance(RETRY)
        self.assertEqual((self.ids(), self.book.lost), (["x", "y"], 0))

    def test_memory_is_bounded(self) -> None:
        self.log.full = True
        for number in range(MOST_IN_MEMORY + 3):
            self.book.add(record(str(number)))
        self.assertEqual(
            (len(self.book), self.book.lost, self.book.count), (MOST_IN_MEMORY, 3, MOST_IN_MEMORY + 3)
        )

    def test_who_is_to_have_what(self) -> None:
        book = self.made(("database", "webhook"))
        poked: list[None] = []
        book.written = lambda: poked.append(None)
        book.add(record("x"))
        self.clock.advance(GATHER)
        _, waiting = self.log.batches[0]
        self.assertEqual([who for who, _ in waiting], ["database", "webhook"])
        self.assertEqual(json.loads(waiting[0][1]), {"callid": "x"})
        self.assertEqual(len(poked), 1)

    def test_kept_for_others_only(self) -> None:
        book = self.made(("database",), keep=0.0)
        book.add(record("x"))
        self.clock.advance(GATHER)
        kept, waiting = self.log.batches[0]
        self.assertEqual((kept, len(waiting)), ([], 1))

    def test_forgotten_in_time(self) -> None:
        self.assertEqual(self.log.forgotten, [1_000_000 - 100.0])
        self.clock.advance(CLEAN)
        self.assertEqual(self.log.forgotten[1:], [1_000_000 + CLEAN - 100.0])

    def test_stopping_writes_what_is_left(self) -> None:
        self.log.hold = first = Deferred()
        self.book.add(record("x"))
        self.clock.advance(GATHER)
        self.book.add(record("y"))
        stopped = self.book.stopService()
        self.assertNoResult(stopped)
        for number in range(AT_A_TIME):
            self.book.add(record(str(number)))
        self.log.hold = None
        first.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.ids(), ["x", "y", *map(str, range(AT_A_TIME))])
        self.assertEqual(self.clock.getDelayedCalls(), [])
