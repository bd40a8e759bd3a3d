"""Gateways in front of three real nodes: what they may, who goes around them, what is changed meanwhile, and calls for help."""

from __future__ import annotations

from typing import Any

from demo.cluster import Node
from tests.integration.claims import CALLERS, ClaimTestCase
from tests.integration.harness import listens
from tests.integration.run_sipp import Sipp, credentials

PBX, CARRIER, BEHIND, STRANGER, CALLEE = 111, 112, 113, 114, 115  # last octets of their addresses


class GatewaysTests(ClaimTestCase):
    """A PBX that reaches users only, with clients behind it, and a carrier with one channel."""

    timeout = 120

    async def start(self, *options: str) -> None:
        path = self.folder / "gateways.toml"
        path.write_text(
            f"""
[numbers]
country = "49"
emergency = ["110"]

[[gateway]]
name = "pbx"
kind = "pbx"
sources = ["{self.address(PBX)}"]
behind = ["{self.address(BEHIND)}"]
channels = 8
probe = 0

[[gateway]]
name = "carrier"
kind = "pstn"
servers = ["{self.address(CARRIER)}:5060"]
channels = 1
probe = 0

[[route]]
prefix = "+49"
gateway = "carrier"

[[route]]
prefix = "110"
gateway = "carrier"
"""
        )
        await self.start_cluster(
            *("--config", str(path), "--set", "media.relay=off", "--set", "overload.enabled=false"), *options
        )
        await self.add_users("ann", "bob")
        self.carrier = self.sipp("uas", self.address(CARRIER))
        await self.until(lambda: listens(self.address(CARRIER), 5060), "the carrier listens")
        await self.sipp_callee(["bob"], self.address(CALLEE))
        await self.reachable("bob")

    def from_pbx(self, callee: str, **options: Any) -> Sipp:
        """A call from behind the PBX, without a password."""
        rows = [("+4930555", "", callee, "40000")]
        return self.sipp("call_plain", self.address(PBX), self.primary.hop(), rows=rows, **options)

    async def forbidden(self, last: int, callee: str, node: Node, port: int = 5070) -> None:
        """A call that gets 403."""
        rows = [("sip:+4930555@elsewhere.example", "", callee)]
        call = self.sipp("call_forbidden", self.address(last), node.hop(), rows=rows, port=port)
        await call.finished(20)

    def of_ann(
        self, callee: str, node: Node, scenario: str = "call", port: int = 5060, **options: Any
    ) -> Sipp:
        rows = [("ann", credentials("ann", self.passwords["ann"]), callee, "40000")]
        return self.sipp(scenario, self.address(CALLERS), node.hop(), rows=rows, port=port, **options)

    async def listed(self, node: Node, name: str) -> dict[str, Any]:
        rows = await node.voipctl_json("gateway", "list")
        return next(row for row in rows if row["name"] == name)

    async def test_what_they_may(self) -> None:
        """
        A PBX reaches users and no number, strangers neither, and who goes around the PBX nobody: 403, counted, nothing sent on.
        Withdrawn while a call is up, its next call is refused at every node, and the running one goes on to its BYE.
        """
        await self.start()
        a, b, c = self.cluster.nodes
        held = self.from_pbx("bob", hold=None)
        await self.calls_up(1)
        (call,) = await c.ask("calls")
        self.assertEqual((call["gateway_in"], call["gateway_out"]), ("pbx", ""))

        async def counted() -> bool:
            return (await self.listed(b, "pbx"))["channels"] == 1

        await self.until(counted, "every node counts the channel")
        await self.forbidden(PBX, "030777", a)
        await self.forbidden(STRANGER, "030777", a)
        await self.forbidden(BEHIND, "bob", a)
        metrics = await a.ask("metrics")
        for reason in ("number", "stranger", "bypass"):
            self.assertIn(f'voipcluster_gateway_refused_total{{reason="{reason}"}} 1.0', metrics)
        self.assertEqual(self.carrier.messages, "")

        self.assertIn("disabled", await c.voipctl("gateway", "disable", "pbx"))
        for node in (a, b, c):

            async def known(node: Node = node) -> bool:
                return (await self.listed(node, "pbx"))["state"] == "disabled"

            await self.until(known, f"{node.name} knows it")
            await self.forbidden(PBX, "bob", node)
        (call,) = await c.ask("calls")
        self.assertEqual(call["state"], "up")
        held.hang_up()
        await held.finished(20)
        await self.calls_up(0)
        row = await self.listed(b, "pbx")
        self.assertEqual((row["channels"], row["seizures"], row["asr"], row["refused"]), (0, 1, 1.0, 5))
        await self._changed_anywhere(b)

    async def _changed_anywhere(self, node: Node) -> None:
        """Enabled, added, changed and removed at a secondary; the primary has it at once, and after a restart, too."""
        await node.voipctl("gateway", "enable", "pbx")
        await node.voipctl(
            "gateway", "add", "adapters", f"sources={self.address(STRANGER)}", "kind=voip", "channels=2"
        )
        await node.voipctl("gateway", "set", "adapters", "incoming.numbers=users,+49")
        again = node.voipctl_program("gateway", "add", "twin", f"sources={self.address(STRANGER)}")
        self.assertEqual(await again.ended(20), 1)
        self.assertIn("is that of gateway adapters, too", again.output)
        ours = node.voipctl_program("gateway", "add", "twin", f"servers={self.primary.address}")
        self.assertEqual(await ours.ended(20), 1)
        self.assertIn(f"is node {self.primary.name} of this cluster", ours.output)

        async def known() -> bool:
            rows = await self.primary.voipctl_json("gateway", "list")
            return [(r["name"], r["where"]) for r in rows if r["name"] != "carrier"] == [
                ("adapters", "database"), ("pbx", "file, changed"),
            ]  # fmt: skip

        await self.until(known, "the primary has the list")
        rows = [("sip:+4930555@elsewhere.example", "", "030777", "40000")]
        call = self.sipp(
            "call_plain", self.address(STRANGER), node.hop(), rows=[("+4930555", *rows[0][1:])], hold=0.0
        )
        await call.finished(20)
        self.assertIn(f"INVITE sip:+4930777@{self.address(CARRIER)}", self.carrier.messages)
        await node.voipctl("gateway", "rm", "adapters")
        await self.forbidden(STRANGER, "030777", node)

    async def test_for_help(self) -> None:
        """
        With every node above its hard limit and the only channel taken, a call to a number gets 503 at once, and one for help
        is put through.
        """
        await self.start("--set", "limits.calls=1")
        a, b, c = self.cluster.nodes
        calls = [self.of_ann("030777", a, hold=None)]
        await self.calls_up(1)
        for number, node in enumerate((b, c), 1):
            calls.append(self.of_ann("bob", node, port=5060 + number, hold=None))
            await self.calls_up(number + 1)

        async def all_full() -> bool:
            status = await b.ask("status")
            return all(node["workload"] >= 0.95 for node in status["nodes"])

        await self.until(all_full, "every node is above its hard limit")
        for callee in ("030888", "bob"):
            refused = self.of_ann(callee, b, "call_refused", port=5080)
            await refused.finished(20)
        for number, node in enumerate((a, b, c)):
            help_ = self.of_ann("110", node, port=5090 + number, hold=0.0)
            await help_.finished(20)
        self.assertEqual(self.carrier.messages.count(f"INVITE sip:110@{self.address(CARRIER)}"), 3)
        for call in calls:
            call.hang_up()
            await call.finished(20)
        await self.calls_up(0)
