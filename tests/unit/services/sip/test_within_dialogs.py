"""Later requests of a dialog, and the end of the call."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase

BOB = "sip:bob@example.com"


class WithinDialogsTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()
        self.alice.send(self.node, "INVITE", BOB)
        self.bob.reply(self.bob.request(), 200)
        self.routes = self.alice.response(200).values("record-route")

    def send(self, method: str, cseq: int = 2, to_tag: str = "") -> None:
        self.alice.send(
            self.node, method, self.bob.uri, cseq=cseq, to_tag=to_tag or self.bob.tag, routes=self.routes
        )

    def ended(self) -> dict[str, int]:
        return dict(self.node.calls.ended)

    def test_bye(self) -> None:
        """A BYE ends the call when it is answered, whatever the answer is but a challenge (RFC 3261 section 15.1.1)."""
        self.send("BYE")
        self.assertEqual(len(self.node.calls), 1)
        self.bob.reply(self.bob.request("BYE"), 401)
        self.assertEqual((len(self.node.calls), self.ended()), (1, {}))
        self.send("BYE", 3)
        self.bob.reply(self.bob.request("BYE"), 500)
        self.assertEqual((len(self.node.calls), self.ended()), (0, {"bye": 1}))

    def test_lost(self) -> None:
        """481 or 408 to a re-INVITE says that the dialog is gone, another refusal does not (12.2.1.2)."""
        self.send("INVITE")
        self.bob.reply(self.bob.request("INVITE"), 488)
        self.assertEqual((len(self.node.calls), self.ended()), (1, {}))
        (call,) = self.node.calls
        self.send("INVITE", 3)
        self.bob.reply(self.bob.request("INVITE"), 481)
        self.assertEqual((len(self.node.calls), self.ended()), (0, {"lost 481": 1}))
        self.assertEqual((call.legs, call.last_leg), ((), self.bob.tag))

    def test_one_of_two_dialogs(self) -> None:
        """The end of a dialog ends the call when no other one is up (13.2.2.4)."""
        self.calls_left = 1
        (call,) = self.node.calls
        call.leg_up("another")
        self.send("BYE")
        self.bob.reply(self.bob.request("BYE"), 200)
        self.assertEqual((call.legs, len(self.node.calls)), (("another",), 1))

    def test_refused_reinvite(self) -> None:
        """The ACK for a refusal of ours is for us, though it has the Route of the dialog (17.1.1.3)."""
        self.calls_left = 1
        self.bob.took()
        for cseq, method, headers, statuses in (
            (2, "INVITE", ["Session-Expires: 5", "Supported: timer"], [422]),
            (2, "INVITE", ["Session-Expires: 5", "Supported: timer"], [422]),
            (2, "ACK", [], []),
        ):
            self.alice.took()
            self.alice.send(
                self.node, method, self.bob.uri, cseq=cseq, to_tag=self.bob.tag, routes=self.routes,
                headers=headers, branch="again",
            )  # fmt: skip
            self.assertEqual((self.alice.took(), self.bob.took()), (statuses, []))

    def test_info_is_no_end(self) -> None:
        """What is refused with 481 but is neither INVITE nor BYE ends nothing here."""
        self.calls_left = 1
        self.send("INFO")
        self.bob.reply(self.bob.request("INFO"), 481)
        self.assertEqual((len(self.node.calls), self.ended()), (1, {}))
