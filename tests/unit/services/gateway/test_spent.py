"""Limits against fraud on calls through a whole node: what the caller hears, and what is counted (docs/gateways.md)."""

from __future__ import annotations

from tests.unit.services.gateway.trunk_world import NUMBER, TrunkCase, gateway
from voipcluster.gateway.allowance import CALLS, DESTINATION, MINUTES, RATE, Allowance, Usage
from voipcluster.services.gateway.allowances import GATEWAY, USER, Allowances
from voipcluster.services.gateway.incoming import Incoming
from voipcluster.services.sip.calls import Call
from voipcluster.sip.limits import LimitSettings

ALICE, BOB = "alice@example.com", "bob@example.com"


class SpentCase(TrunkCase):
    everybody = Allowance()

    def setUp(self) -> None:
        super().setUp()
        clock = self.world.clock
        self.allowances = self.routing.allowances = Allowances(
            clock, self.tallies, self.book, self.everybody, self.world.preferences, clock.seconds
        )

    def tearDown(self) -> None:
        self.world.wait(61.0, 1.0)
        self.allowances.stop()
        super().tearDown()

    def _over(self, call: Call, reason: str) -> None:
        super()._over(call, reason)
        self.allowances.over(call, reason)

    def refused(self, uri: str = NUMBER, name: str = "call-9") -> str:
        """One more call of Alice is refused with 403; the reason in it."""
        self.invite(uri, branch=name, call_id=name)
        final = self.alice.response(403)
        self.assertEqual(self.alice.took(), [100, 403])
        self.assertIn("Q.850;cause=21", final.get("reason") or "")
        return final.get("warning") or ""


class UserTests(SpentCase):
    everybody = Allowance(1, 3, 1, ("+49",))

    def test_calls_at_once(self) -> None:
        """While one rings another one is refused, without a gateway being asked; behind its end it is not."""
        self.invite()
        self.a.reply(self.got(self.a), 180)
        self.alice.took()
        self.a.took()
        self.assertIn('"1 of 1 calls at once are in use"', self.refused())
        self.assertEqual((self.a.took(), self.b.took()), ([], []))
        self.assertEqual(self.node.calls.ended, {"refused 403 (calls at once)": 1})
        self.assertEqual(self.allowances.refused, {(USER, CALLS): 1})
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.a.reply(self.a.request("CANCEL"), 200)

    def test_minutes(self) -> None:
        """The call that uses them up goes on; the next one is refused."""
        self.invite()
        self.a.reply(self.got(self.a), 200)
        self.world.wait(75.0, 1.0)
        self.hang_up(self.a)
        self.alice.took()
        self.assertIn('"1 of 1 minutes a day are used"', self.refused())
        self.assertEqual(self.allowances.usage(GATEWAY, "a"), Usage(0, 0, 75))
        self.assertEqual(self.allowances.refused, {(USER, MINUTES): 1})

    def test_calls_a_minute(self) -> None:
        """Also those that came to nothing; one that was never brought to a gateway is none."""
        for n in range(3):
            self.invite(branch=f"b{n}", call_id=f"c{n}")
            self.a.reply(self.got(self.a), 404)
            self.alice.took()
        self.assertIn('"3 of 3 calls a minute are used"', self.refused())
        self.assertIn("calls a minute", self.refused(name="call-10"))
        self.assertEqual(self.allowances.refused, {(USER, RATE): 2})

    def test_destination(self) -> None:
        self.assertIn("+48123 is no destination that is allowed", self.refused("sip:0048123@example.com"))
        self.assertEqual(self.allowances.refused, {(USER, DESTINATION): 1})

    def test_help_is_for_everybody(self) -> None:
        """A call for help is not limited, and counts for nothing."""
        for n in range(4):
            self.invite("sip:110@example.com", branch=f"b{n}", call_id=f"c{n}")
            self.assertNotIn(403, self.alice.took())
        self.assertEqual(self.allowances.refused, {})

    def test_who_forwards_pays(self) -> None:
        """Bob has his calls go to a number: it is his allowance, and Alice's is as it was."""
        self.world.prefers("bob", {"forward.always": "+49301"})
        self.invite("sip:bob@example.com")
        self.a.reply(self.got(self.a), 180)
        self.assertEqual(self.alice.took(), [100, 181, 180])
        self.assertEqual(self.allowances.usage(USER, BOB), Usage(1, 1, 0))
        self.assertEqual(self.allowances.usage(USER, ALICE), Usage())
        self.assertIn("calls at once", self.refused("sip:bob@example.com"))
        self.world.prefers("bob", {"forward.always": "+48301"})
        self.assertIn("no destination", self.refused("sip:bob@example.com", "call-10"))
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.a.reply(self.a.request("CANCEL"), 200)


class GatewayTests(SpentCase):
    gateways = (gateway("a", calls_per_minute=1), gateway("b", calls_per_minute=1))

    def test_next_one(self) -> None:
        """A gateway that has had its calls of a minute is passed over; when all have, it is 503."""
        for n, phone in enumerate((self.a, self.b)):
            self.invite(branch=f"b{n}", call_id=f"c{n}")
            phone.reply(self.got(phone), 404)
            self.assertEqual(self.alice.took(), [100, 404])
        self.invite(branch="b9", call_id="c9")
        self.assertIn("Q.850;cause=34", self.alice.response(503).get("reason") or "")
        self.alice.took()
        self.assertEqual(self.allowances.refused, {(GATEWAY, RATE): 3})


class ScannerTests(SpentCase):
    everybody = Allowance(destinations=("+49",))

    def setUp(self) -> None:
        super().setUp()
        self.node.limiting._limits._settings = LimitSettings(refused_numbers=3)

    def test_ban(self) -> None:
        """Who tries one number after the other that he may not call is banned: a password that was stolen."""
        for n in range(3):
            self.refused(f"sip:0048{n}@example.com", f"call-{n}")
        bans = [(ban.who, ban.reason) for ban in self.node.limiting.bans()]
        self.assertEqual(bans, [(ALICE, "calls to numbers without permission")])

    def test_no_ban(self) -> None:
        """Being refused for other reasons is no scan."""
        self.world.prefers("alice", {"limit.calls": "1"})
        self.invite()
        self.a.reply(self.got(self.a), 180)
        self.alice.took()
        for n in range(5):
            self.refused(name=f"call-{n}")
        self.assertEqual(list(self.node.limiting.bans()), [])
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.a.reply(self.a.request("CANCEL"), 200)


class IncomingTests(SpentCase):
    gateways = (gateway("a", calls_per_minute=1, minutes_per_day=1), gateway("b"))

    def setUp(self) -> None:
        super().setUp()
        node = self.node
        self.channels.allowances = self.allowances
        node.access.gateways = Incoming(
            self.routing, lambda: node.core.names, self.world.is_user, lambda flow: (), node.limiting.notices
        )
        node.serving.channels = self.channels
        self.bob = self.world.phone("bob", "198.51.100.2")
        uri = "sip:example.com"
        self.bob.send(node, "REGISTER", uri, call_id="reg", headers=["Expires: 600"])
        line = self.bob.credentials(self.bob.response(401), "REGISTER", uri)
        self.bob.send(node, "REGISTER", uri, call_id="reg", cseq=2, headers=["Expires: 600", line])
        self.bob.took()

    def come(self, name: str) -> list[int | str]:
        self.a.send(
            self.node, "INVITE", "sip:bob@example.com", from_uri="sip:+4930@carrier.example", call_id=name
        )
        return self.a.took()

    def test_what_comes_from_a_gateway(self) -> None:
        """It counts like what goes there: calls of a minute, then minutes of the day; 503 to the gateway."""
        self.assertEqual(self.come("x"), [100])
        self.bob.reply(self.got(self.bob), 200)
        self.a.took()
        self.assertEqual(self.come("y"), [503])
        self.world.wait(75.0, 1.0)
        self.assertEqual(self.come("z"), [503])
        self.assertEqual(self.allowances.refused, {(GATEWAY, RATE): 1, (GATEWAY, MINUTES): 1})
        (call,) = self.node.calls
        self.node.calls.end(call.key, "bye")
        self.assertTrue(75 <= self.allowances.usage(GATEWAY, "a").seconds <= 76)
