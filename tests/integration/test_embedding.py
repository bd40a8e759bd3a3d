"""docs/embedding.md: its programs are taken out of the text, run as they stand, and get calls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from demo.cluster import Cluster, Node
from demo.programs import Program
from tests.integration.harness import ClusterTestCase
from tests.integration.passed_over import again_if_passed_over
from voipcluster.phone import CallFailed
from voipcluster.service import load_config, parse_set

CHECKOUT = Path(__file__).parent.parent.parent
DOCUMENT = CHECKOUT / "docs" / "embedding.md"


def programs() -> dict[str, str]:
    """The Python programs of the document, by the file name that their first line gives."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return {block.partition(":")[0].strip('"'): block for block in blocks}


class DocumentTests(SynchronousTestCase):
    def test_every_program_runs_here(self) -> None:
        """The document has no program that no test below runs."""
        self.assertEqual(set(programs()), {"front_desk.py", "twisted/plugins/spares_last_policy.py"})

    def test_command_lines(self) -> None:
        """The command lines of the example are settings that the program takes."""
        lines = re.findall(r"^    python front_desk\.py (.*)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
        self.assertEqual(len(lines), 2)
        for line in lines:
            settings = [parse_set(word.replace("TOKEN", "A" * 140)) for word in line.split()]
            config = load_config(None, settings, {"planned"})
            self.assertIn(config.node.role, ("primary", "secondary"))


class EmbeddingTests(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.desk = self.folder / "front_desk.py"
        self.desk.write_text(programs()["front_desk.py"])

    async def start_desk(self, name: str, last: int, role: str, *settings: str) -> Node:
        """One node that the document's program runs."""
        node = Node(self.reactor, name, self.address(last), self.folder)
        words = [f"role={role}", f"name={name}", f"address={node.address}", f"state_dir={node.state_dir}"]
        node.program = Program.start(
            self.reactor,
            f"desk {name}",
            [sys.executable, str(self.desk), *(f"node.{word}" for word in words), *settings],
            environment={"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"},
            log=node.log,
        )
        self.cluster.nodes.append(node)
        await node.ready()
        return node

    async def start_desks(self) -> None:
        self.cluster = Cluster(self.reactor, self.folder)
        self.at_end(self._end_cluster)
        primary = await self.start_desk("spare-1", 1, "primary")
        token = await primary.ask("join-token", ttl=60, uses=1)
        await self.start_desk("b", 2, "secondary", f"node.join={token}")
        await self.cluster.all_see_all()

    async def served_by(self, call_id: str) -> Any:
        (row,) = await self.primary.ask("calls", call_id=call_id)
        return row["node"]

    @again_if_passed_over
    async def test_front_desk(self) -> None:
        """
        The hook refuses one caller and brings a number to a user; the policy spares the node that all calls go to. voipctl stops
        the application, as a signal does: it ends with status 0 and takes its socket along.
        """
        await self.start_desks()
        await self.add_users("alice", "bob", "mallory")
        alice = self.phone("alice", tone=500)
        # registered through b: with its Service-Route it would call there
        bob = self.phone("bob", host=self.address(101), tone=900, follow_service_route=False)
        mallory = self.phone("mallory", host=self.address(102))
        await self.register(alice, bob)
        await self.reachable("alice")

        refused = await self.assertFailure(mallory.call("alice@example.com"), CallFailed)
        self.assertEqual((refused.status, str(refused)), (603, "call failed: 603 Not Today"))

        call = await bob.call("100@example.com")
        await self.placed(await self.served_by(call.call_id), "b", [call.call_id], nodes=["b"])
        await self.until(lambda: call.heard_hz == 500, "bob hears alice, whom he did not name")
        (decision, *_) = await self.primary.ask("explain", call_id=call.call_id)
        self.assertEqual(
            (decision["node"], decision["policy"], decision["chosen"]), ("spare-1", "spares-last", "b")
        )
        await call.hang_up()
        unknown = await self.assertFailure(bob.call("101@example.com"), CallFailed)
        self.assertEqual(unknown.status, 404)

        # without the other one the spare node serves, with the same hook
        node = self.node("b")
        await self.primary.voipctl("stop", "b")
        await self.left(node)
        self.assertFalse((node.state_dir / "admin.sock").exists())
        await self.cluster.when(
            lambda status: status["b"]["state"] == "stopped", "the primary knows that b is stopped"
        )
        await self.register(alice, bob)
        call = await bob.call("100@example.com")
        self.assertEqual(await self.served_by(call.call_id), "spare-1")
        await call.hang_up()
        refused = await self.assertFailure(mallory.call("alice@example.com"), CallFailed)
        self.assertEqual(refused.status, 603)
        await self.primary.stop()
        await self.left(self.primary)

    async def test_mistakes(self) -> None:
        """What the operator did wrong is one line on standard error and status 1."""
        for setting, text in (
            ("node.role=secondary", "--join TOKEN@ADDRESS (node.join)"),
            ("node.rolle=primary", 'unknown key "rolle" in [node]; did you mean node.role?'),
            ("cluster.policy=best", 'unknown policy "best"'),
            ("node.address=192.0.2.9", "192.0.2.9"),
        ):
            program = self.program(
                setting,
                [sys.executable, str(self.desk), "node.role=primary", "node.name=a", f"node.address={self.address(1)}",
                 f"node.state_dir={self.folder / 'wrong'}", setting],
                environment={"PYTHONPATH": str(CHECKOUT)},
            )  # fmt: skip
            self.assertEqual(await program.ended(), 1)
            errors = [line for line in program.output.splitlines() if line.startswith("front_desk: ")]
            self.assertEqual(len(errors), 1, program.output)
            self.assertIn(text, errors[0])
            self.assertNotIn("Traceback", program.output)

    async def test_what_is_missing(self) -> None:
        """The program as it stands says in one line what it needs next, and ends without a traceback."""
        address, role = f"node.address={self.address(1)}", "node.role=primary"
        for words, text in (
            ((), "node.address is missing"),
            ((address,), "--role (node.role) is needed"),
            ((address, role), "node name ''"),
        ):
            program = self.program(
                f"with {words}",
                [sys.executable, str(self.desk), *words],
                environment={"PYTHONPATH": str(CHECKOUT)},
                folder=self.folder,
            )
            self.assertEqual(await program.ended(), 1)
            errors = [line for line in program.output.splitlines() if line.startswith("front_desk: ")]
            self.assertEqual(len(errors), 1, program.output)
            self.assertIn(text, errors[0])
            self.assertNotIn("Traceback", program.output)

    def test_no_reactor(self) -> None:
        """Importing the embedding surface installs no reactor, and all that it offers is there."""
        code = (
            "import sys, voipcluster.service as service\n"
            "assert 'twisted.internet.reactor' not in sys.modules\n"
            "assert all(hasattr(service, name) for name in service.__all__)\n"
            "assert service.__all__ == sorted(set(service.__all__))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class PluginPolicyTests(ClusterTestCase):
    @again_if_passed_over
    async def test_spares_last(self) -> None:
        """A policy in a twisted/plugins folder on PYTHONPATH is known to twistd and to voipctl check, and places calls."""
        site = self.folder / "site"
        plugins = site / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "spares_last_policy.py").write_text(programs()["twisted/plugins/spares_last_policy.py"])
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(site)})
        await self.start_cluster("--set", "cluster.policy=spares-last", nodes=["spare-1", "b", "c"])
        config = self.folder / "cluster.toml"
        config.write_text('[cluster]\ndomain = ["example.com"]\npolicy = "spares-last"\n')
        self.assertEqual(await self.primary.voipctl("check", str(config)), f"{config}: good\n")

        await self.add_users("alice", "bob")
        alice = self.phone("alice", capacity=2)
        bob = self.phone("bob", host=self.address(101), capacity=2, follow_service_route=False)
        await self.register(alice, bob)
        await self.reachable("alice")
        call = await bob.call("alice@example.com")
        (row,) = await self.node("c").ask("calls")
        await self.placed((row["ingress"], row["node"]), ("spare-1", "b"), [call.call_id], nodes=["b"])
        await self.primary.voipctl("drain", "b")
        await self.cluster.when(lambda status: status["b"]["state"] == "drain", "b drains")
        other = await bob.call("alice@example.com")
        rows = {row["call_id"]: row["node"] for row in await self.node("c").ask("calls")}
        await self.placed(rows, {call.call_id: "b", other.call_id: "c"}, [other.call_id], nodes=["c"])
        await call.hang_up()
        await other.hang_up()

    def test_without_the_plugin(self) -> None:
        """The name is unknown where the plugin is not, and the error says what is allowed."""
        file = self.folder / "cluster.toml"
        file.write_text('[cluster]\npolicy = "spares-last"\n')
        done = subprocess.run(
            [sys.executable, "-m", "voipcluster.voipctl", "check", str(file)],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        self.assertEqual(done.returncode, 1)
        self.assertIn('unknown policy "spares-last"', done.stderr)
