"""Loops end, spirals do not (RFC 5393 section 4.2)."""

from __future__ import annotations

from tests.unit.services.sip_world import Node, WorldCase
from tests.unit.sip.messages import request
from voipcluster.errors import PeerError
from voipcluster.services.sip.loops import Loops

ALICE, BOB = "sip:alice@example.com", "sip:bob@example.com"


class LoopTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.world.node("a"), self.world.node("b")
        self.alice = self.world.phone("alice", "198.51.100.1")

    def bind_back(self, user: str, node: Node, *contacts: str) -> None:
        """Register contacts whose Path leads to a node of the cluster."""
        self.alice.send(
            node, "REGISTER", "sip:example.com", from_uri=f"sip:{user}@example.com", call_id=user,
            headers=["Expires: 60", "Supported: path", f"Path: <sip:{node.address[0]};lr>"]
            + [f"Contact: <{contact}>" for contact in contacts[1:]], contact=contacts[0],
        )  # fmt: skip
        self.assertEqual(self.alice.took(), [200])

    def invites(self) -> int:
        return len([d for _, _, d in self.world.network.log if d.startswith(b"INVITE")])

    def test_no_amplification(self) -> None:
        """Bindings that lead back to us are tried once, however they are spelled; the caller gets 482."""
        self.bind_back("alice", self.a, *(f"sip:alice@192.0.2.1;x={n}" for n in range(5)))
        self.alice.send(self.a, "INVITE", ALICE, from_uri="sip:x@elsewhere.example")
        self.assertEqual(self.alice.took(), [100, 482])
        self.assertEqual(self.invites(), 1 + 5)

    def test_over_two_nodes(self) -> None:
        """A loop over another node of the cluster ends there."""
        self.bind_back("alice", self.b, "sip:alice@192.0.2.2;x=0", "sip:alice@192.0.2.2;x=1")
        self.alice.send(self.a, "INVITE", ALICE, from_uri="sip:x@elsewhere.example")
        self.assertEqual(self.alice.took(), [100, 482])
        self.assertEqual(self.invites(), 1 + 2)

    def test_spiral(self) -> None:
        """A request that comes back for somebody else goes on (section 4.2)."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.a)
        self.bind_back("alice", self.a, BOB)
        self.alice.send(self.a, "INVITE", ALICE, from_uri="sip:x@elsewhere.example")
        bob.reply(bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_mark(self) -> None:
        """The mark is that of an address of record, not of a URI or a node, and it must end the branch of a Via."""
        loops = Loops(self.a.core)
        mark = loops.mark(request(), BOB)
        self.assertEqual(mark, Loops(self.b.core).mark(request(), "sip:bob@192.0.2.1;x=y"))
        self.assertNotEqual(mark, loops.mark(request(), ALICE))
        below = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx"
        for via, looped in (
            (f"{below}2, {below}{mark}", True),
            (f"{below}2, {below}{mark};rport=5060", True),
            (f"{below}2, {below}{mark}0", False),
            (f"{below}2, {below};x={mark}", False),
        ):
            if looped:
                error = self.assertRaises(PeerError, loops.mark, request(via=via), BOB)
                self.assertEqual(error.status_hint, 482)
            else:
                self.assertEqual(loops.mark(request(via=via), BOB), mark)
