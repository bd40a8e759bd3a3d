"""The target set of a Request-URI (RFC 3261 section 16.5)."""

from __future__ import annotations

from tests.unit.services.sip_world import Node, Phone, WorldCase
from voipcluster.address import UDP
from voipcluster.errors import ParseError, PeerError
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.route import contact_hash, route_uri
from voipcluster.sip.values import parse_name_addr

BOB = "sip:bob@example.com"


class TargetsTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.world.node("a"), self.world.node("b")
        self.bob = self.world.phone("bob", "198.51.100.2")

    def locate(self, uri: str = BOB) -> list[Target]:
        return self.a.targets.locate(uri)

    def assertNone(self, status: int, uri: str = BOB) -> None:
        error = self.assertRaises(PeerError, self.locate, uri)
        self.assertEqual(error.status_hint, status)

    def test_foreign(self) -> None:
        """A URI that is not ours is its own target, without what has no place in a Request-URI (section 16.6 step 2)."""
        self.assertEqual(
            self.locate("sip:x@elsewhere.example;method=BYE;y=1?Subject=z"),
            [Target("sip:x@elsewhere.example;y=1")],
        )

    def test_unknown(self) -> None:
        """404 for who is no user, 480 for one who is nowhere."""
        self.assertNone(480)
        self.assertNone(404, "sip:dave@example.com")
        self.assertNone(404, "sip:example.com")
        self.assertRaises(ParseError, self.locate, "sip:[")

    def test_own_flow(self) -> None:
        """A phone registered here is reached over its flow."""
        self.bob.register(self.a)
        (target,) = self.locate()
        assert target.flow is not None and target.party is not None
        self.assertEqual(
            (target.uri, target.flow.remote, target.routes), (self.bob.uri, self.bob.address, ())
        )
        self.assertEqual(target.party.contact, contact_hash(self.bob.uri))

    def test_flow_of_another_node(self) -> None:
        """A phone registered elsewhere is reached through the node that owns its flow."""
        self.bob.register(self.b)
        (target,) = self.locate()
        self.assertIsNone(target.flow)
        self.assertEqual(route_uri(target.routes[0]).host, "192.0.2.2")

    def test_q(self) -> None:
        """Each binding has its q, in thousandths, the best one first."""
        self.bob.send(
            self.a, "REGISTER", "sip:example.com", call_id="r",
            headers=["Expires: 60", "Contact: <sip:bob@198.51.100.3>;q=0.5"],
        )  # fmt: skip
        self.assertEqual([target.q for target in self.locate()], [1000, 500])

    def test_a_contact_that_is_some_other_place(self) -> None:
        """A mobile that is registered beside the phone is reached where it is, not over the phone's flow (10.2.1)."""
        self.bob.send(
            self.a, "REGISTER", "sip:example.com", call_id="r",
            headers=["Expires: 60", "Contact: <sip:mobile@203.0.113.77>;q=0.5"],
        )  # fmt: skip
        for node in (self.a, self.b):
            self.assertEqual(node.targets.locate(BOB)[1], Target("sip:mobile@203.0.113.77", q=500))

    def test_path(self) -> None:
        """Path values become Route, in their order (RFC 3327 section 5.4)."""
        self.bob.send(
            self.a, "REGISTER", "sip:example.com", call_id="r",
            headers=["Expires: 60", "Supported: path", "Path: <sip:192.0.2.77;lr>, <sip:192.0.2.78;lr>"],
        )  # fmt: skip
        (target,) = self.locate()
        self.assertEqual(target.routes, ("<sip:192.0.2.77;lr>", "<sip:192.0.2.78;lr>"))

    def outbound(self, reg_id: int, node: Node | None = None, port: int = 5060) -> Phone:
        """Bob's phone with one more flow."""
        flow = self.world.phone("bob", "198.51.100.2", UDP if port == 5060 else "TCP", port)
        flow.send(
            node or self.a, "REGISTER", "sip:example.com", call_id=f"r{reg_id}", cseq=self.world.branches,
            headers=["Expires: 60", "Supported: outbound, path, gruu"],
            contact=f'<{flow.uri}>;+sip.instance="<urn:uuid:1>";reg-id={reg_id}',
        )  # fmt: skip
        self.assertEqual(flow.response(200).get("require"), "outbound")
        return flow

    def test_two_flows_of_one_phone(self) -> None:
        """They are one target: the flow that registered last, then the other one (RFC 5626 section 7)."""
        self.outbound(1)
        self.world.clock.advance(1)
        self.outbound(2, self.b, 41000)
        (target,) = self.locate()
        self.assertEqual(route_uri(target.routes[0]).host, "192.0.2.2")
        (other,) = target.alternatives
        assert other.flow is not None
        self.assertEqual((other.flow.remote, other.alternatives), (self.bob.address, ()))
        carol = self.world.phone("bob", "198.51.100.9")
        carol.register(self.a)
        self.assertEqual(sorted(len(target.alternatives) for target in self.locate()), [0, 1])

    def test_same_private_contact(self) -> None:
        """Two phones behind two NATs that give them the same address both ring: each has its own flow."""
        phones = [self.world.phone("bob", f"203.0.113.{number}") for number in (5, 6)]
        for number, phone in enumerate(phones):
            phone.send(
                self.a, "REGISTER", "sip:example.com", call_id=f"home-{number}",
                headers=["Expires: 60", "Supported: outbound, path"],
                contact=f'<sip:bob@192.168.1.2:5060>;+sip.instance="<urn:uuid:{number}>";reg-id=1',
            )  # fmt: skip
            self.assertEqual(phone.took(), [200])
        alice = self.world.phone("alice", "198.51.100.1")
        alice.send(self.a, "INVITE", BOB)
        for phone in phones:
            phone.reply(phone.request("INVITE"), 486)
        self.assertEqual(alice.took()[-1], 486)

    def test_a_flow_that_is_gone_is_no_alternative(self) -> None:
        """Of two flows the one that is left is the target."""
        self.outbound(1)
        self.world.clock.advance(1)
        self.outbound(2, self.a, 41000)
        self.a.transport.connections.clear()
        (target,) = self.locate()
        assert target.flow is not None
        self.assertEqual((target.flow.remote, target.alternatives), (self.bob.address, ()))

    def test_only_over_its_flow(self) -> None:
        """A phone with a reg-id is not sought at its Contact when the owner of its flow is down (RFC 5626 section 7)."""
        self.outbound(1, self.b)
        self.a.down.add("b")
        self.assertNone(480)
        self.outbound(2, self.a, 41000)
        (target,) = self.locate()
        assert target.flow is not None
        self.assertEqual((target.flow.remote, target.alternatives), (("198.51.100.2", 41000), ()))

    def test_public_gruu(self) -> None:
        """It leads to that phone alone, at every node; 480 while it is away, 404 for who is none (RFC 5627 section 5.4)."""
        self.outbound(1)
        self.world.clock.advance(1)
        self.outbound(2, self.b, 41000)
        self.world.phone("bob", "198.51.100.9").register(self.a)
        for node in (self.a, self.b):
            (target,) = node.targets.locate(f"{BOB};gr=urn:uuid:1")
            self.assertEqual((target.uri[:22], len(target.alternatives)), ("sip:bob@198.51.100.2:4", 1))
        self.assertNone(480, f"{BOB};gr=urn:uuid:2")
        self.assertNone(404, "sip:dave@example.com;gr=urn:uuid:1")
        self.assertNone(404, f"{BOB};gr")

    def test_temporary_gruu(self) -> None:
        """The same for one that hides who it is, until the phone unregisters or changes its Call-ID: then 404."""
        phone = self.outbound(1)
        contact = parse_name_addr(phone.response(200).get("contact") or "")
        gruu = contact.param("temp-gruu") or ""
        for node in (self.a, self.b):
            self.assertEqual([target.uri for target in node.targets.locate(gruu)], [phone.uri])
        self.world.clock.advance(10)
        phone = self.outbound(1)
        self.assertEqual([target.uri for target in self.locate(gruu)], [phone.uri])
        phone.send(
            self.a, "REGISTER", "sip:example.com", call_id="r1", cseq=1000, headers=["Expires: 0"],
            contact=f'<{phone.uri}>;+sip.instance="<urn:uuid:1>";reg-id=1',
        )  # fmt: skip
        self.assertNone(404, gruu)
        self.world.clock.advance(1)
        phone.send(
            self.b, "REGISTER", "sip:example.com", call_id="r1", cseq=1001, headers=["Expires: 60", "Supported: gruu"],
            contact=f'<{phone.uri}>;+sip.instance="<urn:uuid:1>";reg-id=1',
        )  # fmt: skip
        self.assertNone(404, gruu)
        self.assertNone(404, "sip:tgruu.nonsense@example.com;gr")
        fresh = parse_name_addr(phone.response(200).get("contact") or "").param("temp-gruu") or ""
        self.assertEqual([target.uri for target in self.locate(fresh)], [phone.uri])

    def test_not_in_a_request_uri(self) -> None:
        """method and headers of a registered Contact do not get into the Request-URI (section 16.6 step 2)."""
        self.bob.contact = "sip:bob@198.51.100.2;Method=INVITE?Subject=x"
        self.bob.register(self.a)
        self.assertEqual([target.uri for target in self.locate()], ["sip:bob@198.51.100.2"])

    def test_gone(self) -> None:
        """A binding whose connection is gone is no target: 480 when there is no other one."""
        self.bob = self.world.phone("bob", "198.51.100.2", "TCP", 41000)
        self.bob.register(self.a)
        self.a.transport.connections.clear()
        self.assertNone(480)

    def test_owner_down(self) -> None:
        """The owner of the flow is down: a phone on UDP where its Contact says is a target, any other one is not."""
        self.bob.register(self.b)
        self.a.down.add("b")
        self.assertEqual(self.locate(), [Target(self.bob.uri)])
        self.bob.register(self.b, expires=0)
        self.bob.contact = "sip:bob@10.0.0.1"
        self.bob.register(self.b)
        self.assertNone(480)
        self.bob.register(self.b, expires=0)
        self.bob.contact = "sip:bob@phone.local"
        self.bob.register(self.b)
        self.assertNone(480)
