"""Nodes that let the kernel relay: three on one machine, and one that may not."""

from __future__ import annotations

import os
import shutil
import subprocess

from demo.cluster import Node
from tests.integration.test_bad_input import BadInputTestCase
from voipcluster.phone import PhoneCall
from voipcluster.store.calls import NAME, CallStore

NO_RIGHTS = "no right to change nftables (CAP_NET_ADMIN)"


class Powerless(Node):
    """A node that is root without any capability, so that it may read its files and nothing more."""

    def command(self, role: str, *options: str) -> list[str]:
        setpriv = shutil.which("setpriv")
        assert setpriv is not None, "Debian's util-linux has it"
        return [setpriv, "--bounding-set=-all", "--inh-caps=-all", *super().command(role, *options)]


class KernelNodeTests(BadInputTestCase):
    skip = (
        None
        if os.geteuid() == 0
        else "nftables needs root, in a network namespace of its own (script/test as root)"
    )

    def tables(self) -> list[str]:
        """The tables of this test's nodes."""
        mine = self.address(0).rsplit(".", 1)[0].replace(".", "_")
        listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        return [line.split()[2] for line in listed.splitlines() if f"voipcluster_{mine}_" in line]

    async def relayed(self, node: Node) -> float:
        """How many packets the kernel has relayed for a node, as F{/metrics} says."""
        for line in str(await node.ask("metrics")).splitlines():
            if line.startswith('voipcluster_media_packets_total{result="relayed in kernel"}'):
                return float(line.split()[-1])
        return 0.0

    async def test_three_nodes(self) -> None:
        """Each has a table of its own; calls at each of them are heard both ways and pass through the kernel."""
        await self.start_cluster("--set", "media.relay=kernel")
        await self.add_users("alice", "bob")
        status = await self.cluster.status()
        media = [row["media"] for row in status.values()]
        self.assertEqual([(row["path"], row["reason"]) for row in media], [("kernel", "")] * 3)
        self.assertEqual(len(self.tables()), 3)
        for number, node in enumerate(self.cluster.nodes):
            alice, bob = (self.phone(user, node, tone=tone) for user, tone in (("alice", 1200), ("bob", 700)))
            await self.register(alice, bob)
            await self.reachable("alice", "bob")
            call = await alice.call("bob@example.com")
            await self.until(lambda call=call: call.heard_hz == 700, f"call {number} is heard")
            await call.hang_up()
            await alice.stop()
            await bob.stop()
        total = sum([await self.relayed(node) for node in self.cluster.nodes])
        self.assertGreater(total, 50)
        for node in self.cluster.nodes:
            assert node.program is not None
            self._killed.add(node.program)
            await node.stop()
        self.assertEqual(self.tables(), [])

    def streams(self) -> str:
        """The streams that the kernel relays for the primary."""
        (table,) = self.tables()
        return subprocess.run(
            ["nft", "list", "map", "inet", table, "stream4"], capture_output=True, text=True, check=True
        ).stdout

    async def test_killed(self) -> None:
        """After kill -9 the kernel relays on; the next process takes the call up, and its BYE ends both (RFC 3261 section 15)."""
        await self.start_cluster("--set", "media.relay=kernel", nodes="a")
        await self.add_users("alice", "bob")
        alice, bob = self.phone("alice", tone=1200), self.phone("bob", tone=700)
        came: list[PhoneCall] = []
        bob.incoming = came.append
        await self.register(alice, bob)
        await self.reachable("bob")
        call = await alice.call("bob@example.com")
        await self.until(lambda: call.heard_hz == 700, "the call is heard")
        await self.until(lambda: call.call_id in self.streams(), "it is in the kernel, under its name")
        journal = CallStore(self.primary.state_dir / NAME)
        await self.until(
            lambda: str(journal.load().calls).count("'firm'") > 1, "its latches are in the journal"
        )
        await self.kill(self.primary)
        both = (call, came[0])
        wanted = [one.packets_received + 50 for one in both]
        await self.until(
            lambda: all(one.packets_received >= most for one, most in zip(both, wanted, strict=True)),
            "both hear on",
        )
        await self.cluster.restart(self.primary)
        await self.hold(
            2.5, lambda: self.streams().count("counter packets") == 2, "the streams were taken up"
        )
        (row,) = await self.primary.voipctl_json("calls")
        self.assertEqual((row["call_id"], row["audio"]), (call.call_id, "both"))
        wanted = [one.packets_received + 50 for one in both]
        await self.until(
            lambda: all(one.packets_received >= most for one, most in zip(both, wanted, strict=True)),
            "both hear on",
        )
        await call.hang_up()
        self.assertEqual(call.status, 200)
        await self.until(lambda: "counter packets" not in self.streams(), "the kernel has let go")

    async def test_kernel_or_nothing(self) -> None:
        """A node that is told to use the kernel and may not says so in one line, and does not start."""
        node = Powerless(self.reactor, "a", self.address(1), self.folder)
        await self.refused(
            node, "primary", "--set", "media.relay=kernel", says=['media.relay is "kernel"', NO_RIGHTS]
        )

    async def test_auto(self) -> None:
        """A node that may choose relays itself, and tells why: one line in its log, and in the status."""
        node = Powerless(self.reactor, "a", self.address(1), self.folder)
        node.launch("primary")
        self.at_end(node.stop)
        await node.ready()
        self.assertIn(f"media in user space at a: {NO_RIGHTS}", await node.voipctl("status"))
        self.assertEqual(node.log.read_text().count(NO_RIGHTS), 1)
        self.assertIn(
            f'voipcluster_media_path_info{{reason="{NO_RIGHTS}"}} 1', str(await node.ask("metrics"))
        )
