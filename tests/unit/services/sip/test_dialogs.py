"""The tokens of dialogs: what is written into Record-Route, and where later requests go."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from tests.unit.sip.messages import request
from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.errors import PeerError
from voipcluster.sip.outgoing import reply
from voipcluster.sip.proxy.events import Target
from voipcluster.sip.route import Party, contact_hash, dialog_hash, route_uri
from voipcluster.sip.values import split_list

PUBLIC, NAT = ("198.51.100.1", 5060), ("203.0.113.1", 3333)
PUBLIC_CONTACT = "sip:a@198.51.100.1"
SIX = ("2001:db8::a", 5060)


class DialogsTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.a = self.world.node("a", more=[("2001:db8::1", 5060)])
        self.b = self.world.node("b")
        self.dialogs = self.a.dialogs
        self.dialog = dialog_hash("call-1", "a1")

    def flow(self, remote: tuple[str, int], transport: str = "UDP", connection: int = 0) -> Flow:
        local = ("2001:db8::1", 5060) if ":" in remote[0] else self.a.address
        return Flow(transport, local, remote, connection)

    def routes(self, caller: Flow, target: Target, party: Party | None = None) -> list[str]:
        client = Handover(caller, "a")
        return split_list(
            self.dialogs.record_route(
                ("call-1", "a1"), party, client, False, b"", target, target.flow or self.flow(PUBLIC)
            )
        )

    def test_contact(self) -> None:
        """The first Contact counts; none or a broken one is an empty text."""
        self.assertEqual(request(headers=["Contact: <sip:x@y>, <sip:z@y>"]).contact_uri, "sip:x@y")
        self.assertEqual(request().contact_uri, "")

    def test_public_phone(self) -> None:
        """A UDP phone that is where its Contact says needs no flow: any node reaches it."""
        for contact in ("sip:a@198.51.100.1", "sip:a@198.51.100.1:5060;x=y"):
            self.assertIsNone(self.dialogs.party(self.flow(PUBLIC), "a", contact))

    def test_hidden_phone(self) -> None:
        """A phone behind a NAT, or on a connection, is reached over its flow by the node that owns it."""
        for flow, contact in (
            (self.flow(NAT), "sip:a@10.0.0.1"),
            (self.flow(PUBLIC), "sip:a@198.51.100.1:5070"),
            (self.flow(PUBLIC, "TCP", 3), "sip:a@198.51.100.1"),
        ):
            party = self.dialogs.party(flow, "b", contact)
            self.assertEqual(party, Party(self.b.address, flow, 1000, contact_hash(contact)))

    def test_unknown_owner(self) -> None:
        """The flow of a node that is no member any more is of no use."""
        self.assertIsNone(self.dialogs.party(self.flow(NAT), "gone", "sip:a@10.0.0.1"))

    def test_one_record_route(self) -> None:
        """One value when both sides reach us alike; it has lr, names us and carries the token (section 16.6 step 4)."""
        (value,) = self.routes(self.flow(PUBLIC), Target("sip:b@198.51.100.2"))
        uri = route_uri(value)
        self.assertTrue(uri.has_param("lr"))
        self.assertTrue(self.a.core.names.is_own(uri))
        self.assertEqual(self.a.core.call_tokens.open(uri.param("call") or "").dialog, self.dialog)

    def test_two_record_routes(self) -> None:
        """Two when transport or family differ, the callee's side first (RFC 5658 section 5)."""
        top, below = self.routes(self.flow(SIX, "TCP", 4), Target("sip:b@x", flow=self.flow(PUBLIC)))
        self.assertEqual((route_uri(top).host, route_uri(top).transport), ("192.0.2.1", "UDP"))
        self.assertEqual((route_uri(below).host, route_uri(below).transport), ("2001:db8::1", "TCP"))
        self.assertEqual(route_uri(top).param("call"), route_uri(below).param("call"))

    def later(self, from_tag: str, to_tag: str, uri: str, token: str) -> tuple[Target, bool]:
        message = request(
            "BYE", uri, to_tag=to_tag, without=["From"], headers=[f"From: <sip:x@y>;tag={from_tag}"]
        )
        return self.dialogs.target_in_dialog(message, uri, token)

    def token(self, caller: Party | None, callee: Party | None) -> str:
        (value, *_) = self.routes(self.flow(PUBLIC), Target("sip:b@x", party=callee), caller)
        return route_uri(value).param("call") or ""

    def test_direction(self) -> None:
        """The caller's requests go to the callee and the other way round, told by the caller's tag."""
        caller = Party(self.a.address, self.flow(NAT), 1000, contact_hash("sip:a@10.0.0.1"))
        callee = Party(self.b.address, self.flow(PUBLIC, "TCP", 3), 1000, contact_hash("sip:b@10.0.0.2"))
        token = self.token(caller, callee)
        target, from_caller = self.later("a1", "b1", "sip:b@10.0.0.2", token)
        self.assertTrue(from_caller)
        self.assertIsNone(target.flow)
        self.assertEqual(route_uri(target.routes[0]).host, "192.0.2.2")
        self.assertEqual(
            self.b.core.flow_tokens.open(route_uri(target.routes[0]).param("flow") or ""),
            (callee.flow, 1000),
        )
        target, from_caller = self.later("b1", "a1", "sip:a@10.0.0.1", token)
        self.assertFalse(from_caller)
        self.assertEqual((target.flow, target.routes), (caller.flow, ()))

    def test_target_refresh(self) -> None:
        """Who told another Contact since then is reached by that (section 12.2)."""
        caller = Party(self.a.address, self.flow(NAT), 1000, contact_hash("sip:a@10.0.0.1"))
        target, _ = self.later("b1", "a1", "sip:a@198.51.100.77", self.token(caller, None))
        self.assertEqual(target, Target("sip:a@198.51.100.77"))

    def test_a_contact_that_is_a_gruu(self) -> None:
        """The phone gets its requests as it is registered now; over the flow of its dialog when it is no more (RFC 5627 5.4)."""
        gruu = "sip:bob@example.com;gr=urn:uuid:1"
        bob = self.world.phone("bob", NAT[0], port=NAT[1])
        caller = self.dialogs.party(self.flow(NAT), "a", gruu)
        self.assertIsNotNone(caller)
        self.assertIsNotNone(self.dialogs.party(self.flow(PUBLIC), "a", gruu))
        token = self.token(caller, None)
        self.assertEqual(self.later("b1", "a1", gruu, token)[0].uri, gruu)
        self.assertEqual(self.later("b1", "a1", gruu, token)[0].flow, self.flow(NAT))
        bob.send(
            self.b, "REGISTER", "sip:example.com", call_id="r", headers=["Expires: 60"],
            contact='<sip:bob@10.0.0.1>;+sip.instance="<urn:uuid:1>";reg-id=1',
        )  # fmt: skip
        for party in (caller, None):
            target, _ = self.later("b1", "a1", gruu, self.token(party, None))
            self.assertEqual(
                (target.uri, route_uri(target.routes[0]).host), ("sip:bob@10.0.0.1", "192.0.2.2")
            )
        for foreign in ("sip:bob@example.org;gr=urn:uuid:1", "sip:bob@example.com;grape"):
            self.assertEqual(self.later("b1", "a1", foreign, self.token(None, None))[0], Target(foreign))

    def test_proxies_in_the_route_set(self) -> None:
        """Those before us and those behind us are told apart by number; ours do not count, broken lists say nothing."""
        ours, p, q = "<sip:192.0.2.1:5060;lr;call=x>", "<sip:203.0.113.5;lr>", "<sip:q.example;lr>"
        for values, found in (
            ([], ([], 0)), ([p], ([p], 1)), ([f"{ours}, {p}", q], ([p, q], 3)), (["<tel:1>"], ([], -1)), ([f'"{p}'], ([], -1)),
        ):  # fmt: skip
            message = request(headers=[f"Record-Route: {value}" for value in values])
            self.assertEqual(self.dialogs.proxies_before_us(message), found)
        for values, before, found in (
            ([], 0, []), ([ours], 0, []), ([ours, p], 1, []), ([f"{ours}, {p}"], 1, []), ([q, ours, p], 1, [q]),
            ([f"{q}, {ours}"], 0, [q]), ([q, p], 3, []), (["<tel:1>", ours], 0, []), ([f'"{q}', ours], 0, []),
        ):  # fmt: skip
            response = reply(request(), 200, headers=[("record-route", value) for value in values])
            self.assertEqual(self.dialogs.proxies_behind_us(response, before), found, values)

    def test_other_dialog(self) -> None:
        """A token is good for its dialog only: 403."""
        token = self.token(None, None)
        error = self.assertRaises(PeerError, self.later, "zz", "b1", "sip:b@x", token)
        self.assertEqual(error.status_hint, 403)

    def test_dead_flow(self) -> None:
        """A connection of ours that is gone, or of an earlier start of this node, is 430 (RFC 5626 section 5.3.1)."""
        number = self.a.transport.open(PUBLIC)
        flow = self.flow(PUBLIC, "TCP", number)
        self.assertEqual(self.dialogs.over_flow("sip:x@y", self.a.address, flow, 1000, None).flow, flow)
        for dead, epoch in ((flow, 999), (flow._replace(connection=number + 1), 1000)):
            error = self.assertRaises(
                PeerError, self.dialogs.over_flow, "sip:x@y", self.a.address, dead, epoch, None
            )
            self.assertEqual(error.status_hint, 430)

    def test_past_a_node_that_is_gone(self) -> None:
        """A phone on UDP where its Contact says is reached past the node with its flow: at once when it is lost."""
        party = Party(self.b.address, self.flow(PUBLIC), 1000, contact_hash(PUBLIC_CONTACT))
        past = Target(PUBLIC_CONTACT)
        over = self.dialogs.over_flow(PUBLIC_CONTACT, *party[:3], party)
        self.assertEqual((len(over.routes), over.alternatives), (1, (past,)))
        self.dialogs.lost = {self.b.address}
        self.assertEqual(self.dialogs.over_flow(PUBLIC_CONTACT, *party[:3], party), past)
        self.dialogs.lost = {self.a.address}
        self.assertEqual(self.dialogs.over_flow(PUBLIC_CONTACT, *party[:3], party), over)

    def test_no_way_past_a_node_that_is_gone(self) -> None:
        """A phone behind a NAT, on a connection, or at a name has no other way than its flow."""
        self.dialogs.lost = {self.b.address}
        for flow, contact in (
            (self.flow(NAT), "sip:a@10.0.0.1"),
            (self.flow(PUBLIC), "sip:a@198.51.100.1:5070"),
            (self.flow(PUBLIC), "sip:a@phone.example"),
            (self.flow(PUBLIC), "sip:a@198.51.100.1;transport=tcp"),
            (self.flow(PUBLIC, "TCP", 3), PUBLIC_CONTACT),
        ):
            target = self.dialogs.over_flow(contact, self.b.address, flow, 1000, None)
            self.assertEqual((len(target.routes), target.alternatives), (1, ()), contact)

    def test_udp_flow_outlives_a_restart(self) -> None:
        """A UDP flow is the same behind a restart: the phone's NAT does not know of it."""
        target = self.dialogs.over_flow("sip:x@y", self.a.address, self.flow(NAT), 999, None)
        self.assertEqual(target.flow, self.flow(NAT))
