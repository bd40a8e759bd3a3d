"""The server of overload control: who is let in, and what upstreams are told."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.admission import Priority
from voipcluster.balance.feedback import MOST_UPSTREAMS, OverloadServer
from voipcluster.balance.throttle import LOSS, RATE

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
STRANGER = ("198.51.100.9", 5060)


class ServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = OverloadServer()
        self.now = 0.0

    def tick(self, delay: float, strangers: int = 0, upstreams: int = 0, **fresh: int) -> None:
        """
        A tick in which a node that can take 1000 a second was busy.

        @param fresh: new requests by upstream: C{alice}, C{bob}; C{strangers} those of others.
        """
        self.now += 0.1
        for key, count in ((ALICE, fresh.get("alice", 0)), (BOB, fresh.get("bob", 0))):
            if count:
                self.server.upstreams[key].fresh += count
        admitted = strangers + sum(fresh.values())
        self.server.tick(0.1, admitted * 0.001, delay, admitted, 1e9 + self.now)

    def admitted(self, key: object, count: int, priority: Priority = Priority.CALL, call: bool = True) -> int:
        return sum(self.server.admits(key, priority, self.now, call) for _ in range(count))


class AlgorithmTests(ServerCase):
    def test_rate_is_taken_where_offered(self) -> None:
        self.assertEqual(self.server.upstream(ALICE, (LOSS, RATE), 0.0).algorithm, RATE)
        self.assertEqual(self.server.upstream(BOB, (LOSS,), 0.0).algorithm, LOSS)

    def test_the_choice_stays(self) -> None:
        """For an hour at least (RFC 7339 section 5.8)."""
        self.server.upstream(ALICE, (LOSS,), 0.0)
        self.assertEqual(self.server.upstream(ALICE, (LOSS, RATE), 3000.0).algorithm, LOSS)

    def test_nobody_fills_the_table(self) -> None:
        for number in range(MOST_UPSTREAMS + 10):
            self.server.upstream(number, (LOSS,), float(number) / 1e6)
        self.assertEqual(len(self.server.upstreams), MOST_UPSTREAMS)
        self.assertNotIn(0, self.server.upstreams)
        self.assertIn(MOST_UPSTREAMS + 9, self.server.upstreams)


class TellingTests(ServerCase):
    def test_idle(self) -> None:
        """No overload: oc=0, oc-validity=0 (RFC 7339 section 5.7), since 0 under C{rate} alone would mean nothing at all."""
        told = self.server.upstream(ALICE, (LOSS, RATE), 0.0).told
        self.assertEqual((told.value, told.validity), (0.0, 0.0))

    def test_loss(self) -> None:
        """Twice of what can be taken, all of it calls: half of it is to be held back, and the number grows with each tick."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        sequences = []
        self.tick(0.06, alice=100)
        for _ in range(20):
            sent = round(200 - 2 * upstream.told.value)
            upstream.refused += max(0, sent - 100)
            self.tick(0.06, alice=min(100, sent))
            sequences.append(upstream.told.sequence)
        self.assertTrue(40 <= upstream.told.value <= 70, upstream.told)  # the queue stays, so it falls on
        self.assertEqual(upstream.told.validity, 0.5)
        self.assertEqual(sorted(set(sequences)), sequences)

    def test_rate(self) -> None:
        """What it may send in all: its share of new requests, and what its dialogs need."""
        upstream = self.server.upstream(ALICE, (LOSS, RATE), 0.0)
        self.tick(0.06, alice=100)
        for _ in range(20):
            upstream.others += 50
            upstream.refused += 100
            self.tick(0.06, alice=100)
        self.assertTrue(1050 <= upstream.told.value <= 1650, upstream.told)
        self.assertEqual(upstream.told.algorithm, RATE)

    def test_the_end(self) -> None:
        """oc-validity=0 and a higher oc-seq (section 5.7)."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        for _ in range(10):
            self.tick(0.06, alice=100)
        last = upstream.told.sequence
        while self.server.active:
            self.tick(0.0, alice=30)
        self.assertEqual((upstream.told.value, upstream.told.validity), (0.0, 0.0))
        self.assertGreater(upstream.told.sequence, last)

    def test_a_clock_that_was_put_back(self) -> None:
        """The number grows all the same."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        for wall in (1e9, 5e8):
            before = upstream.told.sequence
            self.server.tick(0.1, 0.1, 0.06, 100, wall)
            self.assertGreater(upstream.told.sequence, before)


class AdmittingTests(ServerCase):
    def test_strangers_have_no_advantage(self) -> None:
        """Who does not take part is let in by the same share as who does (RFC 7339 section 5.10.2)."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        for _ in range(30):
            taken = self.admitted(STRANGER, 100) if self.server.active else 100
            self.tick(0.06, strangers=taken, alice=round(100 - upstream.told.value))
        theirs = self.server._others.rate
        self.assertTrue(0.8 <= theirs / upstream.bucket.rate <= 1.25, (theirs, upstream))
        self.assertLess(theirs + upstream.bucket.rate, 1000)

    def test_what_is_too_much_in_spite_of_it_is_refused(self) -> None:
        """A client that says oc and does not mind it gets its share and no more (section 11)."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        self.server.upstream(BOB, (LOSS,), 0.0)
        for _ in range(50):
            taken = self.admitted(ALICE, 300) if self.server.active else 50
            honest = self.admitted(BOB, 40) if self.server.active else 40
            self.tick(0.008 if self.server.active else 0.05, alice=taken, bob=honest)
        self.assertGreater(self.server.refused[Priority.CALL], 1000)
        self.assertGreaterEqual(self.server.upstreams[BOB].bucket.rate, 350)
        self.assertGreater(upstream.told.value, 30)

    def test_priority(self) -> None:
        for _ in range(5):
            self.tick(0.06, strangers=100)
        self.admitted(STRANGER, 1000, Priority.CALL)
        self.assertEqual(self.admitted(STRANGER, 50, Priority.OTHER), 0)
        self.assertEqual(self.admitted(STRANGER, 50, Priority.EMERGENCY), 50)

    def test_packets_keep_out_calls_only(self) -> None:
        self.server.calls_only = True
        for _ in range(5):
            self.tick(0.06, strangers=100)
        self.assertEqual(self.admitted(STRANGER, 10_000, Priority.REGISTER, call=False), 10_000)
        self.assertLess(self.admitted(STRANGER, 10_000, Priority.CALL), 1000)

    def test_a_new_upstream_in_overload_gets_no_more_than_others(self) -> None:
        for _ in range(5):
            self.tick(0.06, strangers=100)
        self.server.upstream(ALICE, (LOSS,), self.now)
        self.assertLess(self.admitted(ALICE, 10_000), 200)

    def test_no_limit_behind_the_overload(self) -> None:
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        for _ in range(10):
            self.tick(0.06, alice=100)
        while self.server.active:
            self.tick(0.0, alice=10)
        self.assertEqual(upstream.bucket.rate, math.inf)
