"""The copy of a request for one target."""

from __future__ import annotations

from tests.unit.services.sip.forwarding_case import BOB, ForwardingCase
from voipcluster.errors import TransportError
from voipcluster.services.sip.copies import Copy
from voipcluster.sip.message import Request, parse
from voipcluster.sip.proxy.events import Target


class CopyTests(ForwardingCase):
    def copied(self) -> Request:
        self.alice.send(self.node, "INVITE", "sip:x@y", branch="x")
        found = self.bob.request()
        self.bob.reply(found, 486)
        return found

    def test_via_on_top(self) -> None:
        """Our Via is on top with our sent-by, those below are as they came, but for the true source (16.6 step 8)."""
        own, below = self.copied().values("via")
        self.assertTrue(own.startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"))
        self.assertTrue(below.startswith("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKx;rport=5060"))

    def test_routes(self) -> None:
        """The target's Route stands in front of the request's; the first one is the next hop (section 16.6 steps 6 and 7)."""
        self.targets = (Target("sip:x@y", routes=("<sip:198.51.100.2;lr>",)),)
        self.routes = ["<sip:203.0.113.8;lr>"]
        copy = self.copied()
        self.assertEqual(copy.uri, "sip:x@y")
        self.assertEqual(copy.values("route"), ["<sip:198.51.100.2;lr>", "<sip:203.0.113.8;lr>"])

    def breadths(self, *headers: str) -> list[str]:
        self.alice.send(self.node, "INVITE", "sip:x@y", branch=f"b{self.world.branches}", headers=headers)
        copy = self.bob.request()
        self.bob.reply(copy, 486)
        return copy.get_all("max-breadth")

    def test_breadth(self) -> None:
        """A copy has one Max-Breadth: what came, or what is the most here, whichever is less (RFC 5393 section 5.3.3)."""
        self.assertEqual(self.breadths(), ["60"])
        self.assertEqual(self.breadths("Max-Breadth: 5", "Max-Breadth: 4"), ["4"])
        self.node.core.max_breadth = 20
        self.assertEqual(self.breadths("Max-Breadth: 30"), ["20"])

    def test_breadth_of_a_fork(self) -> None:
        """Branches that are tried together share it (RFC 5393 section 5.3.3)."""
        self.targets = (Target(BOB), Target(f"{BOB};x=2"), Target(f"{BOB};x=3"))
        self.alice.send(self.node, "INVITE", "sip:x@y", branch="f", headers=["Max-Breadth: 10"])
        copies = [m for m in self.bob.inbox if isinstance(m, Request)]
        self.assertEqual([copy.get("max-breadth") for copy in copies], ["3", "3", "3"])
        for copy in copies:
            self.bob.reply(copy, 486)

    def test_strict_router(self) -> None:
        """A strict router is put into the Request-URI (section 16.6 step 6)."""
        self.routes = ["<sip:198.51.100.2>"]
        copy = self.copied()
        self.assertEqual((copy.uri, copy.values("route")), ("sip:198.51.100.2", [f"<{BOB}>"]))

    def test_no_way(self) -> None:
        """A target without a way to it is a failed branch, a broken one too: the next one is tried (section 16.9)."""
        self.targets = (
            Target("sip:bob@name.example"),
            Target("sips:bob@198.51.100.2"),
            Target("nonsense"),
            Target(BOB, q=1),
        )
        self.copied()
        self.assertEqual(self.alice.took(), [486])

    def test_large(self) -> None:
        """A node that can try one server only sends a large request over UDP, rather than not at all (section 18.1.1)."""
        self.assertIsNone(self.node.core.resolving)
        self.alice.send(self.node, "INVITE", "sip:x@y", body="x" * 1500)
        copy = self.bob.request()
        self.assertTrue(copy.values("via")[0].startswith("SIP/2.0/UDP "))
        self.bob.reply(copy, 486)
        self.assertEqual(self.alice.took(), [486])

    def test_ack(self) -> None:
        """An ACK is sent without a transaction (section 17.1.1.3)."""
        message = parse(self.alice.send(self.node, "OPTIONS", "sip:x@y"))
        assert isinstance(message, Request)
        message.method = "ACK"
        before = len(self.node.transactions.clients)
        self.assertIsNone(Copy(message, None, 70, None).send(self.node.core, Target(BOB), None, 0))
        self.assertEqual(len(self.node.transactions.clients), before)
        self.assertRaises(
            TransportError, Copy(message, None, 70, None).send, self.node.core, Target("sip:x@name"), None, 0
        )
