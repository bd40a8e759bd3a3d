"""A world of nodes and phones whose nodes can ask a DNS, which the test plays."""

from __future__ import annotations

from tests.unit.net.dns_fakes import FakeDnsClient
from tests.unit.services.sip_world import Node, WorldCase
from voipcluster.net.resolver import DnsLimits, DnsResolver
from voipcluster.services.transaction.resolving import Resolving
from voipcluster.sip.dns import NAPTR, SRV, A, Naptr, Srv
from voipcluster.sip.penalties import Penalties

NET = "example.net"
ONE, TWO = "198.51.100.21", "198.51.100.22"
ZONE = {
    (NET, NAPTR): (Naptr(1, 1, "s", "SIP+D2U", f"_sip._udp.{NET}"),),
    (f"_sip._udp.{NET}", SRV): (Srv(1, 1, 5060, f"one.{NET}"), Srv(2, 1, 5060, f"two.{NET}")),
    (f"one.{NET}", A): (ONE,),
    (f"two.{NET}", A): (TWO,),
}


class NamesCase(WorldCase):
    """
    @ivar dns: the DNS; C{resolver}, C{resolving}: of node a.
    """

    next_after = 5.0

    def setUp(self) -> None:
        super().setUp()
        self.dns = FakeDnsClient(ZONE)
        self.node = self.world.node("a")
        self.resolver, self.resolving = self.equip(self.node)

    def equip(self, node: Node) -> tuple[DnsResolver, Resolving]:
        clock, transport = self.world.clock, node.transport
        resolver = DnsResolver(clock, self.dns, DnsLimits())
        resolver.startService()
        resolving = Resolving(
            resolver, Penalties(30.0, 600.0), clock.seconds, b"secret", lambda: transport.transports,
            lambda: transport.families, self.next_after,
        )  # fmt: skip
        node.core.resolving = node.transactions.resolving = resolving
        return resolver, resolving

    def tearDown(self) -> None:
        self.successResultOf(self.resolver.stopService())
        super().tearDown()
