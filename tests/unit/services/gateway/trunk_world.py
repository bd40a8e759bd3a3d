"""A world with one node, a user, and gateways that the test plays as phones."""

from __future__ import annotations

from collections.abc import Iterable

from tests.unit.services.names_world import NamesCase
from tests.unit.services.sip_world import Phone
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.numbers import NumberPlan
from voipcluster.gateway.routing import Route, Routes
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.channels import Channels
from voipcluster.services.gateway.merging import FILE, Origin
from voipcluster.services.gateway.outgoing import Outgoing
from voipcluster.services.gateway.routing import Dialling, NumberRouting
from voipcluster.services.sip.calls import Call
from voipcluster.sip.message import Request

PLAN = NumberPlan("49", "0", "00", "30", 4, ("110", "112"))
HOSTS = {"a": "198.51.100.31", "b": "198.51.100.32", "c": "198.51.100.33"}
NUMBER = "sip:0893456@example.com"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
)


def gateway(name: str, **more: object) -> Gateway:
    return Gateway(name, servers=(HOSTS[name],), **more)


class TrunkCase(NamesCase):
    """
    @ivar a: and C{b}, C{c}: the gateways as the test plays them; C{alice}: a user who proves her password.
    """

    routes: tuple[Route, ...] = (Route("+", "a", 1), Route("+", "b", 2))
    gateways: tuple[Gateway, ...] = (gateway("a"), gateway("b"))
    enum = ""
    also_next: frozenset[int] = frozenset()

    def setUp(self) -> None:
        super().setUp()
        node = self.node
        self.tallies = Tallies()
        self.book = GatewayBook(self.gateways, self.tallies, self.world.clock.seconds)
        dialling = Dialling(PLAN, Routes(self.routes), self.enum, 2.0, 4.0, self.also_next)
        self.routing = NumberRouting(
            self.book, dialling, lambda: node.core.names, self.resolver, self.world.clock, lambda: 0.0
        )
        self.channels = Channels(self.book, node.calls)
        node.serving.locating.outgoing = Outgoing(self.routing, self.channels, node.core)
        node.proxy.numbers = self.routing
        node.proxy.trusts = self.routing.trusts
        node.placing.for_help = self.routing.is_emergency
        node.calls.adopted = self.channels.adopt
        node.serving.within.identity = self.book.credentials
        node.calls.over = self._over
        node.access.required = True
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.a, self.b, self.c = (self.world.phone("gw" + name, host) for name, host in HOSTS.items())

    def _over(self, call: Call, reason: str) -> None:
        self.channels.over(call, reason)

    def invite(
        self,
        uri: str = NUMBER,
        *headers: str,
        body: str = "",
        branch: str = "call",
        method: str = "INVITE",
        call_id: str = "call-1",
    ) -> None:
        """Alice calls, with her password, and leaves out the answers to that."""
        self.alice.send(
            self.node, method, uri, branch=f"{branch}1", headers=headers, body=body, call_id=call_id
        )
        line = self.alice.credentials(self.alice.response(407), method, uri)
        self.alice.took()
        kind = ["Content-Type: application/sdp"] if body else []
        self.alice.send(
            self.node, method, uri, branch=f"{branch}2", cseq=2, headers=[*headers, *kind, line], body=body,
            call_id=call_id,
        )  # fmt: skip

    def got(self, phone: Phone) -> Request:
        return phone.request("INVITE")

    def hang_up(self, phone: Phone, call_id: str = "call-1") -> None:
        """Alice ends the call that a gateway has answered."""
        routes = self.alice.response(200).values("record-route")
        self.alice.send(self.node, "BYE", phone.uri, cseq=3, to_tag=phone.tag, routes=routes, call_id=call_id)
        phone.reply(phone.request("BYE"), 200)

    def declare(self, gateways: Iterable[Gateway]) -> None:
        """These are the gateways from now on."""
        self.book.replace([Origin(gateway, FILE) for gateway in gateways])

    def in_use(self, name: str) -> int:
        state = self.book.state(name)
        assert state is not None
        return state.channels
