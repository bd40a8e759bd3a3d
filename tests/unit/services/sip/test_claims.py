"""Who may start something within a dialog: our users and their peers go on as before, strangers in their name do not."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from zope.interface import implementer

from tests.unit.services.sip.test_hostile import GATEWAY, STRANGER, HostileWorld
from tests.unit.services.sip.test_proxy import BOB
from tests.unit.services.sip_world import Node, Phone
from voipcluster.balance.handover import Handover
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Retarget
from voipcluster.sip.message import Request

ALICE = "sip:alice@example.com"
STARTING = ("INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "FETCH")
REFUSALS = (403, 407, 481)


@define
class Seat:
    """
    What a party of a dialog writes into its requests; whoever knows it can.

    @ivar phone: where it truly is.
    """

    phone: Phone
    name: str
    tag: str
    other: str
    routes: list[str]
    call_id: str = "k"

    def send(
        self,
        node: Node,
        method: str,
        uri: str,
        by: Phone | None = None,
        *,
        routes: Sequence[str] = (),
        name: str = "",
        contact: str | None = None,
        headers: Sequence[str] = (),
    ) -> None:
        """C{by}: from whom it comes, if not from the party itself; C{routes}: behind those of the dialog."""
        phone = by or self.phone
        own, phone.tag = phone.tag, self.tag
        phone.send(
            node, method, uri, from_uri=name or self.name, call_id=self.call_id, cseq=phone.world.branches + 10,
            to_tag=self.other, routes=[*self.routes, *routes], contact=contact, headers=headers,
        )  # fmt: skip
        phone.tag = own


class ClaimsWorld(HostileWorld):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.b = self.world.node("b", auth=True)
        self.evil.tag = "tag-evil"

    def stranger_calls(
        self, contact: str | None = None, *headers: str, to: str = BOB, callee: Phone | None = None
    ) -> tuple[Seat, Seat]:
        """A stranger calls bob: the seats of both."""
        callee = callee or self.bob
        self.evil.send(
            self.node, "INVITE", to, from_uri=STRANGER, call_id="k", contact=contact, headers=headers
        )
        invite = callee.request("INVITE")
        callee.reply(invite, 200)
        answer = self.evil.response(200)
        self.evil.took()
        callee.took()
        theirs = Seat(self.evil, STRANGER, self.evil.tag, callee.tag, self.ours(self.route_set(answer)))
        ours = Seat(callee, to, callee.tag, self.evil.tag, self.ours(self.route_set(invite)))
        return theirs, ours

    def through_the_carrier(self, contact: str, *headers: str) -> tuple[Seat, Seat]:
        """The same through a carrier, the gateway: the stranger sees what it sees."""
        direct, self.evil = self.evil, self.gateway
        seats = self.stranger_calls(contact, *headers)
        self.evil = direct
        return seats

    def ours(self, routes: Sequence[str]) -> list[str]:
        return [route for route in routes if "call=" in route]

    def alice_calls(self, contact: str = "", recorded: Sequence[str] = ()) -> tuple[Seat, Seat]:
        """
        Alice, who has not registered, calls the stranger.

        @param contact: what he answers as his Contact; C{recorded}: the Record-Route values that he adds.
        """
        uri = "sip:evil@203.0.113.9"
        self.alice.send(self.node, "INVITE", uri, call_id="k")
        proof = self.alice.credentials(self.alice.response(407), "INVITE", uri)
        self.alice.send(self.node, "INVITE", uri, call_id="k", cseq=2, headers=[proof])
        invite = self.evil.request("INVITE")
        self.evil.contact = contact
        self.evil.reply(invite, 200, headers=[("record-route", value) for value in recorded])
        self.evil.contact = ""
        answer = self.alice.response(200)
        self.alice.took()
        self.evil.took()
        ours = Seat(self.alice, ALICE, self.alice.tag, self.evil.tag, self.ours(self.route_set(answer)))
        theirs = Seat(
            self.evil,
            "sip:evil@203.0.113.9",
            self.evil.tag,
            self.alice.tag,
            self.ours(self.route_set(invite)),
        )
        return ours, theirs

    def moves(self, seat: Seat, peer: Phone, contact: str, method: str = "UPDATE", by: Phone | None = None,
              node: Node | None = None) -> None:  # fmt: skip
        """A party, or who poses as it, says that it is somewhere else; the other one takes it."""
        seat.send(node or self.node, method, peer.uri, by, contact=contact)
        peer.reply(peer.request(method), 200)
        self.assertEqual((by or seat.phone).took()[-1], 200)
        peer.took()

    def refused(self, phone: Phone, *allowed: int) -> None:
        """What was sent last was answered, and did not get to the gateway; nor does the ACK of an INVITE, later."""
        self.assertIn(phone.took()[-1], allowed or REFUSALS)
        self.assertEqual(self.gateway.took(), [])

    def arrives(self, at: Phone, method: str, sender: Phone) -> Request:
        """It came without being challenged; it is answered."""
        request = at.request(method)
        at.took()
        at.reply(request, 486)
        self.assertEqual([what for what in sender.took() if what not in (100, "ACK")], [486])
        return request


class OurNamesTests(ClaimsWorld):
    """What a stranger in a call with one of us tries, to send something elsewhere in our user's name (S7, toll fraud)."""

    def test_contact_of_a_stranger(self) -> None:
        """A stranger gives a Contact at a gateway, then sends along our Route as if he were our user: challenged."""
        for method in ("UPDATE", "INVITE"):
            theirs, ours = self.stranger_calls()
            self.moves(theirs, self.bob, GATEWAY, method)
            for starting in STARTING:
                ours.send(self.node, starting, GATEWAY, self.evil)
                self.refused(self.evil, 407)
            self.end_all()

    def test_contact_of_an_invite(self) -> None:
        """The same with the Contact of his INVITE: what goes there goes back to where the INVITE came from."""
        _, ours = self.stranger_calls(GATEWAY)
        for method in STARTING:
            ours.send(self.node, method, GATEWAY, self.evil)
            self.assertEqual((self.gateway.took(), self.evil.request(method).uri), ([], GATEWAY))
            self.evil.reply(self.evil.request(method), 486)
            self.evil.took()
        self.end_all()

    def test_acknowledgement_of_a_challenge(self) -> None:
        """The ACK for our 407 or 481 ends here, and is not routed as one for a 2xx (RFC 3261 sections 16.11 and 17.1.1.3)."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        for seat, uri, status in ((ours, GATEWAY, 407), (theirs, "sip:+1901@203.0.113.77", 481)):
            ours_before = self.world.branches
            seat.send(self.node, "INVITE", uri, self.evil)
            self.refused(self.evil, status)
            tag, self.evil.tag = self.evil.tag, seat.tag
            self.evil.send(
                self.node, "ACK", uri, from_uri=seat.name, call_id="k", cseq=ours_before + 10, to_tag=seat.other,
                routes=seat.routes, branch=str(self.world.branches),
            )  # fmt: skip
            self.evil.tag = tag
            self.assertEqual((self.evil.took(), self.gateway.took()), ([], []))
        self.end_all()

    def test_planted_record_route(self) -> None:
        """A stranger plants a Record-Route at a gateway: whoever cannot show who he is sends past it, to the stranger himself."""
        beyond = "<sip:203.0.113.77;lr>"
        _, ours = self.stranger_calls("sip:evil@203.0.113.99", f"Record-Route: {beyond}")
        for method in STARTING:
            for name in (BOB, STRANGER):
                ours.send(self.node, method, "sip:evil@203.0.113.99", self.evil, routes=[beyond], name=name)
                self.assertEqual((self.gateway.took(), self.evil.took()[-1]), ([], method))
        self.end_all()

    def test_planted_record_route_without_a_flow(self) -> None:
        """The same where he is reached by his Contact, so that there is no other way to him: challenged or refused."""
        beyond = "<sip:203.0.113.77;lr>"
        _, ours = self.stranger_calls(None, f"Record-Route: {beyond}")
        for method in STARTING:
            ours.send(self.node, method, self.evil.uri, self.evil, routes=[beyond])
            self.refused(self.evil, 407)
            ours.send(self.node, method, self.evil.uri, self.evil, routes=[beyond], name=STRANGER)
            self.refused(self.evil, 481)
        self.end_all()

    def test_through_another_node(self) -> None:
        """The node that passes a request on to that of the call is no proof: it says where the request came from."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY, node=self.b)
        for method in STARTING:
            ours.send(self.b, method, GATEWAY, self.evil)
            self.refused(self.evil, 407)
        both = f"{ours.routes[0]}, {ours.routes[0].replace('192.0.2.1', '192.0.2.2')}"
        for node in (self.node, self.b):
            ours.send(node, "INVITE", GATEWAY, self.evil, routes=[both.split(", ")[1]])
            self.refused(self.evil)
        self.end_all()

    def test_forged_attestation(self) -> None:
        """What only nodes say of a source is not believed when others say it: forged, of another call, or given to a client."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        flow = self.node.calls  # bob's flow, as a node would tell it
        self.assertEqual(len(flow), 1)
        party = self.node.core.call_tokens.open(ours.routes[0].partition("call=")[2].rstrip(">")).callee
        assert party is not None
        seal, wall = self.b.core.handovers.seal, self.b.core.wall()
        told = Handover(flow=party.flow, ingress="b")
        for token in (
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            seal(told, "another call", wall),
            seal(told, "k", wall - 60),
            seal(told.for_redirect(), "k", wall),
        ):
            seat = Seat(self.evil, BOB, ours.tag, ours.other, [ours.routes[0].replace(">", f";ho={token}>")])
            for node in (self.node, self.b):
                seat.send(node, "INVITE", GATEWAY)
                self.refused(self.evil, 403 if node is self.node else 407)
        self.end_all()

    def test_called_stranger(self) -> None:
        """The same by a stranger whom our user called: his Contact, his Record-Route, and our user's name."""
        ours, _ = self.alice_calls(GATEWAY, ["<sip:203.0.113.77;lr>"])
        for method in STARTING:
            for node in (self.node, self.b):
                for beyond in ([], ["<sip:203.0.113.77;lr>"]):
                    ours.send(node, method, GATEWAY, self.evil, routes=beyond)
                    self.refused(self.evil, 407)
                    ours.send(node, method, GATEWAY, self.evil, routes=beyond, name=STRANGER)
                    self.refused(self.evil, 481)
        self.end_all()

    def test_contact_in_our_users_name(self) -> None:
        """A Contact that a stranger announces for our user is not where his own requests may go."""
        theirs, ours = self.stranger_calls()
        for method in ("UPDATE", "INVITE"):
            self.moves(ours, self.evil, GATEWAY, method, by=self.evil)
            self.moves(ours, self.evil, GATEWAY, method, by=self.evil, node=self.b)
        for method in STARTING:
            theirs.send(self.node, method, GATEWAY)
            self.refused(self.evil, 481)
        self.end_all()

    def test_contact_in_an_answer(self) -> None:
        """Nor is one that somebody else answers, to whom he has sent what may go anywhere."""
        theirs, _ = self.stranger_calls()
        accomplice = self.world.phone("accomplice", "203.0.113.10")
        theirs.send(self.node, "UPDATE", accomplice.uri)
        accomplice.contact = GATEWAY
        accomplice.reply(accomplice.request("UPDATE"), 200)
        self.evil.took()
        for method in STARTING:
            theirs.send(self.node, method, GATEWAY)
            self.refused(self.evil, 481)
        self.end_all()

    def test_contact_in_an_answer_of_his_own(self) -> None:
        """Nor does a stranger become one of us by answering himself, over the flow that his INVITE came from."""
        _, ours = self.stranger_calls("sip:evil@10.0.0.7")
        ours.send(self.node, "UPDATE", "sip:evil@10.0.0.7", self.evil)
        self.evil.contact = GATEWAY
        self.evil.reply(self.evil.request("UPDATE"), 200)
        self.evil.took()
        for method in STARTING:
            ours.send(self.node, method, GATEWAY, self.evil, name=STRANGER)
            self.refused(self.evil, 481)
        self.end_all()

    def test_connection_of_another(self) -> None:
        """A connection from the address and port of one that is gone may be somebody else's: it shows nobody."""
        self.bob = self.world.phone("bob", "198.51.100.3", "TCP", 40123)
        self.register(self.bob, self.node)
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        self.node.transport.lose(self.bob.address)
        ours.send(self.node, "INVITE", GATEWAY)
        self.refused(self.bob, 407)
        self.end_all()

    def test_stranger_behind_a_carrier(self) -> None:
        """A stranger calls through the carrier that takes calls from us: not even the flow of his INVITE is his own then."""
        via = "Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKevil"
        number = f"sip:+1900@{self.gateway.address[0]}:5060"
        for contact, uris in (
            (self.evil.uri, (self.evil.uri, number)),  # its requests go over the carrier's flow
            (number, (number,)),  # or to where the INVITE came from
            ("sip:evil@10.0.0.7", ("sip:evil@10.0.0.7",)),
        ):
            self.gateway.tag = self.evil.tag
            _, ours = self.through_the_carrier(contact, via, "Record-Route: <sip:203.0.113.77;lr>")
            for method in STARTING:
                for uri in uris:
                    for beyond in ([], ["<sip:203.0.113.77;lr>"]):
                        ours.send(self.node, method, uri, self.evil, routes=beyond)
                        self.refused(self.evil, 407, 481)
                        ours.send(self.node, method, uri, self.evil, routes=beyond, name=STRANGER)
                        self.refused(self.evil, 481)
            self.end_all()
            for method in STARTING:
                for name in (BOB, STRANGER):
                    ours.send(self.node, method, uris[0], self.evil, name=name)
                    self.refused(self.evil, 407, 481)

    def test_names_of_another_call(self) -> None:
        """A stranger sends an INVITE with Call-ID and tag of our user's call: neither he nor his answers are hers by that."""
        ours, theirs = self.alice_calls(GATEWAY)
        self.evil.tag, tag = self.alice.tag, self.evil.tag
        self.evil.send(
            self.node, "INVITE", BOB, from_uri=STRANGER, call_id="k", cseq=9, contact="sip:x@203.0.113.99"
        )
        self.bob.reply(self.bob.request("INVITE"), 200)
        mixed = self.ours(self.route_set(self.evil.response(200)))
        self.evil.took()
        self.evil.tag = tag
        posing = Seat(self.evil, ALICE, self.alice.tag, tag, mixed)
        for seat in (posing, ours):
            seat.send(self.node, "INVITE", GATEWAY, self.evil)
            self.refused(self.evil, 407)
        # an UPDATE to alice goes to him with this token; he answers that she is at the gateway
        to_her = Seat(self.evil, STRANGER, tag, self.alice.tag, mixed)
        to_her.send(self.node, "UPDATE", "sip:x@203.0.113.99")
        self.evil.contact = GATEWAY
        self.evil.reply(self.evil.request("UPDATE"), 200)
        self.evil.contact = ""
        for seat in (to_her, theirs):
            seat.send(self.node, "INVITE", GATEWAY, name=STRANGER)
            self.refused(self.evil, 481)
        self.end_all()

    def test_password_of_somebody_else(self) -> None:
        """Who has an account speaks for himself only, within a dialog too: 403 in another user's name."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        ours.send(self.node, "INVITE", GATEWAY, self.evil)
        challenge = self.evil.response(407)
        for user, password, status in (("carol", "secret", 403), ("bob", "guessed", 407)):
            carol = self.world.phone(user, "203.0.113.9")
            carol.tag = self.evil.tag
            ours.send(
                self.node, "INVITE", GATEWAY, carol,
                headers=[carol.credentials(challenge, "INVITE", GATEWAY, password)],
            )  # fmt: skip
            self.refused(carol, status)
        self.end_all()

    def test_guessing_through_another_node(self) -> None:
        """Wrong passwords are counted where they come from, whichever way they take through the cluster, or not looked at."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        bob = Phone(self.world, "bob", self.evil.address)
        hop = "Via: SIP/2.0/UDP 203.0.113.200;branch=z9hG4bKnobody"
        for number in range(12):
            ours.send(self.b, "MESSAGE", GATEWAY, bob, headers=[hop])
            if number < 10:
                guess = bob.credentials(bob.response(407), "MESSAGE", GATEWAY, f"guess {number}")
            ours.send(self.b, "MESSAGE", GATEWAY, bob, headers=[hop, guess])
            self.assertEqual(bob.response().status, 407 if number < 10 else 403, number)
            bob.took()
        self.assertEqual([ban.who for ban in self.node.limiting.bans()], ["bob@example.com from 203.0.113.9"])
        ours.send(self.b, "MESSAGE", GATEWAY, bob, routes=[ours.routes[0]], name="sip:carol@example.com")
        self.refused(bob, 407)
        # an older node passes it on and does not say where it came from
        ours.send(self.node, "MESSAGE", GATEWAY, bob)
        self.refused(bob, 407)
        data = next(data for source, _, data in reversed(self.world.network.log) if source == bob.address)
        via = b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKolder\r\nVia:"
        self.world.network.put("UDP", self.b.address, self.node.address, data.replace(b"Via:", via, 1))
        self.world.run()
        source, destination, answer = self.world.network.log[-1]
        self.assertEqual(
            (source, destination, answer[:11]), (self.node.address, self.b.address, b"SIP/2.0 403")
        )
        self.end_all()

    def test_source_of_many(self) -> None:
        """Where a proxy in front of us passes on what all send, its address shows nobody."""
        ours, _ = self.alice_calls(GATEWAY)
        ours.send(self.node, "INVITE", GATEWAY, headers=["Via: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKe"])
        self.refused(self.alice, 407)
        self.end_all()

    def test_call_that_nobody_knows(self) -> None:
        """A node that does not know the call lets no INVITE leave, whoever sends it: it would be a call that nobody counts."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        self.end_all()
        for method in ("INVITE", "MESSAGE", "REFER"):
            ours.send(self.node, method, GATEWAY)
            self.refused(self.bob, 481)
            theirs.send(self.node, method, GATEWAY)
            self.refused(self.evil, 481)
        for method in ("SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "FETCH"):
            ours.send(self.node, method, GATEWAY, self.evil)
            self.refused(self.evil, 407)
            theirs.send(self.node, method, GATEWAY)
            self.refused(self.evil, 481)


@implementer(ICallHook)
class ToTheGateway:
    """Sends each call on to the gateway."""

    def call_offered(self, offer: CallOffer) -> Retarget:
        return Retarget(GATEWAY)


class GoingOnTests(ClaimsWorld):
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
        self.node.proxy._claims._trust_source = False
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
