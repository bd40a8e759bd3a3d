"""Where users send their calls, and nobody is."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World


class PlacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World("a", options={"auth": {"required": True}})
        self.node = self.world.nodes["a"].service
        for name in ("alice", "carol"):
            self.done(self.node.view.user_add(name, "example.com", "secret"))

    def done(self, asked: Any) -> Any:
        self.world.until(lambda: asked.called, "done")
        return self.successResultOf(asked)

    def warnings(self, **preferences: str) -> list[str]:
        given = {name.replace("_", "."): text for name, text in preferences.items()}
        answer = self.done(self.node.view.user_set("alice", "example.com", given))
        return list(answer["warnings"])

    def test_nobody(self) -> None:
        """A user of ours whom nobody knows is told, and taken: he may come yet."""
        self.assertEqual(
            self.warnings(forward_always="nobody"), ["forward.always: there is no user nobody@example.com"]
        )
        self.assertEqual(self.node.view.user_show("alice", "example.com"), {"forward.always": "nobody"})

    def test_somebody(self) -> None:
        """A user, a number and a place elsewhere need no word; neither what was said before."""
        for text in ("carol", "+4930123", "12", "sip:x@elsewhere.example", "tel:+4930"):
            self.assertEqual(self.warnings(forward_busy=text), [], text)
        self.warnings(forward_always="nobody")
        self.assertEqual(self.warnings(forward_busy="carol"), [])

    def test_without_passwords(self) -> None:
        """Users need no account then."""
        config = self.node.config
        self.node.config = evolve(config, auth=evolve(config.auth, required=False))
        self.assertEqual(self.warnings(forward_always="nobody"), [])
