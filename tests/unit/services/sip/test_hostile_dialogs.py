"""What strangers in a call with one of us try, to send something elsewhere at our cost and in our user's name (S7)."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from tests.unit.services.dialog_world import ALICE, STARTING, DialogWorld, Seat
from tests.unit.services.sip.test_hostile import GATEWAY, STRANGER
from tests.unit.services.sip.test_proxy import BOB
from tests.unit.services.sip_world import Phone
from voipcluster.balance.handover import Handover


class OurNamesTests(DialogWorld):
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

    def test_what_the_operator_sees(self) -> None:
        """Each refusal is counted, and the first ones are told, with who sent what from where; not who is only challenged."""
        theirs, ours = self.stranger_calls()
        self.moves(theirs, self.bob, GATEWAY)
        with capturedLogs() as captured:
            ours.send(self.b, "INVITE", GATEWAY, self.evil)
            for _ in range(9):
                ours.send(self.b, "INVITE", GATEWAY, self.evil, name=STRANGER)
        lines = [formatEvent(event) for event in captured]
        self.assertEqual(
            lines,
            [
                "udp:203.0.113.9:5060 was refused 'INVITE' within a dialog: "
                "481 the Request-URI or Route is none of this call"
            ]
            * 5,
        )
        self.assertEqual(self.node.limiting.refused, {"within dialogs": 9})
        self.evil.took()
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
