"""Every command of voipctl against a cluster of three, asked at the primary and at a secondary."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from demo.cluster import Node
from tests.integration.harness import ClusterTestCase
from tests.integration.passed_over import again_if_passed_over
from voipcluster.phone import RegistrationRefused

CHECKOUT = Path(__file__).parent.parent.parent


class VoipctlTests(ClusterTestCase):
    async def refused(self, node: Node, *words: str, stdin: str = "") -> str:
        """The one line with which a command fails."""
        program = node.voipctl_program(*words, stdin=stdin)
        self.assertEqual(await program.ended(), 1, program.output)
        self.assertEqual((program.standard_output, program.output.count("\n")), ("", 1), program.output)
        self.assertTrue(program.output.startswith("voipctl: "), program.output)
        return program.output.removeprefix("voipctl: ").strip()

    async def over_web(self, node: Node, *words: str) -> Any:
        """What C{voipctl --url} reads, which needs no state directory."""
        url = f"http://{node.address}:8080/"
        program = self.python(
            *("-m", "voipcluster.voipctl", "--url", url, "--json", *words),
            environment={"PYTHONPATH": str(CHECKOUT)},
        )
        self.assertEqual(await program.ended(), 0, program.output)
        return json.loads(program.standard_output)

    @again_if_passed_over
    async def test_reading(self) -> None:
        """status, registrations, calls, explain and metrics say the same at each node: all of the whole cluster."""
        await self.start_cluster(
            "--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a", "c"]'
        )
        await self.add_users("alice", "bob")
        _, b, c = self.cluster.nodes
        alice = self.phone("alice", c)
        bob = self.phone("bob", host=self.address(101), follow_service_route=False)
        await self.register(alice, bob)
        await self.reachable("alice", "bob")
        call = await bob.call("alice@example.com")
        (row,) = await c.ask("calls", call_id=call.call_id)
        await self.placed((row["ingress"], row["node"]), ("a", "b"), [call.call_id], nodes=["b"])
        await self.until(lambda: call.packets_received > 10, "audio")
        # each node tells the others of the call and the registrations in its next report
        expected = [("a", "primary", 0, 1), ("b", "secondary", 1, 0), ("c", "secondary", 0, 1)]
        for node in self.cluster.nodes:

            async def counted(node: Node = node) -> Any:
                status = await node.voipctl_json("status")
                rows = status["nodes"]
                told = [(r["name"], r["role"], r["calls"], r["registrations"]) for r in rows]
                # on a busy machine a node is above its threshold now and then
                quiet = all(row["state"] == "open" and row["report_age"] < 3.0 for row in rows)
                return told == expected and quiet and status

            status = await self.until(counted, f"{node.name} knows the calls and registrations of all")
            self.assertEqual(
                [row["address"] for row in status["nodes"]], [n.address for n in self.cluster.nodes]
            )
            for row in status["nodes"]:
                self.assertTrue(0.0 < row["workload"] < 0.75 and row["report_age"] >= 0.0, row)
            self.assertEqual(status["nodes"][0]["handed_over"] > 0, True)

            rows = await node.voipctl_json("registrations")
            self.assertEqual(
                [(row["aor"], row["node"], row["transport"]) for row in rows],
                [("alice@example.com", "c", "UDP"), ("bob@example.com", "a", "UDP")],
            )
            (row,) = await node.voipctl_json("registrations", "alice@example.com")
            self.assertEqual(row["source"], f"{self.address(100)}:{alice.address[1]}")
            self.assertEqual(await node.voipctl_json("registrations", "nobody@example.com"), [])

            (row,) = await node.voipctl_json("calls")
            (one,) = await node.voipctl_json("calls", call.call_id)
            moving = {"duration": row["duration"], "packets": row["packets"]}
            self.assertEqual(row, {key: one[key] for key in row} | moving)
            self.assertEqual([stream["kind"] for stream in one["streams"]], ["audio"])
            self.assertEqual(
                {key: row[key] for key in ("call_id", "node", "ingress", "state", "user", "client", "audio", "visited")},
                {
                    "call_id": call.call_id, "node": "b", "ingress": "a", "state": "up", "user": "bob@example.com",
                    "client": f"{self.address(101)}:{bob.address[1]}", "audio": "both", "visited": ["a"],
                },
            )  # fmt: skip

            hops = await node.voipctl_json("explain", call.call_id)
            self.assertEqual(
                [(hop["node"], hop["outcome"], hop["chosen"], hop["policy"]) for hop in hops],
                [("a", "hand-over", "b", "sequence"), ("b", "serve", "b", "sequence")],
            )
            metrics = await node.voipctl("metrics")
            self.assertIn(f"\nvoipcluster_calls {1.0 if node is b else 0.0}\n", metrics)
            self.assertIn("no call in progress", await self.refused(node, "calls", "none@such"))
            self.assertIn("none@such", await self.refused(node, "explain", "none@such"))
        text = await c.voipctl("status", "-v")
        self.assertEqual(len(text.splitlines()), 5)
        self.assertRegex(text.splitlines()[1], r"^NODE +ROLE +STATE .* CALLS .*MEMORY")
        self.assertRegex(await c.voipctl("calls"), re.escape(call.call_id))
        self.assertRegex(
            await c.voipctl("explain", call.call_id),
            r"hop 1: a: hand-over to b: .*\n(.*\n)*.*hop 2: b: serve",
        )
        self.assertRegex(await c.voipctl("registrations"), "alice@example.com +sip:")
        rows = await self.over_web(b, "calls")
        self.assertEqual([row["call_id"] for row in rows], [call.call_id])
        await call.hang_up()

    async def test_users(self) -> None:
        """Accounts are added, listed, changed and removed at any node, and each node knows at once what they are."""
        await self.start_cluster(nodes="abc")
        a, b, c = self.cluster.nodes
        said = await b.voipctl("user", "add", "Alice@example.com", "--password-stdin", stdin="first secret\n")
        self.assertEqual(said, "Alice@example.com: added\n")
        await a.voipctl("user", "add", "bob@example.com", "--password-stdin", stdin="another\n")
        for node in self.cluster.nodes:

            async def listed(node: Node = node) -> bool:
                rows = (await node.voipctl("user", "list")).splitlines()[1:]
                return [row.split()[0] for row in rows] == ["Alice@example.com", "bob@example.com"]

            await self.until(listed, f"{node.name} knows both users")
        said = await self.refused(c, "user", "list", "example.net")
        self.assertIn("not a domain of this cluster; cluster.domain is example.com", said)

        self.passwords["Alice"] = "first secret"
        phone = self.phone("Alice", c)
        await phone.register()
        await c.voipctl("user", "passwd", "Alice@example.com", "--password-stdin", stdin="second secret\n")
        for number, node in enumerate(self.cluster.nodes):

            async def wrong(node: Node = node, number: int = number) -> bool:
                try:
                    await self.phone("Alice", node, host=self.address(110 + number)).register()
                except RegistrationRefused as error:
                    return error.status in (401, 403)
                return False

            await self.until(wrong, f"{node.name} does not take the old password any more")
        self.passwords["Alice"] = "second secret"
        await self.phone("Alice", b, host=self.address(120)).register()

        for node in (a, c):
            self.assertIn("exists already", await self.refused(node, "user", "add", "bob@example.com",
                                                               "--password-stdin", stdin="x\n"))  # fmt: skip
            self.assertIn("there is no user", await self.refused(node, "user", "rm", "carol@example.com"))
            self.assertIn("not a domain of this cluster", await self.refused(node, "user", "add", "bob@example.net",
                                                                             "--password-stdin", stdin="x\n"))  # fmt: skip
        self.assertIn(
            "empty", await self.refused(a, "user", "add", "carol@example.com", "--password-stdin", stdin="\n")
        )
        self.passwords["bob"] = "another"
        bob = self.phone("bob", a, host=self.address(121))
        await bob.register()
        await self.reachable("bob")
        await c.voipctl("user", "rm", "bob@example.com")
        for node in self.cluster.nodes:

            async def removed(node: Node = node) -> bool:
                rows = await node.voipctl_json("user", "list")
                bindings = await node.ask("registrations", aor="bob@example.com")
                return [row["user"] for row in rows] == ["Alice@example.com"] and bindings == []

            await self.until(removed, f"{node.name} has forgotten bob, and where he is")

    async def test_import(self) -> None:
        """Users of a Kamailio: its digests let their phones register at any node, and nothing is changed by half."""
        await self.start_cluster("--set", 'auth.algorithms=["MD5"]', nodes="ab")
        a, b = self.cluster.nodes
        digest = hashlib.md5(b"old:example.com:word of old").hexdigest()
        table = self.folder / "subscriber.csv"
        table.write_text(f"username\tdomain\tha1\nold\texample.com\t{digest}\nodd\texample.net\t{digest}\n")
        words = "import", "kamailio", "--subscriber", str(table)
        self.assertIn("not a domain of this cluster", await self.refused(a, *words))
        self.assertEqual(await a.voipctl_json("user", "list"), [])
        self.assertIn("at the primary", await self.refused(b, *words, "--domain", "example.com"))
        self.assertIn("1 added", await a.voipctl(*words, "--domain", "example.com"))
        self.assertIn("1 there already", await a.voipctl(*words, "--domain", "example.com"))

        async def known() -> bool:
            rows = await b.voipctl_json("user", "list")
            return rows == [{"user": "old@example.com", "digests": ["MD5"], "disabled": False}]

        await self.until(known, "the other node knows the user")
        self.passwords["old"] = "word of old"
        await self.phone("old", b).register()

    async def test_operating(self) -> None:
        """join-token, drain, undrain and stop, of the node asked and of another one."""
        await self.start_cluster(nodes="abc")
        a, b, c = self.cluster.nodes
        token = await a.voipctl("join-token", "--ttl", "60", "--uses", "2")
        self.assertRegex(token, rf"^\S+@{re.escape(a.address)}\n$")
        self.assertIn("primary", await self.refused(b, "join-token"))

        for asked, words, name in ((b, (), "b"), (a, ("b",), "b"), (c, ("a",), "a")):
            for command, state in (("drain", "drain"), ("undrain", "open")):
                await asked.voipctl(command, *words)
                for node in self.cluster.nodes:
                    await self.cluster.when(
                        lambda nodes, name=name, state=state: nodes[name]["state"] == state,
                        f"{node.name} hears that {name} is {state}", node=node,
                    )  # fmt: skip
        self.assertIn("nowhere", await self.refused(b, "drain", "nowhere"))
        await b.voipctl("stop", "c")
        await self.left(c)
        await b.voipctl("stop")
        await self.left(b)
        self.assertIn("no node is running", await self.refused(b, "status"))
        await self.cluster.when(
            lambda nodes: nodes["b"]["state"] == nodes["c"]["state"] == "stopped", "a knows that they stopped"
        )
        assert a.program is not None
        self.assertNotRegex(a.program.output, "link to node . is lost")  # nothing to be warned of

    async def test_forget(self) -> None:
        """A node that does not run is taken off all lists and finds no way back; one that runs is not forgotten."""
        await self.start_cluster(nodes="abc")
        a, b, c = self.cluster.nodes
        self.assertIn("node b is running", await self.refused(a, "forget", "b"))
        self.assertIn("only the primary, node a", await self.refused(b, "forget", "c"))
        self.assertIn("node a is the primary", await self.refused(a, "forget", "a"))
        await self.kill(c)
        await self.cluster.when(lambda nodes: nodes["c"]["state"] == "unknown", "a misses c")
        self.assertEqual(await a.voipctl("forget", "c"), "c: forgotten; its certificate counts no more\n")
        for node in (a, b):
            await self.cluster.when(lambda nodes: set(nodes) == {"a", "b"}, "c is on no list", node=node)
        await self.cluster.restart(c)
        assert a.program is not None
        await a.program.saw("'c' is not a member of this cluster")
        self.assertEqual(set(await self.cluster.status(a)), {"a", "b"})
        self.assertIn("there is no node c", await self.refused(a, "forget", "c"))

    async def test_check(self) -> None:
        """check names file, line and key of every mistake, and is content with the samples that come along."""
        node = Node(self.reactor, "none", "", self.folder)  # check asks no node
        file = self.folder / "wrong.toml"
        file.write_text('[cluster]\ndomain = ["example.com"]\ntreshold = 0.5\n\n[limits]\ncalls = "many"\n')
        program = node.voipctl_program("check", str(file))
        self.assertEqual(await program.ended(), 1)
        self.assertEqual(program.standard_output, "")
        first, second = program.output.splitlines()
        self.assertTrue(first.startswith(f'{file}:3: unknown key "treshold"'), first)
        self.assertTrue(second.startswith(f'{file}:6: limits.calls: found "many"'), second)
        for sample in ("voipcluster.toml", "two-nodes.toml"):
            path = CHECKOUT / "etc" / sample
            self.assertIn("\n[cluster]\n", path.read_text())
            self.assertEqual(await node.voipctl("check", str(path)), f"{path!s}: good\n")
