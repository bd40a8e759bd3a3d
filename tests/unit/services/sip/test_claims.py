"""Who may start something within a dialog: what phones, trunks and proxies do goes on (L{test_hostile_dialogs} has the rest)."""

from __future__ import annotations

from zope.interface import implementer

from tests.unit.services.dialog_world import ALICE, STARTING, DialogWorld, Seat
from tests.unit.services.sip.test_hostile import GATEWAY, STRANGER
from tests.unit.services.sip_world import Node, Phone
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Retarget


@implementer(ICallHook)
class ToTheGateway:
    """Sends each call on to the gateway."""

    def call_offered(self, offer: CallOffer) -> Retarget:
        return Retarget(GATEWAY)


class GoingOnTests(DialogWorld):
    """What phones, trunks and proxies do within a call, with passwords asked of our users."""

    MOVED = "sip:evil@203.0.113.9:5066"

    def setUp(self) -> None:
        super().setUp()
        self.moved = self.world.phone("moved", "203.0.113.9", port=5066)

    def follows(self, seat: Seat, node: Node, by: Phone | None = None) -> None:
        """Everything of one party arrives at the other one, who has moved, without a password."""
        for method in STARTING:
            seat.send(node, method, self.MOVED, by)
            self.arrives(self.moved, method, by or seat.phone)

    def rebound(self, phone: Phone) -> Phone:
        """The NAT in front of a phone has given it another port."""
        return self.world.phone(phone.user, phone.address[0], phone.transport, 40000)

    def answers(self, seat: Seat, by: Phone, uri: str, node: Node | None = None) -> None:
        """What starts something is challenged once, and arrives with the right answer."""
        for method in STARTING:
            seat.send(node or self.node, method, uri, by, contact="sip:behind@10.0.0.2")
            proof = by.credentials(by.response(407), method, uri)
            self.assertEqual(by.took()[-1], 407)
            seat.send(node or self.node, method, uri, by, headers=[proof], contact="sip:behind@10.0.0.2")
            arrived = self.arrives(self.moved, method, by)
            self.assertIsNone(arrived.get("proxy-authorization"))

    def test_hold_of_a_callee(self) -> None:
        """Hold and resume of a phone that was called, towards a peer that has moved: over UDP and TCP, at either node."""
        for transport in ("UDP", "TCP"):
            self.bob = self.world.phone("bob", "198.51.100.3", transport, 40123)
            self.register(self.bob, self.node)
            theirs, ours = self.stranger_calls()
            self.moves(theirs, self.bob, self.MOVED)
            self.follows(ours, self.node)
            self.end_all()

    def test_hold_through_another_node(self) -> None:
        """A phone that sends all to its outbound proxy, another node than that of the call: callee and caller."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        self.follows(ours, self.b)
        self.end_all()
        ours, theirs = self.alice_calls()
        self.moves(theirs, self.alice, self.MOVED)
        self.follows(ours, self.b)
        self.end_all()

    def test_hold_of_a_caller(self) -> None:
        """A caller who has never registered is known by where its INVITE came from."""
        ours, theirs = self.alice_calls()
        self.moves(theirs, self.alice, self.MOVED)
        self.follows(ours, self.node)
        self.end_all()

    def test_handed_over(self) -> None:
        """A caller whose INVITE came in at one node and whose later requests go to the other one, which serves the call."""
        self.node.load(0.8)
        uri = "sip:evil@203.0.113.9"
        self.alice.send(self.node, "INVITE", uri, call_id="k")
        proof = self.alice.credentials(self.alice.response(407), "INVITE", uri)
        self.alice.send(self.node, "INVITE", uri, call_id="k", cseq=2, headers=[proof])
        self.assertEqual((len(self.node.calls), len(self.b.calls)), (0, 1))
        self.evil.contact = self.MOVED
        self.evil.reply(self.evil.request("INVITE"), 200)
        routes = self.ours(self.route_set(self.alice.response(200)))
        self.alice.took()
        self.evil.took()
        ours = Seat(self.alice, ALICE, self.alice.tag, self.evil.tag, routes)
        for node in (self.b, self.node):
            self.follows(ours, node)
        ours.send(self.b, "INVITE", self.MOVED, self.evil)
        self.refused(self.evil, 407)
        self.end_all()

    def test_registered_elsewhere(self) -> None:
        """A phone of the other node, called here, sends its requests here or there."""
        for transport, nodes in (("UDP", (self.node, self.b)), ("TCP", (self.b,))):
            carol = self.world.phone("carol", "198.51.100.3", transport, 40123)
            self.register(carol, self.b)
            theirs, ours = self.stranger_calls(to="sip:carol@example.com", callee=carol)
            self.moves(theirs, carol, self.MOVED, node=self.b)
            for node in nodes:
                self.follows(ours, node)
            self.end_all()

    def test_rebinding(self) -> None:
        """A NAT that gave the phone another port in the call: a password is the way out, at either node, on either side."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        bob = self.rebound(self.bob)
        self.answers(ours, bob, self.MOVED)
        self.answers(ours, bob, self.MOVED, self.b)
        self.end_all()
        ours, theirs = self.alice_calls()
        self.moves(theirs, self.alice, self.MOVED)
        self.answers(ours, self.rebound(self.alice), self.MOVED)
        self.end_all()

    def test_rebinding_and_registering(self) -> None:
        """A phone that has registered anew from its new port, at whatever node, is known there."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        bob = self.rebound(self.bob)
        self.register(bob, self.b)
        self.follows(ours, self.node, bob)
        self.end_all()

    def test_what_is_never_asked(self) -> None:
        """ACK, BYE and what starts nothing pass from wherever they come; nobody is asked for a password (section 22.1)."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        bob = self.rebound(self.bob)
        ours.send(self.node, "ACK", self.MOVED, bob)
        self.assertEqual((self.moved.took(), bob.took()), (["ACK"], []))
        for method in ("UPDATE", "PRACK", "INFO", "OPTIONS", "BYE"):
            ours.send(self.node, method, self.MOVED, bob)
            self.arrives(self.moved, method, bob)
        self.end_all()

    def test_to_where_the_invite_came_from(self) -> None:
        """No password either for what goes over the caller's flow, or to its Contact when the INVITE came from there."""
        for contact in (None, "sip:evil@10.0.0.7"):
            _, ours = self.stranger_calls(contact)
            bob = self.rebound(self.bob)
            for method in STARTING:
                ours.send(self.node, method, contact or self.evil.uri, bob)
                self.arrives(self.evil, method, bob)
            self.end_all()

    def test_trunk_with_many_addresses(self) -> None:
        """A carrier that is no user of ours re-INVITEs from another address than it has called from, and moves."""
        theirs, ours = self.stranger_calls()
        other = self.world.phone("evil", "203.0.113.10")
        for method in ("INVITE", "REFER", "NOTIFY"):
            theirs.send(self.node, method, self.bob.uri, other, contact=self.MOVED)
            self.arrives(self.bob, method, other)
        self.follows(ours, self.node)
        self.end_all()

    def test_carrier_with_proxies(self) -> None:
        """A phone holds a call that came through a carrier's proxy: from its place, or with a password; known call or not."""
        via = "Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKcaller"
        self.gateway.tag = "tag-gateway"
        theirs, ours = self.through_the_carrier(self.evil.uri, via, "Record-Route: <sip:203.0.113.77;lr>")
        beyond = ["<sip:203.0.113.77;lr>"]
        bob = self.rebound(self.bob)
        for known in (True, False):
            for node in (self.node, self.b):
                for method in STARTING:
                    ours.send(node, method, self.evil.uri, routes=beyond)
                    self.assertEqual(self.gateway.request(method).values("route"), beyond)
                    self.arrives(self.gateway, method, self.bob)
                    theirs.send(node, method, self.bob.uri)
                    self.arrives(self.bob, method, self.gateway)
            ours.send(self.node, "INVITE", self.evil.uri, bob, routes=beyond, contact="sip:bob@10.0.0.2")
            proof = bob.credentials(bob.response(407), "INVITE", self.evil.uri)
            bob.took()
            ours.send(
                self.node, "INVITE", self.evil.uri, bob, routes=beyond, headers=[proof], contact="sip:bob@10.0.0.2"
            )  # fmt: skip
            self.arrives(self.gateway, "INVITE", bob)
            self.assertEqual(len(self.node.calls), int(known))
            self.end_all()

    def test_carrier_that_is_called(self) -> None:
        """A carrier that our user called re-INVITEs him, also when he has moved and said so."""
        ours, theirs = self.alice_calls()
        new = self.world.phone("alice", "198.51.100.1", port=5070)
        theirs.send(self.node, "INVITE", self.alice.uri)
        self.arrives(self.alice, "INVITE", self.evil)
        self.moves(ours, self.evil, new.uri)
        theirs.send(self.node, "INVITE", new.uri)
        self.arrives(new, "INVITE", self.evil)
        self.end_all()

    def test_answer_that_moves(self) -> None:
        """The same when he said so in his answer to a re-INVITE (section 12.2.1.2)."""
        for called in (True, False):
            theirs, ours = self.stranger_calls() if called else self.alice_calls()[::-1]
            new = self.world.phone(ours.phone.user, "198.51.100.77")
            theirs.send(self.node, "UPDATE", ours.phone.uri)
            ours.phone.contact = new.uri
            ours.phone.reply(ours.phone.request("UPDATE"), 200)
            self.assertEqual(self.evil.took()[-1], 200)
            theirs.send(self.node, "INVITE", new.uri)
            self.arrives(new, "INVITE", self.evil)
            self.end_all()
            self.bob.took()

    def test_proved_by_password(self) -> None:
        """What a phone says with its password of where it is now is where its peer's requests may go."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        bob = self.rebound(self.bob)
        ours.send(self.node, "INVITE", self.MOVED, bob)
        proof = bob.credentials(bob.response(407), "INVITE", self.MOVED)
        bob.took()
        ours.send(self.node, "INVITE", self.MOVED, bob, headers=[proof], contact=bob.uri)
        self.arrives(self.moved, "INVITE", bob)
        theirs.send(self.node, "INVITE", bob.uri)
        self.arrives(bob, "INVITE", self.evil)
        ours.send(self.node, "INVITE", self.MOVED, bob)  # and it is known there from then on
        self.arrives(self.moved, "INVITE", bob)
        self.end_all()

    def test_diverted(self) -> None:
        """A call that somebody diverted to bob has another name in To, which is what he is called in it."""
        self.evil.send(self.node, "INVITE", "sip:bob@192.0.2.1", from_uri=STRANGER, call_id="k")
        invite = self.bob.request("INVITE")
        self.bob.reply(invite, 200)
        self.evil.took()
        routes = self.ours(self.route_set(invite))
        self.bob.took()
        theirs = Seat(self.evil, STRANGER, self.evil.tag, self.bob.tag, routes)
        self.moves(theirs, self.bob, self.MOVED)
        ours = Seat(self.bob, "sip:bob@192.0.2.1", self.bob.tag, self.evil.tag, routes)
        self.follows(ours, self.node)
        ours.send(self.node, "INVITE", self.MOVED, name="sip:ceo@foreign.org")
        self.refused(self.bob, 481)
        self.end_all()

    def test_called_elsewhere(self) -> None:
        """A user who wants to be called at a carrier, or is sent there by the hook: both sides re-INVITE."""
        carol = self.world.phone("carol", "198.51.100.9")
        carol.contact = self.gateway.uri
        self.register(carol, self.node)
        theirs, ours = self.stranger_calls(to="sip:carol@example.com", callee=self.gateway)
        self.both_go_on(theirs, ours)
        self.node.serving._hook = ToTheGateway()
        theirs, ours = self.stranger_calls(callee=self.gateway)
        self.both_go_on(theirs, ours)

    def both_go_on(self, theirs: Seat, ours: Seat) -> None:
        theirs.send(self.node, "INVITE", self.gateway.uri)
        self.arrives(self.gateway, "INVITE", self.evil)
        ours.send(self.node, "INVITE", self.evil.uri)
        self.arrives(self.evil, "INVITE", self.gateway)
        self.moves(theirs, self.gateway, self.MOVED)
        ours.send(self.node, "INVITE", self.MOVED)
        self.arrives(self.moved, "INVITE", self.gateway)
        ours.send(self.node, "INVITE", self.MOVED, self.evil)
        self.refused(self.evil, 407)
        self.end_all()

    def test_subscription(self) -> None:
        """A subscription is no call: its refresh leaves by where its user is registered or with a password; NOTIFY comes back."""
        uri = "sip:evil@203.0.113.9"
        self.alice.send(self.node, "SUBSCRIBE", uri, call_id="k")
        proof = self.alice.credentials(self.alice.response(407), "SUBSCRIBE", uri)
        self.alice.send(self.node, "SUBSCRIBE", uri, call_id="k", cseq=2, headers=[proof])
        request = self.evil.request("SUBSCRIBE")
        self.evil.reply(request, 202)
        routes = self.ours(self.route_set(request))
        self.alice.took()
        self.evil.took()
        theirs = Seat(self.evil, uri, self.evil.tag, self.alice.tag, routes)
        theirs.send(self.node, "NOTIFY", self.alice.uri)
        self.arrives(self.alice, "NOTIFY", self.evil)
        ours = Seat(self.alice, ALICE, self.alice.tag, self.evil.tag, routes)
        beyond = [f"<sip:{self.moved.address[0]}:5066;lr>"]
        ours.send(self.node, "SUBSCRIBE", uri, routes=beyond)
        answer = self.alice.credentials(self.alice.response(407), "SUBSCRIBE", uri)
        ours.send(self.node, "SUBSCRIBE", uri, routes=beyond, headers=[answer])
        self.alice.inbox.clear()
        self.arrives(self.moved, "SUBSCRIBE", self.alice)
        self.register(self.alice, self.node)
        ours.send(self.node, "SUBSCRIBE", uri, routes=beyond)
        self.arrives(self.moved, "SUBSCRIBE", self.alice)

    def test_sources_that_show_nobody(self) -> None:
        """With C{auth.trust_source} off a password is asked for over UDP; a connection shows who is at its end."""
        self.node.proxy._claims.trust_source = False
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        for node in (self.node, self.b):
            self.answers(ours, self.bob, self.MOVED, node)
        self.end_all()
        carol = self.world.phone("carol", "198.51.100.3", "TCP", 40123)
        self.register(carol, self.node)
        theirs, ours = self.stranger_calls(to="sip:carol@example.com", callee=carol)
        self.moves(theirs, carol, self.MOVED)
        self.follows(ours, self.node)
        self.end_all()

    def test_without_passwords(self) -> None:
        """A node that asks nobody for passwords asks for none here: each side reaches what the other one has announced."""
        self.node.access.required = False
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, self.MOVED)
        self.follows(ours, self.node, self.rebound(self.bob))
        ours.send(self.node, "INVITE", GATEWAY)
        self.refused(self.bob, 481)
        self.end_all()
