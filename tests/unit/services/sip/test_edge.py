"""The node as the first hop of a phone that registers somewhere else (RFC 5626 section 5, RFC 3327)."""

from __future__ import annotations

from tests.unit.services.sip_world import KEY, Phone, WorldCase
from voipcluster.address import TCP
from voipcluster.sip.message import Request
from voipcluster.sip.route import CallTokens, route_uri

ELSEWHERE = "sip:203.0.113.1"
INSTANCE = '+sip.instance="<urn:uuid:1>";reg-id=1'


class EdgeTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.world.node("a"), self.world.node("b")
        self.alice = self.world.phone("alice", "198.51.100.1", TCP, 41000)
        self.registrar = Phone(self.world, "registrar", ("203.0.113.1", 5060))

    def registering(self, *headers: str, contact: str = "", run: bool = True) -> None:
        self.alice.send(
            self.a, "REGISTER", ELSEWHERE, headers=["Expires: 600", *headers],
            contact=contact or f"<{self.alice.uri}>;{INSTANCE}",
        )  # fmt: skip

    def path(self) -> str:
        self.registering("Supported: path, outbound")
        request = self.registrar.request("REGISTER")
        self.registrar.reply(request, 200)
        (path,) = request.values("path")
        return path

    def test_path(self) -> None:
        """It names us and the flow, and says that we know of outbound (section 5.1)."""
        uri = route_uri(self.path())
        self.assertTrue(uri.has_param("ob") and uri.has_param("lr"))
        flow, epoch = self.a.core.flow_tokens.open(uri.param("flow") or "")
        self.assertEqual((flow.remote, epoch), (self.alice.address, 1000))
        self.assertTrue(self.a.core.names.is_own(uri))
        self.assertEqual(self.alice.took(), [200])

    def test_served_by_another_node(self) -> None:
        """The Path names the node that has the flow, whichever sent the REGISTER on."""
        self.a.load(0.9)
        uri = route_uri(self.path())
        self.assertEqual(self.a.placing.handed_over, {"b": 1})
        self.assertTrue(self.a.core.names.is_own(uri))

    def test_no_path(self) -> None:
        """None for who asks for no flow, and none behind another proxy, which is the first hop (section 5.1)."""
        for contact in (
            f"<{self.alice.uri}>",
            f'<{self.alice.uri}>;+sip.instance="<x>"',
            f"<{self.alice.uri}>;reg-id=1",
            "*",
        ):
            self.registering("Supported: path", contact=contact)
            request = self.registrar.request("REGISTER")
            self.assertFalse(request.has("path"), contact)
            self.registrar.reply(request, 200)
        self.registering(
            "Supported: path", "Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx", "Path: <sip:10.0.0.1;lr;ob>"
        )
        request = self.registrar.request("REGISTER")
        self.assertEqual(request.values("path"), ["<sip:10.0.0.1;lr;ob>"])
        self.registrar.reply(request, 200)

    def test_who_does_not_know_of_path(self) -> None:
        """421 (RFC 3327 section 5.2)."""
        self.registering("Supported: outbound")
        self.assertEqual(self.alice.response().get("require"), "path")
        self.assertEqual(self.alice.took(), [421])

    def test_broken_contact(self) -> None:
        """400."""
        self.registering(contact="<sip:x")
        self.assertEqual(self.alice.took(), [400])

    def invite(self, path: str) -> Request | None:
        self.registrar.send(
            self.a, "INVITE", self.alice.uri, routes=[path], from_uri="sip:x@elsewhere.example",
            headers=["P-Asserted-Identity: <sip:boss@example.com>"],
        )  # fmt: skip
        found = [m for m in self.alice.inbox if isinstance(m, Request)]
        return found[-1] if found else None

    def test_along_the_path(self) -> None:
        """A request goes over the flow, we stay in the route of its dialog, and nobody outside asserts an identity (5.3)."""
        invite = self.invite(self.path())
        assert invite is not None
        self.assertEqual((invite.uri, invite.values("route")), (self.alice.uri, []))
        self.assertFalse(invite.has("p-asserted-identity"))
        routes = invite.values("record-route")
        self.alice.reply(invite, 200)
        self.assertEqual(self.registrar.response(200).values("record-route"), routes)
        self.registrar.send(
            self.a, "BYE", self.alice.uri, cseq=2, to_tag=self.alice.tag, routes=routes[::-1], from_uri="sip:x@elsewhere.example",
        )  # fmt: skip
        bye = self.alice.request("BYE")
        self.alice.reply(bye, 200)
        self.assertEqual(self.registrar.took()[-1], 200)
        self.alice.send(
            self.a, "BYE", self.registrar.uri, cseq=9, to_tag=self.registrar.tag, routes=routes,
            call_id="call-1",
        )  # fmt: skip
        self.assertEqual(self.registrar.request("BYE").uri, self.registrar.uri)
        self.registrar.reply(self.registrar.request("BYE"), 200)

    def test_hold(self) -> None:
        """The phone holds and transfers a call from a peer on UDP that is where its Contact says; nobody else is called so."""
        invite = self.invite(self.path())
        assert invite is not None
        self.alice.reply(invite, 200)
        carrier = self.world.phone("carrier", "203.0.113.77")
        routes = invite.values("record-route")
        self.registrar.took()
        self.a.core.call_tokens = CallTokens(KEY)  # as behind a restart
        for method in ("INVITE", "REFER", "MESSAGE"):
            for uri, status in (
                (self.registrar.uri, 200),
                ("sip:+1900@203.0.113.1:5060", 481),
                (f"{self.registrar.uri};maddr=203.0.113.77", 481),
                (carrier.uri, 481),
            ):
                self.alice.send(
                    self.a, method, uri, cseq=self.world.branches, to_tag=self.registrar.tag, routes=routes,
                    call_id="call-1",
                )  # fmt: skip
                if status == 200:
                    self.registrar.reply(self.registrar.request(method), 200)
                self.assertEqual((self.alice.took()[-1], carrier.took()), (status, []), (method, uri))
                self.assertEqual(self.registrar.took(), [method] if status == 200 else [])

    def test_hold_of_a_contact_elsewhere(self) -> None:
        """A Contact that is not where the caller is makes no way for requests to there, whatever name it has."""
        path = self.path()
        for number, contact in enumerate(
            ("sip:x@203.0.113.77", "sip:x@203.0.113.1;maddr=203.0.113.77", "sip:x@y.example")
        ):
            self.registrar.send(
                self.a, "INVITE", self.alice.uri, routes=[path], from_uri="sip:x@elsewhere.example", contact=contact,
                call_id=f"c{number}",
            )  # fmt: skip
            token = route_uri(self.alice.request("INVITE").values("record-route")[0]).param("call") or ""
            self.assertEqual(self.a.core.call_tokens.open(token).place, b"")
            self.alice.reply(self.alice.request("INVITE"), 486)

    def test_nowhere_but_along_the_flow(self) -> None:
        """A flow token opens its flow and no way to anybody else, whatever is left of Route (toll fraud)."""
        carrier, evil = (
            self.world.phone(name, host) for name, host in (("c", "203.0.113.77"), ("evil", "203.0.113.9"))
        )
        path = self.path()
        self.alice.took()
        beyond = "<sip:203.0.113.77;lr>"
        for number, (route, left) in enumerate((
            (path, beyond), (path.replace(";ob", ""), beyond), (path, "<sip:203.0.113.77>"),
            (path.replace(";ob", ""), f"{beyond}, <sip:192.0.2.1;lr>"),
        )):  # fmt: skip
            for method in ("INVITE", "MESSAGE"):
                evil.send(
                    self.a, method, "sip:+1900@203.0.113.77", routes=[route, left], call_id=f"{method}{number}",
                    from_uri="sip:x@elsewhere.example", headers=["P-Asserted-Identity: <sip:boss@example.com>"],
                )  # fmt: skip
                self.assertEqual(carrier.took(), [], (method, route, left))
                arrived = self.alice.request(method)
                self.assertEqual(
                    (arrived.uri, arrived.get_all("route")[0]), ("sip:+1900@203.0.113.77", left.split(",")[0])
                )
                self.assertFalse(arrived.has("p-asserted-identity"))
                self.alice.reply(arrived, 404)
        ack = carrier.world.branches
        evil.send(
            self.a, "ACK", "sip:+1900@203.0.113.77", routes=[path, beyond], to_tag="x", branch=f"ack{ack}"
        )
        self.assertEqual((carrier.took(), self.alice.took()[-1]), ([], "ACK"))

    def test_dead_flow_and_forged_token(self) -> None:
        """430, and 403 (section 5.3.1)."""
        path = self.path()
        self.registrar.took()
        self.assertIsNone(self.invite(path.replace("flow=A", "flow=B")))
        self.assertEqual(self.registrar.took(), [403])
        self.a.transport.lose(self.alice.address)
        self.assertIsNone(self.invite(path))
        self.assertEqual(self.registrar.took(), [430])
