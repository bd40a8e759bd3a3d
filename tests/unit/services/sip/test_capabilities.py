"""What a node says about itself."""

from __future__ import annotations

from tests.unit.services.sip_world import DOMAIN, WorldCase


class CapabilitiesTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")

    def ask(self, *headers: str, uri: str = f"sip:{DOMAIN}") -> None:
        self.alice.send(self.node, "OPTIONS", uri, headers=headers)

    def test_told(self) -> None:
        """Methods, bodies, their encoding and language, and extensions (section 11.2); without state."""
        self.ask()
        ok = self.alice.response(200)
        self.assertIn("INVITE", ok.values("allow"))
        self.assertIn("path", ok.values("supported"))
        for key, value in (
            ("accept", "application/sdp"),
            ("accept-encoding", "identity"),
            ("accept-language", "en"),
        ):
            self.assertEqual(ok.get(key), value)
        self.assertEqual(len(self.node.transactions), 0)

    def test_required(self) -> None:
        """We are its server, so what Require names has to be known, or is named in Unsupported (section 8.2.2.3)."""
        self.ask("Require: PATH")
        self.assertEqual(self.alice.took(), [200])
        self.ask("Require: path, x-one", "Require: x-two")
        self.assertEqual(self.alice.response(420).values("unsupported"), ["x-one", "x-two"])
        self.alice.took()
        self.ask("Require: " + "x" * 500)
        self.assertEqual(self.alice.took(), [400])

    def test_required_of_a_phone(self) -> None:
        """Of somebody behind us it is none of our business (section 16.3)."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.node)
        bob.took()
        self.ask("Require: x-one", uri=bob.aor)
        bob.reply(bob.request("OPTIONS"), 420)
        self.assertEqual(self.alice.took(), [420])
