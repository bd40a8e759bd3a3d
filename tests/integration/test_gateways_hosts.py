"""A client behind its gateway on a host of its own, gateway, nodes and callee on others; and a client that goes around it."""

from __future__ import annotations

from demo.cluster import Cluster, Node
from tests.integration.harness import DOMAIN, ClusterTestCase
from tests.network import Host, Network, NetworkReactor, refused
from voipcluster.phone import Phone
from voipcluster.phone.phone_call import CallFailed, RegistrationRefused

ROUTER, AROUND = "198.51.100.254", "198.51.100.30"


class GatewayHostsTests(ClusterTestCase):
    """Two nodes, a callee, the gateway (a router) with alice behind it, and a host that should be behind it and is not."""

    skip = refused() or None
    timeout = 120

    async def setUp(self) -> None:
        super().setUp()
        self.net = Network()
        self.addCleanup(self.net.close)
        self.reactor = NetworkReactor(type(self).reactor, self.net)
        nodes = self.net.host("a", "198.51.100.1/24"), self.net.host("b", "198.51.100.2/24")
        self.callee_host = self.net.host("callee", "198.51.100.20/24")
        self.around_host = self.net.host("around", f"{AROUND}/24")
        router = self.net.nat("router", [f"{ROUTER}/24"], ["10.9.0.1/24"])
        self.caller_host = self.net.host("caller", "10.9.0.10/24", lan=router.lan, gateways=["10.9.0.1"])
        path = self.folder / "gateways.toml"
        path.write_text(
            f'[[gateway]]\nname = "campus"\nkind = "router"\nsources = ["{ROUTER}"]\nbehind = ["{AROUND}"]\nprobe = 0\n'
        )
        options = (
            *("--config", str(path), "--set", f'cluster.domain=["{DOMAIN}"]', "--set", "web.port=0"),
            *("--set", "media.relay=userspace"),
        )
        self.cluster = Cluster(self.reactor, self.folder)
        self.at_end(self._end_cluster)
        for host, name in zip(nodes, "ab", strict=True):
            made = Node(self.reactor, name, host.addresses[0], self.folder)
            join = []
            if self.cluster.nodes:
                join = ["--join", await self.primary.ask("join-token", ttl=60, uses=1)]
            with host.inside():
                made.launch("secondary" if join else "primary", *join, *options)
            self.cluster.nodes.append(made)
            await made.ready()
        await self.cluster.all_see_all()
        await self.add_users("alice", "bob")

    def on(self, host: Host, user: str, node: Node) -> Phone:
        with host.inside():
            return self.phone(user, node, host=host.addresses[0])

    async def registered(self, host: Host, user: str, node: Node) -> Phone:
        phone = self.on(host, user, node)
        with host.inside():
            registering = phone.register()
        await registering
        return phone

    async def test_permission_withdrawn(self) -> None:
        """
        Through the gateway alice registers and calls. With its permission withdrawn at one node, her next call at the other
        one is refused, and the running one goes on with its audio, to its BYE. Who goes around the gateway cannot even register.
        """
        a, b = self.cluster.nodes
        bob = await self.registered(self.callee_host, "bob", a)
        alice = await self.registered(self.caller_host, "alice", b)
        await self.reachable("alice", "bob")
        here = await alice.call(f"bob@{DOMAIN}")
        (there,) = bob.calls.values()
        await self.until(lambda: there.packets_received > 50, "bob hears alice")
        (call,) = await a.ask("calls")
        self.assertEqual((call["gateway_in"], call["user"]), ("campus", f"alice@{DOMAIN}"))

        await a.ask("gateway-switch", name="campus", on=False)

        async def known() -> bool:
            (row,) = await b.ask("gateways")
            return bool(row["state"] == "disabled")

        await self.until(known, "the other node knows it")
        with self.caller_host.inside():
            again = alice.call(f"bob@{DOMAIN}")
        failure = await self.assertFailure(again, CallFailed)
        self.assertEqual(failure.status, 403)
        heard = there.packets_received
        await self.until(lambda: there.packets_received > heard + 50, "the running call goes on")
        await here.hang_up()
        await there.when_ended()

        around = self.on(self.around_host, "alice", a)
        with self.around_host.inside():
            registering = around.register()
        refusal = await self.assertFailure(registering, RegistrationRefused)
        self.assertEqual(refusal.status, 403)

        async def told() -> bool:
            (row,) = await a.ask("gateways")
            self.assertEqual((row["seizures"], row["answers"], row["refused"]), (1, 1, 2))
            return bool(row["channels"] == 0)

        await self.until(told, "its channel is free again")
