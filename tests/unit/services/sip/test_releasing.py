"""A call whose answer the relay can do nothing with: both parties get BYE (3GPP TS 24.229 section 5.2.8.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.unit.services.gateway.trunk_world import TrunkCase, gateway
from tests.unit.services.sip_world import Phone, WorldCase
from voipcluster.address import TCP
from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.services.sip.calls import Call
from voipcluster.services.sip.releasing import Ending, Way
from voipcluster.sip.challenges import Identity
from voipcluster.sip.message import Request
from voipcluster.sip.outgoing import reply

BOB = "sip:bob@example.com"
SDP = [("Content-Type", "application/sdp")]
FAULT = PeerError("SDP line m= has not the form", 488)


class ReleasingCase(WorldCase):
    """@ivar along: the caller's route set, else it is that of the last 200."""

    along: Sequence[str] = ()

    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", relay="userspace")
        self.broken: dict[tuple[Side, str, int | None], PeerError] = {}  # what cannot be translated
        self.node.media.message_passes = self.passes
        self.tags: dict[
            tuple[Side, str, int | None], str | None
        ] = {}  # by which the relay tells dialogs apart
        self.over: list[tuple[Call, str]] = []
        self.node.calls.over = lambda call, reason: self.over.append((call, reason))
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def passes(
        self, key: object, *, sender: Side, method: str, status: int | None, body: bytes, **more: Any
    ) -> bytes:
        self.tags[sender, method, status] = more["to_tag"]
        error = self.broken.get((sender, method, status))
        if error is not None:
            raise error
        return b"relayed " + body if body else body

    def breaks(self, sender: Side, method: str, status: int | None = None, error: PeerError = FAULT) -> None:
        self.broken[sender, method, status] = error

    def invite(self, body: str = "offer", **more: Any) -> Request:
        self.alice.send(self.node, "INVITE", BOB, body=body, **more)
        return self.bob.request("INVITE")

    def ack(self, body: str = "", cseq: int = 1) -> None:
        routes = self.along or self.alice.response(200).values("record-route")
        self.alice.send(
            self.node, "ACK", self.bob.uri, cseq=cseq, to_tag=self.bob.tag, routes=routes, body=body,
            headers=["Content-Type: application/sdp"] if body else [],
        )  # fmt: skip

    def byes(self) -> tuple[Request, Request]:
        """Those that the caller and the callee got; each is answered."""
        found = self.alice.request("BYE"), self.bob.request("BYE")
        for phone, bye in zip((self.alice, self.bob), found, strict=True):
            phone.reply(bye, 200)
        return found

    def no_bye(self) -> None:
        for phone in (self.alice, self.bob):
            self.assertNotIn("BYE", [m.method for m in phone.inbox if isinstance(m, Request)])


class AnswerTests(ReleasingCase):
    def test_answer(self) -> None:
        """
        The 200 goes on as it came (RFC 3261 section 16.7 step 5) and so does its ACK; then each party hears BYE of the other one,
        along its own route set, with a number behind all of his (section 12.2.1.1).
        """
        self.breaks(Side.CALLEE, "INVITE", 200)
        with capturedLogs() as events:
            self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        said = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(
            said,
            [f"call call-1 ends, since what its callee has answered cannot be relayed: {FAULT}"],
        )
        self.assertEqual(self.alice.response(200).body, b"answer")
        self.no_bye()
        self.ack()
        self.assertEqual(self.bob.request("ACK").body, b"")
        to_alice, to_bob = self.byes()
        self.assertEqual((to_alice.uri, to_bob.uri), (self.alice.uri, self.bob.uri))
        self.assertEqual(to_alice.tags, (self.bob.tag, self.alice.tag))
        self.assertEqual(to_bob.tags, (self.alice.tag, self.bob.tag))
        for bye in (to_alice, to_bob):
            number, method = bye.cseq
            self.assertEqual((method, number < 1 << 31, bye.call_id), ("BYE", True, "call-1"))
            self.assertGreater(number, 1 << 30)
            self.assertEqual(bye.values("route"), [])
            self.assertEqual(bye.get("reason"), 'SIP;cause=488;text="SDP line m= has not the form"')
            self.assertEqual(len(bye.values("via")), 1)
        [(call, reason)] = self.over
        self.assertEqual((reason, call.ended_by), ("not relayed (SDP line m= has not the form)", ""))
        self.assertEqual(dict(self.node.calls.ended), {"not relayed": 1})

    def test_phone_behind_its_connection(self) -> None:
        """A party is reached over the flow that it has, wherever its Contact says that it is (RFC 5626 section 5.3)."""
        self.alice = self.world.phone("alice", "203.0.113.5", TCP, 40001)
        self.alice.contact = "sip:alice@192.168.1.2:5060;transport=tcp"
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        self.ack()
        to_alice, _ = self.byes()
        self.assertEqual(to_alice.uri, self.alice.contact)

    def test_proxies_on_both_sides(self) -> None:
        """Those that stay in the dialog get the BYE in the order that each side's route set has (12.1.1, 12.1.2)."""
        before = self.world.phone("before", "198.51.100.11")
        behind = [self.world.phone("behind", f"198.51.100.{n}") for n in (12, 13)]
        self.breaks(Side.CALLEE, "INVITE", 200)
        invite = self.invite(headers=["Record-Route: <sip:198.51.100.11;lr>"])
        ours = invite.values("record-route")[:-1]
        routes = ["<sip:198.51.100.13;lr>", "<sip:198.51.100.12;lr>", *ours, "<sip:198.51.100.11;lr>"]
        self.answers(invite, routes, b"answer")
        self.ack_along(routes)
        to_bob, to_alice = behind[0].request("BYE"), before.request("BYE")
        self.assertEqual(
            (to_bob.uri, to_bob.values("route")),
            (self.bob.uri, ["<sip:198.51.100.12;lr>", "<sip:198.51.100.13;lr>"]),
        )
        self.assertEqual(
            (to_alice.uri, to_alice.values("route")), (self.alice.uri, ["<sip:198.51.100.11;lr>"])
        )
        for phone, bye in ((behind[0], to_bob), (before, to_alice)):
            phone.reply(bye, 200)

    def answers(self, invite: Request, routes: list[str], body: bytes) -> None:
        """As a UAS behind other proxies does."""
        more = [("record-route", route) for route in routes]
        ok = reply(invite, 200, None, self.bob.tag, [*more, ("contact", f"<{self.bob.uri}>"), *SDP], body)
        self.world.network.put("UDP", self.bob.address, self.node.address, ok.to_bytes())
        self.world.run()

    def ack_along(self, routes: list[str]) -> None:
        self.alice.send(
            self.node, "ACK", self.bob.uri, to_tag=self.bob.tag, routes=routes[::-1][1:],
        )  # fmt: skip

    def test_flows_of_another_node(self) -> None:
        """Both parties have their connections to node a, and the call is served by b: each BYE takes the way over a."""
        other = self.world.node("b", relay="userspace")
        other.media.message_passes = self.passes
        self.bob = self.world.phone("bob", "203.0.113.6", TCP, 40002)
        self.bob.register(self.node)
        self.alice = self.world.phone("alice", "203.0.113.5", TCP, 40001)
        self.node.load(0.9)
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        self.assertEqual((len(self.node.calls), len(other.calls)), (0, 1))
        self.ack()
        for bye in self.byes():
            self.assertEqual(len(bye.values("via")), 2)
        self.assertEqual(dict(other.calls.ended), {"not relayed": 1})

    def test_no_ack(self) -> None:
        """A caller that does not acknowledge: the callee gives up by 64*T1 (13.3.1.4), and hears no BYE before (section 15)."""
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        self.world.wait(31.0)
        self.no_bye()
        self.world.wait(1.5)
        self.byes()
        self.assertEqual(len(self.node.calls), 0)

    def test_hung_up_before(self) -> None:
        """A caller that cannot do anything with it either says BYE himself, and there is nothing left to end."""
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        routes = self.alice.response(200).values("record-route")
        self.alice.send(self.node, "BYE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=routes)
        self.bob.reply(self.bob.request("BYE"), 200)
        self.bob.took()
        self.ack()
        self.world.wait(33.0)
        self.no_bye()
        self.assertEqual(dict(self.node.calls.ended), {"bye": 1})

    def test_other_dialog_stays(self) -> None:
        """Two phones have answered: the one whose answer is good keeps the call (13.2.2.4)."""
        self.calls_left = 1
        invite = self.invite()
        self.bob.reply(invite, 200, headers=SDP, body=b"answer")
        good, self.bob.tag = self.bob.tag, "tag-other"
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(invite, 200, headers=SDP, body=b"answer")
        self.ack()
        self.assertEqual(
            {bye.tags for bye in self.byes()}, {("tag-alice", "tag-other"), ("tag-other", "tag-alice")}
        )
        [call] = self.node.calls
        self.assertEqual(call.legs, (good,))

    def test_copies(self) -> None:
        """A 200 that comes twice, and an ACK for each: one BYE each way."""
        self.breaks(Side.CALLEE, "INVITE", 200)
        invite = self.invite()
        for _ in range(2):
            self.bob.reply(invite, 200, headers=SDP, body=b"answer")
        for _ in range(2):
            self.ack()
        self.byes()
        for phone in (self.alice, self.bob):
            self.assertEqual([m.method for m in phone.inbox if isinstance(m, Request)].count("BYE"), 1)

    def test_no_record_route(self) -> None:
        """A callee that leaves it out has the dialog go around this node, which only lets go of the call."""
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.answers(self.invite(), [], b"answer")
        self.world.wait(33.0)
        self.no_bye()
        self.assertEqual(dict(self.node.calls.ended), {"not relayed": 1})

    def test_gone(self) -> None:
        """A party whose connection is lost hears nothing, the other one does."""
        self.alice = self.world.phone("alice", "203.0.113.5", TCP, 40001)
        self.breaks(Side.CALLEE, "INVITE", 200)
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        self.node.transport.lose(self.alice.address)
        self.world.wait(33.0)
        self.bob.reply(self.bob.request("BYE"), 481)
        self.assertEqual(len(self.node.calls), 0)


class LateOfferTests(ReleasingCase):
    def test_offer(self) -> None:
        """The offer is in the 200, and no port is free for it: the caller answers it all the same, then both hear BYE."""
        self.breaks(Side.CALLEE, "INVITE", 200, PeerError("no media port is free", 503))
        self.breaks(Side.CALLER, "ACK")
        self.bob.reply(self.invite(body=""), 200, headers=SDP, body=b"offer")
        self.assertEqual(self.alice.response(200).body, b"offer")
        self.ack("answer")
        self.assertEqual(self.bob.request("ACK").body, b"answer")
        _, to_bob = self.byes()
        self.assertEqual(to_bob.get("reason"), 'SIP;cause=503;text="no media port is free"')

    def test_answer_in_ack(self) -> None:
        """The callee has its ACK all the same, else it repeats its 200 for 32 s (13.3.1.4); then both hear BYE."""
        self.breaks(Side.CALLER, "ACK")
        self.bob.reply(self.invite(body=""), 200, headers=SDP, body=b"offer")
        self.assertEqual(self.alice.response(200).body, b"relayed offer")
        self.ack("answer")
        self.assertEqual(self.bob.request("ACK").body, b"answer")
        to_alice, to_bob = self.byes()
        self.assertEqual((to_bob.uri, to_alice.tags), (self.bob.uri, (self.bob.tag, self.alice.tag)))
        self.assertEqual(dict(self.node.calls.ended), {"not relayed": 1})


class WithinDialogTests(ReleasingCase):
    def setUp(self) -> None:
        super().setUp()
        self.bob.reply(self.invite(), 200, headers=SDP, body=b"answer")
        self.along = self.alice.response(200).values("record-route")
        self.ack()

    def request(self, sender: Phone, other: Phone, method: str) -> Request:
        sender.send(self.node, method, other.uri, cseq=2, to_tag=other.tag, routes=self.along, body="offer")
        return other.request(method)

    def test_reinvite(self) -> None:
        """An answer to a re-INVITE, of either side: behind its ACK."""
        self.breaks(Side.CALLEE, "INVITE", 200)
        again = self.request(self.alice, self.bob, "INVITE")
        self.bob.reply(again, 200, headers=SDP, body=b"answer")
        self.assertEqual(self.alice.response(200).body, b"answer")
        self.no_bye()
        self.ack(cseq=2)
        to_alice, to_bob = self.byes()
        self.assertEqual((to_alice.uri, to_bob.uri), (self.alice.uri, self.bob.uri))

    def test_update_of_the_callee(self) -> None:
        """An answer to an UPDATE has no ACK: behind the 200 (RFC 3311 section 5.2)."""
        self.breaks(Side.CALLER, "UPDATE", 200)
        update = self.request(self.bob, self.alice, "UPDATE")
        self.alice.reply(update, 200, headers=SDP, body=b"answer")
        self.assertEqual(self.bob.response(200).body, b"answer")
        callee = self.bob.tag  # whose dialog it is, also where he has asked (RFC 3261 section 12.1)
        told = self.tags[Side.CALLEE, "UPDATE", None], self.tags[Side.CALLER, "UPDATE", 200]
        self.assertEqual(told, (callee, callee))
        self.world.wait(0.2)
        to_alice, to_bob = self.byes()
        self.assertEqual((to_alice.uri, to_bob.uri), (self.alice.uri, self.bob.uri))
        self.assertEqual(dict(self.node.calls.ended), {"not relayed": 1})


class EarlyTests(ReleasingCase):
    """What a 1xx says that the relay can do nothing with."""

    def ring(self, invite: Request, status: int = 183, *headers: tuple[str, str]) -> None:
        self.bob.reply(invite, status, headers=[*SDP, *headers], body=b"answer")

    def test_left_out(self) -> None:
        """Early media is left out: the answer that counts is in the 200, and the caller keeps to the first one (13.2.1)."""
        self.calls_left = 1
        self.breaks(Side.CALLEE, "INVITE", 183)
        invite = self.invite()
        self.ring(invite)
        ringing = self.alice.response(183)
        self.assertEqual(
            (ringing.body, ringing.get("content-type"), ringing.get("content-length")), (b"", None, "0")
        )
        self.bob.reply(invite, 200, headers=SDP, body=b"answer")
        self.assertEqual(self.alice.response(200).body, b"relayed answer")
        self.ack()
        self.world.wait(33.0)
        self.no_bye()

    def test_reliable(self) -> None:
        """
        A reliable 1xx is the answer (RFC 3262 section 5), and nobody may hide or change it: it goes nowhere, its branch is
        cancelled (RFC 3261 section 16.10), and the caller hears that the next hop has sent what it should not.
        """
        self.breaks(Side.CALLEE, "INVITE", 183)
        invite = self.invite()
        self.alice.took()
        with capturedLogs() as events:
            self.ring(invite, 183, ("Require", "100rel"), ("RSeq", "1"))
        self.assertIn("a branch is cancelled", "".join(map(str, map(formatEvent, events))))
        self.bob.reply(self.bob.request("CANCEL"), 200)
        self.ring(invite, 183, ("Require", "100rel"), ("RSeq", "1"))
        self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took(), [502])
        self.assertEqual([reason for _, reason in self.over], [f"failed 502 ({FAULT})"])

    def test_reliable_offer_without_ports(self) -> None:
        """A late offer for which no port is free is our own 503, as an early one is."""
        self.breaks(Side.CALLEE, "INVITE", 183, PeerError("no media port is free", 503))
        invite = self.invite(body="")
        self.ring(invite, 183, ("Require", "timer, 100rel"), ("RSeq", "1"))
        self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took()[-1], 503)

    def test_crosses_the_cancel(self) -> None:
        """A phone that was answered right then: its 200 goes on, and as the relay says no to that, too, the call ends."""
        self.breaks(Side.CALLEE, "INVITE", 183)
        self.breaks(Side.CALLEE, "INVITE", 200)
        invite = self.invite()
        self.ring(invite, 183, ("Require", "100rel"), ("RSeq", "1"))
        self.bob.reply(invite, 200)
        self.ack()
        self.byes()
        self.assertEqual(dict(self.node.calls.ended), {"not relayed": 1})

    def test_other_branch(self) -> None:
        """Another phone has the call all the same; its refusal says more than a fault of ours, too (16.7 step 6)."""
        for number, status in enumerate((200, 486)):
            with self.subTest(status=status):
                self.bob.register(self.node)
                cell = self.world.phone("bob", "198.51.100.3")
                cell.tag = "tag-cell"
                cell.register(self.node)
                self.broken.clear()
                self.breaks(Side.CALLEE, "INVITE", 183)
                invite = self.invite(call_id=f"fork-{number}")
                self.ring(invite, 183, ("Require", "100rel"), ("RSeq", "1"))
                self.bob.reply(invite, 487)
                cell.reply(
                    cell.request("INVITE"),
                    status,
                    headers=SDP if status == 200 else (),
                    body=b"x" * (status == 200),
                )
                self.assertEqual(self.alice.took()[-1], status)
        for call in list(self.node.calls):
            self.node.calls.end(call.key, "bye")

    def test_update_before_the_answer(self) -> None:
        """An answer to an UPDATE of a call that rings: it goes on, and the call ends when it is answered."""
        self.breaks(Side.CALLEE, "UPDATE", 200)
        invite = self.invite()
        self.bob.reply(invite, 183, headers=SDP, body=b"answer")
        self.along = self.alice.response(183).values("record-route")
        self.alice.send(
            self.node, "UPDATE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=self.along, body="offer"
        )
        self.bob.reply(self.bob.request("UPDATE"), 200, headers=SDP, body=b"answer")
        self.assertEqual(self.alice.response(200).body, b"answer")
        self.world.wait(1.0)
        self.no_bye()
        self.breaks(Side.CALLEE, "INVITE", 200)  # as the relay does for the phone that was not heard
        self.bob.reply(invite, 200)
        self.ack()
        self.byes()


class GatewayTests(TrunkCase):
    """A carrier that wants a password for each request."""

    def test_challenged(self) -> None:
        """Its challenge of the BYE is answered as that of any request of the call is (RFC 3261 section 22.3)."""
        self.declare([gateway("a", auth_user="us", secret="s")])
        self.node.serving.within.identity = lambda name: lambda: Identity("us", "sesame")
        self.invite()
        self.a.reply(self.a.request("INVITE"), 200)
        [call] = self.node.calls
        call.proves_to = "a"
        answer = self.alice.response(200)
        ways = self.node.dialogs.ways(answer, call.key)
        assert ways is not None
        to_callee, to_caller = ways
        self.node.serving.within.answers.releasing.end(
            Ending(
                call.key, self.a.tag, answer.get("from") or "", answer.get("to") or "",
                Way(self.alice.uri, *to_caller), Way(self.a.uri, *to_callee), 488, "broken",
            )
        )  # fmt: skip
        self.world.run()
        first = self.a.request("BYE")
        self.a.reply(first, 407, headers=[("Proxy-Authenticate", 'Digest realm="a", nonce="1", qop="auth"')])
        again = self.a.request("BYE")
        self.assertEqual(again.cseq[0], first.cseq[0] + 1)
        self.assertIn('username="us"', again.get("proxy-authorization") or "")
        self.a.reply(again, 200)
        self.alice.reply(
            self.alice.request("BYE"), 407, headers=[("Proxy-Authenticate", 'Digest realm="b", nonce="2"')]
        )
        self.assertEqual([m.cseq[1] for m in self.alice.inbox if isinstance(m, Request)].count("BYE"), 1)
