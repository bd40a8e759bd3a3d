"""Nodes that die, freeze, leave and come back while calls run."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from twisted.internet.defer import gatherResults

from demo.cluster import Node
from tests.conformance.marks import attack
from tests.integration.harness import ClusterTestCase
from tests.integration.passed_over import again_if_passed_over
from tests.stopwatch import Stopwatch
from voipcluster.phone import CallFailed, Phone, PhoneCall

LIMIT = 3.0  # seconds until the others place around a node that is gone


class LossTestCase(ClusterTestCase):
    """
    Callers and callees at nodes a and c, and audio that must go on.

    @ivar phones: by user.
    """

    timeout = 300  # two failures of a cluster, one after the other

    def setUp(self) -> None:
        super().setUp()
        self.phones: dict[str, Phone] = {}
        self._hosts = 100

    async def have_phone(self, user: str, node: Node, transport: str = "UDP") -> Phone:
        """A registered phone with room for many calls; a further one for its user moved there."""
        self._hosts += 1
        phone = self.phone(
            user,
            node,
            host=self.address(self._hosts),
            transport=transport,
            capacity=9,
            follow_service_route=False,
        )
        await phone.register()
        self.phones[user] = phone
        return phone

    async def goes_on(self, *calls: PhoneCall, packets: int = 75) -> None:
        """Return when each call heard so many packets more, of a tone; patient, for the machine may be busy with other tests."""
        wanted = {call: call.packets_received + packets for call in calls}
        await self.until(
            lambda: all(call.packets_received >= count and call.heard_hz for call, count in wanted.items()),
            "audio goes on in every call",
            packets * 0.02 + 15.0,
        )
        self.assertFalse([call.reason for call in calls if call.over])

    async def are_served_by(self, names: str, *calls: PhoneCall) -> None:
        """Each of the calls is at the node of the letter in its place."""
        found = ""
        for call in calls:
            (row,) = await self.node("a").ask("calls", call_id=call.call_id)
            found += row["node"]
        await self.placed(found, names, [call.call_id for call in calls])

    def stopwatch(self) -> Stopwatch:
        """How long it takes the nodes a and c, without what they wait for a processor."""
        return Stopwatch(self.node("a").pid, self.node("c").pid)

    async def unknown(self, name: str, *at: Node, seconds: float = 30.0, state: str = "unknown") -> None:
        """@param state: C{stopped} for a node that said that it stops."""
        for node in at:
            await self.cluster.when(
                lambda nodes: nodes[name]["state"] == state, f"{node.name} misses {name}", seconds, node
            )

    async def back(self, name: str) -> None:
        """Return once every node takes the named one for open, and it them."""
        for node in self.cluster.nodes:
            await self.cluster.when(
                lambda nodes: all(row["state"] == "open" for row in nodes.values()),
                f"{node.name} sees {name} again",
                node=node,
            )


class KilledNode(LossTestCase):
    async def start(self) -> tuple[PhoneCall, PhoneCall]:
        """b is the first choice of all; a call through a and one through c, made while it drained, are up."""
        await self.start_cluster(
            "--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a", "c"]'
        )
        await self.add_users("alice", "bob", "tcp", "udp")
        a, b, c = self.cluster.nodes
        alice, bob = await self.have_phone("alice", a), await self.have_phone("bob", c)
        await self.have_phone("tcp", b, "TCP")
        await self.have_phone("udp", b)
        await self.reachable("alice", "bob", "tcp", "udp")
        await a.ask("drain", node="b", on=True)
        await self.cluster.when(lambda nodes: nodes["b"]["state"] == "drain", "b drains")
        through_a = await alice.call("bob@example.com")
        await a.ask("drain", node="a", on=True)
        await self.cluster.when(lambda nodes: nodes["a"]["state"] == "drain", "a drains", node=c)
        through_c = await bob.call("alice@example.com")
        await a.ask("drain", node="a", on=False)
        await a.ask("drain", node="b", on=False)
        await self.back("b")
        await self.are_served_by("ac", through_a, through_c)
        await self.goes_on(through_a, through_c)
        return through_a, through_c

    @attack("P6")
    @again_if_passed_over
    async def test_a_secondary_hangs_and_dies(self) -> None:
        """A node that hangs, and then is killed: each time the others go on without it."""
        calls = await self.start()
        await self.frozen(*calls)
        await self.killed(*calls)

    async def frozen(self, *calls: PhoneCall) -> None:
        """A node that hangs instead of dying is placed around within 3 s, too, and is taken back when it wakes up."""
        a, b, c = self.cluster.nodes
        assert b.program is not None
        watch = self.stopwatch()
        b.program.send_signal("STOP")
        try:
            alice, bob = self.phones["alice"], self.phones["bob"]
            new = await gatherResults(
                [alice.call("bob@example.com"), bob.call("alice@example.com")], consumeErrors=True
            )
            self.assertLess(watch.seconds, LIMIT)
            await self.unknown(
                "b", a, c, seconds=20.0
            )  # each look at it waits for an answer of the frozen one
            await self.goes_on(*calls, *new)
        finally:
            b.program.send_signal("CONT")
        await self.back("b")
        await self.are_served_by("aa", *new)
        again = await self.phones["alice"].call("bob@example.com")
        await self.are_served_by("b", again)
        await self.goes_on(*calls, *new, again, packets=25)
        # for as long as it slept it heard nobody: that was not their silence
        self.assertNotIn("silent for", b.log.read_text())
        for call in (*new, again):
            await call.hang_up()

    async def killed(self, *calls: PhoneCall) -> None:
        """
        kill -9 of a secondary: the others place around it within 3 s; calls through the others go on with audio; a new call to
        a phone registered through the dead node gets 480 or reaches it after it re-registers.
        """
        a, b, c = self.cluster.nodes
        alice, bob = self.phones["alice"], self.phones["bob"]
        lost = await alice.call("bob@example.com")
        await self.are_served_by("b", lost)

        watch = self.stopwatch()
        await self.kill(b)
        new = [await alice.call("bob@example.com"), await bob.call("alice@example.com")]
        self.assertLess(watch.seconds, LIMIT)
        await self.unknown("b", a, c, seconds=30.0)
        self.assertLess(watch.seconds, LIMIT)
        await self.are_served_by("aa", *new)
        await self.goes_on(*calls, *new)

        # the connection of one phone died with the node; the other one is where its Contact says
        failed = await self.assertFailure(alice.call("tcp@example.com"), CallFailed)
        self.assertEqual(failed.status, 480)
        reached = await alice.call("udp@example.com")
        await self.goes_on(reached, packets=25)
        await self.have_phone("tcp", c, "TCP")
        await self.have_phone("udp", c, "UDP")
        for user in ("tcp", "udp"):

            async def moved(user: str = user) -> bool:
                rows = await a.ask("registrations", aor=f"{user}@example.com")
                return "c" in [row["node"] for row in rows]

            await self.until(moved, f"a knows that {user} is at c")
            again = await alice.call(f"{user}@example.com")
            await self.goes_on(again, packets=25)
            await again.hang_up()
        for call in (*calls, *new, reached):
            await call.hang_up()
            self.assertEqual(call.status, 200)


class RestartedNode(LossTestCase):
    async def stored(self, node: Node, aor: str) -> None:
        """Return once the registration is on the node's disk."""

        def written() -> bool:
            with closing(sqlite3.connect(node.state_dir / "voipcluster.db")) as database:
                tables = [
                    row[0] for row in database.execute("select name from sqlite_master where type = 'table'")
                ]
                return any(
                    aor in map(str, row)
                    for table in tables
                    for row in database.execute(f"select * from {table}")
                )

        await self.until(written, f"{node.name} has written {aor}")

    @attack("P6")
    async def test_restarts(self) -> None:
        """A secondary and then the primary stop and start again."""
        await self.start_cluster()
        await self.add_users("alice", "bob")
        alice, bob = (
            await self.have_phone("alice", self.node("b")),
            await self.have_phone("bob", self.node("c")),
        )
        await self.reachable("alice", "bob")
        await self.registrations_outlive_a_restart(bob)
        await self.the_primary_restarts_while_calls_run(alice, bob)

    async def registrations_outlive_a_restart(self, bob: Phone) -> None:
        """A node that stops and starts again, or is killed and starts again, holds its phones on UDP and is in the cluster."""
        a, b, c = self.cluster.nodes
        for how in ("stop", "kill"):
            await self.stored(b, "alice@example.com")
            if how == "kill":
                await self.kill(b)
            else:
                await b.stop()
            await self.unknown("b", a, c, state="stopped" if how == "stop" else "unknown")
            await self.cluster.restart(b)
            await self.back("b")
            for node in self.cluster.nodes:
                (row,) = await node.ask("registrations", aor="alice@example.com")
                self.assertEqual(row["node"], "b")
            call = await bob.call("alice@example.com")
            await self.goes_on(call, packets=25)
            await call.hang_up()

    async def the_primary_restarts_while_calls_run(self, alice: Phone, bob: Phone) -> None:
        """Calls through the others go on; accounts and tokens are given out again when it is back."""
        a, b, c = self.cluster.nodes
        calls = [await alice.call("bob@example.com"), await bob.call("alice@example.com")]
        await a.stop()
        await self.unknown("a", b, c, state="stopped")
        calls.append(await alice.call("bob@example.com"))
        await self.goes_on(*calls)
        refused = b.voipctl_program("user", "add", "carol@example.com", "--password-stdin", stdin="carol's\n")
        self.assertEqual(await refused.ended(), 1)
        self.assertIn("accounts are changed at the primary", refused.output)
        await self.cluster.restart(a)
        await self.back("a")
        await self.goes_on(*calls)
        await self.add_users("carol")
        await self.cluster.join("d", self.address(4))
        await self.cluster.all_see_all()
        carol = await self.have_phone("carol", self.node("d"))
        calls.append(await carol.call("alice@example.com"))
        await self.goes_on(*calls, packets=25)
