"""The configuration of real nodes is read again while a call is up: by voipctl, by a signal, at one node and at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from demo.cluster import Node
from tests.integration.harness import ClusterTestCase

FILE = """
[cluster]
domain = ["example.com"]
threshold = {threshold}

[limits]
calls = {calls}

[[gateway]]
name = "carrier"
servers = ["{gateway}:5060"]
probe = 0

[[route]]
prefix = "+49"
gateway = "carrier"
{more}
"""


class ReloadTests(ClusterTestCase):
    def write(self, **more: object) -> None:
        """The file of both nodes, as somebody edits it."""
        given = {"threshold": 0.75, "calls": 2000, "more": "", "gateway": self.address(150), **more}
        self.file.write_text(FILE.format(**given))

    async def refused(self, node: Node, *words: str) -> str:
        program = node.voipctl_program(*words)
        self.assertEqual(await program.ended(), 1, program.output)
        return program.output

    async def test_with_a_call(self) -> None:
        """What can change has changed, what cannot is named, a mistake changes nothing, and the call has sound all along."""
        self.file = Path(self.folder) / "both.toml"
        self.write()
        await self.start_cluster("--config", str(self.file), nodes="ab")
        a, b = self.cluster.nodes
        await self.add_users("alice", "bob")
        alice, bob = self.phone("alice", b), self.phone("bob", a, host=self.address(101))
        for phone in (alice, bob):
            await phone.register()
        await self.reachable("alice", "bob")
        call = await bob.call("alice@example.com")
        await self.until(lambda: call.packets_received > 10, "audio")

        # one node
        self.write(threshold=0.5, calls=100)
        said = await a.voipctl("reload")
        self.assertEqual(
            said,
            "node a: changed cluster.threshold, limits.calls\n"
            "cluster.threshold: must be alike on all nodes: the others need this file, too\n",
        )
        self.assertEqual((await a.voipctl_json("status"))["threshold"], 0.5)
        self.assertEqual((await b.voipctl_json("status"))["threshold"], 0.75)

        # all nodes, and what has to wait
        self.write(
            threshold=0.5,
            calls=100,
            more="[[route]]\nprefix = '+41'\ngateway = 'carrier'\n[sip]\nport = 5070\n",
        )
        rows = await b.voipctl_json("reload", "--all")
        self.assertEqual(
            [(row["node"], row["changed"], row["later"]) for row in rows],
            [
                ("a", ["routes"], ["sip.port"]),
                ("b", ["cluster.threshold", "limits.calls", "routes"], ["sip.port"]),
            ],
        )
        for node in (a, b):
            (row,) = await node.voipctl_json("route", "list", "+4144123")
            self.assertEqual(row["gateway"], "carrier")

        # a mistake, told with its place; at all nodes or none
        self.write(threshold=0.25, calls=0)
        self.assertEqual(
            await self.refused(a, "reload"),
            f"voipctl: {self.file}:7: limits.calls: found 0, allowed is a whole number from 1 to 10000000\n",
        )
        lines = (await self.refused(b, "reload", "--all")).splitlines()
        self.assertEqual(lines[-1], "voipctl: nothing was changed at any node")
        self.assertEqual((await a.voipctl_json("status"))["threshold"], 0.5)

        # by signal
        assert b.program is not None
        os.kill(b.program.pid, signal.SIGHUP)
        await b.program.saw("the configuration stays as it was: ")
        self.write(threshold=0.6, calls=100)
        os.kill(b.program.pid, signal.SIGHUP)
        await b.program.saw("the configuration was read again; changed: cluster.threshold, routes")
        self.assertEqual((await b.voipctl_json("status"))["threshold"], 0.6)

        before = call.packets_received
        await self.until(lambda: call.packets_received > before + 10, "the call has sound")
        await call.hang_up()
