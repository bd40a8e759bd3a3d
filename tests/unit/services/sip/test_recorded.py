"""Where a call was tried, and what came of it."""

from __future__ import annotations

from typing import Any

from tests.unit.services.gateway.trunk_world import NUMBER, TrunkCase, gateway
from tests.unit.services.sip_world import Phone, WorldCase
from voipcluster.gateway.routing import Route
from voipcluster.services.sip.calls import Call

BOB = "sip:bob@example.com"


class RecordedTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.over: list[tuple[Call, str]] = []
        self.node.calls.over = lambda call, reason: self.over.append((call, reason))
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.desk, self.mobile = (self.world.phone("bob", f"198.51.100.{n}") for n in (2, 3))
        self.mobile.tag = "tag-mobile"

    def register(self, q: str = "1.0") -> None:
        self.desk.register(self.node)
        self.mobile.send(
            self.node, "REGISTER", "sip:example.com", call_id="m",
            headers=["Expires: 60", f"Contact: <{self.mobile.uri}>;q={q}"],
        )  # fmt: skip
        self.desk.took()
        self.mobile.took()

    def tried(self, call: Call | None = None) -> list[tuple[Any, ...]]:
        """Of the call that is over: who was tried, the status, and who has ended it."""
        found = self.over[-1][0] if call is None else call
        return [(self.phone_at(one.target), one.status, one.cause, one.by) for one in found.tried]

    def phone_at(self, target: str) -> Phone:
        (phone,) = [phone for phone in (self.desk, self.mobile) if phone.address[0] in target]
        return phone

    def test_one_place(self) -> None:
        """There is nothing to note but where it was."""
        self.desk.register(self.node)
        self.desk.took()
        self.alice.send(self.node, "INVITE", BOB)
        self.desk.reply(self.desk.request(), 486)
        call, reason = self.over[-1]
        self.assertEqual((call.tried, reason), ((), "failed 486"))
        self.assertIn(self.desk.address[0], call.reached)

    def test_one_after_the_other(self) -> None:
        """Each has its times, and its own outcome."""
        self.register(q="0.5")
        self.alice.send(self.node, "INVITE", BOB)
        self.world.wait(2.0)
        self.desk.reply(self.desk.request(), 486)
        self.world.wait(1.0)
        self.mobile.reply(self.mobile.request(), 603)
        self.assertEqual(self.tried(), [(self.desk, 486, "", "callee"), (self.mobile, 603, "", "callee")])
        first, second = self.over[-1][0].tried
        self.assertAlmostEqual(first.ended - first.started, 2.0, 1)
        self.assertAlmostEqual(second.started - first.ended, 0.0, 1)
        self.assertAlmostEqual(second.ended - second.started, 1.0, 1)

    def test_both_at_once(self) -> None:
        """The one that answers has the call; the other one was stopped by the node."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB)
        self.mobile.reply(self.mobile.request(), 200)
        self.desk.reply(self.desk.request("INVITE"), 487)
        (call,) = self.node.calls
        self.assertEqual(
            {one[0]: one[1:] for one in self.tried(call)},
            {self.mobile: (200, "", "callee"), self.desk: (487, "answered elsewhere", "node")},
        )
        self.node.calls.end(call.key, "bye")

    def test_declined(self) -> None:
        """A 6xx of one phone stops the other one (RFC 3261 section 16.7 step 5)."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB)
        self.desk.reply(self.desk.request(), 180)
        self.mobile.reply(self.mobile.request(), 603)
        self.desk.reply(self.desk.request("INVITE"), 487)
        self.assertEqual(
            {one[0]: one[1:] for one in self.tried()},
            {self.mobile: (603, "", "callee"), self.desk: (487, "declined elsewhere", "node")},
        )

    def test_the_caller_gives_up(self) -> None:
        """CANCEL ends what has rung until then."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB, branch="x")
        for phone in (self.desk, self.mobile):
            phone.reply(phone.request(), 180)
        self.alice.send(self.node, "CANCEL", BOB, branch="x")
        for phone in (self.desk, self.mobile):
            phone.reply(phone.request("INVITE"), 487)
        self.assertEqual({one[1:] for one in self.tried()}, {(487, "", "caller")})

    def test_not_reached(self) -> None:
        """Nothing could be sent to one, and the other one is silent."""
        self.register(q="0.5")
        self.world.network.closed.add(self.desk.address)
        self.alice.send(self.node, "INVITE", BOB)
        self.world.wait(40.0)
        one, other = self.tried()
        self.assertEqual((one[0], one[1], one[3]), (self.desk, 503, "node"))
        self.assertTrue(one[2].startswith("not sent: "))
        self.assertEqual(other, (self.mobile, 408, "no answer", "node"))

    def test_who_hangs_up(self) -> None:
        """Whoever has sent BYE."""
        for of_caller in (True, False):
            self.desk.register(self.node)
            self.desk.took()
            call_id = f"c{of_caller}"
            self.alice.send(self.node, "INVITE", BOB, call_id=call_id)
            self.desk.reply(self.desk.request("INVITE"), 200)
            answer = self.alice.response(200)
            route = answer.get("record-route")
            assert route is not None
            sender = self.alice if of_caller else self.desk
            other = self.desk if of_caller else self.alice
            sender.send(
                self.node,
                "BYE",
                other.uri,
                call_id=call_id,
                branch="",
                to_tag=other.tag,
                routes=[route],
                cseq=2,
            )
            other.reply(other.request("BYE"), 200)
            call, reason = self.over[-1]
            self.assertEqual((reason, call.ended_by), ("bye", "caller" if of_caller else "callee"))


class SilentGatewayTests(TrunkCase):
    """The first of two gateways says nothing, and the call goes to the next one after four seconds."""

    def setUp(self) -> None:
        super().setUp()
        self.invite()
        self.got(self.a)
        self.world.wait(4.2)
        self.got(self.b)
        (self.call,) = self.node.calls
        self.addCleanup(lambda: [self.node.calls.end(call.key, "bye") for call in list(self.node.calls)])

    def outcomes(self) -> list[tuple[Any, ...]]:
        return [(one.gateway, one.status, one.cause, one.by) for one in self.call.tried]

    def test_it_has_not_answered(self) -> None:
        """That is noted when it is given up, whatever becomes of the call."""
        self.b.reply(self.b.request("INVITE"), 200)
        self.assertEqual(self.outcomes(), [("a", 408, "no answer", "node"), ("b", 200, "", "callee")])
        first, second = self.call.tried
        self.assertAlmostEqual(first.ended - first.started, 4.0, 1)
        self.assertAlmostEqual(second.started, first.ended, 1)

    def test_it_answers_late(self) -> None:
        """It has the call then, and that is what is noted."""
        self.a.reply(self.a.request("INVITE"), 200)
        self.assertEqual(self.outcomes()[0], ("a", 200, "", "callee"))

    def test_it_rings_late(self) -> None:
        """It is the one that is waited for then, and what it answers is what came of it; the next one was stopped."""
        self.a.reply(self.a.request("INVITE"), 180)
        self.assertEqual(self.outcomes()[0], ("a", 0, "", ""))
        self.assertEqual(self.call.tried[0].ended, 0.0)
        self.b.reply(self.b.request("INVITE"), 100)
        self.b.reply(self.b.request("INVITE"), 487)
        self.assertEqual(self.outcomes()[1], ("b", 487, "rang elsewhere", "node"))
        self.a.reply(self.a.request("INVITE"), 486)
        self.assertEqual(self.outcomes()[0], ("a", 486, "", "callee"))

    def test_it_rings_late_for_nobody(self) -> None:
        """The caller gives up while it rings."""
        self.a.reply(self.a.request("INVITE"), 180)
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.a.reply(self.a.request("INVITE"), 487)
        self.assertEqual(self.outcomes()[0], ("a", 487, "", "caller"))

    def test_it_is_waited_for(self) -> None:
        """The next one has the call already, from it (RFC 3261 section 8.2.2.2)."""
        self.b.reply(self.b.request("INVITE"), 482)
        self.a.reply(self.a.request("INVITE"), 486)
        self.assertEqual([one[1:] for one in self.outcomes()], [(486, "", "callee"), (482, "", "callee")])

    def test_it_refuses_late(self) -> None:
        """That says nothing any more."""
        self.a.reply(self.a.request("INVITE"), 503)
        self.assertEqual(self.outcomes()[0], ("a", 408, "no answer", "node"))

    def test_it_declines_late(self) -> None:
        """A 6xx is the answer of whoever is called, also for the gateway that rings by then (RFC 3261 section 16.7 step 5)."""
        self.b.reply(self.b.request("INVITE"), 180)
        self.a.reply(self.a.request("INVITE"), 603)
        self.b.reply(self.b.request("INVITE"), 487)
        self.assertEqual(
            self.outcomes(), [("a", 603, "", "callee"), ("b", 487, "declined elsewhere", "node")]
        )
        self.assertEqual(self.alice.took()[-1], 603)


class LateGatewayTests(TrunkCase):
    """The first of three gateways rings when the second one is asked already."""

    gateways = (gateway("a"), gateway("b"), gateway("c"))
    routes = tuple(Route("+", name, priority) for priority, name in enumerate("abc", 1))

    def test_it_fails_behind_that(self) -> None:
        """The third one is asked then, as it would be behind any other failure of the first (RFC 3666 section 2.3)."""
        self.invite()
        self.world.wait(4.2)
        self.b.reply(self.got(self.b), 100)
        self.a.reply(self.got(self.a), 180)
        self.b.reply(self.got(self.b), 487)
        self.a.reply(self.got(self.a), 503)
        self.c.reply(self.got(self.c), 486)
        self.assertEqual(self.alice.took()[-1], 486)


class ImpatientCallerTests(TrunkCase):
    """The caller gives up before the first gateway has said anything."""

    def test_silence(self) -> None:
        """That has ended the attempt, and not that the gateway was silent for longer then."""
        self.invite()
        self.got(self.a)
        (call,) = self.node.calls
        self.alice.send(self.node, "CANCEL", NUMBER, branch="call2", cseq=2)
        self.world.wait(5.0)
        self.a.reply(self.a.request("INVITE"), 100)
        self.a.request("CANCEL")
        self.a.reply(self.a.request("INVITE"), 487)
        self.assertEqual([(one.status, one.by) for one in call.tried], [(487, "caller")])
