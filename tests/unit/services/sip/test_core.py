"""What all of the SIP side shares: ways to next hops, what the nodes are called, keys for each purpose."""

from __future__ import annotations

from tests.unit.services.sip_world import DOMAIN, WorldCase
from voipcluster.address import TCP, TLS, UDP, Flow, Hop
from voipcluster.errors import ParseError, TransportError
from voipcluster.services.sip import core as module
from voipcluster.services.sip.next_hop import NameToResolve
from voipcluster.sip.resolution import Server
from voipcluster.sip.uri import parse_uri

PHONE = "sip:bob@198.51.100.2:5062"


class CoreTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", more=[("2001:db8::1", 5060)])
        self.other = self.world.node("b")
        self.core = self.node.core

    def test_way(self) -> None:
        """The way to a URI over UDP is remembered, over a connection never: that may be another one by then."""
        flow = self.core.flow_to(PHONE)
        self.assertEqual(flow, Flow(UDP, ("192.0.2.1", 5060), ("198.51.100.2", 5062)))
        self.assertIs(self.core.flow_to(PHONE), flow)
        number = self.node.transport.open(("198.51.100.2", 5062))
        over_tcp = f"{PHONE};transport=tcp"
        self.assertEqual(self.core.flow_to(over_tcp).connection, number)
        del self.node.transport.connections[number]
        self.assertEqual(self.core.flow_to(over_tcp).connection, 0)

    def test_few_ways_are_remembered(self) -> None:
        """Whoever names ever new hosts, or long ones, fills no memory."""
        self.patch(module, "_KEPT", 4)
        first = self.core.flow_to(PHONE)
        for number in range(20):
            self.core.flow_to(f"sip:198.51.100.{number}")
            self.assertLessEqual(len(self.core._ways), 4)
        self.assertEqual(self.core.flow_to(PHONE), first)
        kept = len(self.core._ways)
        self.core.flow_to(f"sip:{'b' * 5000}@198.51.100.2")
        self.assertEqual(len(self.core._ways), kept)

    def test_no_way(self) -> None:
        """A name is for who can wait for the DNS; what is no URI, or has no transport of ours, leads nowhere."""
        self.assertRaises(NameToResolve, self.core.flow_to, "sip:bob@carrier.example")
        self.assertRaises(ParseError, self.core.flow_to, "bob")
        self.assertRaises(TransportError, self.core.flow_to, "sip:bob@198.51.100.2;transport=ws")
        self.assertEqual(self.core._ways, {})

    def test_whose_certificate(self) -> None:
        """Over TLS a node of ours has to prove our domain, whatever its address; anybody else what he was asked by."""
        asked: list[tuple[Hop, str]] = []

        def flow_to(hop: Hop, near: object = None, domain: str = "") -> Flow:
            asked.append((hop, domain))
            return Flow(hop.transport, ("192.0.2.1", 5061), (hop.host, hop.port))

        self.node.transport.flow_to = flow_to
        self.core.flow_towards(parse_uri("sips:192.0.2.2"))
        self.core.flow_towards(parse_uri("sips:198.51.100.2"))
        self.core.flow_to_server(Server(Hop(TLS, "198.51.100.3", 5061), "carrier.example"))
        self.assertEqual([domain for _, domain in asked], [DOMAIN, "", "carrier.example"])

    def test_route_to_node(self) -> None:
        """Nodes reach each other over UDP, and over TLS at its own port where nothing may go in the clear (26.2.2)."""
        address = self.other.address
        self.assertEqual(self.core.route_to_node(address, "flow=x", False), "<sip:192.0.2.2:5060;lr;flow=x>")
        self.assertEqual(self.core.route_to_node(address, "flow=x", True), "<sips:192.0.2.2:5061;lr;flow=x>")
        self.assertEqual(self.core.address_for(address, TCP), address)

    def test_what_we_are_called(self) -> None:
        """By the family of who asks; and where a flow of a family that we have not is another node's, by its address."""
        local = ("2001:db8::99", 5060)
        theirs = Flow(UDP, local, ("2001:db8::7", 5060))
        self.assertEqual(self.core.name_towards(theirs, ours=True), ("2001:db8::1", 5060))
        self.assertEqual(self.core.name_towards(theirs, ours=False), ("2001:db8::1", 5060))
        self.assertEqual(self.other.core.name_towards(theirs, ours=False), local)
        self.assertEqual(self.other.core.name_towards(theirs, ours=True), self.other.address)

    def test_keys(self) -> None:
        """Each purpose has its own key, and it is the same on every node: what one seals, another one opens."""
        flow = self.core.flow_to(PHONE)
        token = self.core.flow_tokens.seal(flow, 7)
        self.assertEqual(self.other.core.flow_tokens.open(token), (flow, 7))
        self.assertEqual(self.core.secret(b"x"), self.other.core.secret(b"x"))
        self.assertNotEqual(self.core.secret(b"x"), self.core.secret(b"y"))
        self.assertNotIn(self.core.cluster_key, (self.core.secret(b"x"), self.core.secret(b"y")))
        self.assertNotIn(repr(self.core.cluster_key)[2:20], repr(self.core))
