"""The server of overload control: who is let in, and what upstreams are told."""

from __future__ import annotations

import math
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.admission import Priority
from voipcluster.balance.feedback import MOST_UPSTREAMS, OverloadServer
from voipcluster.balance.throttle import LOSS, RATE

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
GREEDY, STRANGER = ("192.0.2.3", 5060), ("198.51.100.9", 5060)


class ServerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = OverloadServer()
        self.now = 0.0
        self.within = self.queue = 0

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

    def work_for(self, seconds: float, strangers: int = 0, **wanted: int) -> Counter[str]:
        """
        A node that can take 100 requests in a tick, with the queue that comes of it.

        @param wanted: by upstream, what it would send in a tick; it holds back what it is told to hold back, C{greedy} does not.
        @return: how many were let in, by upstream, in the last second.
        """
        keys: dict[str, object] = {"alice": ALICE, "bob": BOB, "greedy": GREEDY, "strangers": STRANGER}
        let_in = Counter[str]()
        for tick in range(round(10 * seconds)):
            came = Counter(strangers=strangers)
            for name, count in wanted.items():
                came[name] = count if name == "greedy" else self.sent(keys[name], count)
            taken = {
                name: self.admitted(keys[name], count) if self.server.active else count
                for name, count in came.items()
            }
            for name in wanted:
                upstream = self.server.upstreams[keys[name]]
                upstream.fresh += taken[name]
                upstream.refused += 0 if name == "greedy" else came[name] - taken[name]
            waiting = self.queue + sum(taken.values())
            done = min(waiting, 100)
            self.queue = waiting - done
            self.now += 0.1
            self.server.tick(0.1, done * 0.001, self.queue * 0.001, done, 1e9 + self.now)
            if tick >= 10 * seconds - 10:
                let_in.update(taken)
        return let_in

    def sent(self, key: object, wanted: int) -> int:
        """What an upstream sends of new requests when it does what it was told."""
        upstream = self.server.upstreams[key]
        told = upstream.told
        if not told.validity:
            return wanted
        if told.algorithm == LOSS:
            return round(wanted * (1.0 - told.value / 100.0))
        return min(wanted, max(0, round(told.value / 10) - self.within))

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
        """What is too much is held back, and no more: half of twice what can be taken."""
        for times, share in ((1.2, 17), (2.0, 50), (5.0, 80)):
            self.setUp()
            upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
            let_in = self.work_for(4.0, alice=round(100 * times))
            self.assertApproximates(upstream.told.value, share, 1.0)
            self.assertApproximates(let_in["alice"], 1000, 10)
            self.assertLess(self.queue, 20)
            self.assertEqual(upstream.told.validity, 0.5)

    def test_sequence(self) -> None:
        """A number that stays would not prolong what was told (section 5.4): it grows with each tick."""
        upstream = self.server.upstream(ALICE, (LOSS,), 0.0)
        sequences = []
        for _ in range(20):
            self.work_for(0.1, alice=200)
            sequences.append(upstream.told.sequence)
        self.assertEqual(sorted(set(sequences)), sequences)

    def test_rate(self) -> None:
        """What it may send in all: its share of new requests, and what its dialogs need and a tenth more."""
        upstream = self.server.upstream(ALICE, (LOSS, RATE), 0.0)
        self.within = 50
        for _ in range(60):
            upstream.others += self.within
            self.work_for(0.1, alice=200)
        self.assertApproximates(upstream.told.value, 1600, 20)
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
        let_in = self.work_for(6.0, strangers=100, alice=100)
        self.assertApproximates(let_in["strangers"], 500, 10)
        self.assertApproximates(let_in["alice"], 500, 10)
        self.assertApproximates(self.server._others.rate / upstream.bucket.rate, 1.0, 0.03)

    def test_what_is_too_much_in_spite_of_it_is_refused(self) -> None:
        """A client that says oc and does not mind it gets its share and no more; others get all of theirs (section 11)."""
        greedy = self.server.upstream(GREEDY, (LOSS,), 0.0)
        honest = self.server.upstream(BOB, (LOSS,), 0.0)
        let_in = self.work_for(6.0, greedy=300, bob=40)
        self.assertEqual((let_in["bob"], honest.told.value), (400, 0.0))
        self.assertApproximates(let_in["greedy"], 600, 25)
        self.assertApproximates(greedy.told.value, 80, 2)

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
