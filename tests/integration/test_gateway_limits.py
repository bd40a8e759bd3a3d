"""Limits against fraud over three nodes, with sipp as the gateways; what a user wants counts at every node."""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness import ClusterTestCase, listens
from voipcluster.phone.phone import CallFailed, Phone

_CONFIG = """
[numbers]
country = "49"

[allowance]
calls_at_once = 1
destinations = ["+49"]

[[gateway]]
name = "one"
servers = ["{one}:5060"]
calls_per_minute = 1
probe = 0

[[gateway]]
name = "two"
servers = ["{two}:5060"]
probe = 0

[[route]]
prefix = "+"
gateway = "one"
priority = 1

[[route]]
prefix = "+"
gateway = "two"
priority = 2
"""


class LimitTests(ClusterTestCase):
    def file(self) -> Path:
        path = self.folder / "voipcluster.toml"
        path.write_text(_CONFIG.format(one=self.address(101), two=self.address(102)))
        return path

    async def refused(self, phone: Phone, number: str, status: int = 403) -> None:
        with self.assertRaises(CallFailed) as caught:
            await phone.call(number)
        self.assertEqual(caught.exception.status, status)

    async def number(self, name: str, key: str) -> float:
        """What F{/metrics} of a node says."""
        text: str = await self.node(name).ask("metrics")
        return next(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{key} ")
        )

    async def idle(self) -> None:
        """No node has a call, and all have heard so."""
        for name in "abc":

            async def none(name: str = name) -> bool:
                return await self.number(name, "voipcluster_calls") == 0

            await self.until(none, f"node {name} has no call")

    async def test_limits_of_all_nodes(self) -> None:
        """
        One call at once is one in the cluster; a number that costs much is refused everywhere; who has more by his own
        preferences gets more; a gateway that has had its calls of a minute is passed over; and who forwards a call pays.
        """
        await self.start_cluster("--config", str(self.file()))
        await self.add_users("alice", "bob")
        gateways = [self.address(101), self.address(102)]
        one, two = (self.sipp("uas", host, options=("-rtp_echo", "-mp", "6000")) for host in gateways)
        for host in gateways:
            await self.until(lambda host=host: listens(host, 5060), "sipp listens")
        alice = {
            name: self.phone("alice", self.node(name), host=self.address(110 + n))
            for n, name in enumerate("abc")
        }
        await self.register(*alice.values())

        first = await alice["a"].call("+49891@example.com")
        for name in "bc":

            async def heard(name: str = name) -> bool:
                return await self.number(name, 'voipcluster_gateway_channels{gateway="one"}') == 1

            # what a node counts is told within 20 ms, and the next call may be there sooner
            await self.until(heard, f"node {name} knows of the call")
            await self.refused(alice[name], "+49892@example.com")
        alice["a"].hang_up(first)
        await self.idle()
        for name in "abc":
            await self.refused(alice[name], "+48123@example.com")

        await self.primary.voipctl("user", "set", "alice@example.com", "limit.calls=0")
        await self.primary.voipctl("user", "set", "bob@example.com", "forward.always=+49893")

        async def known(name: str) -> bool:
            return bool(await self.node(name).ask("user-show", name="bob", domain="example.com"))

        for name in "abc":
            await self.until(lambda name=name: known(name), "what bob wants is known")
        second, third = [await alice[name].call("+49892@example.com") for name in "bc"]
        fourth = await alice["a"].call("bob@example.com")
        # the first gateway may have one call a minute, and these are three

        def all_at_gateways() -> bool:
            return (
                one.figure("CurrentCall") + two.figure("CurrentCall") == 3 and two.figure("CurrentCall") >= 2
            )

        await self.until(all_at_gateways, "the second gateway has what is too much for the first one")
        await self.refused(alice["b"], "bob@example.com")  # it is bob's one call, wherever it is served
        key = 'voipcluster_allowance_refused_total{limit="user: calls at once"}'
        self.assertEqual(sum([await self.number(name, key) for name in "abc"]), 3)
        for name, call in (("b", second), ("c", third), ("a", fourth)):
            alice[name].hang_up(call)
        await self.idle()
