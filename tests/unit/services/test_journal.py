"""The journal of calls behind a relay and a call table: what is written when, and what the next process makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.logger import globalLogPublisher

from tests.unit.services.media.media_case import ALICE, BOB, CALL, RTP, A, B, MediaTestCase, audio
from voipcluster.media.target import Address
from voipcluster.services.journal import (
    AT_A_TIME,
    COUNTED,
    LONGEST_ABSENCE,
    RETRY_DELAY,
    TOLD,
    WRITE_DELAY,
    CallJournal,
)
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, CallTable
from voipcluster.store.calls import Change, Key, Loaded


class FakeCallStore:
    """A journal in memory; C{waiting} holds the writes that the test has not let through."""

    def __init__(self) -> None:
        self.tables: dict[Key, dict[str, Any]] = {}
        self.written = 0.0
        self.writes: list[list[Key]] = []
        self.touched = 0
        self.faults: tuple[str, ...] = ()
        self.full = False

    def load(self) -> Loaded:
        tables, self.tables = self.tables, {}
        return Loaded(tables, self.written, self.faults)

    def write(self, changes: list[Change]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.writes.append([key for key, _ in changes])
        for key, table in changes:
            if table is None:
                del self.tables[key]
            else:
                self.tables[key] = self.tables.get(key, {}) | json.loads(json.dumps(table))

    def touch(self) -> None:
        self.touched += 1


class JournalTests(MediaTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(1000)
        self.store = FakeCallStore()
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] | None = None
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self.note)
        self.addCleanup(globalLogPublisher.removeObserver, self.note)
        self.start()

    def note(self, event: Any) -> None:
        if event.get("log_namespace") == "voipcluster.services.journal.CallJournal":
            self.logged.append(event["log_format"].format(**event))

    def in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        if self.waiting is None:
            return execute(work)
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return done

    def let_through(self) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        for work, done in waiting:
            execute(work).chainDeferred(done)

    def start(self) -> None:
        self.calls = CallTable()
        self.journal = CallJournal(self.clock, self.store, self.in_thread, self.calls, self.media)
        self.calls.settled, self.media.on_moved = self.journal.changed, self.journal.moved

        def released(key: CallKey, reason: str) -> None:
            self.media.call_ended(key, reason)
            self.journal.ended(key)

        self.calls.released = released
        self.media.on_timeout = lambda key: self.calls.end(key, "media time-out")
        self.journal.startService()

    def tearDown(self) -> None:
        stopped = self.journal.stopService()
        self.clock.advance(0)
        self.successResultOf(stopped)
        super().tearDown()

    def restart(self, absence: float = 1.0, **options: Any) -> None:
        """kill -9, and another process; what the old one does not write any more is lost."""
        tables = dict(self.store.tables)
        self.successResultOf(self.journal.stopService())
        self.media.stopService()
        self.store.tables, self.store.written = tables, self.clock.seconds()
        self.store.writes.clear()
        self.clock.advance(absence)
        self.media = self.service(**options)
        self.start()

    def begin(self, key: CallKey = CALL, relayed: bool = True, expires: float = 0.0) -> Call:
        call = self.calls.start(
            Call(key, "sip:alice@example.com", "sip:bob@example.com", f"{ALICE}:5060", "UDP", "alice@example.com", "a",
                 ("b",), self.clock.seconds(), b"To: <sip:bob@example.com>")
        )  # fmt: skip
        call.learn_contact(True, "sip:alice@10.0.0.1", True)
        call.learn_proxies(False, ["<sip:proxy.example.net;lr>"], False)
        call.lasts_until(expires)
        if relayed:
            self.passes(A, "INVITE", audio(ALICE, 4000), call=key)
            self.passes(B, "INVITE", audio(BOB, 5000), 200, call=key)
        call.leg_up("tag-b")
        self.calls.answered(key, self.clock.seconds())
        return call

    def test_an_answered_call(self) -> None:
        """It is written after a moment, and comes back with all that is known of it: its start, its parties, its media."""
        call = self.begin()
        self.clock.advance(WRITE_DELAY - 0.01)
        self.assertEqual(self.store.tables, {})
        self.clock.advance(0.02)
        self.assertEqual(list(self.store.tables), [CALL])
        self.restart(5.0)
        (again,) = self.calls
        self.assertIsNot(again, call)
        self.assertEqual(again, call)
        self.assertEqual([snapshot.call for snapshot in self.media.calls()], [CALL])
        self.assertEqual(self.logged, ["1 calls of the last process go on, after 5.0 s"])
        self.assertEqual(list(self.store.tables), [CALL], "it is in the new journal, too")
        self.assertTrue(again.leads(True, "sip:alice@10.0.0.1", proved=True))
        self.assertTrue(again.goes_along(False, "<sip:proxy.example.net;lr>"))

    def test_it_ends_in_the_next_process(self) -> None:
        """A BYE there ends it like any other: out of table, relay and journal."""
        self.begin()
        self.clock.advance(1)
        self.restart()
        self.assertTrue(self.calls.end(CALL, "bye"))
        self.clock.advance(1)
        self.assertEqual((len(self.calls), self.media.calls(), self.store.tables), (0, [], {}))
        self.assertEqual(self.calls.unanswered, {})
        self.restart()
        self.assertEqual(len(self.calls), 0)

    def test_a_short_call_costs_nothing(self) -> None:
        """A call that rings, or ends before its turn to be written, is never written."""
        self.store.writes.clear()
        self.begin()
        self.calls.end(CALL, "bye")
        self.passes(A, "INVITE", audio(ALICE, 4000), call=CallKey("2", "a"))
        self.clock.advance(0.5)
        self.assertEqual(self.store.writes, [])

    def test_a_call_whose_record_is_not_written_yet(self) -> None:
        """It stays in the journal until its record is on the disk, whatever else has changed; if it never was there, never."""

        def over(key: CallKey, reason: str) -> None:
            self.media.call_ended(key, reason)
            kept.append(self.journal.keeps(key))

        kept: list[bool] = []
        self.calls.released = over
        self.begin()
        self.calls.end(CALL, "bye")
        self.begin()
        self.clock.advance(WRITE_DELAY)
        self.calls.settled(CALL)  # by a re-INVITE
        self.calls.end(CALL, "bye")
        self.clock.advance(WRITE_DELAY)
        self.assertEqual((kept, list(self.store.tables)), ([False, True], [CALL]))
        self.journal.ended(CALL)
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.store.tables, {})

    def test_many_at_once(self) -> None:
        """Calls that are answered together are written together, but no more at a time than the reactor can spare."""
        self.store.writes.clear()
        for number in range(AT_A_TIME + 5):
            self.begin(CallKey(str(number), "a"), relayed=False)
        self.clock.advance(WRITE_DELAY)
        self.assertEqual([len(keys) for keys in self.store.writes], [AT_A_TIME])
        self.clock.advance(WRITE_DELAY)
        self.assertEqual([len(keys) for keys in self.store.writes], [AT_A_TIME, 5])

    def test_what_changes_while_it_is_written(self) -> None:
        """A change that comes during a write is in the next one; an end, too."""
        self.begin()
        self.waiting = []
        self.clock.advance(WRITE_DELAY)
        call = self.calls.get(CALL)
        assert call is not None
        call.lasts_until(5000.0)
        self.calls.settled(CALL)
        self.clock.advance(1)
        self.assertEqual(len(self.waiting), 1)
        self.let_through()
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.store.tables[CALL]["call"]["expires"], 5000.0)
        self.waiting = []
        self.calls.settled(CALL)
        self.clock.advance(WRITE_DELAY)
        self.calls.end(CALL, "bye")
        self.let_through()
        self.clock.advance(1)
        self.assertEqual(self.store.tables, {})

    def test_an_offer_in_the_200(self) -> None:
        """A call without its answer in the ACK yet is written when that has passed."""
        self.calls.start(Call(CALL, "", "", f"{ALICE}:5060", "UDP", "", "a", (), self.clock.seconds()))
        self.passes(A, "INVITE")
        self.passes(B, "INVITE", audio(BOB, 5000), 200)
        self.calls.answered(CALL, self.clock.seconds())
        self.clock.advance(1)
        self.assertEqual(self.store.tables, {})
        self.passes(A, "ACK", audio(ALICE, 4000))
        self.calls.settled(CALL)
        self.clock.advance(1)
        self.assertEqual(list(self.store.tables), [CALL])

    def test_latches_and_counters(self) -> None:
        """A latch that moved is written within two seconds, counters within ten; when nothing moves the file is touched."""
        self.begin()
        self.clock.advance(1)
        for_alice = Address("192.0.2.1", self.network.open_numbers()[2])
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        for _ in range(2):
            self.clock.advance(1)
        latches = self.store.tables[CALL]["latches"]["0"]["plain"]
        self.assertIn("firm", [latch["state"] for latch in latches.values()])
        for _ in range(COUNTED):
            self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        for _ in range(COUNTED):
            self.clock.advance(1)
        self.assertEqual(sum(packets for packets, *_ in self.store.tables[CALL]["traffic"]), COUNTED + 1)
        touched = self.store.touched
        for _ in range(COUNTED):
            self.clock.advance(1)
        self.assertGreater(self.store.touched, touched)
        self.restart()
        (snapshot,) = self.media.calls()
        caller = snapshot.streams[0].caller
        assert caller is not None
        self.assertEqual(caller.packets, COUNTED + 1)

    def test_an_orderly_stop(self) -> None:
        """All calls are written as they are at the end, those that were answered just now and the last packet included."""
        self.begin()
        for_alice = Address("192.0.2.1", self.network.open_numbers()[2])
        self.network.deliver(RTP, Address(ALICE, 4000), for_alice)
        self.waiting = []
        self.clock.advance(WRITE_DELAY)
        stopped = self.journal.stopService()
        self.assertNoResult(stopped)
        self.let_through()
        self.successResultOf(stopped)
        self.assertEqual(sum(packets for packets, *_ in self.store.tables[CALL]["traffic"]), 1)
        self.calls.end(CALL, "bye")
        self.assertEqual(list(self.store.tables), [CALL])

    def test_many_at_start_and_stop(self) -> None:
        """All are looked at in several turns, but written at once: half a journal would be worse than the old one."""
        keys = [CallKey(str(number), "a") for number in range(2 * AT_A_TIME + 5)]
        for key in keys:
            self.begin(key, relayed=False)
        self.clock.pump([WRITE_DELAY] * 4)
        looked: list[CallKey] = []
        table = self.journal._table  # the looks of a turn can be seen nowhere else

        def look(key: CallKey) -> Any:
            looked.append(key)
            return table(key)

        self.patch(self.journal, "_table", look)
        self.store.writes.clear()
        stopped = self.journal.stopService()
        self.assertEqual(len(looked), AT_A_TIME)
        self.calls.end(keys[0], "bye")
        self.clock.advance(0)
        self.assertEqual((len(looked), self.store.writes), (len(keys) + 1, [keys, [keys[0]]]))
        self.successResultOf(stopped)
        tables = dict(self.store.tables)
        self.media.stopService()
        self.store.tables, self.store.written = tables, self.clock.seconds()
        self.store.writes.clear()
        self.media = self.service()
        self.start()
        self.assertEqual((self.journal.adopted, self.store.writes), (len(keys) - 1, []))
        self.clock.advance(0)
        self.assertEqual(self.store.writes, [keys[1:]])
        self.clock.advance(WRITE_DELAY)

    def test_too_late(self) -> None:
        """What can have ended meanwhile without a trace does not go on, and each call has its line."""
        now = self.clock.seconds()
        self.begin(CallKey("relayed", "a"))
        self.begin(CallKey("bare", "a"), relayed=False)
        self.begin(CallKey("timer", "a"), relayed=False, expires=now + 90)
        self.begin(CallKey("expired", "a"), expires=now + 30)
        self.clock.advance(1)
        self.restart(40)
        self.assertEqual({call.key.call_id for call in self.calls}, {"relayed", "timer"})
        self.assertEqual(
            self.logged,
            [
                "call bare of the last process does not go on: its end may have been missed, and nothing else would tell of it",
                "call expired of the last process does not go on: its session has expired",
                "2 calls of the last process go on, after 40.0 s",
            ],
        )
        self.assertEqual((self.journal.adopted, self.journal.lost), (2, 2))
        self.restart(LONGEST_ABSENCE + 1)
        self.assertEqual((len(self.calls), self.media.calls()), (0, []))
        self.assertEqual(self.store.tables, {})

    def test_bare_calls_over_a_short_absence(self) -> None:
        """A call without relay goes on while a BYE that was sent meanwhile would still be repeated."""
        self.begin(relayed=False)
        self.clock.advance(1)
        self.restart(30)
        self.assertEqual([call.key for call in self.calls], [CALL])

    def test_a_port_is_gone(self) -> None:
        """A call that the relay cannot go on with is no call of the node any more."""
        self.begin()
        self.clock.advance(1)
        self.network.taken.update(range(30000, 30020))
        self.restart()
        self.assertEqual((len(self.calls), self.store.tables), (0, {}))
        self.assertIn("its media ports cannot be opened again", self.logged[0])

    def test_records_that_are_none(self) -> None:
        """A record that is no call costs that call alone; many have one line in the end."""
        self.begin()
        self.clock.advance(1)
        table = self.store.tables[CALL]
        self.store.tables |= {
            ("1", "a"): table,
            ("2", "a"): {"call": {}},
            ("3", "a"): {},
            CALL: {**table, "traffic": [["x"]]},
        }
        good = CallKey("good", "a")
        self.begin(good, relayed=False)
        self.clock.advance(1)
        self.restart()
        self.assertEqual([call.key for call in self.calls], [good])
        self.assertEqual(len([line for line in self.logged if "its record cannot be read" in line]), 4)
        self.store.tables |= {(str(number), "a"): {} for number in range(TOLD + 7)}
        self.logged.clear()
        self.restart()
        self.assertEqual(self.logged[TOLD], "7 more calls do not go on")

    def test_damage_is_told(self) -> None:
        """What the store says of its file is in the log, and the node starts."""
        self.store.faults = ("calls.journal:3: damaged; 1 of 9 records are left out",)
        self.restart()
        self.assertEqual(self.logged, [f"the journal of calls: {self.store.faults[0]}"])

    def test_a_disk_that_is_full(self) -> None:
        """It is told once, tried again, and in the end everything is there: calls that ended are not."""
        self.begin()
        other = CallKey("2", "a")
        self.begin(other, relayed=False)
        self.clock.advance(1)
        self.store.full = True
        self.calls.end(other, "bye")
        self.calls.settled(CALL)
        third = CallKey("3", "a")
        self.begin(third, relayed=False)
        for _ in range(3):
            self.clock.advance(RETRY_DELAY)
        self.assertEqual(len(self.logged), 1)
        self.assertIn("No space left on device", self.logged[0])
        self.assertEqual(set(self.store.tables), {CALL, other})
        self.store.full = False
        self.clock.advance(RETRY_DELAY)
        self.assertEqual(set(self.store.tables), {CALL, third})

    def test_media_time_out(self) -> None:
        """A call whose BYE was lost while nobody was here ends by silence, in the table and the journal, too."""
        self.begin()
        self.clock.advance(1)
        self.restart()
        for _ in range(62):
            self.clock.advance(1)
        self.assertEqual((len(self.calls), self.calls.ended), (0, {"media time-out": 1}))
        self.assertEqual(self.store.tables, {})
