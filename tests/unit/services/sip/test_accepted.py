"""What a node knows about a request that it takes."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from voipcluster.services.sip.accepted import Accepted

BOB = "sip:bob@example.com"


class AcceptedTests(WorldCase):
    def test_what_the_proxy_takes(self) -> None:
        """The Request-URI behind a Route of ours (RFC 3261 section 16.4), and who it came from."""
        node, alice = self.world.node("a"), self.world.phone("alice", "198.51.100.1")
        taken: list[Accepted] = []
        self.patch(node.serving, "serve", taken.append)
        alice.send(node, "INVITE", BOB, routes=[f"<sip:{node.core.own_address[0]};lr>"])
        (accepted,) = taken
        self.assertEqual((accepted.uri, list(accepted.drop_lines)), (BOB, []))
        self.assertEqual(accepted.routes, [])
        self.assertEqual(accepted.client.flow.remote[0], "198.51.100.1")
        self.assertEqual(accepted.incoming.request.method, "INVITE")
