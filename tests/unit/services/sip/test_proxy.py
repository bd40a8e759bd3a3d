"""Whole calls through one or more nodes, message by message."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.sip_world import KEY, FakeTransport, Node, Phone, WorldCase
from voipcluster.services.transaction.transport import TransportService
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.route import CallTokens

BOB = "sip:bob@example.com"


class FakeTests(SynchronousTestCase):
    def test_fake_transport(self) -> None:
        """The fake transport offers its methods as the real one does."""
        for name in ("send", "flow_to", "is_alive", "keep", "sent_by"):
            fake, real = getattr(FakeTransport, name), getattr(TransportService, name)
            self.assertEqual(
                list(inspect.signature(fake).parameters.values()),
                list(inspect.signature(real).parameters.values()),
                name,
            )


class CallCase(WorldCase):
    """Alice calls Bob; C{call} plays it to the ACK, C{hang_up} ends it from either side."""

    def call(self, alice: Phone, bob: Phone, node: Node, at: Node | None = None) -> Response:
        """
        INVITE, 100, 180, 200, ACK.

        @param node: where Alice sends her INVITE; C{at}: the node that serves the call, when it is another one.
        @return: the 200 as Alice got it.
        """
        alice.send(node, "INVITE", BOB)
        self.assertEqual(alice.took(), [100])
        invite = bob.request("INVITE")
        bob.took()
        bob.reply(invite, 180)
        bob.reply(invite, 200)
        ok = alice.response(200)
        self.assertEqual(alice.took(), [180, 200])
        self.assertEqual(len((at or node).calls), 1)
        alice.send(at or node, "ACK", self.target(ok), to_tag=bob.tag, routes=self.route_set(ok))
        ack = bob.request()
        self.assertEqual(bob.took(), ["ACK"])
        self.assertNotEqual(ack.top_via.branch, invite.top_via.branch)
        self.invite = invite
        return ok

    def target(self, message: Request | Response) -> str:
        return message.values("contact")[0].strip("<>")

    def route_set(self, message: Request | Response) -> list[str]:
        """Of the caller, from a response: backwards; of the callee, from the request: as it stands (section 12.1)."""
        values = message.values("record-route")
        return values[::-1] if isinstance(message, Response) else values

    def caller_hangs_up(self, alice: Phone, bob: Phone, node: Node, ok: Response) -> None:
        alice.send(node, "BYE", self.target(ok), cseq=2, to_tag=bob.tag, routes=self.route_set(ok))
        bye = bob.request()
        self.assertEqual(bye.method, "BYE")
        bob.took()
        self.assertEqual(bye.get_all("route"), [])
        bob.reply(bye, 200)
        self.assertEqual(alice.took(), [200])

    def callee_hangs_up(self, alice: Phone, bob: Phone, node: Node) -> None:
        bob.send(
            node, "BYE", self.target(self.invite), cseq=9, to_tag=alice.tag,
            routes=self.route_set(self.invite), from_uri=BOB,
        )  # fmt: skip
        bye = alice.request()
        self.assertEqual(alice.took(), ["BYE"])
        alice.reply(bye, 200)
        self.assertEqual(bob.took(), [200])


class OneNodeTests(CallCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")

    def registered(self, transport: str = "UDP", port: int = 5060) -> Phone:
        self.bob = self.world.phone("bob", "198.51.100.2", transport, port)
        self.bob.register(self.node)
        self.assertEqual(self.bob.took(), [200])
        return self.bob

    def test_udp(self) -> None:
        """INVITE, 100, 180, 200, ACK, BYE, 200 over UDP; the call ends with it (section 16)."""
        self.registered()
        ok = self.call(self.alice, self.bob, self.node)
        self.assertEqual(self.node.calls.answered_count, 1)
        self.caller_hangs_up(self.alice, self.bob, self.node, ok)
        self.assertEqual(len(self.node.calls), 0)
        self.assertEqual(self.node.calls.ended, {"bye": 1})

    def test_callee_hangs_up(self) -> None:
        """The callee's BYE goes along its own route set to the caller (section 12.2.1.1)."""
        self.registered()
        self.call(self.alice, self.bob, self.node)
        self.callee_hangs_up(self.alice, self.bob, self.node)
        self.assertEqual(len(self.node.calls), 0)

    def test_tcp(self) -> None:
        """A phone registered over TCP is called over the connection that it opened (RFC 5626 section 5.3)."""
        self.registered("TCP", 40123)
        ok = self.call(self.alice, self.bob, self.node)
        self.assertEqual(self.node.transport.connections, {1: self.bob.address})
        # both sides get a Record-Route that they can reach us by (RFC 5658)
        self.assertEqual(len(self.invite.values("record-route")), 2)
        self.assertIn("transport=tcp", self.invite.values("record-route")[0])
        self.caller_hangs_up(self.alice, self.bob, self.node, ok)

    def test_tcp_callee_hangs_up(self) -> None:
        """The same in the other direction: both our Route values are taken off (section 16.4)."""
        self.registered("TCP", 40123)
        self.call(self.alice, self.bob, self.node)
        self.callee_hangs_up(self.alice, self.bob, self.node)

    def test_caller_on_tcp_behind_nat(self) -> None:
        """A caller whose Contact cannot be reached is reached over its connection (RFC 5626 section 5.3)."""
        self.registered()
        alice = self.world.phone("alice", "198.51.100.9", "TCP", 50001)
        alice.send(
            self.node, "INVITE", BOB, contact="sip:alice@10.0.0.7;transport=tcp", sent_by="10.0.0.7:5060"
        )
        self.bob.reply(self.bob.request("INVITE"), 200)
        self.invite = self.bob.request("INVITE")
        self.assertEqual(alice.took(), [100, 200])
        self.bob.took()
        self.callee_hangs_up(alice, self.bob, self.node)

    def test_ipv6(self) -> None:
        """Caller on IPv4, callee on IPv6: two Record-Route values, each of its family (RFC 5658)."""
        node = self.world.node("b", more=[("2001:db8::2", 5060)])
        bob = self.world.phone("bob", "2001:db8::b")
        bob.register(node)
        bob.took()
        ok = self.call(self.alice, bob, node)
        top, below = self.invite.values("record-route")
        self.assertIn("[2001:db8::2]:5060", top)
        self.assertIn("192.0.2.2:5060", below)
        self.caller_hangs_up(self.alice, bob, node, ok)
        self.assertEqual(len(node.calls), 0)

    def test_reinvite(self) -> None:
        """A re-INVITE of the callee goes through with its ACK; a 481 to it ends the call (section 12.2.1.2)."""
        self.registered()
        self.call(self.alice, self.bob, self.node)
        again = {"to_tag": "tag-alice", "from_uri": BOB, "routes": self.route_set(self.invite)}
        self.bob.send(self.node, "INVITE", self.alice.uri, cseq=10, **again)
        reinvite = self.alice.request("INVITE")
        self.assertEqual(reinvite.get_all("record-route"), [])
        self.alice.took()
        self.alice.reply(reinvite, 200)
        self.assertEqual(self.bob.took(), [100, 200])
        self.bob.send(self.node, "ACK", self.alice.uri, cseq=10, **again)
        self.assertEqual(self.alice.took(), ["ACK"])
        self.assertEqual(len(self.node.calls), 1)
        self.bob.send(self.node, "INVITE", self.alice.uri, cseq=11, **again)
        self.alice.reply(self.alice.request("INVITE"), 481)
        self.assertEqual(self.bob.took(), [100, 481])
        self.assertEqual(self.node.calls.ended, {"lost 481": 1})
        # the ACK for the 481 is made here, and the one of the phone is absorbed here (section 17.1.1.3)
        self.assertEqual(self.alice.took(), ["INVITE", "ACK"])
        branch = str(self.world.branches)
        self.bob.send(self.node, "ACK", self.alice.uri, cseq=11, branch=branch, **again)
        self.assertEqual(self.alice.took(), [])

    def test_reinvite_behind_a_restart(self) -> None:
        """A node that knows the call from its token only lets the callee refresh the session (RFC 4028), and call nobody else."""
        self.registered()
        self.call(self.alice, self.bob, self.node)
        other = self.world.phone("other", "198.51.100.1", port=5070)
        self.node.calls.end(next(iter(self.node.calls)).key, "restart")
        self.node.core.call_tokens = CallTokens(KEY)
        again = {"to_tag": "tag-alice", "from_uri": BOB, "routes": self.route_set(self.invite)}
        self.bob.send(self.node, "INVITE", self.alice.uri, cseq=10, **again)
        self.alice.reply(self.alice.request("INVITE"), 200)
        self.assertEqual(self.bob.took(), [100, 200])
        for number, uri in enumerate((other.uri, "sip:+1900@198.51.100.1:5060"), 11):
            self.bob.send(self.node, "INVITE", uri, cseq=number, **again)
            self.assertEqual((self.bob.took(), other.took()), ([481], []))
        again["routes"] = [*self.route_set(self.invite), f"<{other.uri};lr>"]
        self.bob.send(self.node, "INVITE", self.alice.uri, cseq=20, **again)
        self.assertEqual((self.bob.took(), other.took()), ([481], []))

    def test_cancel(self) -> None:
        """CANCEL: 200 at once, CANCEL to the phone, whose 487 is ACKed; the caller gets 487 (section 16.10)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, branch="cancelled")
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        self.alice.took()
        self.bob.took()
        self.alice.send(self.node, "CANCEL", BOB, branch="cancelled")
        self.assertEqual(self.alice.took(), [200])
        cancel = self.bob.request()
        self.assertEqual(self.bob.took(), ["CANCEL"])
        self.assertEqual((cancel.uri, cancel.top_via.branch), (invite.uri, invite.top_via.branch))
        self.bob.reply(cancel, 200)
        self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took(), [487])
        self.assertEqual(self.bob.took(), ["ACK"])
        self.assertEqual(len(self.node.calls), 0)
        self.alice.send(self.node, "ACK", BOB, branch="cancelled", to_tag=self.bob.tag)

    def test_cancel_of_nothing(self) -> None:
        """A CANCEL that matches no INVITE gets 481 (section 16.10)."""
        self.alice.send(self.node, "CANCEL", BOB)
        self.assertEqual(self.alice.took(), [481])

    def test_cancel_of_somebody_else(self) -> None:
        """A CANCEL from another address does not cancel, whatever branch it names (section 9.2)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, branch="x")
        self.bob.reply(self.bob.request(), 180)
        self.bob.took()
        mallory = self.world.phone("alice", "203.0.113.1")
        mallory.send(self.node, "CANCEL", BOB, branch="x", sent_by="198.51.100.1:5060")
        self.assertEqual(mallory.took(), [481])
        self.assertEqual(self.bob.took(), [])
        self.alice.send(self.node, "CANCEL", BOB, branch="x")
        self.assertEqual(self.bob.took(), ["CANCEL"])

    def test_merged_requests(self) -> None:
        """The same request on two branches is no error at a proxy: both are relayed, and it is one call (section 16.3)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, branch="one")
        self.alice.send(self.node, "INVITE", BOB, branch="two")
        self.assertEqual(self.bob.took(), ["INVITE", "INVITE"])
        self.assertEqual((len(self.node.calls), self.node.calls.started), (1, 1))
        self.alice.send(self.node, "CANCEL", BOB, branch="one")
        self.alice.send(self.node, "CANCEL", BOB, branch="two")

    def test_copies_are_absorbed(self) -> None:
        """A copy of the INVITE gets the last response again and is not relayed twice, also behind the 200 (RFC 6026)."""
        self.registered()
        data = self.alice.send(self.node, "INVITE", BOB)
        for expected in ([100, 100], []):
            self.world.network.put("UDP", self.alice.address, self.node.address, data)
            self.world.run()
            self.assertEqual(self.alice.took(), expected)
            if expected:
                self.bob.reply(self.bob.request(), 200)
                self.assertEqual(self.alice.took(), [200])
                self.assertEqual(self.bob.took(), ["INVITE"])
        self.assertEqual(self.bob.took(), [])
        self.node.calls.end(next(iter(self.node.calls)).key, "end of the test")

    def test_unknown_user(self) -> None:
        """404 for who is no user of ours, 480 for one who is nowhere (section 16.5); to a stranger without state (8.2.7)."""
        for uri, status in ((BOB, 480), ("sip:dave@example.com", 404), ("sip:example.com", 404)):
            self.alice.send(self.node, "INVITE", uri)
            self.assertEqual(self.alice.took(), [status])
        self.assertEqual((len(self.node.calls), len(self.node.transactions)), (0, 0))

    def test_relay_denied(self) -> None:
        """Neither the caller nor the callee is ours: 403, without any state."""
        self.alice.send(self.node, "INVITE", "sip:x@192.0.2.99", from_uri="sip:y@elsewhere.example")
        self.assertEqual(self.alice.took(), [403])
        self.assertEqual(len(self.node.transactions), 0)

    def test_foreign_callee(self) -> None:
        """A user of ours may call a foreign URI: the target set is just that URI (section 16.5)."""
        other = self.world.phone("dave", "203.0.113.5")
        self.alice.send(self.node, "INVITE", "sip:dave@203.0.113.5;method=INVITE?subject=x")
        self.assertEqual(other.request().uri, "sip:dave@203.0.113.5")
        other.reply(other.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_later_request_without_our_route(self) -> None:
        """A request within a dialog that no Route of ours leads to is not relayed: 481."""
        self.registered()
        self.alice.send(self.node, "BYE", self.bob.uri, to_tag="x")
        self.alice.send(self.node, "INVITE", BOB, to_tag="x")
        self.assertEqual(self.alice.took(), [481, 481])
        self.assertEqual(self.bob.took(), [])

    def test_altered_call_token(self) -> None:
        """A Route with an altered token, or one of another dialog, is refused with 403 (RFC 5626 section 5.3.1)."""
        self.registered()
        ok = self.call(self.alice, self.bob, self.node)
        route = self.route_set(ok)[0]
        altered = route[:-10] + ("A" if route[-10] != "A" else "B") + route[-9:]
        self.alice.send(self.node, "BYE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=[altered])
        self.alice.send(
            self.node, "BYE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=[route], call_id="other"
        )
        self.assertEqual(self.alice.took(), [403, 403])
        self.assertEqual(self.bob.took(), [])
        self.alice.send(self.node, "ACK", self.bob.uri, to_tag=self.bob.tag, routes=[altered])
        self.assertEqual(self.alice.took() + self.bob.took(), [])
        self.caller_hangs_up(self.alice, self.bob, self.node, ok)

    def test_stray_ack(self) -> None:
        """An ACK without a Route of ours goes nowhere and is never answered (section 17.1.1.3)."""
        self.registered()
        self.alice.send(self.node, "ACK", self.bob.uri, to_tag=self.bob.tag)
        self.assertEqual(self.alice.took() + self.bob.took(), [])

    def test_ack_with_the_branch_of_the_invite(self) -> None:
        """The ACK for a 200 is routed although it has the INVITE's branch (RFC 6026 section 7.1)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, branch="same")
        self.bob.reply(self.bob.request(), 200)
        ok = self.alice.response(200)
        self.bob.took()
        self.alice.send(
            self.node, "ACK", self.bob.uri, branch="same", to_tag=self.bob.tag, routes=self.route_set(ok)
        )
        self.assertEqual(self.bob.took(), ["ACK"])
        self.alice.took()
        self.caller_hangs_up(self.alice, self.bob, self.node, ok)

    def test_via_and_source(self) -> None:
        """rport and received are filled in, the answer goes where the request came from (RFC 3581 section 4)."""
        self.registered()
        nat = self.world.phone("alice", "203.0.113.7", port=33333)
        nat.send(self.node, "INVITE", BOB, sent_by="10.0.0.7:5060")
        own, below = self.bob.request().values("via")
        self.assertTrue(own.startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"))
        self.assertIn("rport=33333", below)
        self.assertIn("received=203.0.113.7", below)
        self.assertEqual(nat.response(100).top_via.rport, 33333)
        nat.took()
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(nat.took(), [486])

    def test_without_rport(self) -> None:
        """Without rport the answer goes to the source address and the port of sent-by (section 18.2.2)."""
        nat = self.world.phone("alice", "203.0.113.7")
        self.world.network.ends[("203.0.113.7", 44444)] = nat
        nat.address = ("203.0.113.7", 44444)
        nat.send(self.node, "OPTIONS", "sip:example.com", sent_by="10.0.0.7:5060", rport=False)
        self.assertEqual(nat.took(), [200])
        self.assertEqual(self.world.network.log[-1][1], ("203.0.113.7", 5060))

    def test_options(self) -> None:
        """OPTIONS to the node itself is answered here (section 11.2)."""
        self.alice.send(self.node, "OPTIONS", "sip:192.0.2.1")
        self.assertIn("INVITE", self.alice.response(200).values("allow"))

    def test_timer_c_of_every_node(self) -> None:
        """A phone may ring as long as the configuration says, also when another node has its flow (16.6 step 11)."""
        other = self.world.node("b")
        for node in (self.node, other):
            node.serving._timer_c = node.serving.within.timer_c = 400.0
        bob = self.world.phone("bob", "198.51.100.2", "TCP", 40123)
        bob.register(other)
        self.alice.send(self.node, "INVITE", BOB, branch="long")
        bob.reply(bob.request("INVITE"), 180)
        self.world.wait(300.0, step=0.5)
        self.assertNotIn("CANCEL", bob.took())
        self.world.wait(102.0, step=0.5)
        cancel = bob.request("CANCEL")
        bob.reply(cancel, 200)

    def test_what_is_copied(self) -> None:
        """The copy keeps all headers and their order; Max-Forwards is one less (section 16.6 steps 1 and 3)."""
        self.registered()
        more = ["X-One: 1", "Subject: a, b", "X-Two: 2", "Date: broken"]
        self.alice.send(self.node, "INVITE", BOB, headers=more)
        lines = [line.decode() for line in self.bob.request().lines]
        self.assertEqual([line for line in lines if line in more], more)
        self.assertIn("Max-Forwards: 69", lines)
        self.assertEqual(self.bob.request().uri, self.bob.uri)
        self.alice.send(self.node, "CANCEL", BOB, branch=str(self.world.branches))

    def test_bye_to_a_lost_connection(self) -> None:
        """The callee's connection is gone: BYE gets 480, and the call is over all the same (section 15.1.1)."""
        self.registered("TCP", 40123)
        ok = self.call(self.alice, self.bob, self.node)
        self.node.transport.lose(self.bob.address)
        self.alice.send(
            self.node, "BYE", self.target(ok), cseq=2, to_tag=self.bob.tag, routes=self.route_set(ok)
        )
        self.assertEqual(self.alice.took(), [480])
        self.assertEqual(len(self.node.calls), 0)

    def test_bye_unanswered(self) -> None:
        """A BYE that nobody answers ends the call; the caller gets no late 408 (RFC 4320 section 4.2)."""
        self.registered()
        ok = self.call(self.alice, self.bob, self.node)
        self.world.network.lost.add(self.bob.address)
        self.alice.send(
            self.node, "BYE", self.target(ok), cseq=2, to_tag=self.bob.tag, routes=self.route_set(ok)
        )
        self.world.wait(33)
        self.assertEqual(self.alice.took(), [])
        self.assertEqual(len(self.node.calls), 0)

    def test_invite_unanswered(self) -> None:
        """An INVITE that nobody answers gets 408 after 64*T1 (section 16.8)."""
        self.registered()
        self.world.network.lost.add(self.bob.address)
        self.alice.send(self.node, "INVITE", BOB)
        self.world.wait(31.9)
        self.assertEqual(self.alice.took(), [100])
        self.world.wait(0.3)
        self.assertEqual(self.alice.took(), [408])
        sent = [data for _, to, data in self.world.network.log if to == self.bob.address]
        self.assertEqual(len([data for data in sent if data.startswith(b"INVITE")]), 7)

    def test_unreachable(self) -> None:
        """ICMP "port unreachable" to the INVITE: 480 at once (sections 18.4 and 16.9)."""
        self.registered()
        self.world.network.closed.add(self.bob.address)
        self.alice.send(self.node, "INVITE", BOB)
        self.world.wait(0.2)
        self.assertEqual(self.alice.took(), [100, 480])

    def test_timer_c(self) -> None:
        """A phone that rings on and on is cancelled by Timer C, above 3 minutes, and the caller gets 408 or its answer (16.8)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB)
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        self.world.wait(184, step=0.5)
        self.bob.took()
        self.alice.took()
        self.world.wait(1.2)
        self.assertEqual(set(self.bob.took()), {"CANCEL"})
        self.bob.reply(invite, 487)
        self.assertEqual(self.alice.took(), [487])
        self.assertEqual(len(self.node.calls), 0)

    def test_timer_c_anew(self) -> None:
        """Each response from 101 to 199 lets the phone ring for another three minutes (section 16.7 step 2)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB)
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        for _ in range(3):
            self.world.wait(100, step=0.5)
            self.bob.reply(invite, 183)
        self.world.wait(184, step=0.5)
        self.assertEqual(self.bob.took(), ["INVITE"])
        self.alice.took()
        self.world.wait(2.2)
        self.assertEqual(set(self.bob.took()), {"CANCEL"})
        self.bob.reply(invite, 487)
        self.assertEqual((self.alice.took(), len(self.node.calls)), ([487], 0))

    def test_phone_forgets(self) -> None:
        """A phone that rang and then ignores CANCEL leaves nothing behind after 64*T1 (section 9.1)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, branch="x")
        self.bob.reply(self.bob.request(), 180)
        self.world.network.lost.add(self.bob.address)
        self.alice.send(self.node, "CANCEL", BOB, branch="x")
        self.alice.took()
        self.world.wait(33)
        self.assertEqual(set(self.alice.took()), {487})
        self.assertEqual(len(self.node.transactions.clients), 0)

    def test_late_2xx(self) -> None:
        """Two phones answer: both 200 go up, also the one behind the final response (section 16.7 step 5)."""
        self.registered()
        other = self.world.phone("bob", "198.51.100.3")
        other.tag = "tag-other"
        other.register(self.node)
        self.alice.send(self.node, "INVITE", BOB)
        first, second = self.bob.request("INVITE"), other.request("INVITE")
        self.bob.reply(first, 180)
        other.reply(second, 180)
        self.bob.reply(first, 200)
        other.reply(second, 200)
        answers = [m for m in self.alice.inbox if isinstance(m, Response) and m.status == 200]
        self.assertEqual([m.to_tag for m in answers], [self.bob.tag, "tag-other"])
        self.assertEqual(other.took(), [200, "INVITE", "CANCEL"])
        self.node.calls.end(next(iter(self.node.calls)).key, "end of the test")

    def test_stray_responses(self) -> None:
        """A response that belongs to no request of ours is dropped, a 200 to INVITE too (RFC 6026 section 8.9)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB)
        self.bob.reply(self.bob.request(), 486)
        before = len(self.world.network.log)
        data = self.world.network.log[-1][2]
        forged = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnone\r\nCSeq: 1 INVITE\r\n" \
            b"Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1\r\n\r\n"  # fmt: skip
        self.world.network.put("UDP", self.bob.address, self.node.address, forged)
        self.world.run()
        self.assertTrue(data)
        self.assertEqual(len(self.world.network.log), before + 1)
        self.assertEqual(self.node.transactions.stray_responses, 1)

    def test_memory(self) -> None:
        """Behind the final response nothing holds the request any more: what lingers for 32 s is small."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, headers=[f"X-Large: {'x' * 2000}"])
        self.bob.reply(self.bob.request("INVITE"), 200)
        (server,) = [s for s in self.node.transactions.servers.values() if s.key[-1] == "INVITE"]
        self.assertEqual(server.request.lines, [])
        for client in self.node.transactions.clients.values():
            self.assertEqual(client._machine.wire, b"")
        self.node.calls.end(next(iter(self.node.calls)).key, "end of the test")

    def test_broken_requests(self) -> None:
        """What the checks of section 16.3 refuse is answered without state."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB, headers=["Proxy-Require: foo, bar"])
        self.assertEqual(self.alice.response(420).values("unsupported"), ["foo", "bar"])
        self.alice.took()
        self.alice.send(self.node, "INVITE", "tel:+1234")
        self.alice.send(self.node, "INVITE", BOB, headers=["Max-Forwards: 3"])
        self.alice.send(self.node, "INVITE", BOB, routes=["<sip:["])
        self.assertEqual(self.alice.took(), [416, 400, 400])
        self.assertEqual([key for key in self.node.transactions.servers if key[-1] == "INVITE"], [])

    def test_response_without_second_via(self) -> None:
        """A final response with our Via alone is not forwarded as it is: the caller gets 502 (section 16.7 step 3)."""
        self.registered()
        self.alice.send(self.node, "INVITE", BOB)
        invite = self.bob.request()
        without = [line for line in invite.lines if line != invite.lines[invite.layout.indexes("via")[1]]]
        invite = parse(b"\r\n".join([invite.start, *without, b"", invite.body]))
        assert isinstance(invite, Request)
        self.bob.reply(invite, 180)
        self.assertEqual(self.alice.took(), [100])
        self.bob.reply(invite, 486)
        self.assertEqual(self.alice.took(), [502])
