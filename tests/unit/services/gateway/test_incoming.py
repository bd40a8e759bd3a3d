"""What gateways, those behind them, and strangers may send: with whole nodes and phones that the test plays."""

from __future__ import annotations

from attrs import evolve
from twisted.logger import Logger

from tests.unit.services.gateway.trunk_world import HOSTS, NUMBER, PLAN, SDP, TrunkCase, gateway
from tests.unit.services.sip_world import Phone
from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.permission import Party, Permission
from voipcluster.gateway.routing import Routes
from voipcluster.services.gateway.incoming import Incoming
from voipcluster.services.node.records import CallRecord
from voipcluster.services.notices import Notices
from voipcluster.services.records.refused import RefusedCalls

BOB = "sip:bob@example.com"
CARRIER = "sip:+4930555@carrier.example"


class IncomingCase(TrunkCase):
    def setUp(self) -> None:
        super().setUp()
        node = self.node
        self.identities: frozenset[str] = frozenset()
        self.incoming = Incoming(
            self.routing,
            lambda: node.core.names,
            lambda aor: self.world.is_user(aor) or bool(node.registrar.lookup(aor)),
            lambda flow: self.identities,
            Notices(self.world.clock.seconds, Logger()),
        )
        node.access.gateways, node.serving.channels = self.incoming, self.channels
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.register(self.bob)
        self.stranger = self.world.phone("mallory", "203.0.113.9")

    def register(self, phone: Phone) -> list[int | str]:
        uri = "sip:example.com"
        phone.send(self.node, "REGISTER", uri, call_id="reg", headers=["Expires: 600"])
        if phone.inbox and phone.inbox[-1].status == 401:
            line = phone.credentials(phone.response(401), "REGISTER", uri)
            phone.send(self.node, "REGISTER", uri, call_id="reg", cseq=2, headers=["Expires: 600", line])
        return phone.took()

    def call(
        self,
        phone: Phone,
        uri: str = BOB,
        from_uri: str = CARRIER,
        method: str = "INVITE",
        body: str = "",
        **more: object,
    ) -> list[int | str]:
        headers = ["Content-Type: application/sdp"] if body else []
        phone.send(self.node, method, uri, from_uri=from_uri, headers=headers, body=body, **more)
        answers = [m.status if hasattr(m, "status") else m.method for m in phone.inbox]
        return [answer for answer in answers if answer != 100]

    def change(self, name: str, **changes: object) -> None:
        """The list of gateways changes while the node runs."""
        self.declare([evolve(one, **changes) if one.name == name else one for one in self.book])

    def give_up(self, phone: Phone) -> None:
        """Whoever rings says that he is busy."""
        phone.reply(phone.request("INVITE"), 486)


class FromGateways(IncomingCase):
    gateways = (gateway("a", channels=1), gateway("b", incoming=Permission(("+49",), ("users", "+33"))))

    def test_reaches_users(self) -> None:
        """A gateway is asked for no password; its call says where it came from and holds a channel until it is over."""
        self.assertEqual(self.call(self.a), [])
        (call,) = self.node.calls
        self.assertEqual((call.gateway_in, self.in_use("a")), ("a", 1))
        self.bob.reply(self.bob.request("INVITE"), 200)
        state = self.book.state("a")
        assert state is not None
        self.assertEqual((state.seizures, state.answers), (1, 1))
        routes = self.a.response(200).values("record-route")
        self.a.send(
            self.node, "BYE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=routes, from_uri=CARRIER
        )
        self.bob.reply(self.bob.request("BYE"), 200)
        self.assertEqual(self.in_use("a"), 0)

    def test_not_answered(self) -> None:
        """A call that bob turns down gives its channel back, and says how it ended."""
        self.call(self.a)
        self.give_up(self.bob)
        state = self.book.state("a")
        assert state is not None
        self.assertEqual((state.channels, state.answers, state.last_cause), (0, 0, "failed 486"))

    def test_no_number_by_default(self) -> None:
        """It reaches no number unless its permission names it: 403 with the reason, nothing sent on, counted."""
        self.assertEqual(self.call(self.a, NUMBER), [403])
        warning = self.a.response(403).get("warning")
        self.assertEqual(warning, '399 voipcluster "gateway a may not pass calls from it to this number"')
        self.assertEqual(self.incoming.refused, {("a", "number"): 1})
        self.assertEqual((self.b.took(), self.in_use("a")), ([], 0))

    def test_a_number_that_it_may(self) -> None:
        """From one gateway to another one, where the first may call that number; never back to itself."""
        self.call(self.b, "sip:0033-1@example.com")
        self.assertEqual(self.got(self.a).uri, f"sip:+331@{HOSTS['a']};user=phone")
        (call,) = self.node.calls
        self.assertEqual(
            (call.gateway_in, call.number, self.in_use("a"), self.in_use("b")), ("b", "+331", 1, 1)
        )
        self.a.reply(self.a.request("INVITE"), 404)
        self.assertEqual((self.in_use("a"), self.in_use("b")), (0, 0))

    def test_caller(self) -> None:
        """Callers whom its permission does not name are refused."""
        self.assertEqual(self.call(self.b, from_uri="sip:+1555@carrier.example"), [403])
        self.assertEqual(self.incoming.refused, {("b", "caller"): 1})

    def test_foreign_and_routed(self) -> None:
        """It is no way to other domains, nor to where a Route of its own leads."""
        self.assertEqual(self.call(self.a, "sip:x@elsewhere.example"), [403])
        self.a.took()
        self.assertEqual(self.call(self.a, routes=["<sip:203.0.113.77;lr>"], branch="r"), [403])
        self.assertEqual(self.incoming.refused, {("a", "number"): 2})

    def test_full(self) -> None:
        """When its channels are taken, one more call gets 503 with the cause of Q.850; a MESSAGE needs no channel."""
        self.call(self.a)
        self.assertEqual(self.call(self.a, branch="2", call_id="call-2")[-1], 503)
        self.assertIn("cause=34", self.a.response(503).get("reason") or "")
        self.call(self.a, method="MESSAGE", branch="3", call_id="call-3")
        self.bob.reply(self.bob.request("MESSAGE"), 200)
        self.give_up(self.bob)

    def test_for_help(self) -> None:
        """A call for help is let through when all channels are taken and whatever the permission is."""
        self.call(self.a)
        self.assertNotIn(403, self.call(self.a, "sip:110@example.com", branch="2", call_id="call-2"))
        self.assertNotIn(503, self.a.took())
        self.give_up(self.bob)

    def test_withdrawn_while_a_call_goes_on(self) -> None:
        """The next call is refused, the running one goes on and ends as usual."""
        self.call(self.a)
        self.bob.reply(self.bob.request("INVITE"), 200)
        self.change("a", enabled=False)
        routes = self.a.response(200).values("record-route")
        self.assertEqual(self.call(self.a, branch="2", call_id="call-2")[-1], 403)
        self.assertEqual(self.incoming.refused, {("a", "disabled"): 1})
        self.a.send(self.node, "ACK", self.bob.uri, to_tag=self.bob.tag, routes=routes, from_uri=CARRIER)
        self.a.send(
            self.node, "BYE", self.bob.uri, cseq=2, to_tag=self.bob.tag, routes=routes, from_uri=CARRIER
        )
        self.bob.reply(self.bob.request("BYE"), 200)
        self.assertEqual((len(self.node.calls), self.in_use("a")), (0, 0))

    def test_a_gateway_that_is_taken_away(self) -> None:
        """Its running call goes on to be counted; what comes from there then is a stranger's."""
        self.call(self.a)
        self.book.replace([])
        self.give_up(self.bob)
        self.assertIsNone(self.book.state("a"))
        self.assertEqual(self.call(self.a, NUMBER, branch="2", call_id="call-2")[-1], 403)
        self.assertEqual(self.incoming.refused, {("", "stranger"): 1})

    def test_user_behind_it(self) -> None:
        """Who says through a gateway that he is a user of ours proves it, and is that user then."""
        alice = self.alice.aor
        self.assertEqual(self.call(self.a, from_uri=alice), [407])
        line = self.alice.credentials(self.a.response(407), "INVITE", BOB)
        self.a.took()
        self.a.send(self.node, "INVITE", BOB, from_uri=alice, cseq=2, branch="2", headers=[line])
        (call,) = self.node.calls
        self.assertEqual((call.user, call.gateway_in), ("alice@example.com", "a"))
        self.give_up(self.bob)

    def test_not_the_user_he_says(self) -> None:
        """bob's password does not make anybody alice, behind a gateway as elsewhere."""
        self.call(self.a, from_uri=self.alice.aor)
        line = self.bob.credentials(self.a.response(407), "INVITE", BOB)
        self.a.took()
        self.a.send(self.node, "INVITE", BOB, from_uri=self.alice.aor, cseq=2, branch="2", headers=[line])
        self.assertEqual(self.a.took(), [403])

    def test_register_through_it(self) -> None:
        """A phone behind a gateway registers as ever, and not through one that is disabled."""
        carol = self.world.phone("carol", HOSTS["a"], port=5099)
        self.assertEqual(self.register(carol)[-1], 200)
        self.change("a", enabled=False)
        carol.send(self.node, "REGISTER", "sip:example.com", call_id="again", headers=["Expires: 600"])
        self.assertEqual(carol.took(), [403])


class OtherMarks(IncomingCase):
    gateways = (
        Gateway("tls", certificates=("gw.example",), incoming=Permission(numbers=("*",))),
        Gateway("pbx", username="carol@example.com", codecs=("PCMA",)),
        Gateway("nat", sources=("198.51.100.99",), behind=("203.0.113.0/24",)),
        gateway("a"),
    )

    def test_certificate(self) -> None:
        """What its certificate proves, and not where it comes from, makes a client this gateway."""
        self.identities = frozenset({"gw.example"})
        peer = self.world.phone("peer", "198.51.100.50", "TLS", 40000)
        self.call(peer)
        (call,) = self.node.calls
        self.assertEqual(call.gateway_in, "tls")
        self.give_up(self.bob)

    def proved(self, uri: str = BOB, from_uri: str = "sip:+4930777@example.com", body: str = "") -> None:
        peer = self.peer = self.world.phone("carol", "198.51.100.51")
        self.assertEqual(self.call(peer, uri, from_uri=from_uri, body=body), [407])
        line = peer.credentials(peer.response(407), "INVITE", uri)
        peer.took()
        headers = [line, "Content-Type: application/sdp"] if body else [line]
        peer.send(self.node, "INVITE", uri, from_uri=from_uri, cseq=2, branch="2", headers=headers, body=body)

    def test_password(self) -> None:
        """Who proves the password of the account is the gateway, and speaks for the numbers behind it."""
        self.proved()
        (call,) = self.node.calls
        self.assertEqual((call.gateway_in, call.user), ("pbx", "carol@example.com"))
        self.give_up(self.bob)

    def test_password_but_not_for_users(self) -> None:
        """It does not speak for another user of ours."""
        self.proved(from_uri=self.alice.aor)
        self.assertEqual(self.peer.took(), [403])

    def test_password_and_permission(self) -> None:
        """What it may is asked once it is known: here no number, and only some codecs."""
        self.proved(NUMBER)
        self.assertEqual(self.peer.took(), [403])
        self.assertEqual(self.incoming.refused, {("pbx", "number"): 1})

    def test_codecs(self) -> None:
        """An offer with none of the codecs that a gateway may use is 488 (RFC 3261 section 21.4.26)."""
        body = SDP.replace("RTP/AVP 0 8", "RTP/AVP 0").replace("a=rtpmap:8 PCMA/8000\r\n", "")
        self.proved(body=body)
        self.assertEqual(self.peer.took(), [488])
        self.assertEqual(self.incoming.refused, {("pbx", "codecs"): 1})

    def test_around_it(self) -> None:
        """A client that has to come through its gateway and does not is refused, whatever it sends and knows."""
        self.assertEqual(self.call(self.stranger), [403])
        self.stranger.took()
        alice = self.world.phone("alice", "203.0.113.8")
        alice.send(self.node, "REGISTER", "sip:example.com", headers=["Expires: 600"])
        self.assertEqual(alice.took(), [403])
        self.assertEqual(self.incoming.refused, {("nat", "bypass"): 2})
        self.assertEqual(self.bob.took(), [])


class Strangers(IncomingCase):
    def test_numbers(self) -> None:
        """Who is nobody's reaches our users, and no number: 403 and counted, before a gateway hears of it."""
        self.assertEqual(self.call(self.stranger, from_uri="sip:m@elsewhere.example"), [])
        self.give_up(self.bob)
        self.stranger.took()
        for number, uri in enumerate((NUMBER, "tel:+4989345", "sip:110@example.com")):
            answers = self.call(
                self.stranger, uri, "sip:m@elsewhere.example", branch=f"n{number}", call_id=f"n{number}"
            )
            self.assertEqual(answers, [403], uri)
            self.stranger.took()
        self.assertEqual(self.incoming.refused, {("", "stranger"): 3})
        self.assertEqual((self.a.took(), self.b.took()), ([], []))

    def test_nobody_of_ours(self) -> None:
        """What is neither a user nor a number is not found, as before."""
        self.assertEqual(self.call(self.stranger, "sip:nobody@example.com", "sip:m@elsewhere.example"), [404])


class Room(IncomingCase):
    gateways = (gateway("a", channels=1), gateway("b", channels=1))

    def test_refused_before_it_is_placed(self) -> None:
        """A number whose gateways are all full is refused by whichever node it comes to, and not handed around."""
        other = self.world.node("other", auth=True)
        self.node.load(0.9)
        self.tallies.add("gateway:a", 1)
        self.tallies.add("gateway:b", 1)
        self.invite()
        self.assertEqual(self.alice.took(), [503])
        self.assertEqual(len(other.calls), 0)
        self.assertEqual(self.node.placing.total_handed_over, 0)

    def test_what_is_known_of_a_call_that_is_refused(self) -> None:
        """Its record has who proved his password, the number as it is read, and the gateway that would have been asked."""
        records: list[CallRecord] = []
        refused = RefusedCalls(records.append, self.world.clock.seconds, "a", lambda: ())
        self.node.transactions.refused = refused.note
        self.book.set_up("a", False, "silent")
        self.book.set_up("b", False, "silent")
        self.invite()
        self.assertEqual(self.alice.took(), [503])
        self.routing.dialling = evolve(self.routing.dialling, routes=Routes(()))
        self.invite(branch="other", call_id="call-2")
        self.assertEqual(self.alice.took(), [404])
        told = [
            (one.call.user, one.call.number, one.call.gateway_out, one.call.gateway_in) for one in records
        ]
        alice, number = "alice@example.com", "+49893456"
        self.assertEqual(told, [(alice, number, "a", ""), (alice, number, "", "")])
        self.assertEqual(
            records[0].reason, "refused 503 (gateway a is down: silent; gateway b is down: silent)"
        )

    def test_said_once(self) -> None:
        """The name of a gateway is not said twice in why it is not asked."""
        self.change("a", enabled=False)
        self.change("b", outgoing=Permission(("users",), ("+33",)))
        (down, forbidden) = self.routing.candidates(
            PLAN.read("0893456"), Party("", "alice@example.com", True)
        )
        self.assertEqual(down.refused, "down: disabled")
        self.assertEqual(forbidden.refused, "forbidden: may not pass calls to it to this number")

    def test_the_next_node_takes_its_word(self) -> None:
        """Which gateway a client is goes with the request that is handed over, and is not asked again."""
        other = self.world.node("other", auth=True)
        client = Handover(Flow("UDP", self.node.address, (HOSTS["a"], 5060)), "a", gateway="a")
        token = self.node.core.handovers.seal(client.onward("a"), "call-1", self.world.clock.seconds())
        opened = other.core.handovers.open(token, "call-1", self.world.clock.seconds())
        self.assertEqual((opened.gateway, opened.visited, opened.user), ("a", ("a",), None))
        self.assertEqual(opened.for_redirect().gateway, "", "a client shows it anew where it is sent to")
