"""Counting what users and gateways have had, over the nodes of a cluster and the turn of a day."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.gateway.allowance import CALLS, DESTINATION, MINUTES, RATE, Allowance, Usage
from voipcluster.gateway.gateway import Gateway
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.allowances import GATEWAY, TICK, USER, Allowances, Spent
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call
from voipcluster.sip.preferences import Preferences

ALICE = "alice@example.com"
NOON = 1_700_049_600.0  # in UTC


def call(name: str, user: str = ALICE) -> Call:
    return Call(
        CallKey(name, "t"), "sip:alice@example.com", "sip:+49", "192.0.2.1:5060", "UDP", user, "a", (), 0.0
    )


class AllowancesCase(SynchronousTestCase):
    everybody = Allowance(2, 3, 1, ("+49", "+43"))

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Any] = []
        self.tallies = Tallies(tell=self.told.append)
        self.preferences: dict[str, Preferences] = {}
        gateways = (Gateway("a", calls_per_minute=2, minutes_per_day=1), Gateway("b"))
        self.book = GatewayBook(gateways, self.tallies, self.wall)
        self.allowances = Allowances(
            self.clock, self.tallies, self.book, self.everybody, self.preferences, self.wall, time.gmtime
        )

    def tearDown(self) -> None:
        self.clock.advance(0)
        self.allowances.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wall(self) -> float:
        return NOON + self.clock.seconds()

    def found(self, number: str = "+4930", aor: str = ALICE) -> str:
        try:
            self.allowances.check_user(aor, number)
        except Spent as spent:
            self.assertEqual(
                (spent.status_hint, [name for name, _ in spent.headers]), (403, ["Warning", "Reason"])
            )
            return spent.kind
        return ""

    def used(self, kind: str = USER, name: str = ALICE) -> Usage:
        return self.allowances.usage(kind, name)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)


class RestartTests(AllowancesCase):
    def setUp(self) -> None:
        super().setUp()
        self.kept: dict[str, dict[str, int]] = {}
        self.allowances.keep = lambda day, seconds: self.kept.setdefault(day, {}).update(seconds)

    def restarted(self) -> None:
        """The next process reads what was kept."""
        self.tallies = Tallies()
        self.allowances = Allowances(
            self.clock, self.tallies, self.book, self.everybody, self.preferences, self.wall, time.gmtime
        )
        self.allowances.resume(lambda day: self.kept.get(day, {}))

    def test_minutes_go_on(self) -> None:
        """What was had today is had after a restart: told every ten seconds, the rest when the node stops."""
        one = call("1")
        self.allowances.begun(one.key, ALICE)
        self.allowances.answered(one.key, "a")
        self.wait(35)
        self.assertEqual(max(self.kept["2023-11-15"].values()), 30)
        self.allowances.stop()
        self.assertEqual(self.kept["2023-11-15"], {
            f"user:{ALICE}:seconds:2023-11-15": 35, "gateway:a:seconds:2023-11-15": 35,
        })  # fmt: skip
        self.restarted()
        self.assertEqual((self.used().seconds, self.used(GATEWAY, "a").seconds), (35, 35))
        self.allowances.adopt(one)
        self.wait(30)
        self.allowances.over(one, "bye")
        self.assertEqual(self.used().seconds, 35)  # of a call without gateways nothing is counted

    def test_another_day(self) -> None:
        """Nothing of yesterday counts, and a count that no day can have is of a damaged file."""
        self.kept = {
            "2023-11-14": {f"user:{ALICE}:seconds:2023-11-14": 99},
            "2023-11-15": {"x": 1 << 60, "y": -1},
        }
        self.restarted()
        self.assertEqual(self.used().seconds, 0)
        self.assertEqual(list(self.tallies.snapshot()), [])

    def test_nothing_new_is_kept_again(self) -> None:
        """What has not changed is not written."""
        self.kept = {"2023-11-15": {f"user:{ALICE}:seconds:2023-11-15": 7}}
        self.restarted()
        written: list[object] = []
        self.allowances.keep = lambda day, seconds: written.append(seconds)
        self.allowances.begun(call("1").key, ALICE)
        self.wait(25)
        self.allowances.stop()
        self.assertEqual(written, [])


class UserTests(AllowancesCase):
    def test_calls_at_once(self) -> None:
        """From its INVITE to its end, answered or not."""
        for name in "xy":
            self.assertEqual(self.found(), "")
            self.allowances.begun(CallKey(name, "t"), ALICE)
        self.assertEqual((self.found(), self.used().calls), (CALLS, 2))
        self.assertEqual(self.allowances.refused, {(USER, CALLS): 1})
        self.allowances.over(call("x"), "refused 404")
        self.allowances.over(call("x"), "again")
        self.assertEqual((self.found(), self.used().calls), ("", 1))
        self.allowances.over(call("y"), "BYE")
        self.assertEqual(self.used().calls, 0)

    def test_forks(self) -> None:
        """INVITEs with one Call-ID and From tag are calls to gateways all the same, each of who pays for it."""
        for payer in (ALICE, ALICE, "bob@example.com"):
            self.allowances.begun(CallKey("x", "t"), payer)
        self.assertEqual(self.used(), Usage(2, 2, 0))
        self.assertEqual(self.used(USER, "bob@example.com"), Usage(1, 1, 0))
        self.allowances.answered(CallKey("x", "t"), "a")
        self.wait(10)
        self.allowances.answered(CallKey("x", "t"), "b")
        self.wait(10)
        self.allowances.over(call("x"), "BYE")
        self.assertEqual(self.used(), Usage(0, 2, 30))
        self.assertEqual(self.used(USER, "bob@example.com"), Usage(0, 1, 20))

    def test_calls_a_minute(self) -> None:
        """Each counts for a minute, also when it has ended."""
        for n in range(3):
            self.allowances.begun(CallKey(f"{n}", "t"), ALICE)
            self.allowances.over(call(f"{n}"), "failed 486")
            self.wait(10)
        self.assertEqual((self.found(), self.used().begun), (RATE, 3))
        self.wait(31)
        self.assertEqual((self.found(), self.used().begun), ("", 2))
        self.wait(60)
        self.assertEqual(self.used().begun, 0)
        self.assertEqual(list(self.tallies.snapshot()), [])

    def test_minutes_a_day(self) -> None:
        """From the answer on, while the call is up: it goes on, and the next one is refused."""
        self.allowances.begun(CallKey("x", "t"), ALICE)
        self.wait(20)
        self.allowances.answered(CallKey("x", "t"), "a")
        self.wait(59)
        self.assertEqual(self.found(), "")
        self.wait(int(TICK))
        self.assertEqual(self.found(), MINUTES)
        self.wait(5)
        self.allowances.over(call("x"), "BYE")
        self.assertEqual((self.used().seconds, self.used(GATEWAY, "a").seconds), (74, 74))
        self.assertEqual(self.found(), MINUTES)

    def test_a_new_day(self) -> None:
        """At midnight everybody begins anew; a call that is up then counts on."""
        self.allowances.begun(CallKey("x", "t"), ALICE)
        self.allowances.answered(CallKey("x", "t"), "a")
        self.clock.advance(12 * 3600 - 1)
        self.assertEqual(self.found(), MINUTES)
        self.wait(20)
        self.assertEqual(self.found(), "")
        self.assertTrue(0 < self.used().seconds <= 21, self.used())
        self.allowances.over(call("x"), "BYE")
        self.clock.advance(24 * 3600)
        self.assertEqual(self.used(), Usage())
        self.assertEqual(list(self.tallies.snapshot()), [])

    def test_destinations(self) -> None:
        self.assertEqual((self.found("+4830"), self.found("+4330")), (DESTINATION, ""))

    def test_of_his_own(self) -> None:
        """What a user's preferences say goes before what everybody has, each by itself; 0 lifts a limit."""
        self.preferences[ALICE] = Preferences(calls=1, minutes=0, destinations=("+",))
        self.assertEqual(self.allowances.of_user(ALICE), Allowance(1, 3, 0, ("+",)))
        self.assertEqual(self.allowances.of_user("bob@example.com"), self.everybody)
        self.allowances.begun(CallKey("x", "t"), ALICE)
        self.assertEqual((self.found(), self.found(aor="bob@example.com")), (CALLS, ""))

    def test_nobody_pays(self) -> None:
        """A call of no user, from one gateway to another one, has no limits of a user."""
        self.allowances.begun(CallKey("x", "t"), "")
        self.assertEqual(self.found(aor=""), "")
        self.allowances.over(call("x", ""), "BYE")
        self.assertEqual(list(self.tallies.snapshot()), [])


class GatewayTests(AllowancesCase):
    def test_rate(self) -> None:
        """All calls that are brought there, whoever makes them."""
        for _ in range(2):
            self.assertIsNone(self.allowances.gateway_excess("a"))
            self.allowances.seized("a")
        excess = self.allowances.gateway_excess("a")
        assert excess is not None
        self.assertEqual((excess.kind, excess.text), (RATE, "2 of 2 calls a minute are used"))
        self.assertEqual(self.allowances.refused, {})
        for name in "ab":
            self.allowances.passed_over(name)
        self.assertEqual(self.allowances.refused, {(GATEWAY, RATE): 1})
        self.wait(61)
        self.assertIsNone(self.allowances.gateway_excess("a"))

    def test_minutes(self) -> None:
        """Those of a call between two gateways are both's."""
        self.allowances.answered(CallKey("x", "t"), "a", "b")
        self.wait(70)
        excess = self.allowances.gateway_excess("a")
        assert excess is not None
        self.assertEqual(excess.kind, MINUTES)
        self.assertEqual(self.used(GATEWAY, "b").seconds, 70)

    def test_no_limits(self) -> None:
        """One that has none, and one that is no more."""
        for _ in range(50):
            self.allowances.seized("b")
        self.assertIsNone(self.allowances.gateway_excess("b"))
        self.assertIsNone(self.allowances.gateway_excess("gone"))


class ClusterTests(AllowancesCase):
    def test_what_other_nodes_counted(self) -> None:
        """Counts of all nodes are one, by way of what they tell each other."""
        other = Allowances(self.clock, Tallies(tell=lambda tally: self.tallies.received("b", tally)), self.book,
                           self.everybody, {}, self.wall, time.gmtime)  # fmt: skip
        for n in range(2):
            other.begun(CallKey(f"{n}", "t"), ALICE)
            other.answered(CallKey(f"{n}", "t"), "a")
        self.assertEqual(self.found(), CALLS)
        self.wait(35)
        self.assertEqual(self.used().seconds, 60)
        other.stop()

    def test_after_a_restart(self) -> None:
        """A call that goes on in the next process takes a place, and counts from there on."""
        one = call("x")
        one.gateway_out = "a"
        self.allowances.adopt(one)
        self.allowances.adopt(call("of users only"))
        self.wait(20)
        self.assertEqual(self.used(), Usage(1, 0, 20))
        self.allowances.over(one, "BYE")
        self.assertEqual(self.used().calls, 0)
