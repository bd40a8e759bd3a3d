"""Caller, node and callee on hosts of their own, and a NAT in between: voices in both directions, over IPv4 and IPv6."""

from __future__ import annotations

import re
from typing import ClassVar

from demo.cluster import Cluster, Node
from tests.integration.harness import DOMAIN, ClusterTestCase
from tests.network import Host, Network, NetworkReactor, refused
from voipcluster.phone import Phone, PhoneCall


class HostsTestCase(ClusterTestCase):
    """
    @cvar addresses: of the node, the callee, the router outside and inside, and the caller behind it.
    @cvar relay: the path of media.
    """

    skip = refused() or None
    addresses: ClassVar[tuple[str, ...]] = (
        "198.51.100.1/24", "198.51.100.20/24", "198.51.100.254/24", "10.9.0.1/24", "10.9.0.10/24",
    )  # fmt: skip
    relay: ClassVar[str] = "userspace"

    async def setUp(self) -> None:
        super().setUp()
        self.net = Network()
        self.addCleanup(self.net.close)
        self.reactor = NetworkReactor(type(self).reactor, self.net)
        node, callee, outside, inside, caller = self.addresses
        self.relay_host = self.net.host("relay", node)
        self.relay_host.forwards()
        self.callee_host = self.net.host("callee", callee)
        router = self.net.nat("router", [outside], [inside])
        self.caller_host = self.net.host(
            "caller", caller, lan=router.lan, gateways=[inside.partition("/")[0]]
        )
        self.router = outside.partition("/")[0]
        self.cluster = Cluster(self.reactor, self.folder)
        self.at_end(self._end_cluster)
        made = Node(self.reactor, "a", self.relay_host.addresses[0], self.folder)
        with self.relay_host.inside():
            made.launch(
                "primary", "--set", f'cluster.domain=["{DOMAIN}"]', "--set", "web.port=0", "--set", f"media.relay={self.relay}"
            )  # fmt: skip
        self.cluster.nodes.append(made)
        await made.ready()
        await self.add_users("alice", "bob")

    async def on(self, host: Host, user: str, tone: int) -> Phone:
        """A phone on that host, registered."""
        with host.inside():
            phone = self.phone(user, host=host.addresses[0], tone=tone)
            registering = phone.register()
        await registering
        return phone

    async def talk(self, calling: Phone, called: Phone) -> tuple[PhoneCall, PhoneCall]:
        """A call in which both hear the tone of the other one."""
        here = await calling.call(called.aor.removeprefix("sip:"))
        (there,) = called.calls.values()
        await self.until(
            lambda: (
                (here.heard_hz, there.heard_hz) == (700, 1200)
                or (here.heard_hz, there.heard_hz) == (1200, 700)
            ),
            "both hear each other",
        )
        return here, there

    def took_the_path(self, call_id: str) -> bool:
        """Whether the kernel, if it is to relay, has relayed a second of both directions of a call."""
        rules = self.relay_host.run("nft", "list", "ruleset").splitlines()
        counters = [re.findall(r"counter packets (\d+)", line) for line in rules if call_id in line]
        packets = [int(count[0]) for count in counters if count]
        return (len(packets) >= 2 and min(packets) > 50) if self.relay == "kernel" else not packets


class NatTests(HostsTestCase):
    async def test_caller_behind_a_nat(self) -> None:
        """Alice's description names an address that nobody reaches; she calls and is called, and media goes to her router."""
        wire = self.relay_host.capture()
        self.addCleanup(wire.close)
        alice, bob = (
            await self.on(self.caller_host, "alice", 1200),
            await self.on(self.callee_host, "bob", 700),
        )
        for calling, called in ((alice, bob), (bob, alice)):
            here, there = await self.talk(calling, called)
            (call,) = await self.primary.ask("calls")
            self.assertEqual(call["state"], "up")
            await self.until(lambda call=call: self.took_the_path(call["call_id"]), "media takes its path")
            await here.hang_up()
            await there.when_ended()
        hosts = {sent.destination[0] for sent in wire.seen() if sent.sent}
        self.assertEqual(hosts, {self.router, self.callee_host.addresses[0]})

        async def nothing_left() -> bool:
            return not await self.primary.ask("calls")

        await self.until(nothing_left, "the calls are over")


class Ipv6NatTests(NatTests):
    addresses = (
        "2001:db8::1/64", "2001:db8::20/64", "2001:db8::fe/64", "fd09::1/64", "fd09::10/64",
    )  # fmt: skip


class KernelNatTests(NatTests):
    relay = "kernel"


class Ipv6KernelNatTests(Ipv6NatTests):
    relay = "kernel"
