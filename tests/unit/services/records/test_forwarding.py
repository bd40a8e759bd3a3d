"""From the queue on the disk to one consumer."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from voipcluster.services.records.forwarding import (
    BATCH,
    FIRST_RETRY,
    LAST_RETRY,
    IConsumer,
    RecordForwarder,
    in_one_line,
)
from voipcluster.store.acc import Waiting


class Queue:
    def __init__(self) -> None:
        self.rows: list[Waiting] = []
        self.last = 0
        self.hold: Deferred[None] | None = None  # until when it does not say how many there are
        self.broken: set[str] = set()  # what the disk does not do

    def put(self, count: int) -> None:
        self.rows += [Waiting(self.last + n, "{}") for n in range(1, count + 1)]
        self.last += count

    def waiting(self, consumer: str, most: int) -> Deferred[list[Waiting]]:
        if "waiting" in self.broken:
            return fail(OSError("disk I/O error"))
        return succeed(self.rows[:most])

    def taken(self, consumer: str, last: int) -> Deferred[None]:
        if "taken" in self.broken:
            return fail(OSError("disk I/O error"))
        self.rows = [row for row in self.rows if row.id > last]
        return succeed(None)

    def limit(self, consumer: str, most: int) -> Deferred[tuple[int, int]]:
        if self.hold is not None:
            return self.hold.addCallback(lambda _: self._limited(most))
        return succeed(self._limited(most))

    def _limited(self, most: int) -> tuple[int, int]:
        given_up = max(0, len(self.rows) - most)
        self.rows = self.rows[given_up:]
        return len(self.rows), given_up


@implementer(IConsumer)
class Consumer:
    """Takes rows, or refuses them (C{trouble}), or answers later (C{hold})."""

    name = "database"

    def __init__(self) -> None:
        self.got: list[int] = []
        self.trouble = ""
        self.asked = 0
        self.closed = False
        self.hold: Deferred[None] | None = None

    def take(self, rows: list[Waiting]) -> Deferred[None]:
        self.asked += 1
        if self.trouble:
            return fail(OSError(self.trouble))
        self.got += [row.id for row in rows]
        return self.hold or succeed(None)

    def close(self) -> None:
        self.closed = True


class ForwarderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.queue, self.consumer = Clock(), Queue(), Consumer()
        self.forwarder = RecordForwarder(self.clock, self.queue, self.consumer, 2000)
        self.lines: list[str] = []

        def note(event: Any) -> None:
            if event.get("log_namespace", "").startswith("voipcluster"):
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def test_what_the_last_process_left(self) -> None:
        """Goes first, all of it, in order and in bounded batches."""
        self.queue.put(2 * BATCH + 7)
        self.forwarder.startService()
        self.assertEqual(self.consumer.got, list(range(1, 2 * BATCH + 8)))
        self.assertEqual((self.consumer.asked, self.forwarder.taken, self.queue.rows), (3, 2 * BATCH + 7, []))

    def test_poked(self) -> None:
        self.forwarder.startService()
        self.queue.put(1)
        self.forwarder.poke()
        self.assertEqual(self.consumer.got, [1])

    def test_poked_while_asking(self) -> None:
        """What comes while the consumer is asked goes behind it at once, and waits for no later row."""
        self.consumer.hold = held = Deferred()
        self.queue.put(1)
        self.forwarder.startService()
        self.queue.put(1)
        self.forwarder.poke()
        self.assertEqual(self.consumer.got, [1])
        self.consumer.hold = None
        held.callback(None)
        self.assertEqual((self.consumer.got, self.consumer.asked, self.queue.rows), ([1, 2], 2, []))

    def test_a_consumer_that_is_gone(self) -> None:
        """Is tried less and less often; two lines in the log, and everything arrives."""
        self.consumer.trouble = "connection refused\n"
        self.queue.put(3)
        self.forwarder.startService()
        for _ in range(20):
            self.queue.put(1)
            self.forwarder.poke()
            self.clock.advance(LAST_RETRY)
        self.assertLess(self.consumer.asked, 30)
        self.assertEqual(self.forwarder.trouble, "connection refused")
        self.assertGreater(self.forwarder.waiting, 3)
        self.consumer.trouble = ""
        self.clock.advance(LAST_RETRY)
        self.assertEqual(self.consumer.got, list(range(1, 24)))
        self.assertEqual((self.forwarder.trouble, self.forwarder.waiting, len(self.lines)), ("", 0, 2))

    def test_soon_again(self) -> None:
        """The first retry comes soon, also after an earlier trouble."""
        for _ in range(2):
            self.consumer.trouble = "gone"
            self.queue.put(1)
            self.forwarder.startService() if self.forwarder.taken == 0 else self.forwarder.poke()
            self.consumer.trouble = ""
            self.clock.advance(FIRST_RETRY)
            self.assertEqual(self.queue.rows, [])

    def test_too_many(self) -> None:
        """What is beyond the bound is given up, the oldest first, counted and told."""
        self.consumer.trouble = "gone"
        self.queue.put(2005)
        self.forwarder.startService()
        self.assertEqual((self.forwarder.lost, self.forwarder.waiting, self.queue.rows[0].id), (5, 2000, 6))
        self.assertIn("5 call records are given up", self.lines[-1])

    def test_one_that_takes_too_few(self) -> None:
        """The queue is bounded as well where the consumer takes rows, but fewer than come."""
        self.queue.put(2 * BATCH)
        self.consumer.hold = held = Deferred()
        self.forwarder.startService()
        self.queue.put(3000)
        self.clock.advance(LAST_RETRY)
        self.consumer.hold = Deferred()  # the next batch is under way
        held.callback(None)
        self.assertEqual(
            (self.forwarder.taken, self.forwarder.lost, self.forwarder.waiting), (BATCH, 1500, 2000)
        )
        self.assertEqual(self.consumer.got[BATCH], BATCH + 1500 + 1)  # the oldest that was left
        self.consumer.hold.callback(None)

    def test_what_is_being_taken_is_not_given_up(self) -> None:
        """While the queue is cut the consumer is asked nothing, whoever wants that."""
        self.consumer.trouble = "gone"
        self.queue.put(2005)
        self.queue.hold = held = Deferred()
        self.forwarder.startService()
        self.consumer.trouble = ""
        self.forwarder.poke(at_once=True)
        self.assertEqual((self.consumer.asked, self.consumer.got), (1, []))
        self.queue.hold = None
        held.callback(None)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((self.consumer.got, self.forwarder.lost), (list(range(6, 2006)), 5))

    def test_back_while_it_is_asked(self) -> None:
        """Whoever finds it again has it asked soon, although what is under way fails only afterwards."""
        self.consumer.trouble = "gone"
        self.queue.put(1)
        self.forwarder.startService()
        self.clock.pump([LAST_RETRY] * 5)
        self.consumer.trouble, self.consumer.hold = "", Deferred()
        self.clock.advance(LAST_RETRY)
        self.forwarder.poke(at_once=True)
        held, self.consumer.hold = self.consumer.hold, None
        held.errback(OSError("cut"))
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.queue.rows, [])

    def test_the_disk_fails(self) -> None:
        """That is not the consumer's trouble: the log says whose it is, once, and what was not let go of comes again."""
        for broken, got in (("waiting", [1]), ("taken", [2, 2, 2, 2])):
            self.lines.clear()
            self.consumer.got.clear()
            self.queue.broken = {broken}
            self.queue.put(1)
            self.forwarder.startService() if broken == "waiting" else self.forwarder.poke()
            self.clock.advance(FIRST_RETRY)
            self.clock.advance(2 * FIRST_RETRY)
            self.assertEqual(
                self.lines, ["the queue of call records for the database cannot be used: disk I/O error"]
            )
            self.assertEqual(
                (self.forwarder.trouble, self.forwarder.disk_trouble), ("", "disk I/O error"), broken
            )
            self.queue.broken.clear()
            self.clock.advance(LAST_RETRY)
            self.assertEqual((self.consumer.got, self.queue.rows, self.forwarder.disk_trouble), (got, [], ""))
            self.assertEqual(
                self.lines[1:], ["the queue of call records for the database is used again"], broken
            )

    def test_the_disk_is_well_and_the_consumer_is_not(self) -> None:
        """A disk that gives again what it did not give is well, however long the consumer then takes nothing."""
        self.queue.broken, self.consumer.trouble = {"waiting"}, "gone"
        self.queue.put(1)
        self.forwarder.startService()
        self.assertEqual((self.forwarder.trouble, self.forwarder.disk_trouble), ("", "disk I/O error"))
        self.queue.broken = {"taken"}
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((self.forwarder.trouble, self.forwarder.disk_trouble), ("gone", ""))
        self.consumer.trouble = ""
        self.clock.advance(2 * FIRST_RETRY)
        self.assertEqual((self.forwarder.trouble, self.forwarder.disk_trouble), ("", "disk I/O error"))
        self.consumer.trouble = "gone"
        self.clock.advance(4 * FIRST_RETRY)
        # which gives, but still has not let go of anything
        self.assertEqual((self.forwarder.trouble, self.forwarder.disk_trouble), ("gone", "disk I/O error"))

    def test_what_a_database_says(self) -> None:
        """Not the statement that it could not do, nor what was to be written with it."""
        of_disk = OperationalError("INSERT INTO outbox", ("alice",), OSError("database or disk is full\n"))
        for error, text in (
            (of_disk, "database or disk is full"),
            (OSError("a\nb"), "a b"),
            (OSError(), "OSError"),
        ):
            self.assertEqual(in_one_line(Failure(error)), text)

    def test_stopped_while_asking(self) -> None:
        """Waits for the answer, so that nothing that was taken comes twice."""
        self.consumer.hold = Deferred()
        self.queue.put(1)
        self.forwarder.startService()
        stopped = self.forwarder.stopService()
        self.assertNoResult(stopped)
        self.consumer.hold.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(
            (self.queue.rows, self.consumer.closed, self.clock.getDelayedCalls()), ([], True, [])
        )

    def test_stopped_while_waiting(self) -> None:
        self.consumer.trouble = "gone"
        self.queue.put(1)
        self.forwarder.startService()
        self.successResultOf(self.forwarder.stopService())
        self.assertEqual((len(self.queue.rows), self.clock.getDelayedCalls()), (1, []))
