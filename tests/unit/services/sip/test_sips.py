"""Sides of a call that have different transports: TLS and WebSocket beside UDP, sips beside sip."""

from __future__ import annotations

from tests.unit.services.sip.test_placing import ClusterCase
from tests.unit.services.sip_world import Node, Phone
from voipcluster.sip.route import route_uri

BOB, BOB_SIPS = "sip:bob@example.com", "sips:bob@example.com"


class TransportsCase(ClusterCase):
    def on(self, transport: str, node: Node, contact: str = "", user: str = "bob") -> Phone:
        """A phone registered at a node over a transport."""
        phone = self.world.phone(user, f"198.51.100.{'7' if user == 'bob' else '8'}", transport, 40000)
        phone.contact = contact
        phone.register(node)
        self.assertEqual(phone.took(), [200])
        return phone

    def transports_between(self, one: Node, other: Node) -> set[int]:
        """The ports at one node that the other one sent requests to."""
        return {
            to[1] for source, to, data in self.world.network.log
            if source[0] == other.address[0] and to[0] == one.address[0] and not data.startswith(b"SIP/2.0")
        }  # fmt: skip


class DoubleRecordRouteTests(TransportsCase):
    """Checklist 72: the dialog works in both directions when the transport changes."""

    def check(self, transport: str, contact: str, owner: Node) -> None:
        bob = self.on(transport, owner, contact)
        ok = self.call(self.alice, bob, self.a)
        top, below = (route_uri(value) for value in self.invite.values("record-route"))
        self.assertEqual((top.transport, top.port), (transport, self.a.core.ports[transport]))
        self.assertEqual((below.transport, below.port), ("UDP", 5060))
        self.caller_hangs_up(self.alice, bob, self.a, ok)
        self.assertEqual(len(self.a.calls), 0)

    def test_udp_to_tls(self) -> None:
        """Each side has a value of ours with its own transport (RFC 5658 section 5)."""
        self.check("TLS", "sip:bob@10.1.1.1:40000;transport=tls", self.a)

    def test_udp_to_tls_of_another_node(self) -> None:
        """The same when another node owns the connection."""
        self.check("TLS", "sip:bob@10.1.1.1:40000;transport=tls", self.b)

    def test_udp_to_websocket_of_another_node(self) -> None:
        """A browser's Contact resolves nowhere; it is reached over its connection alone (RFC 7118 section 5.3)."""
        self.check("WS", "sip:x7@df7jal23ls0d.invalid;transport=ws", self.b)

    def test_websocket_calls_through_another_node(self) -> None:
        """A browser sends along the Route of the serving node, but over the connection that it has: its own node passes it on."""
        self.a.load(0.9)
        alice = self.on("WS", self.a, "sip:y@alice.invalid;transport=ws", "alice")
        bob = self.on("UDP", self.b)
        self.a.load(0.9)
        alice.send(self.a, "INVITE", BOB)
        self.invite = bob.request("INVITE")
        bob.reply(self.invite, 200)
        ok = alice.response(200)
        serving = next(node for node in (self.b, self.c) if len(node.calls))
        routes = self.route_set(ok)
        self.assertEqual(route_uri(routes[0]).host, serving.address[0])
        bob.took()
        alice.send(self.a, "ACK", self.target(ok), to_tag=bob.tag, routes=routes)
        self.assertEqual(bob.took(), ["ACK"])
        alice.took()
        self.caller_hangs_up(alice, bob, self.a, ok)
        self.assertEqual(len(serving.calls), 0)

    def test_contact_of_the_connection(self) -> None:
        """A callee whose answer names the far end of its connection, not the Contact it registered, is reached over that."""
        bob = self.on("TLS", self.a, "sip:bob@198.51.100.7:5071;transport=tls")
        bob.contact = "sip:bob@198.51.100.7:40000;transport=tls"
        ok = self.call(self.alice, bob, self.a)
        self.caller_hangs_up(self.alice, bob, self.a, ok)
        self.assertEqual(len(self.a.calls), 0)


class SipsTests(TransportsCase):
    """Checklist 71 and 74."""

    def answered(self, uri: str, node: Node) -> list[int | str]:
        self.alice.send(node, "INVITE", uri)
        return self.alice.took()

    def test_never_in_the_clear(self) -> None:
        """A contact on UDP or TCP is not used for a sips URI; 480 says why (RFC 5630 section 5.3)."""
        for transport in ("UDP", "TCP", "WS"):
            bob = self.on(transport, self.b)
            self.alice.send(self.a, "INVITE", BOB_SIPS)
            response = self.alice.response(480)
            self.assertEqual(response.get("warning"), '380 voipcluster "SIPS Not Allowed"')
            self.assertEqual(bob.took(), [])
            self.alice.inbox.clear()
            bob.register(self.b, 0)

    def test_sips_contact_on_udp(self) -> None:
        """Nor is it when the contact says sips: the flow is what counts."""
        bob = self.on("UDP", self.a, "sips:bob@198.51.100.7:40000")
        self.assertEqual(self.answered(BOB_SIPS, self.a)[-1], 480)
        self.assertEqual(self.answered(BOB, self.a)[-1], 480)
        self.assertEqual(bob.took(), [])

    def test_flows_of_one_phone(self) -> None:
        """Two of one phone are never rung together; when one is dead (430), it is reached over the other (RFC 5626 section 7)."""
        flows = [self.world.phone("bob", "198.51.100.7", "TLS", 40000 + number) for number in (1, 2)]
        for reg_id, flow in enumerate(flows, 1):
            flow.send(
                self.a, "REGISTER", "sip:example.com", call_id=f"reg-{reg_id}",
                contact=f'<sips:bob@198.51.100.7:{40000 + reg_id}>;+sip.instance="<urn:uuid:1>";reg-id={reg_id}',
                headers=["Supported: path, outbound", "Expires: 600"],
            )  # fmt: skip
            self.assertEqual(flow.took(), [200])
        self.alice.send(self.a, "INVITE", BOB_SIPS)
        asked = [flow for flow in flows if "INVITE" in [str(one) for one in flow.took()]]
        self.assertEqual(len(asked), 1)
        [other] = [flow for flow in flows if flow is not asked[0]]
        self.a.transport.lose(asked[0].address)
        self.world.run()
        other.reply(other.request("INVITE"), 486)
        self.assertEqual(self.alice.took()[-1], 486)

    def test_tls_all_the_way(self) -> None:
        """It goes to a phone on TLS, and between the nodes over TLS, too."""
        bob = self.on("TLS", self.b, "sips:bob@198.51.100.7:40000")
        self.world.network.log.clear()
        self.alice.send(self.a, "INVITE", BOB_SIPS)
        self.assertEqual(self.transports_between(self.b, self.a), {5061})
        invite = bob.request("INVITE")
        top, below = invite.values("record-route")
        self.assertTrue(top.startswith("<sips:192.0.2.1:5061;lr;call="), top)
        self.assertTrue(below.startswith("<sip:192.0.2.1:5060;lr;call="), below)  # alice has no TLS
        bob.reply(invite, 486)

    def test_handed_over_within_tls(self) -> None:
        """A node that is full hands a sips request over TLS."""
        self.a.load(0.9)
        bob = self.on("TLS", self.a, "sips:bob@198.51.100.7:40000")
        alice = self.on("TLS", self.a, "sips:alice@198.51.100.8:40000", "alice")
        self.world.network.log.clear()
        alice.send(self.a, "INVITE", BOB_SIPS)
        invite = bob.request("INVITE")
        (route,) = invite.values("record-route")
        self.assertTrue(route.startswith("<sips:192.0.2."), route)
        used = [self.transports_between(node, self.a) for node in (self.b, self.c)]
        self.assertIn({5061}, used)
        self.assertNotIn(5060, set().union(*used))
        bob.reply(invite, 486)

    def test_route_in_the_clear(self) -> None:
        """A Route without TLS does not lead a sips request anywhere."""
        self.registered(self.a)
        self.alice.send(self.a, "INVITE", "sips:bob@example.com", routes=["<sip:198.51.100.2;lr>"])
        self.assertEqual(self.alice.took()[-1], 500)
        self.assertEqual(self.bob.took(), [])


class RedirectTests(TransportsCase):
    mode = "redirect"

    def moved(self, phone: Phone, uri: str = BOB) -> str:
        self.a.load(0.9)
        phone.send(self.a, "INVITE", uri)
        return phone.response(302).values("contact")[0]

    def test_phone_on_tls(self) -> None:
        """It is redirected to the other node's TLS port."""
        alice = self.on("TLS", self.a, "sip:alice@198.51.100.8:40000;transport=tls", "alice")
        self.on("UDP", self.a)
        uri = route_uri(self.moved(alice))
        self.assertEqual((uri.scheme, uri.port, uri.transport), ("sip", 5061, "TLS"))
        uri = route_uri(self.moved(alice, BOB_SIPS))
        self.assertEqual((uri.scheme, uri.port, uri.transport), ("sips", 5061, "TLS"))

    def test_browser(self) -> None:
        """It has the connection that it has: it is not redirected."""
        alice = self.on("WS", self.a, "sip:y@alice.invalid;transport=ws", "alice")
        bob = self.on("UDP", self.a)
        self.a.load(0.9)
        alice.send(self.a, "INVITE", BOB)
        self.assertEqual(alice.took(), [100])
        bob.reply(bob.request("INVITE"), 486)
