"""What strangers try: to call through us at our cost, to fill a node, to use it against others."""

from __future__ import annotations

import re

from tests.unit.services.sip.test_proxy import BOB, CallCase
from tests.unit.services.sip_world import Node, Phone
from voipcluster.sip.message import Request
from voipcluster.sip.outgoing import reply

GATEWAY = "sip:+1900@203.0.113.77"
STRANGER = "sip:evil@foreign.org"


class HostileWorld(CallCase):
    """
    Bob is registered at node a, which asks for passwords; evil is nobody of ours, and a gateway takes calls from the node alone.
    """

    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", auth=True)
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.evil = self.world.phone("evil", "203.0.113.9")
        self.gateway = self.world.phone("gateway", "203.0.113.77")
        self.register(self.bob, self.node)

    def register(self, phone: Phone, node: Node) -> None:
        phone.register(node)
        challenge = phone.response(401)
        phone.register(node, headers=[phone.credentials(challenge, "REGISTER", "sip:example.com")])
        self.assertEqual(phone.took()[-1], 200)

    def ring(self) -> list[str]:
        """The stranger rings bob; the Route that its later requests carry."""
        self.evil.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id="k", contact=GATEWAY)
        self.bob.reply(self.bob.request("INVITE"), 180)
        routes = self.route_set(self.evil.response(180))
        self.evil.took()
        return routes

    def end(self) -> None:
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.evil.took()

    def up(self, contact: str | None = None, *headers: str) -> list[str]:
        """The stranger's call with bob is up; the Route of the stranger."""
        self.evil.send(
            self.node, "INVITE", BOB, from_uri=STRANGER, call_id="k", contact=contact, headers=headers
        )
        self.invite = self.bob.request("INVITE")
        self.bob.reply(self.invite, 200)
        routes = self.route_set(self.evil.response(200))
        self.evil.took()
        self.bob.took()
        return routes

    def end_all(self) -> None:
        for node in self.world.nodes.values():
            for call in list(node.calls):
                node.calls.end(call.key, "end of the test")


class HostileCase(HostileWorld):
    def test_call_token_leads_to_its_call_only(self) -> None:
        """Whoever called one of us has a token for that call, not for calls to anybody else (S7, toll fraud)."""
        routes = self.ring()
        for method in ("INVITE", "MESSAGE"):
            for number, tag in enumerate(("", "invented"), 2):
                self.evil.send(
                    self.node,
                    method,
                    GATEWAY,
                    from_uri=STRANGER,
                    call_id="k",
                    cseq=number,
                    routes=routes,
                    to_tag=tag,
                )
                self.assertIn(self.evil.took()[-1], (403, 481))
        self.assertEqual(self.gateway.took(), [])
        self.end()

    def test_route_behind_a_call_token(self) -> None:
        """What follows our Route leads nowhere but along proxies that were in the dialog from its begin (S7, toll fraud)."""
        beyond = "<sip:203.0.113.77;lr>"
        # a proxy of the caller, or one that it made up, is no way to the callee
        routes = self.up(None, "Record-Route: <sip:203.0.113.77;lr>, <sip:192.0.2.1:5060;lr>")[-1:]
        for number, method in enumerate(("INVITE", "MESSAGE", "REFER"), 2):
            self.evil.send(
                self.node, method, "sip:+1900@198.51.100.2:5060", from_uri=STRANGER, call_id="k", cseq=number,
                routes=[*routes, beyond], to_tag=self.bob.tag,
            )  # fmt: skip
            self.assertEqual(self.gateway.took(), [], method)
            self.assertEqual(self.bob.request(method).uri, "sip:+1900@198.51.100.2:5060")
            self.bob.reply(self.bob.request(method), 481 if method == "INVITE" else 404)
        self.end_all()

    def test_route_of_the_callee(self) -> None:
        """The same from the callee's side, whose caller has no flow: 481; and nothing in the Request-URI gets around it."""
        self.up()
        ours = self.route_set(self.invite)
        for uri, beyond in (
            (self.evil.uri, ["<sip:203.0.113.77;lr>"]),
            (self.evil.uri, ["<sip:203.0.113.9;maddr=203.0.113.77;lr>"]),
            (f"{self.evil.uri};maddr=203.0.113.77", []),
            ("sip:+1900@203.0.113.9:5060", []),
        ):
            for method in ("INVITE", "MESSAGE", "REFER"):
                self.bob.send(
                    self.node, method, uri, from_uri=BOB, call_id="k", cseq=self.world.branches, routes=[*ours, *beyond],
                    to_tag=self.evil.tag,
                )  # fmt: skip
                self.assertEqual(
                    (self.bob.took()[-1:], self.gateway.took()), ([481], []), (uri, beyond, method)
                )
        self.assertEqual(self.evil.took(), [])
        self.end_all()

    def test_route_along_proxies_of_the_dialog(self) -> None:
        """Proxies on both sides that recorded their Route are followed, each way, in requests that start something too."""
        theirs, far = self.world.phone("theirs", "203.0.113.5"), self.world.phone("far", "203.0.113.6")
        alice = self.world.phone("alice", "198.51.100.1")
        self.register(alice, self.node)
        recorded = ["Record-Route: <sip:203.0.113.5;lr>, <sip:203.0.113.55;lr>"]
        alice.send(self.node, "INVITE", "sip:dave@203.0.113.6", call_id="d", headers=recorded)
        answer = alice.credentials(alice.response(407), "INVITE", "sip:dave@203.0.113.6")
        alice.send(
            self.node, "INVITE", "sip:dave@203.0.113.6", call_id="d", cseq=2, headers=[answer, *recorded]
        )
        invite = far.request("INVITE")
        beyond = ["<sip:203.0.113.6;lr>", "<sip:203.0.113.66;lr>"]
        response = reply(
            invite, 200, None, "far",
            [*(("record-route", value) for value in [*reversed(beyond), *invite.values("record-route")]),
             ("contact", "<sip:dave@10.0.0.6>")],
        )  # fmt: skip
        self.world.network.put("UDP", far.address, self.node.address, response.to_bytes())
        self.world.run()
        ours = [value for value in self.route_set(alice.response(200)) if "192.0.2.1" in value]
        far.took()
        for method in ("INVITE", "MESSAGE"):
            alice.send(
                self.node, method, "sip:dave@10.0.0.6", call_id="d", cseq=self.world.branches, routes=[*ours, *beyond],
                to_tag="far",
            )  # fmt: skip
            self.assertEqual(far.request(method).values("route"), beyond)
            far.reply(far.request(method), 486)
        far.tag = "far"
        for method in ("INVITE", "MESSAGE"):
            far.send(
                self.node, method, alice.uri, call_id="d", cseq=self.world.branches, to_tag=alice.tag,
                routes=[*ours, "<sip:203.0.113.5;lr>", "<sip:203.0.113.55;lr>"], from_uri="sip:dave@203.0.113.6",
            )  # fmt: skip
            self.assertEqual(len(theirs.request(method).values("route")), 2)
            theirs.reply(theirs.request(method), 486)
        self.end_all()

    def test_asserted_identity_within_a_dialog(self) -> None:
        """Within a dialog nobody says either who it is (RFC 3325 section 5)."""
        asserted = ["P-Asserted-Identity: <sip:boss@example.com>", "P-Asserted-Identity: <tel:+1>"]
        routes = self.up()
        for method in ("UPDATE", "INVITE", "ACK"):
            self.evil.send(
                self.node, method, self.bob.uri, from_uri=STRANGER, call_id="k", cseq=self.world.branches, routes=routes,
                to_tag=self.bob.tag, headers=asserted,
            )  # fmt: skip
            request = self.bob.request(method)
            self.assertFalse(request.has("p-asserted-identity"), method)
            if method != "ACK":
                self.bob.reply(request, 488)
        other = self.world.node("b", auth=True)
        before = len(self.world.network.log)
        self.evil.send(
            other, "UPDATE", self.bob.uri, from_uri=STRANGER, call_id="k", cseq=self.world.branches, routes=routes,
            to_tag=self.bob.tag, headers=asserted,
        )  # fmt: skip
        sent = [data for source, _, data in self.world.network.log[before:] if source == other.address]
        self.assertTrue(any(data.startswith(b"UPDATE") for data in sent))
        self.assertEqual([data for data in sent if b"boss" in data], [])
        self.bob.reply(self.bob.request("UPDATE"), 488)
        self.end_all()

    def test_route_with_maddr(self) -> None:
        """A Route that names a node of ours but leads elsewhere by maddr is not one of ours (S7)."""
        self.world.node("b", auth=True)
        token = re.search(r"call=([\w-]+)", self.ring()[0])
        assert token is not None
        route = f"<sip:192.0.2.2:5060;lr;maddr=203.0.113.77;call={token[1]}>"
        self.evil.send(self.node, "INVITE", GATEWAY, from_uri=STRANGER, call_id="new", routes=[route])
        self.assertEqual((self.evil.took()[-1], self.gateway.took()), (403, []))
        self.end()

    def test_broken_contact(self) -> None:
        """An INVITE whose Contact cannot be read is no call that stays for ever."""
        for number in range(3):
            self.evil.send(
                self.node, "INVITE", BOB, from_uri=STRANGER, call_id=f"x{number}", contact='sip:a@b>, "'
            )
        for request in [m for m in self.bob.inbox if isinstance(m, Request)]:
            self.bob.reply(request, 486)
        self.evil.took()
        self.assertEqual(len(self.node.calls), 0)

    def test_broken_response(self) -> None:
        """A response whose Via cannot be taken apart is dropped before it has changed anything."""
        self.evil.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id="k")
        request = self.bob.request("INVITE")
        lines = reply(request, 486, None, "t").to_bytes().split(b"\r\n")
        top = next(line for line in lines if line.startswith(b"Via"))
        broken = [top + b', "', *(line for line in lines if not line.startswith(b"Via"))]
        broken.insert(0, broken.pop(broken.index(lines[0])))
        self.world.network.put("UDP", self.bob.address, self.node.address, b"\r\n".join(broken))
        self.world.run()
        self.bob.reply(request, 486)
        self.assertEqual(self.evil.took()[-1], 486)

    def test_answers_of_both_algorithms_stay_here(self) -> None:
        """A client may answer each challenge; no answer to one of ours goes on to the callee (RFC 3261 section 22.3)."""
        alice = self.world.phone("alice", "198.51.100.1")
        alice.send(self.node, "INVITE", BOB, call_id="c", headers=["User-Agent: Softphone 7.1"])
        challenge = alice.response(407)
        answer = alice.credentials(challenge, "INVITE", BOB)
        alice.send(
            self.node, "INVITE", BOB, call_id="c", cseq=2, headers=[answer, answer.replace("SHA-256", "MD5")]
        )
        self.assertIsNone(self.bob.request("INVITE").get("proxy-authorization"))
        self.bob.reply(self.bob.request("INVITE"), 486)
        alice.took()

    def test_counters_do_not_grow(self) -> None:
        """Invented methods are counted together."""
        for number in range(50):
            self.evil.send(self.node, f"X{number}", BOB, from_uri=STRANGER, call_id=f"c{number}")
        for request in [m for m in self.bob.inbox if isinstance(m, Request)]:
            self.bob.reply(request, 501)
        self.evil.took()
        self.assertLess(len(self.node.transactions.answered), 10)


class SlowAnswerTests(CallCase):
    def test_slow_message_over_a_hand_over(self) -> None:
        """A node that was handed a MESSAGE says so at once; a slow phone is no reason to ask the next node."""
        a, b, _ = (self.world.node(name) for name in "abc")
        bob = self.world.phone("bob", "198.51.100.2")
        bob.register(a)
        bob.took()
        alice = self.world.phone("alice", "198.51.100.1")
        a.load(0.8)
        alice.send(a, "MESSAGE", BOB, call_id="m", body="hi")
        self.world.wait(2.5)
        copies = {m.top_via.branch for m in bob.inbox if isinstance(m, Request)}
        self.assertEqual(len(copies), 1)
        self.assertEqual([n.state.value for n in a.membership], ["open", "open"])
        bob.reply(next(m for m in bob.inbox if isinstance(m, Request)), 200)
        self.assertEqual(alice.took()[-1], 200)
        self.assertIsNotNone(b)


class SameCallTests(CallCase):
    def test_second_invite_of_a_call(self) -> None:
        """An INVITE of the same Call-ID that fails does not end the call that is up (one's own limit is not evaded so)."""
        node = self.world.node("a")
        bob, alice = self.world.phone("bob", "198.51.100.2"), self.world.phone("alice", "198.51.100.1")
        bob.register(node)
        alice.send(node, "INVITE", BOB)
        bob.reply(bob.request("INVITE"), 200)
        answer = alice.response(200)
        alice.took()
        alice.send(node, "INVITE", "sip:nobody@example.com", cseq=2)
        self.assertEqual((alice.took()[-1], len(node.calls)), (404, 1))
        alice.send(node, "BYE", self.target(answer), cseq=3, to_tag=bob.tag, routes=self.route_set(answer))
        bob.reply(bob.request("BYE"), 200)
        self.assertEqual(len(node.calls), 0)

    def test_asserted_identity(self) -> None:
        """A client does not say who it is: P-Asserted-Identity is taken off (RFC 3325 section 5)."""
        node = self.world.node("a")
        bob, alice = self.world.phone("bob", "198.51.100.2"), self.world.phone("alice", "198.51.100.1")
        bob.register(node)
        alice.send(node, "INVITE", BOB, headers=["P-Asserted-Identity: <sip:boss@example.com>"])
        self.assertIsNone(bob.request("INVITE").get("p-asserted-identity"))
        bob.reply(bob.request("INVITE"), 486)
        alice.took()
