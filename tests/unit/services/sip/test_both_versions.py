"""Clusters of which not every node has both IP versions: how parties of the other one reach the node that serves."""

from __future__ import annotations

from tests.unit.services.sip.test_proxy import BOB, CallCase
from tests.unit.services.sip_world import Phone
from voipcluster.sip.message import Response
from voipcluster.sip.route import route_uri

SIX = ("2001:db8::1", 5060)


class MixedCase(CallCase):
    """Node a has IPv6, too, node b has not; Alice has IPv6 alone, and sends to a. Node b serves the calls."""

    mode = "forward"
    transport = "UDP"
    more: tuple[tuple[str, int], ...] = ()

    def setUp(self) -> None:
        super().setUp()
        self.a = self.world.node("a", self.mode, more=[SIX])
        self.b = self.world.node("b", self.mode, more=self.more)
        self.alice = self.world.phone("alice", "2001:db8::a", self.transport)
        self.alice.register(self.a)
        self.alice.took()
        self.a.load(0.8)

    def answered(self, caller: Phone, callee: Phone, to: str) -> Response:
        """An INVITE to node a, the 200 as the caller got it, and its ACK, sent where its Route says."""
        caller.send(self.a, "INVITE", to)
        self.assertEqual((len(self.a.calls), len(self.b.calls)), (0, 1))
        self.invite = callee.request("INVITE")
        callee.took()
        callee.reply(self.invite, 200)
        ok = caller.response(200)
        caller.took()
        caller.send(self.a, "ACK", self.target(ok), to_tag=callee.tag, routes=self.route_set(ok))
        self.assertEqual(callee.took(), ["ACK"])
        return ok

    def named(self, values: list[str]) -> list[tuple[str, str | None]]:
        """Host and node of Route values."""
        return [(uri.host, uri.param("node")) for uri in map(route_uri, values)]


class MixedTests(MixedCase):
    def test_caller(self) -> None:
        """The caller's Route names a's address of her IP version, and b as the node that a passes it to."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        ok = self.answered(self.alice, bob, BOB)
        self.assertEqual(self.named(self.route_set(ok)), [(SIX[0], "b"), ("192.0.2.2", None)])
        self.caller_hangs_up(self.alice, bob, self.a, ok)
        self.assertEqual(len(self.b.calls), 0)

    def test_caller_is_hung_up_on(self) -> None:
        """The callee's requests reach the caller over a, without a Route that she would have to follow."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        self.answered(self.alice, bob, BOB)
        bob.send(
            self.b, "BYE", self.target(self.invite), cseq=9, to_tag=self.alice.tag,
            routes=self.route_set(self.invite), from_uri=BOB,
        )  # fmt: skip
        bye = self.alice.request()
        self.assertEqual((self.alice.took(), bye.get_all("route")), (["BYE"], []))
        self.alice.reply(bye, 200)
        self.assertEqual((bob.took(), len(self.b.calls)), ([200], 0))

    def test_callee(self) -> None:
        """A callee of a's own IP version gets a Record-Route that she can follow, and hangs up along it."""
        carol = self.world.phone("carol", "198.51.100.3")
        ok = self.answered(carol, self.alice, self.alice.aor)
        self.assertEqual(self.named(self.route_set(self.invite)), [(SIX[0], "b"), ("192.0.2.2", None)])
        self.caller_hangs_up(carol, self.alice, self.b, ok)
        self.answered(carol, self.alice, self.alice.aor)
        self.alice.send(
            self.a, "BYE", self.target(self.invite), cseq=9, to_tag=carol.tag,
            routes=self.route_set(self.invite), from_uri=self.alice.aor,
        )  # fmt: skip
        bye = carol.request()
        self.assertEqual((carol.took(), bye.get_all("route")), (["BYE"], []))
        carol.reply(bye, 200)
        self.assertEqual((self.alice.took(), len(self.b.calls)), ([200], 0))

    def test_both(self) -> None:
        """With both parties at a one value is enough: a passes to b what comes from either."""
        other = self.world.phone("bob", "2001:db8::b", self.transport)
        other.register(self.a)
        other.took()
        ok = self.answered(self.alice, other, BOB)
        self.assertEqual(self.named(self.route_set(ok)), [(SIX[0], "b")])
        self.caller_hangs_up(self.alice, other, self.a, ok)
        self.assertEqual(len(self.b.calls), 0)

    def test_forged_name(self) -> None:
        """A node's name without a token that the cluster made leads nowhere (toll fraud)."""
        self.alice.send(
            self.a,
            "BYE",
            "sip:x@203.0.113.9",
            to_tag="x",
            routes=[f"<sip:[{SIX[0]}]:5060;lr;call=AAAA;node=b>"],
        )
        self.assertEqual(self.alice.took(), [403])
        self.assertEqual(
            self.b.dialogs.foreign(["<sip:203.0.113.9;lr;call=AAAA;node=a>"]),
            ["<sip:203.0.113.9;lr;call=AAAA;node=a>"],
        )

    def test_service_route(self) -> None:
        """A registration that b answers names the address that the phone has sent it to (RFC 3608)."""
        self.alice.register(self.a)
        answer = self.alice.response(200)
        self.assertEqual(self.a.placing.total_handed_over, 1)
        self.assertEqual(self.named(answer.values("service-route")), [(SIX[0], None)])


class MixedTcpTests(MixedTests):
    """The same for a phone with a connection."""

    transport = "TCP"


class BothTests(MixedCase):
    """Node b has IPv6 as well, at an address that a does not know."""

    more = (("2001:db8::2", 5060),)

    def test_outbound_proxy(self) -> None:
        """The caller's Route names b's own address; who sends all to a is passed on by the node's name in it."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        ok = self.answered(self.alice, bob, BOB)
        self.assertEqual(self.named(self.route_set(ok)), [("2001:db8::2", "b"), ("192.0.2.2", None)])
        self.assertEqual(self.a.dialogs.foreign(self.route_set(ok)), [])
        self.caller_hangs_up(self.alice, bob, self.a, ok)
        self.assertEqual(len(self.b.calls), 0)

    def test_straight(self) -> None:
        """Who follows the Route comes to b without a."""
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        ok = self.answered(self.alice, bob, BOB)
        before = len(self.world.network.log)
        self.caller_hangs_up(self.alice, bob, self.b, ok)
        on_its_way = [to for _, to, wire in self.world.network.log[before:] if wire.startswith(b"BYE")]
        self.assertEqual(on_its_way, [self.b.address, bob.address])


class MixedRedirectTests(MixedCase):
    mode = "redirect"

    def test_redirect(self) -> None:
        """Who cannot reach b is handed over; who can is redirected there."""
        self.calls_left = 1
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        self.answered(self.alice, bob, BOB)
        carol = self.world.phone("carol", "198.51.100.3")
        carol.send(self.a, "INVITE", BOB, call_id="call-2")
        self.assertEqual(carol.took(), [302])

    def test_behind_a_nat(self) -> None:
        """Behind a NAT nobody is redirected: clients do not reach the address that nodes know of each other."""
        self.calls_left = 1
        self.a.placing.reached_at_address = False
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(self.b)
        bob.took()
        carol = self.world.phone("carol", "198.51.100.3")
        self.answered(carol, bob, BOB)
