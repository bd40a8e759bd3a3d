"""What is learned from responses: how long a session lasts, who has answered and where he is."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from voipcluster.sip.session_timer import SessionTimer

BOB = "sip:bob@example.com"


class AnswersTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.node.serving.session_timer = self.node.serving.within.session_timer = SessionTimer(600, 300)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def expires(self) -> list[float]:
        return [call.expires - self.world.clock.seconds() for call in self.node.calls]

    def test_agreed(self) -> None:
        """The call lasts as long as its session; each refresh makes it longer, one without an interval endless (8.2)."""
        self.alice.send(self.node, "INVITE", BOB, headers=["Session-Expires: 1800", "Supported: timer"])
        invite = self.bob.request()
        self.assertEqual(invite.get("session-expires"), "600")
        self.bob.reply(invite, 200)
        ok = self.alice.response(200)
        self.assertEqual(ok.get("session-expires"), "600;refresher=uac")
        self.assertEqual(self.expires(), [600.0])
        routes = ok.values("record-route")
        self.world.clock.advance(300.0)
        for cseq, (asked, lasts) in enumerate((("400", [400.0]), ("", [600.0])), 2):
            headers = [f"Session-Expires: {asked}"] if asked else []
            self.alice.send(
                self.node, "UPDATE", self.bob.uri, cseq=cseq, to_tag=self.bob.tag, routes=routes,
                headers=[*headers, "Supported: timer"],
            )  # fmt: skip
            self.bob.reply(self.bob.request("UPDATE"), 200)
            self.assertEqual(self.expires(), lasts)
        self.node.serving.within.session_timer = SessionTimer()
        self.alice.send(self.node, "UPDATE", self.bob.uri, cseq=9, to_tag=self.bob.tag, routes=routes)
        self.bob.reply(self.bob.request("UPDATE"), 200)
        self.assertEqual([call.expires for call in self.node.calls], [0.0])
        self.alice.send(self.node, "BYE", self.bob.uri, cseq=10, to_tag=self.bob.tag, routes=routes)
        self.bob.reply(self.bob.request("BYE"), 200)

    def test_who_answers(self) -> None:
        """Each phone that answers is a leg of the call; a 100 says nothing (RFC 3261 sections 12.1 and 13.2.2.4)."""
        self.calls_left = 1
        self.alice.send(self.node, "INVITE", BOB)
        invite = self.bob.request()
        (call,) = self.node.calls
        self.bob.reply(invite, 100)
        self.assertEqual((call.legs, call.leads(False, self.bob.uri)), ((), False))
        self.bob.reply(invite, 180)
        self.assertEqual((call.legs, call.leads(False, self.bob.uri)), ((), True))
        self.bob.reply(invite, 200)
        self.assertEqual(call.legs, (self.bob.tag,))
