"""A request on its way, of Alice to Bob through one node."""

from __future__ import annotations

from tests.unit.services.sip_world import WorldCase
from voipcluster.services.sip.copies import Copy
from voipcluster.services.sip.forwarding import Forwarding
from voipcluster.services.transaction.transactions import ServerTransaction
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import Target

BOB = "sip:bob@198.51.100.2"


class ForwardingCase(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.ends: list[int] = []
        self.heard: list[int] = []
        self.node.proxy.request_received = self.forward
        self.targets: tuple[Target, ...] = (Target(BOB),)
        self.routes: list[str] | None = None

    def forward(self, incoming: ServerTransaction) -> None:
        incoming.accept()
        self.incoming = incoming
        self.copy = Copy(incoming.request, incoming, 70, self.routes)
        self.forwarding = Forwarding(
            self.node.core,
            incoming,
            ProxyContext(incoming.request.method == "INVITE"),
            self.copy,
            lambda forwarding, failed, status: forwarding.located(self.targets),
            self.body_of,
            self.ends.append,
            lambda target, status, response: self.heard.append(status),
        )
        self.forwarding.start()

    def body_of(self, target: Target, response: Response) -> bytes | None:
        return b"other" if response.body else None
