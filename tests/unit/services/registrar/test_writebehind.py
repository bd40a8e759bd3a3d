"""Bindings on their way to the store: gathered, in order, none lost when the store is slow or fails."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.services.sip.location_store import FakeStore
from voipcluster.services.registrar.writebehind import RETRY_DELAY, WRITE_DELAY, ILocationStore, WriteBehind
from voipcluster.sip.location import Binding

AOR = "alice@example.com"
NOW = 1_700_000_000.0


def binding(name: str, cseq: int = 1) -> Binding:
    return Binding(AOR, f"sip:{name}@h", NOW + 60, NOW, "c", cseq, node="a")


class WriteBehindTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = FakeStore()
        self.writes = WriteBehind(self.clock, self.store)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def stored(self) -> list[tuple[str, int]]:
        return [(b.contact, b.cseq) for b in self.store.rows.values()]

    def slow(self) -> list[Deferred[None]]:
        """From now on the store answers when the test says so."""
        self.store.slow = waiting = list[Deferred[None]]()
        return waiting

    def test_the_fake_is_a_store(self) -> None:
        """As the interface says."""
        verifyObject(ILocationStore, self.store)

    def test_company(self) -> None:
        """All that changes within the delay is one write; of one binding only the last state counts."""
        self.writes.put(binding("1"))
        self.clock.advance(WRITE_DELAY / 2)
        self.writes.put(binding("2"))
        self.writes.put(binding("1", cseq=2))
        self.assertEqual(self.store.writes, 0)
        self.clock.advance(WRITE_DELAY / 2)
        self.assertEqual((self.store.writes, self.stored()), (1, [("sip:1@h", 2), ("sip:2@h", 1)]))

    def test_added_and_removed_at_once(self) -> None:
        """What is gone before it was written is only removed; what came back is only saved."""
        self.writes.put(binding("1"))
        self.writes.removed(binding("1"))
        self.writes.removed(binding("2"))
        self.writes.put(binding("2"))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.stored(), [("sip:2@h", 1)])

    def test_the_next_ones(self) -> None:
        """A later change is written later; without one nothing is scheduled."""
        self.writes.put(binding("1"))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.writes.removed(binding("1"))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual((self.store.writes, self.stored()), (2, []))

    def test_a_store_that_fails(self) -> None:
        """It is told to the log and tried again; what came meanwhile is newer."""
        self.store.broken = True
        self.writes.put(binding("1"))
        self.writes.put(binding("2"))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.store.broken = False
        self.writes.removed(binding("1"))
        self.clock.advance(RETRY_DELAY)
        self.assertEqual(self.stored(), [("sip:2@h", 1)])

    def test_changes_during_a_write_that_fails(self) -> None:
        """What came while the store was busy is not put back to what the failed write had."""
        slow = self.slow()
        self.writes.put(binding("1"))
        self.clock.advance(WRITE_DELAY)
        self.writes.put(binding("1", cseq=2))
        self.store.slow = None
        slow[0].errback(OSError("disk full"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.clock.advance(RETRY_DELAY)
        self.assertEqual(self.stored(), [("sip:1@h", 2)])

    def test_it_is_tried_again_and_again(self) -> None:
        """As long as the store fails, at the longer interval, and nothing is lost."""
        self.store.broken = True
        self.writes.put(binding("1"))
        self.clock.pump([WRITE_DELAY, RETRY_DELAY, RETRY_DELAY])
        self.assertEqual((self.store.writes, len(self.flushLoggedErrors(OSError))), (3, 3))
        self.store.broken = False
        self.clock.advance(RETRY_DELAY)
        self.assertEqual(self.stored(), [("sip:1@h", 1)])

    def test_a_slow_store(self) -> None:
        """One write at a time; a stop waits for the one under way and writes the rest."""
        slow = self.slow()
        self.writes.put(binding("1"))
        self.clock.advance(WRITE_DELAY)
        self.writes.put(binding("2"))
        self.clock.advance(10 * WRITE_DELAY)
        self.assertEqual(len(slow), 1)
        stopped = self.writes.stop()
        self.assertNoResult(stopped)
        slow[0].callback(None)
        self.assertNoResult(stopped)
        slow[1].callback(None)
        self.successResultOf(stopped)
        self.assertEqual(len(self.store.rows), 2)

    def test_stop(self) -> None:
        """What waits is written at once, and nothing is scheduled after that."""
        self.writes.put(binding("1"))
        self.successResultOf(self.writes.stop())
        self.assertEqual(self.stored(), [("sip:1@h", 1)])
        self.writes.put(binding("2"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_a_store_that_fails(self) -> None:
        """The node stops all the same: it is tried once, and the log says what is lost."""
        self.store.broken = True
        self.writes.put(binding("1"))
        self.successResultOf(self.writes.stop())
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.store.writes, 1)

    def test_load(self) -> None:
        """It is the store's."""
        self.writes.put(binding("1"))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.successResultOf(self.writes.load()), [binding("1")])
