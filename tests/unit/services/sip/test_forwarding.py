"""One request on its way: copies, and what is held while it lasts and behind it."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from voipcluster.errors import TransportError
from voipcluster.services.sip.forwarding import Copy, Forwarding
from voipcluster.services.sip.transactions import ServerTransaction
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.proxy.context import ProxyContext, Target

BOB = "sip:bob@198.51.100.2"


class ForwardingCase(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.ends: list[int] = []
        self.heard: list[int] = []
        self.node.proxy.request_received = self.forward
        self.targets: tuple[Target, ...] = (Target(BOB),)
        self.routes: list[str] | None = None

    def forward(self, incoming: ServerTransaction) -> None:
        incoming.accept()
        self.incoming = incoming
        self.copy = Copy(incoming.request, incoming, 70, self.routes)
        self.forwarding = Forwarding(
            self.node.core,
            incoming,
            ProxyContext(incoming.request.method == "INVITE"),
            self.copy,
            lambda forwarding, failed, status: forwarding.located(self.targets),
            self.body_of,
            self.ends.append,
            lambda target, status, response: self.heard.append(status),
        )
        self.forwarding.start()

    def body_of(self, target: Target, response: Response) -> bytes | None:
        return b"other" if response.body else None


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


class LifeTests(ForwardingCase):
    def test_end(self) -> None:
        """The end is told once with its status; every response is heard before; the body is the given one."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        self.bob.reply(invite, 200, body=b"sdp")
        self.bob.reply(invite, 200, body=b"sdp")
        self.assertEqual((self.ends, self.heard), ([200], [180, 200, 200]))
        self.assertEqual(self.alice.response(200).body, b"other")
        self.assertEqual(self.alice.took(), [180, 200, 200])

    def test_no_via_left(self) -> None:
        """A 2xx without a Via behind ours ends the request with 502, for who counts calls, too; a copy changes nothing."""
        other = self.world.phone("bob", "198.51.100.3")
        for method, targets in (
            ("INVITE", (Target(BOB),)), ("MESSAGE", (Target(BOB),)), ("INVITE", (Target(BOB), Target("sip:bob@198.51.100.3"))),
        ):  # fmt: skip
            self.targets, self.ends[:] = targets, []
            self.alice.send(self.node, method, "sip:x@y", call_id=f"{method}{len(targets)}")
            copy = self.bob.request()
            via = copy.values("via")[0]
            wire = (
                f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <{self.alice.aor}>;tag=a\r\nTo: <sip:x@y>;tag=b\r\n"
                f"Call-ID: {copy.call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            for _ in range(2):
                self.world.network.put("UDP", self.bob.address, self.node.address, wire)
                self.world.run()
            self.assertEqual((self.alice.took(), self.ends), ([502], [502]), (method, targets))
            for asked in other.inbox:
                assert isinstance(asked, Request)
                other.reply(asked, 487)

    def test_request_is_let_go(self) -> None:
        """Behind the final response neither copy nor request are held (memory of each call)."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        self.assertEqual(self.incoming.request.method, "INVITE")
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.incoming.request.lines, [])
        self.assertIsNone(self.forwarding._copy)

    def test_abandoned(self) -> None:
        """Who is abandoned cancels what is under way, hears nothing any more, and leaves the answer to others."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        self.bob.reply(self.bob.request(), 180)
        request = self.incoming.request
        self.forwarding.abandon()
        self.world.run()
        self.assertEqual(self.bob.took(), ["INVITE", "CANCEL"])
        self.assertIsNone(self.incoming.user)
        self.world.wait(200, step=0.5)
        self.assertEqual((self.alice.took(), self.ends), ([180], []))
        self.incoming.request = request
        self.incoming.answer(480)

    def test_silence_of_a_non_invite(self) -> None:
        """A request that nobody answers is forgotten without an answer (RFC 4320 section 4.2)."""
        self.world.network.lost.add(self.bob.address)
        self.alice.send(self.node, "MESSAGE", "sip:x@y")
        self.world.wait(32.2)
        self.assertEqual((self.alice.took(), self.ends), ([], [0]))
        self.assertEqual(self.node.transactions.servers, {})

    def test_aggregated_challenges(self) -> None:
        """The caller gets the challenges of both branches (section 16.7 step 7)."""
        other = self.world.phone("bob", "198.51.100.3")
        self.targets = (Target(BOB), Target("sip:bob@198.51.100.3"))
        self.alice.send(self.node, "INVITE", "sip:x@y")
        for phone, realm in ((self.bob, "a"), (other, "b")):
            phone.reply(phone.request(), 407, headers=[("Proxy-Authenticate", f'Digest realm="{realm}"')])
        self.assertEqual(
            self.alice.response(407).get_all("proxy-authenticate"), ['Digest realm="a"', 'Digest realm="b"']
        )
