"""Who may send what."""

from __future__ import annotations

from tests.unit.services.sip_world import Node, Phone, WorldCase
from voipcluster.sip.message import Response

BOB = "sip:bob@example.com"


class AccessCase(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", auth=True)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")

    def registered(self, phone: Phone, node: Node) -> None:
        self.assertEqual(self.register(phone, node), [401, 200])

    def register(self, phone: Phone, node: Node, password: str = "secret") -> list[int | str]:
        uri = "sip:example.com"
        phone.send(node, "REGISTER", uri, call_id="reg", headers=["Expires: 600"])
        answer = phone.credentials(phone.response(401), "REGISTER", uri, password)
        phone.send(node, "REGISTER", uri, call_id="reg", cseq=2, headers=["Expires: 600", answer])
        return phone.took()


class RegisterTests(AccessCase):
    def test_register(self) -> None:
        """REGISTER is challenged with 401, and accepted with the right answer (RFC 3261 section 22.2)."""
        self.registered(self.bob, self.node)
        (binding,) = self.node.registrar.lookup("bob@example.com")
        self.assertEqual(binding.contact, self.bob.uri)
        self.assertEqual(self.node.access.outcomes, {"challenged": 1, "accepted": 1})

    def test_no_state(self) -> None:
        """A challenge costs no memory: no transaction, the nonce is signed (RFC 8760)."""
        self.bob.send(self.node, "REGISTER", "sip:example.com")
        self.assertEqual(self.bob.took(), [401])
        self.assertEqual(len(self.node.transactions), 0)

    def test_all_algorithms(self) -> None:
        """One challenge for each algorithm, the strongest one first (RFC 8760 section 2.3)."""
        first, *others = self.challenges("User-Agent: Softphone 7.1")
        self.assertIn("SHA-256", first)
        self.assertTrue(any("MD5" in other for other in others))

    def challenges(self, *headers: str) -> list[str]:
        self.bob.send(self.node, "REGISTER", "sip:example.com", headers=list(headers))
        return self.bob.response(401).get_all("www-authenticate")

    def test_clients_that_cannot_choose(self) -> None:
        """A client known to give up at SHA-256, or that names nothing, is offered MD5 alone (see access.MD5_ONLY)."""
        for headers in ((), ("User-Agent: baresip v1.0.0 (x86_64/linux)",), ("User-Agent: SIPp/Linux",)):
            (only,) = self.challenges(*headers)
            self.assertIn("MD5", only)
        self.assertEqual(len(self.challenges("User-Agent: baresip v3.16.0 (x86_64/linux)")), 2)

    def test_wrong_password(self) -> None:
        """A wrong password is challenged anew and counted."""
        self.assertEqual(self.register(self.bob, self.node, "wrong"), [401, 401])
        self.assertEqual(self.node.access.outcomes["guessed"], 1)
        self.assertEqual(self.node.registrar.lookup("bob@example.com"), [])

    def test_other_user(self) -> None:
        """Who authenticates as somebody else may not register this address: 403 (section 10.3 step 3)."""
        uri = "sip:example.com"
        self.bob.send(self.node, "REGISTER", uri, call_id="r", headers=["Expires: 60"])
        answer = self.alice.credentials(self.bob.response(401), "REGISTER", uri)
        self.bob.send(self.node, "REGISTER", uri, call_id="r", cseq=2, headers=["Expires: 60", answer])
        self.assertEqual(self.bob.took(), [401, 403])

    def test_nonce_of_another_node(self) -> None:
        """It is stale there, and the phone goes on by itself (RFC 7616 section 3.3); once overheard it is of no use."""
        other = self.world.node("b", auth=True)
        uri = "sip:example.com"
        self.bob.send(self.node, "REGISTER", uri, call_id="r", headers=["Expires: 60"])
        answer = self.bob.credentials(self.bob.response(401), "REGISTER", uri)
        self.bob.send(other, "REGISTER", uri, call_id="r", cseq=2, headers=["Expires: 60", answer])
        self.assertEqual(self.bob.took(), [401, 401])
        self.bob.send(self.node, "REGISTER", uri, call_id="r", cseq=3, headers=["Expires: 60", answer])
        self.bob.send(other, "REGISTER", uri, call_id="r", cseq=4, headers=["Expires: 60", answer])
        again = self.bob.response(401)
        self.assertIn("stale=true", again.get("www-authenticate") or "")
        answer = self.bob.credentials(again, "REGISTER", uri)
        self.bob.send(other, "REGISTER", uri, call_id="r", cseq=5, headers=["Expires: 60", answer])
        self.assertEqual(self.bob.took(), [200, 401, 200])
        self.assertEqual(other.access.outcomes, {"stale": 2, "accepted": 1})

    def test_a_register_that_is_handed_over(self) -> None:
        """It is challenged once, by the node that the phone speaks to, and by no other one."""
        other = self.world.node("b", auth=True)
        self.node.load(0.9)
        self.registered(self.bob, self.node)
        self.assertEqual((self.node.access.outcomes["accepted"], other.access.outcomes), (1, {}))
        self.assertEqual(self.node.placing.handed_over, {"b": 1})


class CallerTests(AccessCase):
    def challenge(self, uri: str = BOB) -> Response:
        self.alice.send(self.node, "INVITE", uri)
        found = self.alice.response(407)
        self.assertEqual(self.alice.took(), [407])
        return found

    def test_challenge(self) -> None:
        """A user of ours is challenged with 407, its credentials are not passed on (section 22.3)."""
        self.registered(self.bob, self.node)
        answer = self.alice.credentials(self.challenge(), "INVITE", BOB)
        foreign = (
            'Proxy-Authorization: Digest username="x", realm="other", nonce="n", uri="sip:x", response="0"'
        )
        self.alice.send(self.node, "INVITE", BOB, cseq=2, headers=[foreign, answer])
        invite = self.bob.request()
        self.assertEqual(invite.get_all("proxy-authorization"), [foreign.partition(": ")[2]])
        (call,) = self.node.calls
        self.assertEqual(call.user, "alice@example.com")
        self.bob.reply(invite, 486)

    def test_ack_of_a_challenge(self) -> None:
        """The ACK for the stateless 407 goes nowhere."""
        self.challenge()
        self.alice.send(self.node, "ACK", BOB, branch=str(self.world.branches), to_tag="x")
        self.assertEqual(self.alice.took() + self.bob.took(), [])

    def test_another_from(self) -> None:
        """A From of another user of ours is 403: everybody speaks for himself."""
        answer = self.alice.credentials(self.challenge(), "INVITE", BOB)
        self.alice.send(self.node, "INVITE", BOB, cseq=2, headers=[answer], from_uri="sip:carol@example.com")
        self.assertEqual(self.alice.took(), [403])
        self.assertEqual(self.node.access.outcomes["refused"], 1)

    def test_replay(self) -> None:
        """Credentials that were used before are stale: challenged anew (RFC 7616 section 3.4)."""
        self.registered(self.bob, self.node)
        answer = self.alice.credentials(self.challenge(), "MESSAGE", BOB)
        self.alice.send(self.node, "MESSAGE", BOB, cseq=2, headers=[answer])
        self.bob.reply(self.bob.request(), 200)
        self.alice.send(self.node, "MESSAGE", BOB, cseq=3, headers=[answer])
        self.assertIn("stale=true", (self.alice.response(407).get("proxy-authenticate") or "").lower())
        self.assertEqual(self.alice.took(), [200, 407])

    def test_strangers_may_call_us(self) -> None:
        """Who is nobody of ours may call a user of ours, without a challenge."""
        self.registered(self.bob, self.node)
        self.alice.send(self.node, "INVITE", BOB, from_uri="sip:x@elsewhere.example")
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_other_scheme_in_from(self) -> None:
        """A From of another scheme is nobody of ours (RFC 4475 section 3.3.4)."""
        self.registered(self.bob, self.node)
        self.alice.send(self.node, "INVITE", BOB, from_uri="tel:+4912345")
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_no_open_relay(self) -> None:
        """Strangers may not call strangers through us, also not with a Route that leads on: 403."""
        stranger = "sip:x@elsewhere.example"
        self.alice.send(self.node, "INVITE", "sip:y@203.0.113.1", from_uri=stranger)
        self.alice.send(
            self.node, "INVITE", BOB, from_uri=stranger, routes=["<sip:192.0.2.1;lr>", "<sip:203.0.113.1;lr>"]
        )
        self.alice.send(self.node, "INVITE", BOB, from_uri=stranger, routes=["<sip:203.0.113.1;lr>"])
        self.assertEqual(self.alice.took(), [403, 403, 403])

    def test_preloaded_route(self) -> None:
        """A user of ours may preload a Route: ours is taken off, the next one is followed (section 16.12)."""
        other = self.world.phone("proxy", "203.0.113.1")
        routes = ["<sip:192.0.2.1;lr>", "<sip:203.0.113.1;lr>"]
        answer = self.alice.credentials(self.challenge(), "INVITE", BOB)
        self.alice.send(self.node, "INVITE", BOB, cseq=2, headers=[answer], routes=routes)
        invite = other.request()
        self.assertEqual((invite.uri, invite.values("route")), (BOB, ["<sip:203.0.113.1;lr>"]))
        other.reply(invite, 486)

    def test_contact_that_leads_back(self) -> None:
        """A call to a user whose Contact is another user of ours is challenged once, and goes on; so does its re-INVITE."""
        self.registered(self.bob, self.node)
        for contact in ("sip:bob@192.0.2.1", "sip:bob@example.com;x=y"):
            carol = self.world.phone("carol", "198.51.100.9")
            carol.contact = contact
            self.registered(carol, self.node)
            uri = "sip:carol@example.com"
            answer = self.alice.credentials(self.challenge(uri), "INVITE", uri)
            self.alice.send(self.node, "INVITE", uri, cseq=2, headers=[answer])
            self.assertEqual(self.alice.took(), [100])
            self.bob.reply(self.bob.request("INVITE"), 200)
            ok = self.alice.response(200)
            self.assertEqual(self.alice.took(), [200])
            (call,) = self.node.calls
            self.assertEqual((call.user, call.source), ("alice@example.com", "198.51.100.1:5060"))
            self.assertFalse(self.bob.request("INVITE").has("route"))
            for method in ("INVITE", "BYE"):
                self.bob.took()
                self.alice.send(
                    self.node, method, self.bob.uri, cseq=self.world.branches, to_tag=self.bob.tag,
                    routes=ok.values("record-route")[::-1],
                )  # fmt: skip
                self.bob.reply(self.bob.request(method), 200)
                self.assertEqual(self.alice.took()[-1], 200)

    def test_foreign_route(self) -> None:
        """A Route that does not name us is followed as well (section 16.6 step 7)."""
        other = self.world.phone("proxy", "203.0.113.1")
        answer = self.alice.credentials(self.challenge(), "INVITE", BOB)
        self.alice.send(self.node, "INVITE", BOB, cseq=2, headers=[answer], routes=["<sip:203.0.113.1;lr>"])
        other.reply(other.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_broken_from(self) -> None:
        """A From that is no address is 400."""
        self.alice.send(self.node, "INVITE", BOB, from_uri="sip:[")
        self.assertEqual(self.alice.took(), [400])
